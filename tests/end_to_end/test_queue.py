"""More sites than one run may have: a message each, workers side by side, and one that dies.

The worker library, the queues, the blobs and the Azure libraries are the real ones; the host
between them is `tests/servers/host.py`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import trustme
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueServiceClient

from jira_audit import app
from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.settings.load import load
from jira_audit.simulator.site import FakeJira, Response
from tests.conftest import needed
from tests.end_to_end.conftest import ROOT, now
from tests.fakes.world import Time, record
from tests.servers import azurite as azurite_server
from tests.servers import worker as worker_process
from tests.servers.host import Host, canonical_lines
from tests.servers.identity import Identity
from tests.servers.ingestion import RULE, STREAM, Ingestion
from tests.servers.many_sites import ServedSite, address_of, cloud_id_of, serve_sites

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

QUEUE = "jira-audit-sites"
RECORDS = 4

FAILURES = {
    "401": Response(401, {}, b'{"message": "Unauthorized"}'),
    "403": Response(403, {}, b"<html>"),
    "404": Response(404, {}, b""),
    "429": Response(429, {"Retry-After": "600"}, b""),
    "HTML": Response(200, {"Content-Type": "text/html"}, b"<html>log in</html>"),
    "redirect": Response(302, {"Location": "https://evil.example/"}, b""),
}


@dataclass
class Provider:
    """A provider's installation: its sites by address, and the environment of a worker."""

    sites: dict[str, ServedSite]
    environment: dict[str, str]
    connection: str
    ingestion: Ingestion
    container: ContainerClient

    def duplicates(self) -> int:
        """How many rows are in the table more than once."""
        seen = Counter((row["site_s"], row["id_d"]) for row in self.ingestion.rows)
        return sum(times - 1 for times in seen.values())

    def complete(self, address: str) -> bool:
        """Whether every record of a site is in the table."""
        ids = {row["id_d"] for row in self.ingestion.rows if row["site_s"] == address}
        return ids == {known["id"] for known in self.sites[address].site.records}


@pytest.fixture(scope="session")
def running_account() -> Iterator[str]:
    """One account for all tests: its servers take three seconds to start."""
    needed(azurite_server.is_installed(), "Azurite is not installed: make setup")
    needed(worker_process.is_installed(), "the Functions worker library needs Python 3.13")
    with azurite_server.run_with_queues() as connection:
        yield connection


@pytest.fixture
def account(running_account: str) -> str:
    """An account without queues; each test has a container of its own."""
    with QueueServiceClient.from_connection_string(running_account) as service:
        for queue in service.list_queues():
            service.delete_queue(queue)
    return running_account


@pytest.fixture
def provider(
    account: str, authority: tuple[trustme.CA, Path], identity: Identity, ingestion: Ingestion
) -> Iterator[Provider]:
    """Three hundred sites that share ids, each at an address of its own, and their settings."""
    sites = {}
    for number in range(300):
        site = FakeJira("auditor", "a-token", cloud_id=cloud_id_of(number))
        site.add(record(10_000 + n, now() - 600_000 - n) for n in range(RECORDS))
        sites[address_of(number)] = ServedSite(site, 0.01)
    name = f"queue-{uuid.uuid4().hex}"
    with (
        serve_sites(sites) as port,
        ContainerClient.from_connection_string(account, name) as container,
    ):
        entries = [
            {
                "url": f"http://{address}:{port}",
                "username": "auditor",
                "api_token_setting": "TOKEN",
            }
            for address in sites
        ]
        environment = {
            **identity.environment,
            "REQUESTS_CA_BUNDLE": str(authority[1]),
            "NO_PROXY": "*",
            "JIRA_SITES": json.dumps(entries),
            "TOKEN": "a-token",
            "DATA_COLLECTION_ENDPOINT": ingestion.endpoint,
            "LOGS_DCR_RULE_ID": RULE,
            "LOGS_DCR_STREAM_NAME": STREAM,
            "AzureWebJobsStorage": account,
            "CHECKPOINT_CONTAINER": name,
            "POLL_SCHEDULE": "0 */5 * * * *",
            "LEASE_SECONDS": "15",
            "PYTHON_THREADPOOL_THREAD_COUNT": "8",
        }
        yield Provider(sites, environment, account, ingestion, container)


def with_first_sites(provider: Provider, count: int, **more: str) -> Provider:
    """The same provider with its first sites alone."""
    entries = json.loads(provider.environment["JIRA_SITES"])[:count]
    changed = {**provider.environment, "JIRA_SITES": json.dumps(entries), **more}
    return replace(provider, environment=changed)


