"""A peer that sends a byte at a time holds up its own site only, and that within the run's time.

The clock is the real one. The bounds are shortened where the test would take a minute.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from jira_audit import app, wiring
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import Deadline
from jira_audit.core.errors import OutOfTime, Unanswered
from jira_audit.core.outcome import Outcome
from jira_audit.edge import access, tenant
from jira_audit.flow import fetching, reader
from jira_audit.flow.sending import send
from jira_audit.settings.load import load
from jira_audit.simulator.records import sample_records
from jira_audit.simulator.site import Response
from tests.end_to_end.conftest import Installation, now
from tests.servers.async_http_server import Request
from tests.servers.many_sites import ServedSite, address_of, cloud_id_of, serve_sites
from tests.servers.trickle import TRICKLES, trickling

pytestmark = pytest.mark.servers

BUDGET, GRACE, ANSWER = 2, 1.0, 1.0
"""Seconds of the run, after its deadline, and of each request that is not for records."""

SLACK = 4.0
"""Seconds for what does not trickle: the last wait, the save, the lease, and a busy machine."""

GOOD, BAD = address_of(0), "127.0.0.1"
BASIC = "Basic " + base64.b64encode(b"auditor@example.com:a-token").decode()
RECORDS = 50


@dataclass
class OAuthSite(ServedSite):
    """A site, its token service and its gateway, which takes the token of that service."""

    def _answer(self, request: Request) -> Response:
        if urlsplit(request.target).path == "/oauth/token":
            token = {"access_token": "a-bearer-token", "expires_in": 3_600}
            return Response(200, {}, json.dumps(token).encode())
        gateway = f"/ex/jira/{self.cloud_id}"
        if not request.target.startswith(gateway):
            return super()._answer(request)
        if request.headers["authorization"] != "Bearer a-bearer-token":
            return Response(401, {}, b"")
        headers = {**request.headers, "authorization": BASIC}
        target = request.target.removeprefix(gateway)
        return super()._answer(replace(request, target=target, headers=headers))


@pytest.fixture(autouse=True)
def _short_bounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fetching, "GRACE_SECONDS", GRACE)
    monkeypatch.setattr(reader, "GRACE_SECONDS", GRACE)
    monkeypatch.setattr(access, "ANSWER_SECONDS", ANSWER)
    monkeypatch.setattr(tenant, "ANSWER_SECONDS", ANSWER)
    monkeypatch.setenv("NO_PROXY", "*")
    yield
    for cached in (wiring.source, wiring.tenant, wiring.route, wiring.gateway, wiring.sink):
        cached.cache_clear()


@contextmanager
def one_good_and_one_slow(
    installation: Installation, trickle: str, credentials: Mapping[str, str], **slow: str
) -> Iterator[dict[str, str]]:
    """The settings of both sites. Whatever is asked of the second one, its answer trickles."""
    moment = now()
    installation.site.add(
        sample_records(RECORDS, first_id=1, end_ms=moment - 60_000, span_ms=3_600_000, seed=1)
    )
    good = OAuthSite(installation.site, cloud_id=cloud_id_of(0))
    with serve_sites({GOOD: good}) as port, trickling(*TRICKLES[trickle]) as url:
        sites = [
            {"url": f"http://{GOOD}:{port}", **credentials},
            {"url": url, **credentials, **slow},
        ]
        single = {"JIRA_SITE_URL", "JIRA_USERNAME", "JIRA_API_TOKEN"}
        environment = {k: v for k, v in installation.environment.items() if k not in single}
        yield {**environment, "JIRA_SITES": json.dumps(sites), "SECRET": "a-token"}


def run(environment: Mapping[str, str]) -> tuple[dict[str, Outcome], float]:
    """The outcomes by site, and the seconds that the invocation took."""
    settings = replace(load(environment, now()), budget_seconds=BUDGET)
    begun = time.monotonic()
    outcomes = app.run_settings(settings)
    return {each.site: each for each in outcomes}, time.monotonic() - begun


def check(installation: Installation, outcomes: Mapping[str, Outcome], seconds: float) -> None:
    good, bad = outcomes[GOOD], outcomes[BAD]
    assert good.result == "ok", good.error
    assert good.duration_ms < BUDGET * 1_000, "it waited for the other"
    rows = Counter((row["site_s"], row["id_d"]) for row in installation.rows())
    assert rows == {(GOOD, number): 1 for number in range(1, RECORDS + 1)}
    assert bad.result == "failed"
    assert str(bad.error).startswith(f"{BAD}: ")
    assert len(str(bad.error)) > len(f"{BAD}: ") + 20
    assert seconds < BUDGET + GRACE + SLACK
    for site in (GOOD, BAD):
        blob = installation.container.get_blob_client(f"checkpoints/{site}.json")
        assert blob.get_blob_properties().lease.state == "available"


TOKEN = {"username": "auditor@example.com", "api_token_setting": "SECRET"}
OAUTH = {"oauth_client_id": "one-client", "oauth_client_secret_setting": "SECRET"}


@pytest.mark.parametrize(
    "trickle", ["header", pytest.param("empty gzip blocks", marks=pytest.mark.long)]
)
def test_slow_site_ends_in_time_and_holds_up_no_other(
    installation: Installation, trickle: str
) -> None:
    with one_good_and_one_slow(installation, trickle, TOKEN) as environment:
        check(installation, *run(environment))


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param({}, id="tenant", marks=pytest.mark.long),
        pytest.param({"cloud_id": cloud_id_of(1)}, id="token"),
    ],
)
def test_slow_token_service_or_tenant_holds_up_no_other(
    installation: Installation, slow: dict[str, str]
) -> None:
    with one_good_and_one_slow(installation, "header", OAUTH, **slow) as environment:
        check(installation, *run(environment))


LEASE, SEND = 15, 10.0
"""Seconds: the shortest lease, and what it leaves for one send."""


@pytest.mark.long
def test_slow_ingestion_ends_a_send_within_the_lease(
    installation: Installation, authority: tuple[trustme.CA, Path]
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(server)
    with trickling(*TRICKLES["header"], server) as url:
        changed = {"DATA_COLLECTION_ENDPOINT": url, "LEASE_SECONDS": str(LEASE)}
        settings = load({**installation.environment, **changed}, now())
        (site,) = settings.sites
        with wiring.site_run(settings, site, Deadline.after(wiring.CLOCK, 1)) as its:
            assert its.policy.send_seconds == SEND
            first = Checkpoint.first(site.host, 0, 0)
            begun = time.monotonic()
            lease = its.ports.checkpoints.take(first)
            assert lease is not None
            time.sleep(LEASE - SEND - 1)  # what is left is just enough, so it is not renewed

            with pytest.raises(OutOfTime) as raised:
                send(b"[]", its, lease)

            seconds = time.monotonic() - begun
            assert isinstance(raised.value.__cause__, Unanswered)
            assert LEASE - 1.5 < seconds < LEASE, "it trickled to its limit, and no longer"
            assert its.ports.checkpoints.take(first) is None, "the lease is still its own"
            lease.release()
