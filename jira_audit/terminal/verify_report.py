"""The report of `verify`: one site's, that of all sites, and both for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from jira_audit import __version__
from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.completeness import Findings, RecordStatus
from jira_audit.core.errors import ConnectorError
from jira_audit.core.ledger import Ledger
from jira_audit.core.window import Window
from jira_audit.operations.verify import Repaired, Verified
from jira_audit.terminal.format import utc

VERSION = 2
"""The version of the JSON; it changes when a field's meaning does."""

RANGES_SHOWN = 10

METHOD = (
    "Every record that Jira's audit log shows now for this range of created times was looked up "
    "by its id. delivered: the connector's ledger has it, and it has no dead letter. in_table: "
    "the table has a row with its id, whatever the ledger says. kept: it has a dead letter and "
    "is not in the table. to_come: it was created after the checkpoint's through, or shown so "
    "late that the next overlap or sweep reads it. delayed: it was delivered, was created in the "
    "last 24 hours, and the table has neither it nor the newest records that were delivered. "
    "missing: it should be in the table (in the ledger, if no table was queried), and is neither "
    "there nor a dead letter. unknown: no "
    "ledger covers the time when it was created, and no table was queried. Records delivered but "
    "not in the table were queried again for the time of the option --wait after the ledger's "
    "last save. Records deleted from Jira cannot be verified; rows deleted by the table's "
    "retention count as missing."
)


def payload(
    host: str,
    window: Window,
    began: int,
    table: str | None,
    verified: Verified,
    repaired: Repaired | None,
) -> dict[str, Any]:
    """The whole report. The table's fields are null if none was queried."""
    findings, stored = verified.findings, verified.stored
    return {
        "v": VERSION,
        "connector": __version__,
        "site": host,
        "from": timestamps.text(window.start),
        "to": timestamps.text(window.end),
        "began": timestamps.text(began),
        "asked": timestamps.text(verified.asked),
        "ended": timestamps.text(verified.ended),
        "complete_up_to": timestamps.text(min(window.end, stored.ticks.through)),
        "table": table,
        "table_through": (
            None if findings.table_through is None else timestamps.text(findings.table_through)
        ),
        "checkpoint": _reach(stored.ticks),
        "backfill": stored.backfill and _reach(stored.backfill),
        "method": METHOD,
        "answer": _answer(verified, repaired),
        "in_jira": _ids(findings.in_jira)
        | {"count": findings.in_jira.count + len(findings.nameless)},
        "delivered": _ids(findings.accepted.without(findings.by_status["dead letter"])),
        "in_table": _records(findings, "in table") if table else None,
        "kept": _records(findings, "dead letter"),
        "to_come": _records(findings, "pending"),
        "delayed": _records(findings, "delayed") if table else None,
        "missing": _records(findings, "missing"),
        "unknown": _records(findings, "unknown"),
        "doubled": _duplicates(findings) if table else None,
        "only_in_table": _ids(findings.only_in_table) if table else None,
        "repaired": repaired and _repaired_payload(repaired),
    }


def _records(findings: Findings, status: RecordStatus) -> dict[str, Any]:
    letters = [letter for letter, its in findings.nameless.items() if its == status]
    records = _ids(findings.by_status[status]) | {"count": findings.count(status)}
    return records | ({"without_id": letters} if letters else {})


def _duplicates(findings: Findings) -> dict[str, Any]:
    extra = sum(findings.copies.values()) - len(findings.copies)
    return _ids(Ledger().with_ids(findings.copies)) | {"rows_too_many": extra}


def _repaired_payload(repaired: Repaired) -> dict[str, Any]:
    return {
        "sent": _ids(repaired.sent),
        "left": _ids(repaired.left),
        "skipped": repaired.skipped,
        "error": None if repaired.error is None else str(repaired.error),
    }


def _answer(verified: Verified, repaired: Repaired | None) -> str:
    """The verdict; `repaired` if every missing record was sent, and none is unknown."""
    findings = verified.findings
    if findings.verdict != "missing" or repaired is None:
        return findings.verdict
    if repaired.left.ranges or "missing" in findings.nameless.values():
        return "missing"
    if findings.count("unknown"):
        return "unknown"
    return "delayed" if findings.count("delayed") else "repaired"


def _ids(ledger: Ledger) -> dict[str, Any]:
    return {"count": ledger.count, "ids": ledger.ranges}


def _reach(checkpoint: Checkpoint) -> dict[str, Any]:
    pruned = None if checkpoint.pruned is None else timestamps.text(checkpoint.pruned)
    start, through = timestamps.text(checkpoint.start), timestamps.text(checkpoint.through)
    return {"from": start, "through": through, "pruned": pruned}


# For people.

COUNTS = {
    "in_jira": "in Jira",
    "in_table": "in the table",
    "delivered": "delivered",
    "kept": "dead letters",
    "to_come": "pending",
    "delayed": "delayed",
    "missing": "missing",
    "unknown": "unknown",
    "doubled": "duplicated",
    "only_in_table": "no longer in Jira",
}
"""The report's counts, and their names for people."""

WITH_IDS = frozenset({"delayed", "missing", "unknown", "doubled"})


