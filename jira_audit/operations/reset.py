"""The reset at an operator's command: a site begins again at a moment, whatever its checkpoint is.

`CHECKPOINT_RESET` does the same from within a run (`collect.py`); this one also mends a checkpoint
that cannot be read. As there, nothing here knows Azure or a file.
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
    """Let a site begin again at the moment `start`; None if another run has it.

    `applied` is the value of CHECKPOINT_RESET to take as applied already where there is no
    checkpoint, or none that can say. Returns what was saved. Raises TransientError (try again) or
    SiteError (for an administrator).
    """
    lease = checkpoints.take(Checkpoint.first(site, start, now))
    if lease is None:
        return None
    try:
        before = readable(checkpoints.stored(site) or b"", site, applied)
        again = before.begun_again(start, now, applied if lease.created else before.reset)
        lease.save(again)
    finally:
        release_quietly(lease)
    return again


def readable(content: bytes, site: str, applied: str | None) -> Checkpoint:
    """The checkpoint, or, of one that cannot be read, as much as a reset leaves of it.

    Raises SiteError for one of a newer version: only that version may change it.
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
