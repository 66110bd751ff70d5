"""An operator's reset: a site begins again at a moment, whatever its checkpoint says.

`CHECKPOINT_RESET` does it within a run (`flow/collect.py`); this also replaces an unreadable
checkpoint.
"""

from __future__ import annotations

from typing import Any

from jira_audit.core import encoding
from jira_audit.core.checkpoint import VERSION, Checkpoint, decode
from jira_audit.core.errors import SiteError
from jira_audit.flow.delivery import release_quietly
from jira_audit.flow.ports import Checkpoints


def reset(
    site: str, checkpoints: Checkpoints, start: int, now: int, applied: str | None
) -> Checkpoint | None:
    """Reset a site to the moment `start`; return the saved checkpoint.

    None if another run holds the lease. `applied` is the value of CHECKPOINT_RESET to record as
    applied if no stored checkpoint has one. Raises TransientError (run it again) or SiteError (an
    administrator must act).
    """
    lease = checkpoints.take(Checkpoint.first(site, start, now))
    if lease is None:
        return None
    try:
        before = readable(checkpoints.stored(site) or b"", site, applied)
        after = before.reset_to(start, now, applied if lease.created else before.reset)
        lease.save(after)
    finally:
        release_quietly(lease)
    return after


def readable(content: bytes, site: str, applied: str | None) -> Checkpoint:
    """The checkpoint, or the part of an unreadable one that a reset keeps.

    Raises SiteError for a newer version's: only that version may change it.
    """
    try:
        return decode(content, site)
    except SiteError:
        blob = _object(content)
        version = blob.get("v")
        if isinstance(version, int) and version > VERSION:
            raise
    value = blob.get("reset")
    return Checkpoint(site, 0, 0, reset=value if isinstance(value, str) else applied)


def _object(content: bytes) -> dict[str, Any]:
    try:
        blob = encoding.loads(content)
    except ValueError:
        return {}
    return blob if isinstance(blob, dict) else {}
