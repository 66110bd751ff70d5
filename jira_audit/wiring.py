"""Wiring: builds the parts of a run from the settings. It alone has a clock and imports every edge.

Clients are cached by their settings, so that a warm app reuses its connections. The package has no
other state.
"""

from __future__ import annotations

import ctypes
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from azure.storage.blob import ContainerClient
from requests.auth import HTTPBasicAuth

from jira_audit.core.address import is_loopback, is_site_host
from jira_audit.core.clock import Clock, Deadline, RetryPolicy
from jira_audit.core.errors import ConnectorError
from jira_audit.core.outcome import Tally
from jira_audit.core.policy import Policy
from jira_audit.core.text import is_host
from jira_audit.edge.access import (
    BasicCredentials,
    ClientCredentials,
    Credentials,
    DirectRoute,
    Gateway,
)
from jira_audit.edge.blobs import (
    RETRIES,
    BlobCheckpoints,
    BlobEnqueueTimes,
    BlobLetters,
    Retries,
    client_options,
    probe,
)
from jira_audit.edge.identity import Tokens, developer_login, managed_identity
from jira_audit.edge.ingestion import IngestionSink
from jira_audit.edge.jira import JiraSource
from jira_audit.edge.tenant import SiteTenant
from jira_audit.edge.transport import Route
from jira_audit.flow.fetching import MAX_CONCURRENT_REQUESTS
from jira_audit.flow.memory import BATCH_BYTES, RESPONSE_BYTES, ByteBudget
from jira_audit.flow.ports import Pools, Ports, Run, Source, Table
from jira_audit.settings.table import Part
from jira_audit.settings.values import (
    ApiToken,
    Azure,
    Destination,
    OAuthClient,
    Secret,
    Settings,
    Site,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from jira_audit.edge.local import LocalCheckpoints, LocalLetters, LocalTable
    from jira_audit.edge.workspace import Workspace

CLOCK = Clock(
    now=lambda: time.time_ns() // 1_000_000,
    monotonic=time.monotonic,
    sleep=time.sleep,
    random=random.random,
)

GOVERNMENT = ".atlassian-us-gov-mod"
"""The end of government sites (with `.net`), and of their gateway and token service (`.com`)."""

Kind = Literal["checkpoints", "backfills"]
"""The checkpoint of the ticks or of backfills, each with its own lease."""

M_ARENA_MAX, ARENAS = -8, 2
"""A parameter of glibc's `mallopt`, and its value."""

MAX_CONCURRENT_SITES = 10
"""In one process."""

STORAGE_TOKEN_RETRIES = RetryPolicy(retries=3, first=0.5, longest=4.0)
"""The storage client does not retry the token requests of its calls."""


@dataclass(frozen=True)
class Threads:
    """Creates thread pools; each new thread calls `start` first."""

    start: Callable[[], None] = lambda: None

    def pool(self, count: int, name: str) -> ThreadPoolExecutor:
        """A pool of at most `count` threads named after `name`, started on demand."""
        return ThreadPoolExecutor(count, name, self.start)


PLAIN_THREADS = Threads()
"""For runs outside the Functions host."""


@contextmanager
def site_run(
    settings: Settings,
    site: Site,
    deadline: Deadline,
    threads: Threads = Threads(),
    kind: Kind = "checkpoints",
) -> Iterator[Run]:
    """Build one run of a site; its threads end with the context."""
    policy = settings.policy_for(site)
    at = ports(settings.destination, site, deadline.clock, kind)
    with pools(policy, threads) as its:
        yield Run(site.host, at, policy, deadline, its, Tally())


@cache
def memory() -> tuple[ByteBudget, ByteBudget]:
    """The bytes of responses and of batches that this process holds, in all its invocations.

    glibc keeps freed memory for each of up to 8 arenas a core, to which threads are assigned; with
    the threads of ten sites, that is more than the sites need. Other C libraries have no arenas.
    https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    return ByteBudget(RESPONSE_BYTES), ByteBudget(BATCH_BYTES)


@contextmanager
def pools(policy: Policy, threads: Threads) -> Iterator[Pools]:
    """The threads of one site's run. An interrupt does not wait for requests to Jira."""
    fetches = threads.pool(MAX_CONCURRENT_REQUESTS, "fetch")
    with threads.pool(policy.in_flight, "send") as sends:
        try:
            responses, batches = memory()
            yield Pools(fetches, sends, responses=responses, batches=batches)
        finally:
            interrupted = isinstance(sys.exception(), KeyboardInterrupt)
            fetches.shutdown(wait=not interrupted, cancel_futures=True)


def ports(
    destination: Destination,
    site: Site,
    clock: Clock = CLOCK,
    kind: Kind = "checkpoints",
) -> Ports:
    """What one site's run uses outside: Jira, and Azure or a local folder.

    A port without settings must not be used.
    """
    records: Source = source(site, clock) if site.credentials else _Unused("jira")

    def in_azure(azure: Azure) -> Ports:
        store = container(azure)
        return Ports(
            records,
            sink(azure) if azure.ingestion else _Unused("ingestion"),
            BlobCheckpoints(store, azure.lease_seconds, clock, kind),
            BlobLetters(store, clock),
            BlobCheckpoints(store, azure.lease_seconds, clock, "backfills"),
            tenant(site, clock),
            audited_table(azure, clock) if azure.audit_workspace else None,
        )

    def in_folder(folder: Path) -> Ports:
        from jira_audit.edge import local  # noqa: PLC0415  needs the terminal's packages

        return Ports(
            records,
            local.LocalSink(folder),
            local.LocalCheckpoints(folder, clock, kind),
            local.LocalLetters(folder, clock),
            local.LocalCheckpoints(folder, clock, "backfills"),
            tenant(site, clock),
        )

    return destination.match(in_azure, in_folder)


class _Unused:
    """A port whose settings the command does not need: to use it is a bug."""

    page_size = 0

    def __init__(self, part: Part) -> None:
        self._part = part

    def fetch(self, *_: object) -> NoReturn:
        raise TypeError(self._part)

    peek = decipher = prepare = send = fetch


@lru_cache(MAX_CONCURRENT_SITES)
def source(site: Site, clock: Clock = CLOCK) -> JiraSource:
    """A site's audit log, with its connections."""
    return JiraSource(site.host, route(site, clock), clock)


@lru_cache(MAX_CONCURRENT_SITES)
def tenant(site: Site, clock: Clock = CLOCK) -> SiteTenant:
    """The tenant at a site's address. It tells the gateway what it has learnt."""
    learns = site.credentials and site.gateway and site.cloud_id is None
    return SiteTenant(
        site.base_url,
        site.cloud_id.lower() if site.cloud_id else None,
        partial(is_site_host, suffixes=site.host_suffixes),
        clock,
        gateway(site, clock).use if learns else _ignore,
    )


def _ignore(_: str) -> None:
    """The route needs no cloud id, or has it from the settings."""


@cache
def route(site: Site, clock: Clock = CLOCK) -> Route:
    """The route to a site: its own address, or Atlassian's gateway."""
    if isinstance(site.credentials, ApiToken) and not site.gateway:
        return DirectRoute(site.base_url, _basic(site.credentials))
    return gateway(site, clock)


@cache
def gateway(site: Site, clock: Clock = CLOCK) -> Gateway:
    known = site.credentials
    if known is None:
        raise TypeError(site)
    if isinstance(known, OAuthClient):
        credentials: Credentials = ClientCredentials(
            _atlassian(site, "auth") + "/oauth/token", known.client_id, known.secret.reveal(), clock
        )
    else:
        credentials = BasicCredentials(_basic(known))
    return Gateway(_atlassian(site, "api"), site.base_url, site.cloud_id, credentials, clock)


def _basic(token: ApiToken) -> HTTPBasicAuth:
    # requests would write text as Latin-1; Atlassian, like RFC 7617, reads UTF-8.
    return HTTPBasicAuth(token.username.encode(), token.token.reveal().encode())


def _atlassian(site: Site, service: Literal["api", "auth"]) -> str:
    """The base URL of a site's gateway or token service; a loopback site is both."""
    if is_loopback(site.host):
        return site.base_url
    cloud = GOVERNMENT if site.host.endswith(f"{GOVERNMENT}.net") else ".atlassian"
    return f"https://{service}{cloud}.com"


@cache
def sink(azure: Azure) -> IngestionSink:
    """The sink of the rule's stream. Imports and requests begin with a send."""
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
def container(azure: Azure, retries: Retries = RETRIES) -> ContainerClient:
    """The container of checkpoints and letters."""
    at, options = azure.storage, client_options(retries)
    if isinstance(at.account, Secret):
        return ContainerClient.from_connection_string(at.account.reveal(), at.container, **options)
    identity = credential(at.client_id, azure.managed_identity)
    tokens = Tokens(identity, CLOCK, STORAGE_TOKEN_RETRIES)
    return ContainerClient(at.account, at.container, tokens, **options)


def queue_places(settings: Settings, clock: Clock) -> tuple[BlobCheckpoints, BlobEnqueueTimes]:
    """The checkpoints, and when each site was queued. Raises TypeError for a local folder."""
    azure = settings.azure
    store = container(azure)
    return BlobCheckpoints(store, azure.lease_seconds, clock), BlobEnqueueTimes(store)


def stored_sites(settings: Settings) -> list[str]:
    """The sites that have a checkpoint in Azure. Raises TransientError or SiteError."""
    azure = settings.azure
    found = BlobCheckpoints(container(azure), azure.lease_seconds, CLOCK).leases()
    return sorted(filter(is_host, found))


def probe_storage(azure: Azure) -> None:
    """Raises TransientError or SiteError if checkpoints cannot be written."""
    probe(container(azure))


def local_places(folder: Path) -> tuple[LocalCheckpoints, LocalCheckpoints, LocalLetters]:
    """A local folder's checkpoints of ticks and of backfills, and its letters."""
    from jira_audit.edge import local  # noqa: PLC0415  as in `ports`

    return (
        local.LocalCheckpoints(folder, CLOCK),
        local.LocalCheckpoints(folder, CLOCK, "backfills"),
        local.LocalLetters(folder, CLOCK),
    )


def local_table(folder: Path) -> LocalTable:
    from jira_audit.edge.local import LocalTable  # noqa: PLC0415  as in `ports`

    return LocalTable(folder)


def write_file(path: Path, content: bytes) -> None:
    """Replace a file; only its owner can read it. Raises ConnectorError.

    A link is not followed, and nothing is written to another user's folder.
    """
    from jira_audit.edge import files  # noqa: PLC0415  the terminal's alone

    try:
        files.replace(path, content)
    except files.PathRefused as error:
        raise ConnectorError(str(error)) from error
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise ConnectorError(message) from error


def table(settings: Settings, id_: str | None) -> Table | None:
    """The table to read back: a local folder's, or that of the workspace with this id, if any."""

    def in_azure(_: Azure) -> Table | None:
        return None if id_ is None else workspace(settings, id_)

    return settings.destination.match(in_azure, local_table)


def workspace(settings: Settings, id_: str) -> Workspace:
    """A Log Analytics workspace, for a command. Raises TypeError for a local folder."""
    from jira_audit.edge.workspace import Workspace  # noqa: PLC0415  as in `audited_table`

    azure = settings.azure
    return Workspace(
        id_,
        endpoint=azure.queries,
        credential=lambda: Tokens(credential(azure.client_id, azure.managed_identity), CLOCK),
        clock=CLOCK,
        only_site=settings.is_single,
    )


AUDIT_BYTES = 4 * 1024 * 1024
"""Of the answer to the audit's query, at most: a day's ids as ranges are far less."""


@cache
def audited_table(azure: Azure, clock: Clock) -> Table:
    """The table that the daily audit queries; the run retries, and holds the lease meanwhile.

    Rows without a site are the classic connector's, and prove nothing of ours.
    """
    from jira_audit.edge.workspace import Workspace  # noqa: PLC0415  only where one is set

    if azure.audit_workspace is None:
        raise TypeError(azure)
    return Workspace(
        azure.audit_workspace,
        endpoint=azure.queries,
        credential=lambda: Tokens(credential(azure.client_id, azure.managed_identity), clock),
        clock=clock,
        only_site=False,
        seconds=azure.send_seconds,
        limit=AUDIT_BYTES,
        policy=RetryPolicy(retries=0),
    )


@cache
def credential(client_id: str | None, managed: bool) -> TokenCredential:  # noqa: FBT001
    """The app's managed identity; outside Azure, the developer's login."""
    if managed:
        return managed_identity(client_id, CLOCK)
    return developer_login()