def host(provider: Provider, instances: int) -> Host:
    return Host(ROOT, provider.environment, provider.connection, instances=instances)


@pytest.mark.long
def test_queue_of_300_sites_survives_failures_and_a_dead_instance(
    provider: Provider,
) -> None:
    addresses = list(provider.sites)
    failing = dict(zip(addresses[::10], list(FAILURES) * 5, strict=True))
    for address, name in failing.items():
        provider.sites[address].instead = partial(FAILURES.__getitem__, name)
    healthy = [address for address in addresses if address not in failing]
    for address in healthy[:6]:
        provider.sites[address].seconds = 0.5
    entries = json.loads(provider.environment["JIRA_SITES"])
    entries.append({"url": "https://evil.example", "username": "a", "api_token_setting": "TOKEN"})
    environment = {**provider.environment, "JIRA_SITES": json.dumps(entries)}
    environment["RUN_BUDGET_SECONDS"] = "10"

    with host(replace(provider, environment=environment), 3) as running:
        ticked = running.tick()
        while len(running.called) < 60:
            time.sleep(0.02)
        running.kill(2)
        running.wait_until_empty(QUEUE, 150)

    assert ticked.ok
    assert sorted(ticked.out["sites"]) == sorted([*addresses, "evil.example"])
    assert [address for address in healthy if not provider.complete(address)] == []
    # What the dead instance had in flight may be there twice: a batch of each of its sites.
    assert provider.duplicates() <= 8 * RECORDS
    assert set(running.poisoned) == {*failing, "evil.example"}
    named = {line.split("site=")[1].split(" ")[0] for line in canonical_lines(running.called)}
    assert named == {*addresses, "evil.example"}
    given_up = [each for each in running.called if each.function == "report_given_up"]
    for each in given_up:
        (said,) = [line for line in each.ended.logs if line.level == "ERROR"]
        assert said.message.startswith(f"the queue gave up {each.message} after every")
    tries = Counter(each.message for each in running.called if each.function == "collect_site")
    # A try that was under way when its instance died is counted by the queue, and told by nobody.
    assert {tries[address] for address in failing} <= {2, 3}


def test_queue_gets_no_site_that_runs_or_waits(provider: Provider) -> None:
    provider = with_first_sites(provider, 12)
    running_site, waiting, *others = list(provider.sites)[:12]
    with host(provider, 1) as running:
        running.tick()
        running.wait_until_empty(QUEUE, 60)
        blob = provider.container.get_blob_client(f"checkpoints/{running_site}.json")
        lease = blob.acquire_lease(60)
        queued = provider.container.get_blob_client("queue/queued.json")
        # As if it had been put there after its last run, and nobody had come to it yet.
        when, text = json.loads(queued.download_blob().readall()), timestamps.text(now() - 5_000)
        provider.container.get_blob_client(f"checkpoints/{waiting}.json").delete_blob()
        queued.upload_blob(
            json.dumps(when | {waiting: {"first": text, "last": text}}), overwrite=True
        )

        second = running.tick()
        lease.release()
        running.wait_until_empty(QUEUE, 60)

    assert sorted(second.out["sites"]) == sorted(others)
    assert provider.duplicates() == 0


def test_queue_delivers_new_records_tick_by_tick_without_duplicates(provider: Provider) -> None:
    provider = with_first_sites(provider, 12)
    with host(provider, 2) as running:
        running.tick()
        running.wait_until_empty(QUEUE, 60)
        for address in list(provider.sites)[:12]:
            provider.sites[address].site.add([record(20_000, now() - 1_000)])
        running.tick()
        running.wait_until_empty(QUEUE, 60)

    assert all(provider.complete(address) for address in list(provider.sites)[:12])
    assert provider.duplicates() == 0
    assert {each.ended.ok for each in running.called} == {True}


@pytest.mark.parametrize(("above", "queued"), [("10", 0), ("9", 10), ("0", 10)])
def test_timer_collects_a_few_sites_itself(above: str, queued: int, provider: Provider) -> None:
    provider = with_first_sites(provider, 10, QUEUE_SITES_ABOVE=above)
    with host(provider, 1) as running:
        ticked = running.tick()
        running.wait_until_empty(QUEUE, 60)

    assert ticked.ok
    assert len(ticked.out.get("sites") or []) == queued
    assert all(provider.complete(address) for address in list(provider.sites)[:10])


