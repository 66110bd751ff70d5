"""The policy of a site's runs."""

from __future__ import annotations

from dataclasses import dataclass

from jira_audit.core.batches import BATCH_LIMIT
from jira_audit.core.timestamps import HOUR, MINUTE


@dataclass(frozen=True)
class Reset:
    """`CHECKPOINT_RESET`: read again from the moment `start`.

    Each distinct `value` of the setting is applied once.
    """

    value: str
    start: int


@dataclass(frozen=True)
class Policy:
    """How far back a run reads, how it fills `TimeGenerated`, and how it sends.

    `lookback`, `overlap` and `sweep` are milliseconds. With `event_time`, `TimeGenerated` is the
    created time. At most `in_flight` batches of at most `batch_bytes` are sent at once, each within
    `send_seconds`. `hosts` are those of all sites that are set up, in the order of the settings.
    `audits`: once a day, the table is compared with the ledger.
    """

    lookback: int = 24 * HOUR
    overlap: int = 15 * MINUTE
    sweep: int = 48 * HOUR
    event_time: bool = False
    reset: Reset | None = None
    in_flight: int = 4
    batch_bytes: int = BATCH_LIMIT
    send_seconds: float = 30.0
    hosts: tuple[str, ...] = ()
    audits: bool = False
