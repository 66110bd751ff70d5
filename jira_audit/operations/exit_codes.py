"""The exit codes of every command. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from jira_audit import INTERRUPTED


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNKNOWN = 3
    INTERRUPTED = INTERRUPTED


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "ok; for collect also: the time budget is used up, or another run holds the lease",
    ExitCode.FAILED: "failed, or needs someone: the message says what to do",
    ExitCode.USAGE: "the settings or the command line are wrong, or incomplete",
    ExitCode.UNKNOWN: "cannot be known: for verify, some records; for status, no answer",
    ExitCode.INTERRUPTED: "interrupted; the same command resumes",
}
"""What each code means; every command uses this table, and help shows it."""


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The exit code for several sites: 1 if one needs someone, else 3 if one cannot be known."""
    found = set(codes)
    order = ExitCode.FAILED, ExitCode.UNKNOWN
    return next((code for code in order if code in found), ExitCode.OK)