def test_log_lines_of_eleven_sites_reach_the_host(
    provider: Provider,
) -> None:
    provider = with_first_sites(provider, 11)
    provider.ingestion.poison.add(10_001)
    with host(provider, 1) as running:
        ticked = running.tick()
        running.wait_until_empty(QUEUE, 60)

    addresses = list(provider.sites)[:11]
    errors = [
        line.message for each in running.called for line in each.ended.logs if line.level == "ERROR"
    ]
    assert sorted(ticked.out["sites"]) == sorted(addresses)
    canonical = [line.split("site=")[1].split(" ")[0] for line in canonical_lines(running.called)]
    assert sorted(canonical) == sorted(addresses)
    assert sorted(text.split(": ")[0] for text in errors) == sorted(addresses)
    assert all("dead-letters/" in text for text in errors)
    assert [each.ended.dropped for each in running.called] == [()] * 11


def test_queue_message_of_a_removed_site_is_logged_and_done(provider: Provider) -> None:
    provider = with_first_sites(provider, 12)
    with host(provider, 1) as running:
        ended = running._workers[0].invoke("collect_site", message="gone.atlassian.net")

    assert ended.ok
    warnings = [each for each in ended.logs if each.level == "WARNING"]
    assert [each.message for each in warnings if each.logger == "jira_audit"] == [
        "the queue names gone.atlassian.net, which is not in JIRA_SITES any more"
    ]


# A site that is never saved


OLD = timestamps.parse("2026-01-01T00:00:00Z")


def lease_for_ever(provider: Provider, address: str) -> None:
    """As *Acquire lease* in Storage Explorer does, on a checkpoint of long ago."""
    provider.container.create_container()
    blob = provider.container.get_blob_client(f"checkpoints/{address}.json")
    blob.upload_blob(Checkpoint.first(address, OLD, OLD).encode(OLD))
    blob.acquire_lease(-1)


def test_checkpoint_leased_for_ever_is_queued_and_named(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider = with_first_sites(provider, 11)
    leased = list(provider.sites)[3]
    lease_for_ever(provider, leased)
    time_ = Time(now())
    settings = load(provider.environment, time_.now)
    for _ in range(12):  # three days, every six hours
        assert leased in app.queue(settings, time_.clock)
        time_.advance(6 * 3600)

    named = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    # Of the others, whose messages nobody takes here, a day passes first.
    assert [text.split(":")[0] for text in named[:5]] == [leased] * 5
    assert "nothing leases the blob" in named[0]


def test_site_whose_messages_nobody_takes_is_named_after_a_day(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider = with_first_sites(provider, 11)
    time_ = Time(now())
    settings = load(provider.environment, time_.now)
    for hour in range(26):
        assert app.queue(settings, time_.clock)
        errors = [each for each in caplog.records if each.levelname == "ERROR"]
        assert len(errors) == (11 if hour == 25 else 0)
        time_.advance(3600)


def test_stuck_site_fails_an_invocation_and_stops_no_other(provider: Provider) -> None:
    provider = with_first_sites(provider, 11)
    stuck, *others = list(provider.sites)[:11]
    lease_for_ever(provider, stuck)
    with host(provider, 1) as running:
        ticked = running.tick()
        told = running._workers[0].invoke("report_unsaved")
        running.wait_until_empty(QUEUE, 60)

    errors = [line.message for line in ticked.logs if line.level == "ERROR"]
    assert ticked.ok
    assert [text.split(":")[0] for text in errors] == [stuck]
    assert not told.ok
    assert f"{stuck}: the checkpoint has not been saved since 2026-01-01" in str(told.error)
    assert all(provider.complete(address) for address in others)
    failed = {each.message: str(each.ended.error) for each in running.called if not each.ended.ok}
    assert list(failed) == [stuck]
    assert "break the lease of the blob" in failed[stuck]


def test_tick_logs_which_sites_it_expects(provider: Provider) -> None:
    provider = with_first_sites(provider, 11)
    with host(provider, 1) as running:
        ticked = running.tick()
        told = running._workers[0].invoke("report_unsaved")

    said = [line.message for line in ticked.logs if line.message.startswith("jira_audit_expects")]
    assert said == [f"jira_audit_expects sites={','.join(list(provider.sites)[:11])}"]
    assert told.ok  # new sites are no failure


def test_lease_for_ever_fails_a_site_in_the_timer(provider: Provider) -> None:
    provider = with_first_sites(provider, 2)
    stuck, other = list(provider.sites)[:2]
    lease_for_ever(provider, stuck)
    with host(provider, 1) as running:
        ticked = running.tick()

    assert not ticked.ok
    assert stuck in str(ticked.error)
    assert provider.complete(other)
