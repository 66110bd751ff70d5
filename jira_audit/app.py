"""Wiring: settings into parts, parts into runs. The only clock, and the only place that knows all.

`run` is what both the timer and the terminal call. The clients are cached here, by their settings,
so that a warm app pools its connections; there is no other state in the package.
"""

from __future__ import annotations

import logging
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from azure.storage.blob import ContainerClient
from requests.auth import HTTPBasicAuth

from jira_audit import settings as settings_
from jira_audit.backfill import backfill
from jira_audit.collect import Policy, collect
from jira_audit.core import moments
from jira_audit.core.clock import Clock, Deadline
from jira_audit.core.errors import ConnectorError, SettingsError
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.queueing import due
from jira_audit.core.window import Window
from jira_audit.edge.access import Access, ClientCredentials, Credentials, Fixed, Gateway
from jira_audit.edge.blobs import (
    RETRIES,
    BlobCheckpoints,
    BlobLetters,
    BlobQueued,
    Retries,
    client_options,
)
from jira_audit.edge.ingestion import IngestionSink
from jira_audit.edge.jira import JiraSource, Way
from jira_audit.ports import Pools, Ports, Table
from jira_audit.reader import UNDER_WAY
from jira_audit.settings import (
    Azure,
    Broken,
    OAuthClient,
    Secret,
    Settings,
    Site,
    is_loopback,
)
from jira_audit.status import Status, look

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from jira_audit.edge.workspace import Workspace

log = logging.getLogger("jira_audit")

CLOCK = Clock(
    now=lambda: time.time_ns() // 1_000_000,
    monotonic=time.monotonic,
    sleep=time.sleep,
    random=random.random,
)

GOVERNMENT = ".atlassian-us-gov-mod"
"""Sites end in it and `.net`; their gateway and token service, in it and `.com`."""

QUEUE_DISABLED = "AzureWebJobs.collect_site.Disabled"
"""Set where there are few sites, so that nobody looks at an empty queue all day:
https://learn.microsoft.com/azure/azure-functions/disable-function"""

SIDE_BY_SIDE = 10
"""Sites dealt with at once in one process; more wait for their turn."""

TOKEN_WARNING_DAYS = 14
"""From this many days before its end, every run warns of a token's expiry."""


def run(
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    clock: Clock = CLOCK,
    start_thread: Callable[[], None] = lambda: None,
) -> tuple[Outcome, ...]:
    """Read the settings, and collect every site once.

    With `folder`, rows, checkpoint and letters go there instead of to Azure. Raises SettingsError
    before anything is requested; for the rest see `run_settings`.
    """
    settings = settings_.load(environment, clock.now(), folder)
    return run_settings(settings, clock=clock, start_thread=start_thread)


def run_settings(
    settings: Settings,
    *,
    clock: Clock = CLOCK,
    tally: Callable[[], Tally] = Tally,
    start_thread: Callable[[], None] = lambda: None,
) -> tuple[Outcome, ...]:
    """Collect every site once, side by side, and log one canonical line for each.

    Each site counts on a `tally` of its own, for whoever wants to show it; `start_thread` is called
    first on every thread that is begun. What goes wrong with a site is in its outcome; a bug is
    raised after all sites were tried.
    """
    logging.getLogger("azure").setLevel(logging.WARNING)  # a line per request costs money
    # Sites side by side send more at once than the client keeps connections for.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    deadline = Deadline.after(clock, settings.budget_seconds)
    outcomes = [_outcome_of(entry, clock) for entry in settings.broken]

    def collected(site: Site) -> Outcome:
        outcome = _collect(settings, site, deadline, tally(), start_thread)
        _log(outcome)
        return outcome

    if len(settings.sites) <= 1:  # on this thread, which may be interrupted
        return (*outcomes, *map(collected, settings.sites))
    with ThreadPoolExecutor(SIDE_BY_SIDE, "site", start_thread) as sites:
        runs = [sites.submit(collected, site) for site in settings.sites]
        try:
            wait(runs)
        except KeyboardInterrupt:
            deadline.bring_forward()
            sites.shutdown(wait=False, cancel_futures=True)
            raise
    return (*outcomes, *(run.result() for run in runs))


def _collect(
    settings: Settings,
    site: Site,
    deadline: Deadline,
    tally: Tally,
    start_thread: Callable[[], None],
) -> Outcome:
    """Collect one site."""
    _warn_of_expiry(site, deadline.clock.now())
    policy = settings.policy_for(site)
    with pools(policy, start_thread) as threads:
        there = ports(settings.target, site, deadline.clock)
        return collect(site.host, there, policy, deadline, threads, tally)


