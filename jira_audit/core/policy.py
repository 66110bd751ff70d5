"""The policy of a site's runs: how far back they read, and how they send. Values."""

from __future__ import annotations

from dataclasses import dataclass

from jira_audit.core.batches import BATCH_LIMIT
from jira_audit.core.moments import HOUR, MINUTE


@dataclass(frozen=True)
class Reset:
    """`CHECKPOINT_RESET` as it concerns one site: begin again at the moment `start`.

    `value` is the whole setting; it is applied once for each distinct value.
    """

    value: str
    start: int


@dataclass(frozen=True)
class Policy:
    """How far back a run reads, in milliseconds, and how it stamps and sends.

    `event_time` puts the record's own time into `TimeGenerated` instead of the time of sending;
    `in_flight` batches of at most `batch_bytes` may be under way at once, each for at most
    `send_seconds`.
    """

    lookback: int = 24 * HOUR
    overlap: int = 15 * MINUTE
    sweep: int = 48 * HOUR
    event_time: bool = False
    reset: Reset | None = None
    in_flight: int = 4
    batch_bytes: int = BATCH_LIMIT
    send_seconds: float = 30.0
