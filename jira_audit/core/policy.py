"""The policy of a site's runs: how far back they read, and how they send."""

from __future__ import annotations

from dataclasses import dataclass

from jira_audit.core.batches import BATCH_LIMIT
from jira_audit.core.timestamps import HOUR, MINUTE


@dataclass(frozen=True)
class Reset:
    """`CHECKPOINT_RESET` for one site: read again from the moment `start` (milliseconds).

    `value` is the whole setting; each distinct value is applied once.
    """

    value: str
    start: int


@dataclass(frozen=True)
class Policy:
    """How far back a run reads, how it fills `TimeGenerated`, and how it sends.

    `lookback`, `overlap` and `sweep` are milliseconds. With `event_time`, `TimeGenerated` is the
    record's created time instead of the mapping time. At most `in_flight` batches of at most
    `batch_bytes` are sent at once; a send takes at most `send_seconds`.
    """

    lookback: int = 24 * HOUR
    overlap: int = 15 * MINUTE
    sweep: int = 48 * HOUR
    event_time: bool = False
    reset: Reset | None = None
    in_flight: int = 4
    batch_bytes: int = BATCH_LIMIT
    send_seconds: float = 30.0
