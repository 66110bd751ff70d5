"""Wiring: settings into the parts of a run. The only clock, and the only place that knows every
edge.

The clients are cached here, by their settings, so that a warm app pools its connections; there is
no other state in the package.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from azure.storage.blob import ContainerClient
from requests.auth import HTTPBasicAuth

from jira_audit.core.clock import Clock, Deadline, RetryPolicy
from jira_audit.core.outcome import Tally
from jira_audit.core.policy import Policy
from jira_audit.edge.access import Access, ClientCredentials, Credentials, Fixed, Gateway
from jira_audit.edge.blobs import BlobCheckpoints, BlobLetters, BlobQueued, client_options, probe
from jira_audit.edge.identity import Tokens, managed_identity
from jira_audit.edge.ingestion import IngestionSink
from jira_audit.edge.jira import JiraSource, Way
from jira_audit.flow.fetching import UNDER_WAY
from jira_audit.flow.ports import Pools, Ports, Run, Source
from jira_audit.settings.address import is_loopback
from jira_audit.settings.table import Part
from jira_audit.settings.values import Azure, OAuthClient, Secret, Settings, Site

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from jira_audit.edge.local import LocalCheckpoints, LocalLetters, LocalTable
    from jira_audit.edge.workspace import Workspace
    from jira_audit.operations.verify import Table

CLOCK = Clock(
    now=lambda: time.time_ns() // 1_000_000,
    monotonic=time.monotonic,
    sleep=time.sleep,
    random=random.random,
)

GOVERNMENT = ".atlassian-us-gov-mod"
"""Sites end in it and `.net`; their gateway and token service, in it and `.com`."""

Kind = Literal["checkpoints", "backfills"]
"""Whose place is kept: the ticks', or a backfill's, with a lease of its own."""

SIDE_BY_SIDE = 10
"""Sites dealt with at once in one process; more wait for their turn."""

STORAGE_TOKEN_RETRIES = RetryPolicy(retries=3, first=0.5, longest=4.0)
"""Storage's client retries its own calls, and not the token that each of them needs."""


@dataclass(frozen=True)
class Threads:
    """How threads of our own begin: `start` is called first on each of them."""

    start: Callable[[], None] = lambda: None

    def pool(self, count: int, name: str) -> ThreadPoolExecutor:
        """At most so many threads, which are begun as they are needed."""
        return ThreadPoolExecutor(count, name, self.start)


PLAIN_THREADS = Threads()
"""Where nobody asks which invocation a thread is of."""


@contextmanager
def site_run(
    settings: Settings,
    site: Site,
    deadline: Deadline,
    threads: Threads = Threads(),
    kind: Kind = "checkpoints",
) -> Iterator[Run]:
    """All that one site's run needs, with its threads, which end with it.

    `kind` says whose place is kept: the ticks', or a backfill's.
    """
    policy = settings.policy_for(site)
    at = ports(settings.destination, site, deadline.clock, kind)
    with pools(policy, threads) as its:
        yield Run(site.host, at, policy, deadline, its, Tally())


@contextmanager
def pools(policy: Policy, threads: Threads) -> Iterator[Pools]:
    """The threads of one site's run.

    An answer of Jira's that an interrupted run would have to wait for is left to itself.
    """
    fetches = threads.pool(UNDER_WAY, "fetch")
    with threads.pool(policy.in_flight, "send") as sends:
        try:
            yield Pools(fetches, sends)
        finally:
            interrupted = isinstance(sys.exception(), KeyboardInterrupt)
            fetches.shutdown(wait=not interrupted, cancel_futures=True)


def ports(
    destination: Azure | Path,
    site: Site,
    clock: Clock = CLOCK,
    kind: Kind = "checkpoints",
) -> Ports:
    """What one site's run touches outside: Jira, and Azure or a local folder.

    `kind` says whose place is kept: the ticks', or a backfill's, with a lease of its own. A port
    that no settings were read for must not be used.
    """
    records: Source = source(site, clock) if site.credentials else _Unused("jira")
    if isinstance(destination, Path):
        from jira_audit.edge import local  # noqa: PLC0415  it needs what only the terminal has

        return Ports(
            records,
            local.LocalSink(destination),
            local.LocalCheckpoints(destination, clock, kind),
            local.LocalLetters(destination, clock),
        )
    store = container(destination)
    return Ports(
        records,
        sink(destination) if destination.ingestion else _Unused("ingestion"),
        BlobCheckpoints(store, destination.lease_seconds, clock, kind),
        BlobLetters(store, clock),
    )


class _Unused:
    """Stands for a port whose settings the command does not need: to use it is a bug."""

    page_size = 0

    def __init__(self, part: Part) -> None:
        self._part = part

    def fetch(self, *_: object) -> NoReturn:
        raise TypeError(self._part)

    decipher = prepare = send = fetch


