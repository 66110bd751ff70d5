"""The status of all sites, for `status` and `report`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from jira_audit.operations.status import Status, read_status
from jira_audit.settings.values import Settings, Site
from jira_audit.wiring import MAX_CONCURRENT_SITES, local_places, ports


def statuses(settings: Settings) -> Sequence[tuple[Status, date | None]]:
    """The status of every site and its token's last day; sites with invalid settings last.

    Sends requests to storage only.
    """
    with ThreadPoolExecutor(MAX_CONCURRENT_SITES) as executor:
        read = list(executor.map(lambda site: _status(settings, site), settings.sites))
    expiries = [site.token_expires for site in settings.sites]
    broken = [
        (Status(entry.site, "broken", problem=str(entry.error)), None) for entry in settings.invalid
    ]
    return [*zip(read, expiries, strict=True), *broken]


def _status(settings: Settings, site: Site) -> Status:
    own = ports(settings.destination, site)
    backfills = ports(settings.destination, site, kind="backfills").checkpoints
    return read_status(site.host, own.checkpoints, own.letters, backfills)


def local_statuses(folder: Path) -> Sequence[Status]:
    """The status of every site with a checkpoint in a local folder. Needs no settings."""
    checkpoints, backfills, letters = local_places(folder)
    return [read_status(site, checkpoints, letters, backfills) for site in checkpoints.sites()]
