"""The identity of a site: its cloud id, which survives a new name and a custom domain.

A site whose cloud id a stored checkpoint of another host has goes on from that one: checkpoint,
backfill, dead letters and originals. If that host is set up as well, it is one site twice. Every
step is under the lease of the site's checkpoint, and can be repeated after a crash.
https://developer.atlassian.com/blog/2018/10/site-rename/
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import get_args

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.cloud_id import StoredTenant
from jira_audit.core.errors import ConnectorError, OutOfTime, SiteError, TransientError
from jira_audit.core.letters import Folder, moved
from jira_audit.flow.delivery import release_quietly
from jira_audit.flow.ports import Checkpoints, Lease, Run

log = logging.getLogger(__name__)

RESCANS = 3
RESCAN_SECONDS = 2.0
"""How often, and after how long, the first of two entries looks whether the other has withdrawn."""

STEP_SECONDS = 20.0
"""What must be left of the lease before one letter or checkpoint is moved."""


def identify(run: Run, lease: Lease, checkpoint: Checkpoint, *, asks: bool) -> Checkpoint:
    """Find out which tenant the site is; returns the checkpoint to go on from, which is saved.

    With `asks`, the site is asked for its cloud id; otherwise only one that the settings name is
    compared. Raises TransientError (the next tick goes on), or SiteError: one tenant is set up
    twice, or another tenant answers under this address.
    """
    if checkpoint.cloud_id is not None:
        _check_unchanged(run, checkpoint, asks=asks)
    elif asks:
        checkpoint = _establish(run, lease, checkpoint)
    return checkpoint if checkpoint.moving_from is None else _move_rest(run, lease, checkpoint)


def check_moved(checkpoint: Checkpoint) -> None:
    """Raise SiteError unless it is known that nothing of the site is stored under a former name.

    Until its first run is done, a checkpoint may be that of a renamed site, or of a second entry.
    """
    is_unidentified = checkpoint.cloud_id is None and checkpoint.is_new
    if is_unidentified or checkpoint.claim is not None:
        message = f"{checkpoint.site}: no run has succeeded yet: run collect once first"
        raise SiteError(message)
    if checkpoint.moving_from is not None:
        message = (
            f"{checkpoint.site}: what is stored of {checkpoint.moving_from}, its former name, is "
            "not moved yet: run collect once first"
        )
        raise SiteError(message)


def check_collected(run: Run) -> None:
    """Raise SiteError if a site has no checkpoint: only a tick knows whether it had another name.

    Otherwise an operation would begin an empty one.
    """
    if run.ports.checkpoints.stored(run.site) is None:
        message = f"{run.site} has no checkpoint: run collect once first"
        raise SiteError(message)


def _check_unchanged(run: Run, checkpoint: Checkpoint, *, asks: bool) -> None:
    tenant = run.ports.tenant
    cloud_id = tenant.cloud_id() if asks else tenant.configured
    if cloud_id is not None and cloud_id != checkpoint.cloud_id:
        message = (
            f"{run.site}: another tenant answers here, with the cloud id {cloud_id}; the "
            f"checkpoint is that of {checkpoint.cloud_id}. Correct JIRA_SITE_URL or JIRA_CLOUD_ID "
            "(url or cloud_id in JIRA_SITES); or, to collect the new tenant, set CHECKPOINT_RESET "
            "to the moment from which to read it"
        )
        raise SiteError(message)


def _establish(run: Run, lease: Lease, own: Checkpoint) -> Checkpoint:
    """Ask for the cloud id, and compare it with those of all other checkpoints.

    The claim is saved before the comparison: of two sites that do this at the same moment, at least
    one finds the other.
    """
    cloud_id = run.ports.tenant.cloud_id()
    if cloud_id is None:
        _check_orphans(run, own, warns=lease.created)
        return own
    if own.claim != cloud_id:
        own = _saved(lease, own.claiming(cloud_id))
    same = _others_of_tenant(run, lease, own)
    if lease.created and not same:
        _check_orphans(run, own, warns=True)
    for old in same:
        own = _go_on_from(run, lease, own, old)
    return own if own.cloud_id == cloud_id else _saved(lease, own.identified(cloud_id))


def _others_of_tenant(run: Run, lease: Lease, own: Checkpoint) -> Sequence[str]:
    """The hosts that are no longer set up whose checkpoints have the same cloud id.

    Raises SiteError if a host that is set up has it, and withdraws the claim. Of two entries that
    claim it at the same moment, the later one in the settings withdraws; the other waits for that.
    """
    hosts, clock = run.policy.hosts, run.deadline.clock
    place = hosts.index(run.site) if run.site in hosts else len(hosts)
    for attempt in range(RESCANS + 1):
        same = [each for each in _others(run) if own.claim in {each.cloud_id, each.claim}]
        rivals = [each for each in same if each.site in hosts]
        if not rivals:
            return [each.site for each in same]
        yields = [
            each for each in rivals if each.cloud_id == own.claim or hosts.index(each.site) < place
        ]
        if yields or attempt == RESCANS:
            lease.save(own.claiming(None))
            message = (
                f"{run.site} and {rivals[0].site} are two addresses of one site (cloud id "
                f"{own.claim}): {rivals[0].site} is collected; remove the entry of {run.site}, or "
                f"that of {rivals[0].site}, from the settings"
            )
            raise SiteError(message)
        clock.sleep(RESCAN_SECONDS)
    raise AssertionError  # the loop returns or raises


def _check_orphans(run: Run, own: Checkpoint, *, warns: bool) -> None:
    """Check checkpoints of sites that are no longer set up, one of which may be this site's.

    Raises TransientError if this is a first run, the site's cloud id is not known, and theirs are.
    """
    if not own.is_new:
        return
    orphans = [each for each in _others(run) if each.site not in run.policy.hosts]
    known = ", ".join(each.site for each in orphans if each.cloud_id)
    nameless = ", ".join(each.site for each in orphans if not each.cloud_id)
    if known and own.claim is None:
        message = (
            f"{run.site} does not tell its cloud id, and may be a new name of a site that is no "
            f"longer set up and has a checkpoint ({known}): nothing is collected before that is "
            "known. The next tick asks again; to end the wait, set JIRA_CLOUD_ID (cloud_id in "
            "JIRA_SITES), or delete that checkpoint"
        )
        raise TransientError(message)
    if nameless and warns:
        log.warning(
            "%s: there are checkpoints of sites that are no longer set up, without a cloud id: %s. "
            "If this site is one of them under a new name, set the former address once more and "
            "run it once, so that its cloud id is stored; then set the new address again",
            run.site,
            nameless,
        )


def _others(run: Run) -> Sequence[StoredTenant]:
    """What the other sites' checkpoints say of their tenants."""
    return [each for each in run.ports.checkpoints.tenants() if each.site != run.site]