def counts(payload: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(name, payload[name]) for name in ("site", "from", "to")]
    for name, label in COUNTS.items():
        if records := payload[name]:
            lines.append((label, _count(records, with_ids=name in WITH_IDS)))
    if repaired := payload["repaired"]:
        lines.append(("repaired", _count(repaired["sent"], with_ids=True)))
    return lines


def _count(records: dict[str, Any], *, with_ids: bool) -> str:
    """The number of records and, on request, their first ids."""
    details = []
    if with_ids and records["ids"]:
        details.append(Ledger(tuple(records["ids"])).sample(RANGES_SHOWN))
    if with_ids and "without_id" in records:
        details.append(f"{len(records['without_id']):,} without an id")
    return f"{records['count']:,}" + (f": {'; '.join(details)}" if details else "")


def summary(host: str, payload: dict[str, Any]) -> Text:
    """The result in one or two sentences."""
    answer = payload["answer"]
    number, missing = f"{payload['in_jira']['count']:,}", f"{payload['missing']['count']:,}"
    if answer == "complete":
        place = "in the table" if payload["table"] else "delivered"
        text = (
            f"nothing is missing. Of {number} records, every one that was created up to "
            f"{utc(timestamps.parse(payload['complete_up_to']))} is {place} or a dead letter."
        )
    elif answer == "repaired":
        text = (
            f"{missing} of {number} records were missing, and were sent now. Verify again to check "
            "that they arrive."
        )
    elif answer == "unknown":
        text = (
            f"nothing is known to be missing, but {payload['unknown']['count']:,} of {number} "
            "records cannot be checked: no ledger covers them. Use --workspace to look for them in "
            "the table."
        )
    elif answer == "delayed":
        text = f"nothing is known to be missing, but the table is behind. {_delay(payload)}"
    else:
        text = f"{missing} of {number} records are MISSING.{_repair_result(payload['repaired'])}"
        if payload["delayed"] and payload["delayed"]["count"]:
            text += f" The table is behind, too. {_delay(payload)}"
    style = {"missing": "bold red", "unknown": "bold yellow", "delayed": "bold yellow"}.get(
        answer, "bold green"
    )
    return Text.assemble((host, style), f": {text}")


def _delay(payload: dict[str, Any]) -> str:
    through = payload["table_through"]
    newest = "none of this range" if through is None else utc(timestamps.parse(through))
    return (
        f"The newest record in it: {newest}. {payload['delayed']['count']:,} that were delivered "
        "are not there yet. --repair leaves them: verify again later."
    )


def _repair_result(repaired: dict[str, Any] | None) -> str:
    if repaired is None:
        return " --repair sends them."
    skipped = " Another run holds the lease: retry in a few minutes." if repaired["skipped"] else ""
    return f" {repaired['sent']['count']:,} of them were sent now.{skipped}"


# Several sites.

ANSWERS = "missing", "failed", "unknown", "delayed", "repaired", "complete"
"""Every answer of a site, the worst first."""

SHARED = "v", "connector", "from", "to", "method"
"""The fields of a site's report that are the same for all sites."""

COLUMNS = "site", "answer", "in Jira", "delivered", "dead letters", "missing", "unknown"


def failed(host: str, error: ConnectorError) -> dict[str, Any]:
    """In the place of the report of a site that could not be verified."""
    return {"site": host, "answer": "failed", "error": str(error)}


def of_all(reports: Sequence[Mapping[str, Any]], window: Window) -> dict[str, Any]:
    """One report of all sites: the worst answer, how many sites have which, and each site's."""
    answers = Counter(report["answer"] for report in reports)
    return {
        "v": VERSION,
        "connector": __version__,
        "from": timestamps.text(window.start),
        "to": timestamps.text(window.end),
        "method": METHOD,
        "answer": worst_answer(answers),
        "answers": {answer: answers[answer] for answer in ANSWERS if answers[answer]},
        "sites": [
            {name: value for name, value in report.items() if name not in SHARED}
            for report in reports
        ],
    }


def worst_first(reports: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The reports by host, ordered by their answers."""
    return dict(sorted(reports.items(), key=lambda each: ANSWERS.index(each[1]["answer"])))


def worst_answer(answers: Mapping[str, int]) -> str:
    return next(answer for answer in ANSWERS if answers.get(answer))


def line(report: Mapping[str, Any]) -> Sequence[str]:
    """One site's line of the table of all sites; empty where nothing is known."""
    names = "in_jira", "delivered", "kept", "missing", "unknown"
    numbers = [f"{report[name]['count']:,}" if report.get(name) else "" for name in names]
    return report["site"], report["answer"], *numbers


def sentence(report: dict[str, Any]) -> str | Text:
    """The result for one site."""
    return report["error"] if report["answer"] == "failed" else summary(report["site"], report)


def counted(overall: Mapping[str, Any]) -> str:
    """`60 sites: 2 missing, 4 failed, 54 complete`."""
    parts = [f"{number:,} {answer}" for answer, number in overall["answers"].items()]
    return f"{len(overall['sites']):,} sites: {', '.join(parts)}"
