"""A wait that Jira asks for is bounded in commands without a deadline too."""

from pathlib import Path

import pytest

from jira_audit.flow.fetching import MAX_CONCURRENT_REQUESTS
from jira_audit.simulator.site import Response
from tests.terminal.conftest import Run, Site, records, set_up
from tests.terminal.test_backfill import collect_last_hour, hours_ago


class Throttled(Site):
    """A site that answers 429 with these headers, once it is told to."""

    def __init__(self) -> None:
        super().__init__(records(50))
        self.headers: dict[str, str] | None = None

    def answer(self, *request: object) -> Response:
        if self.headers is None:
            return super().answer(*request)
        self.asked += 1
        return Response(429, self.headers, b"")


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7300"}, "3 hours"),
        ({"Retry-After": "10000000000"}, "more than 1000 days"),
        ({"Retry-After": "9" * 400}, "more than 1000 days"),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, "more than 1000 days"),
        ({"X-RateLimit-Reset": "9999-12-31T23:59Z"}, "more than 1000 days"),
    ],
)
@pytest.mark.parametrize("command", ["verify", "backfill"])
def test_wait_that_is_too_long_ends_the_command_with_a_sentence(
    command: str, headers: dict[str, str], wait: str, run: Run, tmp_path: Path
) -> None:
    site = Throttled()
    with set_up(site):
        collect_last_hour(run, tmp_path)
        site.headers, site.asked = {**headers, "RateLimit-Reason": "jira-quota-tenant-based"}, 0
        ended = run(command, "--folder", tmp_path, "--from", hours_ago(30))

    assert ended.code == 1
    assert 1 <= site.asked <= MAX_CONCURRENT_REQUESTS
    said = " ".join(ended.err.split())
    assert f"HTTP 429; reason: jira-quota-tenant-based; wait: {wait}" in said
    assert "try again later" in said
    assert "Traceback" not in ended.err