@contextmanager
def pools(policy: Policy, start_thread: Callable[[], None] = lambda: None) -> Iterator[Pools]:
    """The threads of one site's run, which are begun as they are needed and end with it.

    An answer of Jira's that an interrupted run would have to wait for is left to itself.
    """
    fetches = ThreadPoolExecutor(UNDER_WAY, "fetch", start_thread)
    with ThreadPoolExecutor(policy.in_flight, "send", start_thread) as sends:
        try:
            yield Pools(fetches, sends)
        finally:
            interrupted = isinstance(sys.exception(), KeyboardInterrupt)
            fetches.shutdown(wait=not interrupted, cancel_futures=True)


def _outcome_of(entry: Broken, clock: Clock) -> Outcome:
    """The outcome of a site that could not even be tried."""
    outcome = Outcome(entry.site, "failed", Tally(), None, clock.now(), 0, entry.error)
    _log(outcome)
    return outcome


def tick(environment: Mapping[str, str], start_thread: Callable[[], None]) -> list[str]:
    """Run once for the timer; or, of more sites than one run may have, name those to be queued.

    Raises after all sites were tried if one failed, for Azure to see.
    """
    settings = settings_.load(environment, CLOCK.now())
    if len(settings.sites) + len(settings.broken) > settings.queue_above:
        if environment.get(QUEUE_DISABLED, "").lower() in {"1", "true"}:
            message = (
                f"{QUEUE_DISABLED} is set, but JIRA_SITES has more sites than QUEUE_SITES_ABOVE, "
                "and nobody would collect what is queued: deploy the template with these sites, or "
                "remove it"
            )
            raise SettingsError([message])
        return queue(settings)
    _raise_failed(run_settings(settings, start_thread=start_thread))
    return []


def queue(settings: Settings, clock: Clock = CLOCK) -> list[str]:
    """Name the sites to put on the queue: those that are neither running nor waiting there.

    An entry that is wrong is queued as well, so that its failure is one of its own.
    """
    azure = settings.target
    if isinstance(azure, Path):
        raise TypeError(azure)
    store = container(azure)
    checkpoints, remembered = BlobCheckpoints(store, azure.lease_seconds, clock), BlobQueued(store)
    sites = [site.host for site in settings.sites] + [entry.site for entry in settings.broken]
    now, queued = clock.now(), remembered.load()
    names = due(sites, checkpoints.held(), queued, now)
    kept = {site: at for site, at in queued.items() if site in set(sites)}
    remembered.save(kept | dict.fromkeys(names, now))
    log.info("%d of %d sites are put on the queue", len(names), len(sites))
    return names


def collect_queued(
    environment: Mapping[str, str], name: str, start_thread: Callable[[], None]
) -> None:
    """Collect the site that a message names. Raises if it failed, for the host to try it again."""
    settings = settings_.load(environment, CLOCK.now())
    sites = tuple(site for site in settings.sites if site.host == name)
    broken = tuple(entry for entry in settings.broken if entry.site == name)
    if not sites and not broken:
        log.warning("%s is on the queue, and no longer in JIRA_SITES: it is left alone", name)
        return
    only = replace(settings, sites=sites, broken=broken)
    _raise_failed(run_settings(only, start_thread=start_thread))


def given_up(name: str) -> None:
    """Tell of a site that was given up by the queue, for now."""
    log.error(
        "%s: given up by the queue, as every try failed; what to do is in the error before. It is "
        "tried again with one of the next ticks, and nothing is lost",
        name,
    )


def _raise_failed(outcomes: Sequence[Outcome]) -> None:
    if failed := [outcome.error for outcome in outcomes if outcome.result == "failed"]:
        raise ConnectorError("; ".join(map(str, failed)))


def run_backfill(
    settings: Settings, site: Site, reading: Window, tally: Tally, reached: Callable[[int], object]
) -> Outcome:
    """Fill in what lies before one site's checkpoint; see `backfill.py`.

    There is no deadline: it lasts as long as it takes, and whoever began it may interrupt it.
    """
    policy = settings.policy_for(site)
    with pools(policy) as threads:
        return backfill(
            site.host,
            ports(settings.target, site, kind="backfills"),
            policy,
            reading,
            Deadline.after(CLOCK, math.inf),
            threads,
            tally,
            reached,
        )


def statuses(settings: Settings) -> Sequence[tuple[Status, date | None]]:
    """Tell how every site is, and when its token ends: those that cannot even be tried at the end.

    Asks storage alone.
    """
    with ThreadPoolExecutor(SIDE_BY_SIDE) as executor:
        told = list(executor.map(lambda site: _status(settings, site), settings.sites))
    ends = [site.token_expires for site in settings.sites]
    broken = [
        (Status(each.site, "broken", problem=str(each.error)), None) for each in settings.broken
    ]
    return [*zip(told, ends, strict=True), *broken]


def _status(settings: Settings, site: Site) -> Status:
    at = ports(settings.target, site)
    backfills = ports(settings.target, site, kind="backfills").checkpoints
    return look(site.host, at.checkpoints, at.letters, backfills)


