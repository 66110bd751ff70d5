"""Settings: parsed once per run from the environment into one frozen, validated value.

All problems are reported together, each naming its setting and what would be right, before anything
is requested. The table of settings in the README is held to this file by a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jira_audit.core import moments
from jira_audit.core.errors import SettingsError
from jira_audit.core.moments import HOUR, MINUTE
from jira_audit.core.policy import Policy, Reset
from jira_audit.settings.azure import read_azure
from jira_audit.settings.environment import SettingsReader
from jira_audit.settings.jira import read_sites
from jira_audit.settings.values import QUEUE_ABOVE, Azure, Settings

LONGEST_BUDGET_SECONDS = 540
"""`functionTimeout` of host.json less a minute."""

BEGINNING_OF_ALL = moments.parse("2002-01-01T00:00:00Z")
"""Where `CHECKPOINT_RESET=all` begins: there was no Jira before."""


def load(environment: Mapping[str, str], now: int, folder: Path | None = None) -> Settings:
    """Read and check all settings.

    `now` is a moment; with `folder`, rows go there, and Azure's settings are not asked for. Raises
    SettingsError with every problem there is.
    """
    read = SettingsReader(environment)
    sites, invalid = read_sites(read)
    destination = folder or read_azure(read)
    known = [site.host for site in sites] + [entry.site for entry in invalid]
    reset, reset_site = _reset(read, now, known)
    policy = Policy(
        lookback=read.whole("INITIAL_LOOKBACK_HOURS", 24, 1, 24 * 366) * HOUR,
        overlap=read.whole("OVERLAP_MINUTES", 15, 1, 24 * 60) * MINUTE,
        sweep=read.whole("SWEEP_HOURS", 48, 1, 24 * 31) * HOUR,
        event_time=read.one_of("TIME_GENERATED_SOURCE", ("ingestion", "created")) == "created",
        reset=reset,
        send_seconds=destination.send_seconds
        if isinstance(destination, Azure)
        else Policy.send_seconds,
    )
    _schedule(read)
    budget_seconds = read.whole("RUN_BUDGET_SECONDS", 480, 10, LONGEST_BUDGET_SECONDS)
    queue_above = read.whole("QUEUE_SITES_ABOVE", QUEUE_ABOVE, 0, QUEUE_ABOVE)
    if read.problems or destination is None:
        raise SettingsError(read.problems)
    return Settings(sites, invalid, destination, policy, reset_site, budget_seconds, queue_above)


def _reset(read: SettingsReader, now: int, hosts: list[str]) -> tuple[Reset | None, str | None]:
    """The reset and the site it is limited to, from `[site=](time|all)[#anything]`."""
    value = read.text("CHECKPOINT_RESET")
    if value is None:
        return None, None
    limited, equals, when = value.split("#")[0].rpartition("=")
    site = limited.strip().lower() if equals else None
    if site is not None and hosts and site not in hosts:
        read.problem("CHECKPOINT_RESET", f"must name a site set up here: {', '.join(hosts)}")
    try:
        start = BEGINNING_OF_ALL if when.strip() == "all" else moments.parse(when.strip())
    except ValueError:
        read.problem(
            "CHECKPOINT_RESET", "must be a time with its zone, such as 2026-09-14T00:00:00Z, or all"
        )
        return None, site
    if start > now:
        read.problem("CHECKPOINT_RESET", "lies in the future")
    return Reset(value, start), site


def _schedule(read: SettingsReader) -> None:
    """The host reads the schedule; that it has six fields is worth knowing before.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """
    value = read.text("POLL_SCHEDULE")
    if value and len(value.split()) != 6:
        read.problem("POLL_SCHEDULE", "must have six fields (seconds first), such as 0 */5 * * * *")
