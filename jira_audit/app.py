"""The entry points: the timer, the queue, and what the terminal runs.

`run_settings` is what all of them call; each site's run is made of parts by `wiring.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

from jira_audit.core import moments
from jira_audit.core.clock import Clock, Deadline
from jira_audit.core.errors import ConnectorError, SettingsError
from jira_audit.core.outcome import Outcome, Tally
from jira_audit.core.plan import Schedule
from jira_audit.core.queueing import due
from jira_audit.flow.collect import collect
from jira_audit.settings.load import load
from jira_audit.settings.values import InvalidSite, Settings, Site
from jira_audit.wiring import CLOCK, PLAIN_THREADS, SIDE_BY_SIDE, Threads, queue_places, site_run

log = logging.getLogger("jira_audit")

QUEUE_DISABLED = ("AzureWebJobs.collect_site.Disabled", "AzureWebJobs_collect_site_Disabled")
"""Set where there are few sites, so that nobody looks at an empty queue all day. A Linux app finds
a period in a setting's name as an underscore:
https://learn.microsoft.com/azure/azure-functions/disable-function,
https://github.com/Azure/azure-webjobs-sdk/issues/2066"""

TOKEN_WARNING_DAYS = 14
"""From this many days before its end, every run warns of a token's expiry."""


def run(
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    clock: Clock = CLOCK,
) -> tuple[Outcome, ...]:
    """Read the settings, and collect every site once.

    With `folder`, rows, checkpoint and letters go there instead of to Azure. Raises SettingsError
    before anything is requested; for the rest see `run_settings`.
    """
    return run_settings(load(environment, clock.now(), folder), clock=clock)


def run_settings(
    settings: Settings,
    *,
    clock: Clock = CLOCK,
    tallies: Mapping[str, Tally] = MappingProxyType({}),
    threads: Threads = PLAIN_THREADS,
) -> tuple[Outcome, ...]:
    """Collect every site once, side by side, and log one canonical line for each.

    A site counts on its own of the `tallies` by host, for whoever wants to show it. What goes wrong
    with a site is in its outcome; a bug is raised after all sites were tried.
    """
    logging.getLogger("azure").setLevel(logging.WARNING)  # a line per request costs money
    # What it warns of, an error of ours says in one sentence.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    # Sites side by side send more at once than the client keeps connections for.
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

    if len(settings.sites) <= 1:  # on this thread, which may be interrupted
        return (*outcomes, *map(collected, settings.sites))
    with threads.pool(SIDE_BY_SIDE, "site") as sites:
        runs = [sites.submit(collected, site) for site in settings.sites]
        try:
            wait(runs)
        except KeyboardInterrupt:
            deadline.bring_forward()
            sites.shutdown(wait=False, cancel_futures=True)
            raise
    return (*outcomes, *(run.result() for run in runs))


def _outcome_of(entry: InvalidSite, clock: Clock) -> Outcome:
    """The outcome of a site that could not even be tried."""
    outcome = Outcome(entry.site, "failed", Tally(), None, clock.now(), 0, entry.error)
    _log(outcome)
    return outcome


def tick(environment: Mapping[str, str], threads: Threads) -> list[str]:
    """Run once for the timer; or, of more sites than one run may have, name those to be queued.

    Raises after all sites were tried if one failed, for Azure to see.
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
                f"{name} is set, but JIRA_SITES has more sites than QUEUE_SITES_ABOVE, and nobody "
                "would collect what is queued: deploy the template with these sites, or remove it"
            )
            raise SettingsError([message])


def queue(settings: Settings, clock: Clock = CLOCK) -> list[str]:
    """Name the sites to put on the queue: those that are neither running nor waiting there.

    An entry that is wrong is queued as well, so that its failure is one of its own.
    """
    checkpoints, remembered = queue_places(settings, clock)
    sites = [site.host for site in settings.sites] + [entry.site for entry in settings.invalid]
    now, queued = clock.now(), remembered.load()
    names = due(sites, checkpoints.held(), queued, now)
    kept = {site: at for site, at in queued.items() if site in set(sites)}
    remembered.save(kept | dict.fromkeys(names, now))
    log.info("%d of %d sites are put on the queue", len(names), len(sites))
    return names


def collect_queued(environment: Mapping[str, str], name: str, threads: Threads) -> None:
    """Collect the site that a message names. Raises if it failed, for the host to try it again."""
    settings = load(environment, CLOCK.now())
    sites = tuple(site for site in settings.sites if site.host == name)
    invalid = tuple(entry for entry in settings.invalid if entry.site == name)
    if not sites and not invalid:
        log.warning("%s is on the queue, and no longer in JIRA_SITES: it is left alone", name)
        return
    only = replace(settings, sites=sites, invalid=invalid)
    _raise_failed(run_settings(only, threads=threads))


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
            site.secret_setting,
        )


def _log(outcome: Outcome) -> None:
    """The canonical line; before it, what to do, or why it went no further."""
    if outcome.error:
        log.log(
            logging.ERROR if outcome.result == "failed" else logging.WARNING, "%s", outcome.error
        )
    log.info("%s", outcome.line())
