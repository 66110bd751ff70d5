"""The judged status of all sites, for `status` and `report`; the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jira_audit.operations.judgement import Judgement, Limits, judge
from jira_audit.operations.status import Status, read_status
from jira_audit.settings.values import Settings, Site
from jira_audit.wiring import MAX_CONCURRENT_SITES, local_places, ports


def judgements(settings: Settings, now: int, limits: Limits) -> Sequence[Judgement]:
    """Judge every site at the moment `now`. Sends requests to storage only."""

    def judged(site: Site) -> Judgement:
        status = _status(settings, site)
        return judge(status, now, site.token_expires, limits, site.secret_setting)

    broken = [
        judge(Status(entry.site, "broken", problem=str(entry.error)), now)
        for entry in settings.invalid
    ]
    with ThreadPoolExecutor(MAX_CONCURRENT_SITES) as executor:
        return _worst_first([*executor.map(judged, settings.sites), *broken])


def _status(settings: Settings, site: Site) -> Status:
    own = ports(settings.destination, site)
    backfills = ports(settings.destination, site, kind="backfills").checkpoints
    return read_status(site.host, own.checkpoints, own.letters, backfills)


def local_judgements(folder: Path, now: int) -> Sequence[Judgement]:
    """Judge every site with a checkpoint in a local folder. Needs no settings."""
    checkpoints, backfills, letters = local_places(folder)
    sites = checkpoints.sites()
    return _worst_first(
        judge(read_status(site, checkpoints, letters, backfills), now) for site in sites
    )


def _worst_first(found: Iterable[Judgement]) -> Sequence[Judgement]:
    return sorted(found, key=lambda each: each.rank)
