"""az, sleep and date for a script under test: hands its arguments to the test's process, and says
what that answers. Started often, so it imports little."""

import json
import os
import socket
import sys

KILLED = 9


def main() -> int:
    asked = {"program": os.path.basename(sys.argv[0]), "argv": sys.argv[1:]}  # noqa: PTH119
    with socket.create_connection(("127.0.0.1", int(os.environ["LOCAL_AZURE"]))) as connection:
        connection.sendall(json.dumps(asked).encode() + b"\n")
        with connection.makefile("r", encoding="utf-8") as answers:
            answer = json.loads(answers.readline())
    if answer["kill"]:
        os.killpg(0, KILLED)
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return int(answer["exit"])


if __name__ == "__main__":
    sys.exit(main())
