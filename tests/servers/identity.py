"""A stand-in for the managed identity endpoint of App Service and Functions, API version
2019-08-01.

Its tokens are JSON Web Tokens that say for which audience and until when they hold, signed, so
that a server in another process can tell them from others (`audience_of`), and that Azurite with
`--oauth basic` takes them. No other way of getting tokens lives here.

What it answers when it fails follows users' reports of the real one: 429, 500 and 503 with JSON,
with text, or with nothing (https://github.com/Azure/azure-functions-host/issues/11058,
https://github.com/Azure/azure-sdk-for-python/issues/17787).

Run alone, `python -m tests.servers.identity` prints one line of JSON and serves until its
standard input ends.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from tests.servers.loopback import Handler, Loopback

HEADER = "test-identity-header"
# No secret: it only lets tests forge nothing by accident.
_KEY = b"signs the tokens of tests"


ISSUER = "https://sts.windows.net/00000000-0000-0000-0000-000000000000/"


def issue(audience: str, expires_on: int, **more: str) -> str:
    """A token; `more` are further claims."""
    now = int(time.time()) - 60
    head = _text(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    claims = {"aud": audience, "iss": ISSUER, "nbf": now, "iat": now, "exp": expires_on, **more}
    signed = f"{head}.{_text(json.dumps(claims).encode())}"
    return f"{signed}.{_text(_signature(signed.encode()))}"


def audience_of(token: str, now: float) -> str | None:
    """For whom a token holds; None for one that was not issued here or has expired."""
    signed, _, signature = token.rpartition(".")
    try:
        claims = json.loads(_bytes(signed.partition(".")[2]))
        if not hmac.compare_digest(_bytes(signature), _signature(signed.encode())):
            return None
    except ValueError:  # not base64, or not JSON
        return None
    audience: str = claims["aud"]
    return audience if now < claims["exp"] else None


def _signature(claims: bytes) -> bytes:
    return hmac.digest(_KEY, claims, hashlib.sha256)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class Fault:
    """What is answered instead of a token; `status` None drops the connection."""

    status: int | None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Identity:
    """What was asked of it, and how long its tokens hold; `client_ids` limits it to those
    identities. `faults` come first, one a call, in order; None lets a call through.
    """

    lifetime: int = 24 * 3600
    client_ids: frozenset[str] | None = None
    faults: list[Fault | None] = field(default_factory=list)
    calls: list[dict[str, str]] = field(default_factory=list)
    endpoint: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What App Service sets in the process of an app that has an identity."""
        return {"IDENTITY_ENDPOINT": self.endpoint, "IDENTITY_HEADER": HEADER}

    @contextlib.contextmanager
    def serve(self) -> Iterator["Identity"]:
        identity = self

        class _Handler(Handler):
            def do_GET(self) -> None:
                fault = identity.faults.pop(0) if identity.faults else None
                status, content = identity.respond(self.path, self.headers["X-IDENTITY-HEADER"])
                if fault is None:
                    self.answer_json(status, content)
                elif fault.status is None:
                    self.drop()
                else:
                    self.answer(fault.status, fault.body, fault.headers)

        with Loopback(_Handler) as server:
            self.endpoint = f"http://127.0.0.1:{server.port}/msi/token"
            yield self

    def respond(self, path: str, header: str | None) -> tuple[int, dict[str, str]]:
        # https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
        query = dict(parse_qsl(urlsplit(path).query))
        self.calls.append(query)
        if header != HEADER:
            return 401, {"message": "X-IDENTITY-HEADER is missing or wrong"}
        if query.get("api-version") != "2019-08-01" or "resource" not in query:
            return 400, {"message": "api-version=2019-08-01 and resource are required"}
        if self.client_ids is not None and query.get("client_id", "") not in self.client_ids:
            return 400, {"message": "No User Assigned identity found with that client id"}
        expires_on = int(time.time()) + self.lifetime
        return 200, {
            "access_token": issue(query["resource"], expires_on),
            "expires_on": str(expires_on),
            "resource": query["resource"],
            "token_type": "Bearer",
            "client_id": query.get("client_id", "00000000-0000-0000-0000-000000000000"),
        }


def main() -> None:
    with Identity().serve() as identity:
        print(json.dumps(identity.environment), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
