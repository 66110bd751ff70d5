"""The status of every site that is set up, or that was collected into a local folder."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from jira_audit.operations.status import Status, read_status
from jira_audit.settings import Settings, Site
from jira_audit.wiring import SIDE_BY_SIDE, local_places, ports


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
    return read_status(site.host, at.checkpoints, at.letters, backfills)


def local_statuses(folder: Path) -> Sequence[Status]:
    """Tell how every site is that was collected into a local folder. Needs no settings."""
    checkpoints, backfills, letters = local_places(folder)
    return [read_status(site, checkpoints, letters, backfills) for site in checkpoints.sites()]
