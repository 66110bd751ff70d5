"""The certificate as one HTML file: for people, and as JSON within it for machines.

HTML is read and printed wherever an auditor works; a block of JSON in it cannot part from what it
says. Scripts and other resources are blocked by the page's own policy.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import socket
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from jira_audit import __version__, wiring
from jira_audit.core.ledger import Ledger
from jira_audit.core.text import SENTENCE_LENGTH, printable
from jira_audit.operations.certificate import Issue

RANGES_SHOWN = 50
"""Ranges of ids that the page shows; the JSON has all."""

VERDICTS = {
    "complete": "Complete: nothing is missing.",
    "repaired": "What was missing was sent now. A new certificate can prove its arrival.",
    "delayed": "Nothing is known to be missing, but the table is behind.",
    "unknown": "Nothing is known to be missing, but some records cannot be checked.",
    "missing": "Records are missing.",
}
"""By the report's answer."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
ABOUT_JSON = (
    "The same as JSON, with all ids, is in this file, in the element <code>certificate</code>. The "
    "SHA-256 of this file is in a file beside it."
)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid #ccc; overflow-wrap: anywhere; }
th { font-weight: 600; width: 14rem; } td.number { text-align: right; width: 7rem; }
.verdict { border: 2px solid; padding: .6rem 1rem; font-weight: 600; }
.complete { color: #0b6a0b; } .missing { color: #a4262c; }
.delayed, .unknown, .repaired { color: #7a5200; }
@media print { body { margin: 0; max-width: none; } }
"""


def issue(jira_account: str) -> Issue:
    """Who issues a certificate on this machine, and with what."""
    versions = {
        "connector": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    by = f"{getpass.getuser()} on {socket.gethostname()}"
    return Issue(printable(by, SENTENCE_LENGTH), jira_account, versions)


def write(path: Path, certificate: Mapping[str, Any], counts: Mapping[str, str]) -> str:
    """Write the certificate, and its SHA-256 into a file beside it; returns the SHA-256.

    `counts` are the names for people of the report's counts. Raises ConnectorError.
    """
    content = page(certificate, counts).encode()
    digest = hashlib.sha256(content).hexdigest()
    wiring.write_file(path, content)
    beside = path.with_name(f"{path.name}.sha256")
    wiring.write_file(beside, f"{digest}  {path.name}\n".encode())  # as `sha256sum --check` reads
    return digest


def page(certificate: Mapping[str, Any], counts: Mapping[str, str]) -> str:
    """The HTML page."""
    report = certificate["verification"]
    title = f"Certificate of completeness: {report['site']}"
    verdict = report["answer"]
    # Within a script, only `<` could end it.
    data = json.dumps(certificate, indent=1).replace("<", "\\u003c")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="verdict {escape(verdict)}">{escape(VERDICTS[verdict])}</p>',
            *_section("What", _subject(certificate)),
            *_section("Found", _found(report, counts), with_count=True),
            *_section("Ids in between", _gaps(certificate), with_count=True),
            *_section("Retention", _retention(certificate)),
            *_section("The daily audit", _daily(certificate)),
            "<h2>Method</h2>",
            f"<p>{escape(report['method'])}</p>",
            f"<p>{ABOUT_JSON}</p>",
            f'<script type="application/json" id="certificate">{data}</script>',
            "</body>",
            "</html>",
            "",
        ]
    )


Line = tuple[str, ...]


def _section(title: str, lines: Sequence[Line], *, with_count: bool = False) -> Iterator[str]:
    yield f"<h2>{escape(title)}</h2>"
    yield "<table>"
    for name, *cells in lines:
        classes = [' class="number"', ""] if with_count else [""]
        tds = [f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(classes, cells, strict=True)]
        yield f'<tr><th scope="row">{escape(name)}</th>{"".join(tds)}</tr>'
    yield "</table>"


def _subject(certificate: Mapping[str, Any]) -> Sequence[Line]:
    report, issued = certificate["verification"], certificate["issued"]
    versions = ", ".join(f"{name} {version}" for name, version in issued["versions"].items())
    ids = certificate["ids"]
    return [
        ("Site", report["site"]),
        ("Cloud id", certificate["cloud_id"] or "not known"),
        ("Former hosts", ", ".join(certificate["former_hosts"]) or "none"),
        ("Records created", f"from {report['from']} to {report['to']}"),
        ("Ids", f"{ids['first']} to {ids['last']}" if ids else "none"),
        ("Complete up to", report["complete_up_to"]),
        ("Table", report["table"] or "not queried: the ledger alone was compared"),
        ("Verified", f"from {report['began']} to {report['ended']}"),
        ("Issued by", issued["by"]),
        ("Jira read as", issued["jira_account"] or "not known"),
        ("Versions", versions),
    ]


def _found(report: Mapping[str, Any], counts: Mapping[str, str]) -> Sequence[Line]:
    return [
        (label, f"{its['count']:,}", _ranges(its["ids"]))
        for name, label in counts.items()
        if (its := report[name]) is not None
    ]


def _gaps(certificate: Mapping[str, Any]) -> Sequence[Line]:
    found = certificate["gaps"]
    if not found:
        return [("none", "0", "the ids are contiguous")]
    return [(gap["known"], f"{gap['count']:,}", _ranges(gap["ids"])) for gap in found]


def _retention(certificate: Mapping[str, Any]) -> Sequence[Line]:
    kept = certificate["retention"]
    before = kept["missing_before_oldest_row"]
    return [
        ("Jira", f"the oldest record shown of this range: {kept['oldest_record_shown'] or 'none'}"),
        (
            "The table",
            f"the oldest row, of any site: {kept['oldest_row'] or 'not queried, or none'}",
        ),
        (
            "Missing before that row",
            f"{before['count']:,}: their rows may have been deleted by the table's retention"
            if before["count"]
            else "0",
        ),
    ]


def _daily(certificate: Mapping[str, Any]) -> Sequence[Line]:
    daily = certificate["daily_audit"]
    proof = daily["proof"]
    if proof is None:
        return [("Compared up to", daily["audited"] or "there is no daily audit, or no result yet")]
    numbers = ", ".join(f"{name} {proof[name]:,}" for name in proof if name not in _MOMENTS)
    return [
        ("Compared up to", daily["audited"]),
        ("Last proof", f"at {proof['at']}, records created from {proof['from']} to {proof['to']}"),
        ("It found", numbers),
    ]


_MOMENTS = ("from", "to", "at")


def _ranges(ranges: Sequence[Sequence[int]]) -> str:
    return Ledger(tuple((first, last) for first, last in ranges)).sample(RANGES_SHOWN)