@lru_cache(SIDE_BY_SIDE)
def source(site: Site, clock: Clock = CLOCK) -> JiraSource:
    """A site's audit log, with its pool of connections."""
    return JiraSource(site.host, way(site, clock), clock)


@cache
def way(site: Site, clock: Clock = CLOCK) -> Way:
    """The way into a site: its own address, or Atlassian's gateway."""
    known = site.credentials
    if known is None:
        raise TypeError(site)
    if isinstance(known, OAuthClient):
        credentials: Credentials = ClientCredentials(
            _atlassian(site, "auth") + "/oauth/token", known.client_id, known.secret.reveal(), clock
        )
    else:
        # requests would write text as Latin-1; Atlassian, like RFC 7617, reads UTF-8.
        basic = HTTPBasicAuth(known.username.encode(), known.token.reveal().encode())
        if not site.gateway:
            return Access(site.base_url, basic)
        credentials = Fixed(basic)
    return Gateway(_atlassian(site, "api"), site.base_url, site.cloud_id, credentials, clock)


def _atlassian(site: Site, service: Literal["api", "auth"]) -> str:
    """Where the gateway or the token service of a site is; one on this machine is its own."""
    if is_loopback(site.host):
        return site.base_url
    cloud = GOVERNMENT if site.host.endswith(f"{GOVERNMENT}.net") else ".atlassian"
    return f"https://{service}{cloud}.com"


@cache
def sink(azure: Azure) -> IngestionSink:
    """The data collection rule's stream. Nothing is imported or asked before the first send."""
    to = azure.ingestion
    if to is None:
        raise TypeError(azure)
    return IngestionSink(
        endpoint=to.endpoint,
        rule=to.rule,
        stream=to.stream,
        audience=to.audience,
        credential=lambda: Tokens(credential(to.client_id, azure.managed_identity), CLOCK),
        send_seconds=azure.send_seconds,
        now=CLOCK.now,
    )


@cache
def container(azure: Azure) -> ContainerClient:
    """The container of checkpoints and letters."""
    at = azure.storage
    if isinstance(at.account, Secret):
        return ContainerClient.from_connection_string(
            at.account.reveal(), at.container, **client_options()
        )
    identity = credential(at.client_id, azure.managed_identity)
    tokens = Tokens(identity, CLOCK, STORAGE_TOKEN_RETRIES)
    return ContainerClient(at.account, at.container, tokens, **client_options())


def queue_places(settings: Settings, clock: Clock) -> tuple[BlobCheckpoints, BlobQueued]:
    """Where checkpoints are, and what was put on the queue when.

    Raises TypeError where rows go to a local folder.
    """
    azure = settings.destination
    if isinstance(azure, Path):
        raise TypeError(azure)
    store = container(azure)
    return BlobCheckpoints(store, azure.lease_seconds, clock), BlobQueued(store)


def probe_storage(azure: Azure) -> None:
    """See whether checkpoints can be written. Raises TransientError or SiteError."""
    probe(container(azure))


def local_places(folder: Path) -> tuple[LocalCheckpoints, LocalCheckpoints, LocalLetters]:
    """A local folder's checkpoints, those of its backfills, and its letters."""
    from jira_audit.edge import local  # noqa: PLC0415  as in `ports`

    return (
        local.LocalCheckpoints(folder, CLOCK),
        local.LocalCheckpoints(folder, CLOCK, "backfills"),
        local.LocalLetters(folder, CLOCK),
    )


def local_table(folder: Path) -> LocalTable:
    """The rows in a local folder."""
    from jira_audit.edge.local import LocalTable  # noqa: PLC0415  as in `ports`

    return LocalTable(folder)


def table(settings: Settings, id_: str | None) -> Table | None:
    """The table that rows went to, to read it back: a local folder's, or that of a workspace.

    None where it is in Azure and no workspace is named.
    """
    if isinstance(settings.destination, Path):
        return local_table(settings.destination)
    return None if id_ is None else workspace(settings, id_)


def workspace(settings: Settings, id_: str) -> Workspace:
    """The Log Analytics workspace of this id. Raises TypeError where rows go to a local folder."""
    from jira_audit.edge.workspace import Workspace  # noqa: PLC0415  no run reads back

    destination = settings.destination
    if isinstance(destination, Path):
        raise TypeError(destination)
    return Workspace(
        id_,
        endpoint=destination.queries,
        credential=lambda: Tokens(
            credential(destination.client_id, destination.managed_identity), CLOCK
        ),
        clock=CLOCK,
        only_site=len(settings.sites) + len(settings.invalid) == 1,
    )


@cache
def credential(client_id: str | None, managed: bool) -> TokenCredential:  # noqa: FBT001
    """The app's managed identity; elsewhere, whatever the developer is logged in with."""
    if managed:
        return managed_identity(client_id, CLOCK)
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    return DefaultAzureCredential()
