"""The entry points for the timer, the queue and the terminal.

All call `run_settings`; `wiring.py` builds the run of each site.
"""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIG_DFL
from threading import current_thread, main_thread
from types import MappingProxyType

from jira_audit.core import expiry, timestamps
from jira_audit.core.clock import Clock, Deadline
from jira_audit.core.errors import ConnectorError, SettingsError
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.plan import Schedule
from jira_audit.core.queueing import after_queueing, due, unsaved
from jira_audit.core.text import is_host, printable
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

SITES_A_LINE = 100
"""Sites named in one log line, at most."""

_ENTRY = re.compile(r"JIRA_SITES\[[0-9]{1,6}\]")
"""The name of an invalid entry without a host of its own."""


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
    error = entry.error.with_site(entry.site)
    outcome = Outcome(entry.site, "failed", Tally(), None, clock.now(), 0, error)
    _log(outcome)
    return outcome


def tick(environment: Mapping[str, str], threads: Threads) -> list[str]:
    """Collect every site, or return the sites to queue if there are too many for one invocation.

    If a site failed, or was not saved for a day, raises after every site has run, so that Azure
    marks the invocation as failed. A tick that queues does not raise: see `report_unsaved`.
    """
    settings = load(environment, CLOCK.now())
    for line in _expected_lines(settings):
        log.info("%s", line)
    if _uses_queue(settings):
        _require_queue(environment)
        return queue(settings)
    outcomes = run_settings(settings, threads=threads)
    _raise([*_failures(outcomes), *_skipped_too_long(settings, outcomes)])
    return []


def _skipped_too_long(settings: Settings, outcomes: Sequence[Outcome]) -> list[str]:
    """Name each skipped site that was not saved for a day; returns the sentences.

    Every other run has saved the checkpoint, or failed and said why.
    """
    skipped = [outcome.site for outcome in outcomes if outcome.result == "skipped"]
    if not skipped:
        return []
    checkpoints, _ = queue_places(settings, CLOCK)
    try:
        return _log_unsaved(unsaved(skipped, checkpoints.leases(), {}, CLOCK.now()))
    except ConnectorError as error:  # must not hide the errors of other sites
        return [str(error)]


def report_unsaved(environment: Mapping[str, str]) -> None:
    """Raise ConnectorError if the queue has left a site unsaved for a day.

    The tick that queues has named it at ERROR. It cannot raise itself: the worker hands over the
    queue messages of an invocation only if it succeeds, so one stuck site would stop all others
    (`output_data` in
    https://github.com/Azure/azure-functions-python-worker/blob/dev/runtimes/v2/azure_functions_runtime/handle_event.py).
    """
    settings = load(environment, CLOCK.now())
    if _uses_queue(settings):
        checkpoints, remembered = queue_places(settings, CLOCK)
        hosts = [site.host for site in settings.sites]
        found = unsaved(hosts, checkpoints.leases(), remembered.load(), CLOCK.now())
        _raise([_unsaved_text(site, since) for site, since in found.items()])


def _uses_queue(settings: Settings) -> bool:
    return len(settings.sites) + len(settings.invalid) > settings.queue_above


def _expected_lines(settings: Settings) -> Iterator[str]:
    """Lines with every site that is to be collected, for the alert on silence. A wrong entry of
    JIRA_SITES is not among them: it fails every tick.

    Application Insights truncates a message at 32,768 characters, and a host has up to 253.
    https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete
    """
    hosts = [site.host for site in settings.sites]
    for start in range(0, len(hosts), SITES_A_LINE):
        yield f"jira_audit_expects sites={','.join(hosts[start : start + SITES_A_LINE])}"


def _log_unsaved(found: Mapping[str, int]) -> list[str]:
    """Name each site that was not saved for a day; returns the sentences."""
    sentences = [_unsaved_text(site, since) for site, since in found.items()]
    for sentence in sentences:
        log.error("%s", sentence)
    return sentences


def _unsaved_text(site: str, since: int) -> str:
    return (
        f"{site}: the checkpoint has not been saved since {timestamps.text(since)}, so nothing was "
        "delivered: look for the errors of its runs; if there are none, check that the function "
        f"collect_site is enabled, and that nothing leases the blob checkpoints/{site}.json"
    )


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

    A wrong entry of JIRA_SITES is queued too, so that its failure affects no other site. Each site
    that was not saved for a day is named at ERROR.
    """
    checkpoints, remembered = queue_places(settings, clock)
    hosts = [site.host for site in settings.sites]
    sites = hosts + [entry.site for entry in settings.invalid]
    now, queued, leases = clock.now(), remembered.load(), checkpoints.leases()
    names = due(sites, leases, queued, now)
    _log_unsaved(unsaved(hosts, leases, queued, now))
    remembered.save(after_queueing(sites, names, leases, queued, now))
    log.info("queueing %d of %d sites", len(names), len(sites))
    return names


def collect_queued(environment: Mapping[str, str], name: str, threads: Threads) -> None:
    """Collect the site that a message names; raises if it failed, so that the host retries.

    A message that names no site of these settings is done with.
    """
    if not _names_site(name):
        _log_unknown(name)
        return
    settings = load(environment, CLOCK.now())
    only = settings.only({name})
    if not only.sites and not only.invalid:
        log.warning("the queue names %s, which is not in JIRA_SITES any more", name)
        return
    _raise(_failures(run_settings(only, threads=threads)))


def given_up(name: str) -> None:
    """Name the site of a message whose every attempt failed."""
    if not _names_site(name):
        _log_unknown(name)
        return
    log.error(
        "the queue gave up %s after every attempt failed; the errors before this one say what to "
        "do. A later tick queues the site again, and nothing is lost",
        name,
    )


def _names_site(name: str) -> bool:
    """Whether a message has the form of a name that `queue` returns.

    Whoever may write to the queue could otherwise forge a line of the log.
    """
    return is_host(name) or _ENTRY.fullmatch(name) is not None


def _log_unknown(name: str) -> None:
    log.warning("a queue message names no site, and is ignored: '%s'", printable(name, 100))


def _failures(outcomes: Iterable[Outcome]) -> list[str]:
    return [str(outcome.error) for outcome in outcomes if outcome.result == "failed"]


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise ConnectorError("; ".join(problems))


def _warn_of_expiry(site: Site, now: int) -> None:
    expires = site.token_expires
    if expires and expiry.days_left(expires, now) <= expiry.WARNING_DAYS:
        log.warning("%s", expiry.advice(site.host, expires, now, site.secret_setting))


def _log(outcome: Outcome) -> None:
    if outcome.error:
        log.log(
            logging.ERROR if outcome.result == "failed" else logging.WARNING, "%s", outcome.error
        )
    log.info("%s", outcome.line())
