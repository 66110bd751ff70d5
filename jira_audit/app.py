"""The entry points for the timer, the queue and the terminal.

All call `run_settings`; `wiring.py` builds the run of each site.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from signal import SIG_DFL
from threading import current_thread, main_thread
from types import MappingProxyType

from jira_audit.core import timestamps
from jira_audit.core.clock import Clock, Deadline
from jira_audit.core.errors import ConnectorError, SettingsError
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.plan import Schedule
from jira_audit.core.queueing import due
from jira_audit.flow.collect import collect
from jira_audit.settings.load import load
from jira_audit.settings.values import InvalidSite, Settings, Site
from jira_audit.wiring import (
    CLOCK,
    MAX_CONCURRENT_SITES,
    PLAIN_THREADS,
    Threads,
    queue_places,
    site_run,
)

log = logging.getLogger("jira_audit")

QUEUE_DISABLED = ("AzureWebJobs.collect_site.Disabled", "AzureWebJobs_collect_site_Disabled")
"""Set for few sites, so that the host polls no empty queue. On Linux, a period in a setting's name
is an underscore:
https://learn.microsoft.com/azure/azure-functions/disable-function,
https://github.com/Azure/azure-webjobs-sdk/issues/2066"""

TOKEN_WARNING_DAYS = 14
"""Runs warn from this many days before a token expires."""


def run(
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    clock: Clock = CLOCK,
) -> tuple[Outcome, ...]:
    """Read the settings, and run them as `run_settings` does.

    With `folder`, rows, checkpoints and letters go there instead of to Azure. Raises SettingsError
    before any request; an administrator corrects the settings.
    """
    return run_settings(load(environment, clock.now(), folder), clock=clock)


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does: it raises KeyboardInterrupt on the main thread.

    `docker stop`, systemd and Kubernetes send it. Does nothing on another thread, which cannot set
    a handler, or if the process has a handler of its own: so in the Functions worker.
    https://docs.python.org/3/library/signal.html#signals-and-threads
    """
    is_ours = current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) is SIG_DFL
    if is_ours:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, SIG_DFL)


@stop_on_sigterm()
def run_settings(
    settings: Settings,
    *,
    clock: Clock = CLOCK,
    tallies: Mapping[str, Tally] = MappingProxyType({}),
    threads: Threads = PLAIN_THREADS,
) -> tuple[Outcome, ...]:
    """Collect every site once, concurrently, with one canonical line each.

    `tallies` has, by host, the tallies whose progress the caller displays. A site's failure is in
    its outcome; a bug is raised after every site has run.
    """
    logging.getLogger("azure").setLevel(logging.WARNING)  # a log line per request costs money
    # The connector's own error says what this library warns about.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    # Concurrent sites open more connections than the client's pool keeps, which warns.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    deadline = Deadline.after(clock, settings.budget_seconds)
    outcomes = [_outcome_of(entry, clock) for entry in settings.invalid]

    def collected(site: Site) -> Outcome:
        _warn_of_expiry(site, clock.now())
        with site_run(settings, site, deadline, threads) as run:
            tally = tallies.get(site.host, run.tally)
            outcome = collect(replace(run, tally=tally), Schedule(run.policy))
        _log(outcome)
        return outcome

    if len(settings.sites) <= 1:  # on this thread, so that Ctrl-C interrupts it
        return (*outcomes, *map(collected, settings.sites))
    with threads.pool(MAX_CONCURRENT_SITES, "site") as sites:
        runs = [sites.submit(collected, site) for site in settings.sites]
        try:
            wait(runs)
        except KeyboardInterrupt:
            deadline.bring_forward()
            sites.shutdown(wait=False, cancel_futures=True)
            raise
    return (*outcomes, *(run.result() for run in runs))


def _outcome_of(entry: InvalidSite, clock: Clock) -> Outcome:
    outcome = Outcome(entry.site, "failed", Tally(), None, clock.now(), 0, entry.error)
    _log(outcome)
    return outcome


def tick(environment: Mapping[str, str], threads: Threads) -> list[str]:
    """Collect every site, or return the sites to queue if there are too many for one invocation.

    If a site failed, raises after every site has run, so that Azure marks the invocation as failed.
    """
    settings = load(environment, CLOCK.now())
    if len(settings.sites) + len(settings.invalid) > settings.queue_above:
        _require_queue(environment)
        return queue(settings)
    _raise_failed(run_settings(settings, threads=threads))
    return []


def _require_queue(environment: Mapping[str, str]) -> None:
    for name in QUEUE_DISABLED:
        if environment.get(name, "").strip().lower() in {"1", "true"}:
            message = (
                f"{name} is set, but JIRA_SITES has more sites than QUEUE_SITES_ABOVE, so queued "
                "sites would not be collected: deploy the template with these sites, or remove it"
            )
            raise SettingsError([message])


def queue(settings: Settings, clock: Clock = CLOCK) -> list[str]:
    """The sites that are neither running nor queued.

    A wrong entry of JIRA_SITES is queued too, so that its failure affects no other site.
    """
    checkpoints, remembered = queue_places(settings, clock)
    sites = [site.host for site in settings.sites] + [entry.site for entry in settings.invalid]
    now, queued = clock.now(), remembered.load()
    names = due(sites, checkpoints.leases(), queued, now)
    kept = {site: at for site, at in queued.items() if site in set(sites)}
    remembered.save(kept | dict.fromkeys(names, now))
    log.info("queueing %d of %d sites", len(names), len(sites))
    return names


def collect_queued(environment: Mapping[str, str], name: str, threads: Threads) -> None:
    """Collect the site that a message names; raises if it failed, so that the host retries."""
    settings = load(environment, CLOCK.now())
    sites = tuple(site for site in settings.sites if site.host == name)
    invalid = tuple(entry for entry in settings.invalid if entry.site == name)
    if not sites and not invalid:
        log.warning("%s is queued but no longer in JIRA_SITES: it is not collected", name)
        return
    only = replace(settings, sites=sites, invalid=invalid)
    _raise_failed(run_settings(only, threads=threads))


def given_up(name: str) -> None:
    log.error(
        "%s: every attempt of the queue failed; the errors before this one say what to do. "
        "A later tick queues the site again, and nothing is lost",
        name,
    )


def _raise_failed(outcomes: Sequence[Outcome]) -> None:
    if failed := [outcome.error for outcome in outcomes if outcome.result == "failed"]:
        raise ConnectorError("; ".join(map(str, failed)))


def _warn_of_expiry(site: Site, now: int) -> None:
    if site.token_expires is None:
        return
    days = (site.token_expires - date.fromisoformat(timestamps.day(now))).days
    if days <= TOKEN_WARNING_DAYS:
        log.warning(
            "%s: the token or secret expires on %s, in %d days: create a new one, then set %s and "
            "the new date (JIRA_TOKEN_EXPIRES, or token_expires in JIRA_SITES)",
            site.host,
            site.token_expires,
            days,
            site.secret_setting,
        )


def _log(outcome: Outcome) -> None:
    if outcome.error:
        log.log(
            logging.ERROR if outcome.result == "failed" else logging.WARNING, "%s", outcome.error
        )
    log.info("%s", outcome.line())