def local_statuses(folder: Path) -> Sequence[Status]:
    """Tell how every site is that was collected into a local folder. Needs no settings."""
    from jira_audit.edge import local  # noqa: PLC0415  as in `ports`

    checkpoints = local.LocalCheckpoints(folder, CLOCK)
    backfills = local.LocalCheckpoints(folder, CLOCK, "backfills")
    letters = local.LocalLetters(folder, CLOCK)
    return [look(site, checkpoints, letters, backfills) for site in checkpoints.sites()]


def ports(
    target: Azure | Path,
    site: Site,
    clock: Clock = CLOCK,
    kind: Literal["checkpoints", "backfills"] = "checkpoints",
) -> Ports:
    """What one site's run touches outside: Jira, and Azure or a local folder.

    `kind` says whose place is kept: the ticks', or a backfill's, with a lease of its own.
    """
    if isinstance(target, Path):
        from jira_audit.edge import local  # noqa: PLC0415  it needs what only the terminal has

        return Ports(
            source(site, clock),
            local.LocalSink(target),
            local.LocalCheckpoints(target, clock, kind),
            local.LocalLetters(target, clock),
        )
    store = container(target)
    return Ports(
        source(site, clock),
        sink(target),
        BlobCheckpoints(store, target.lease_seconds, clock, kind),
        BlobLetters(store, clock),
    )


@lru_cache(SIDE_BY_SIDE)
def source(site: Site, clock: Clock = CLOCK) -> JiraSource:
    """A site's audit log, with its pool of connections."""
    return JiraSource(site.host, way(site, clock), clock)


@cache
def way(site: Site, clock: Clock = CLOCK) -> Way:
    """The way into a site: its own address, or Atlassian's gateway."""
    known = site.credentials
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
    return IngestionSink(
        endpoint=to.endpoint,
        rule=to.rule,
        stream=to.stream,
        audience=to.audience,
        credential=lambda: _credential(to.client_id, azure.managed_identity),
        send_seconds=azure.send_seconds,
        now=CLOCK.now,
    )


@cache
def container(azure: Azure, retries: Retries = RETRIES) -> ContainerClient:
    """The container of checkpoints and letters."""
    at, options = azure.storage, client_options(retries)
    if isinstance(at.account, Secret):
        return ContainerClient.from_connection_string(at.account.reveal(), at.container, **options)
    credential = _credential(at.client_id, azure.managed_identity)
    return ContainerClient(at.account, at.container, credential, **options)


def table(settings: Settings, id_: str | None) -> Table | None:
    """The table that rows went to, to read it back: a local folder's, or that of a workspace.

    None where it is in Azure and no workspace is named.
    """
    if isinstance(settings.target, Path):
        from jira_audit.edge.local import LocalTable  # noqa: PLC0415  as in `ports`

        return LocalTable(settings.target)
    return None if id_ is None else workspace(settings, id_)


def workspace(settings: Settings, id_: str) -> Workspace:
    """The Log Analytics workspace of this id. Raises TypeError where rows go to a local folder."""
    from jira_audit.edge.workspace import Workspace  # noqa: PLC0415  no run reads back

    target = settings.target
    if isinstance(target, Path):
        raise TypeError(target)
    return Workspace(
        id_,
        endpoint=target.queries,
        credential=lambda: _credential(target.ingestion.client_id, target.managed_identity),
        clock=CLOCK,
        alone=len(settings.sites) + len(settings.broken) == 1,
    )


@cache
def _credential(client_id: str | None, managed_identity: bool) -> TokenCredential:  # noqa: FBT001
    """The app's managed identity; elsewhere, whatever the developer is logged in with."""
    if managed_identity:
        from azure.identity import ManagedIdentityCredential  # noqa: PLC0415

        # Whoever asks for a token tries again by itself: one owner of retries. The endpoint is on
        # the same machine; the library alone would wait 300 s for it.
        return ManagedIdentityCredential(
            client_id=client_id, retry_total=0, connection_timeout=3, read_timeout=10
        )
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    return DefaultAzureCredential()


def _warn_of_expiry(site: Site, now: int) -> None:
    if site.token_expires is None:
        return
    days = (site.token_expires - date.fromisoformat(moments.day(now))).days
    if days <= TOKEN_WARNING_DAYS:
        log.warning(
            "%s: the token or secret expires on %s, in %d days: make a new one, and set %s and the "
            "new date (JIRA_TOKEN_EXPIRES, or token_expires in JIRA_SITES)",
            site.host,
            site.token_expires,
            days,
            site.kept_in,
        )


def _log(outcome: Outcome) -> None:
    """The canonical line; before it, what to do, or why it went no further."""
    if outcome.error:
        log.log(
            logging.ERROR if outcome.result == "failed" else logging.WARNING, "%s", outcome.error
        )
    log.info("%s", outcome.line())
