"""The certificate of a verification: a statement about one range, for an auditor. Pure.

It says what was found of every record, and what is known of the ids in between. The terminal lays
it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jira_audit.core import timestamps
from jira_audit.core.ledger import Ledger
from jira_audit.operations.verify import Verified

IN_TABLE = (
    "the table has rows with these ids of this range; Jira does not show the records any more"
)
DEAD_LETTERS = "kept as dead letters; Jira does not show the records in this range"
DEALT_WITH = "in the ledger: delivered once, or created outside this range"
NEVER_SHOWN = (
    "never shown to the connector: Jira gave the id to no record, or showed the record to no run"
)


@dataclass(frozen=True)
class Issue:
    """How the certificate came about: `by` whom, where, and with which `versions`."""

    by: str
    jira_account: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Gap:
    """Ids between those of the records that Jira shows, and what is `known` of them."""

    ids: Ledger
    known: str


def gaps(verified: Verified) -> Sequence[Gap]:
    """What is known of the ids in between, each once; only kinds that there are."""
    findings, stored = verified.findings, verified.stored
    left, found = findings.in_jira.gaps, list[Gap]()
    ledgers = [*stored.ticks.ledger.ranges, *(stored.backfill or stored.ticks).ledger.ranges]
    for known, ids in (
        (IN_TABLE, findings.only_in_table),
        (DEAD_LETTERS, Ledger().with_ids(stored.dead_letter_ids)),
        (DEALT_WITH, Ledger.of(ledgers)),
    ):
        rest = left.without(ids)
        found.append(Gap(left.without(rest), known))
        left = rest
    return [gap for gap in (*found, Gap(left, NEVER_SHOWN)) if gap.ids.ranges]


def statement(
    report: Mapping[str, Any], verified: Verified, oldest_row: int | None, issue: Issue
) -> Mapping[str, Any]:
    """The certificate as JSON: the `report` of the verification, and what an auditor asks beside.

    `oldest_row` is when the table's oldest row was written, None without a table or a row.
    """
    findings, ticks = verified.findings, verified.stored.ticks
    before = [
        number
        for number, created in findings.missing_at.items()
        if oldest_row is not None and created < oldest_row
    ]
    shown = findings.in_jira.ranges
    return {
        "certificate": 1,
        "site": report["site"],
        "cloud_id": ticks.cloud_id,
        "former_hosts": list(ticks.former),
        "issued": {
            "at": report["ended"],
            "by": issue.by,
            "jira_account": issue.jira_account,
            "versions": dict(issue.versions),
        },
        "ids": {"first": shown[0][0], "last": shown[-1][1]} if shown else None,
        "gaps": [
            {"count": gap.ids.count, "ids": gap.ids.ranges, "known": gap.known}
            for gap in gaps(verified)
        ],
        "retention": {
            "oldest_record_shown": _text(findings.oldest_shown),
            "oldest_row": _text(oldest_row),
            "missing_before_oldest_row": _ids(Ledger().with_ids(before)),
        },
        "daily_audit": {
            "audited": _text(ticks.audited),
            "proof": ticks.audit and ticks.audit.proof and ticks.audit.proof.payload(),
        },
        "verification": report,
    }


def _ids(ledger: Ledger) -> Mapping[str, Any]:
    return {"count": ledger.count, "ids": ledger.ranges}


def _text(timestamp_ms: int | None) -> str | None:
    return None if timestamp_ms is None else timestamps.text(timestamp_ms)