def _go_on_from(run: Run, lease: Lease, own: Checkpoint, old: str) -> Checkpoint:
    """Go on from the checkpoint of a former host, which is deleted."""
    cloud_id = own.cloud_id or own.claim
    now = run.deadline.clock.now()
    old_lease = _take(run.ports.checkpoints, Checkpoint.first(old, now, now), run.site)
    try:
        if not old_lease.created:  # otherwise another run has moved it already
            before = old_lease.load()
            if cloud_id not in {before.cloud_id, before.claim}:
                release_quietly(old_lease)
                return own
            own = _saved(lease, own.continuing(before).identified(cloud_id))
            log.warning(
                "%s: this is %s under a new name (same cloud id): it goes on from there",
                run.site,
                old,
            )
        old_lease.delete()
    except ConnectorError:
        release_quietly(old_lease)
        raise
    return own


def _move_rest(run: Run, lease: Lease, own: Checkpoint) -> Checkpoint:
    """Finish a move: all that is stored under former hosts gets the site's host.

    Raises OutOfTime at the deadline; the next run goes on.
    """
    for host in own.former:
        if host in run.policy.hosts:  # another tenant's now
            continue
        content = run.ports.checkpoints.stored(host)
        if content is not None:
            if StoredTenant.of(host, content).cloud_id != own.cloud_id:
                continue
            own = _go_on_from(run, lease, own, host)
        lease.hold(STEP_SECONDS)
        _move_backfill(run, host)
        for folder in get_args(Folder):
            for name in run.ports.letters.names(folder, host):
                if run.deadline.left() <= 0:
                    message = f"{run.site}: time was up while the letters of {host} were moved"
                    raise OutOfTime(message)
                lease.hold(STEP_SECONDS)
                _move_letter(run, name)
    return _saved(lease, own.moved())


def _move_backfill(run: Run, host: str) -> None:
    backfills, now = run.ports.backfills, run.deadline.clock.now()
    if backfills.stored(host) is None:
        return
    old_lease = _take(backfills, Checkpoint.first(host, now, now), run.site)
    try:
        own = Checkpoint.first(run.site, now, now).continuing(old_lease.load()).moved()
        lease = _take(backfills, own, run.site)
        try:
            if not lease.created:
                lease.save(lease.load().continuing(old_lease.load()).moved())
        finally:
            release_quietly(lease)
        old_lease.delete()
    except ConnectorError:
        release_quietly(old_lease)
        raise


def _move_letter(run: Run, name: str) -> None:
    letters = run.ports.letters
    content = letters.read(name)
    if content is None:
        return
    try:
        new_name, new_content = moved(content, name, run.site)
    except SiteError as error:
        log.warning("%s; it stays where it is", error)
        return
    letters.put(new_name, new_content)
    letters.delete(name)


def _take(checkpoints: Checkpoints, first: Checkpoint, site: str) -> Lease:
    lease = checkpoints.take(first)
    if lease is None:
        message = (
            f"{site}: another run still has {first.site}, which is the same site: the next tick "
            "goes on from there"
        )
        raise TransientError(message)
    return lease


def _saved(lease: Lease, checkpoint: Checkpoint) -> Checkpoint:
    lease.save(checkpoint)
    return checkpoint
