"""Settings: parsed once per run from the environment into one frozen, checked value.

All problems are reported together, each with its setting and what would be right, before any
request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from jira_audit.core import timestamps
from jira_audit.core.errors import SettingsError
from jira_audit.core.policy import Policy, Reset
from jira_audit.settings.azure import read_azure
from jira_audit.settings.environment import SettingsReader
from jira_audit.settings.jira import Sites, read_sites, secret_settings
from jira_audit.settings.table import EVERYTHING, SETTINGS, Needs
from jira_audit.settings.values import Destination, LocalFolder, Settings

log = logging.getLogger(__name__)

_HOST = re.compile(r"(?=.{4,253}$)[a-z0-9-]+(\.[a-z0-9-]+)+")

BEGINNING_OF_ALL = timestamps.parse("2002-01-01T00:00:00Z")
"""Where `CHECKPOINT_RESET=all` begins: before Jira existed."""


def parse_start(text: str) -> int:
    """The moment of a time with its zone, the first of a date (UTC), or that of `all`.

    Raises ValueError for anything else.
    """
    if text == "all":
        return BEGINNING_OF_ALL
    try:
        return timestamps.parse_day(text)
    except ValueError:
        return timestamps.parse(text)


def load(
    environment: Mapping[str, str],
    now: int,
    folder: Path | None = None,
    needs: Needs = EVERYTHING,
) -> Settings:
    """Read and check the settings that a command needs; by default all.

    `now` is a moment. With `folder`, rows and checkpoints are there, and no Azure setting is
    needed; unless Jira is asked, the folder's contents name the sites. Without `folder`, storage is
    always needed.

    A setting that is not needed may be missing or wrong: sites then have no credentials, Azure has
    no rule, others have defaults. Raises SettingsError with every problem.
    """
    read = SettingsReader(environment, _needs_at(folder, needs))
    sites, invalid = read_sites(read) if read.needs("sites") else _sites_if_set(environment)
    destination = LocalFolder(folder) if folder else read_azure(read)
    hosts = [site.host for site in sites] + [entry.site for entry in invalid]
    reset, reset_site = _reset(read, now, hosts)
    policy = replace(_policy(read, destination, reset), hosts=tuple(hosts))
    schedule = read.schedule("POLL_SCHEDULE")  # the host reads it; here, errors are found early
    budget_seconds = read.number("RUN_BUDGET_SECONDS")
    queue_above = read.number("QUEUE_SITES_ABOVE")
    if read.problems or destination is None:
        raise SettingsError(read.problems)
    return Settings(
        sites, invalid, destination, policy, reset_site, budget_seconds, queue_above, schedule
    )


def names_needed(environment: Mapping[str, str], needs: Needs) -> frozenset[str]:
    """The names under which the settings that are needed may be set, with those of secrets that
    entries of `JIRA_SITES` name.
    """
    rows = [row for row in SETTINGS if row.parts & needs]
    secrets = secret_settings(environment.get("JIRA_SITES", "")) if "jira" in needs else ()
    return frozenset(secrets).union(*((row.name, *row.aliases) for row in rows))


def _needs_at(folder: Path | None, needs: Needs) -> Needs:
    """What a command needs: checkpoints are in a folder, or in Azure."""
    if folder is None:
        return needs | {"storage"}
    needs -= {"ingestion", "storage"}
    return needs if "jira" in needs else needs - {"sites"}


def _sites_if_set(environment: Mapping[str, str]) -> Sites:
    """The sites that are set up; missing or wrong ones are no problem here."""
    return read_sites(SettingsReader(environment, frozenset({"sites"})))


def _policy(read: SettingsReader, destination: Destination | None, reset: Reset | None) -> Policy:
    return Policy(
        lookback=read.milliseconds("INITIAL_LOOKBACK_HOURS"),
        overlap=read.milliseconds("OVERLAP_MINUTES"),
        sweep=read.milliseconds("SWEEP_HOURS"),
        event_time=read.choice("TIME_GENERATED_SOURCE") == "created",
        reset=reset,
        send_seconds=destination.send_seconds if destination else Policy.send_seconds,
        audits=destination is not None and destination.audits,
    )


def _reset(read: SettingsReader, now: int, hosts: list[str]) -> tuple[Reset | None, str | None]:
    """The reset and its site, from `[site=](time|all)[#anything]`.

    A reset that is left set for a site which was removed is logged, and resets nothing: it must not
    stop the other sites.
    """
    value = read.text("CHECKPOINT_RESET")
    if value is None:
        return None, None
    limited, equals, when = value.split("#")[0].rpartition("=")
    site = limited.strip().lower() if equals else None
    if site is not None and hosts and site not in hosts:
        if not _HOST.fullmatch(site):
            read.problem("CHECKPOINT_RESET", f"must name a site set up here: {', '.join(hosts)}")
            return None, None
        log.warning(
            "CHECKPOINT_RESET names %s, which is not set up here, so it resets nothing: remove it, "
            "or correct the name to one of %s",
            site,
            ", ".join(hosts[:10]),
        )
    start = _start(read, when.strip(), now)
    return None if start is None else Reset(value, start), site


def _start(read: SettingsReader, when: str, now: int) -> int | None:
    """The moment of a time with its zone, the first of a date (UTC), or that of `all`."""
    try:
        start = parse_start(when)
    except ValueError:
        read.problem(
            "CHECKPOINT_RESET",
            "must be a date such as 2026-09-14, a time with its zone, such as "
            "2026-09-14T00:00:00Z, or all",
        )
        return None
    if start > now:
        read.problem("CHECKPOINT_RESET", "is in the future")
    return start
