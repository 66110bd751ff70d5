"""The canonical line: one per site and run, without any content of a record."""

from __future__ import annotations

import pytest

from jira_audit.core.errors import OutOfTime, SettingsError, SiteError, TransientError
from jira_audit.core.outcome import Outcome, Result, Tally, ending, remembered

SITE = "contoso.atlassian.net"


def test_the_line_names_every_count_in_pairs() -> None:
    tally = Tally(
        windows=1,
        pages=2,
        records=3,
        rows=4,
        batches=5,
        bytes=6,
        letters=7,
        duplicates_skipped=8,
        late_found=9,
    )
    outcome = Outcome(
        SITE, "ok", tally, through=1_611_146_401_903, now=1_611_146_461_904, duration_ms=250
    )
    assert outcome.line() == (
        "jira_audit site=contoso.atlassian.net outcome=ok windows=1 pages=2 records=3 rows=4 "
        "batches=5 bytes=6 letters=7 duplicates_skipped=8 late_found=9 "
        "through=2021-01-20T12:40:01.903Z lag_seconds=60 duration_ms=250"
    )


def test_a_site_that_another_run_has_is_said_without_a_place() -> None:
    line = Outcome(SITE, "skipped", Tally(), through=None, now=0, duration_ms=1).line()
    assert "outcome=skipped" in line
    assert "through" not in line
    assert "lag_seconds" not in line


def test_an_error_is_named_by_its_kind_so_that_the_line_stays_pairs() -> None:
    error = SiteError("a sentence = with anything in it")
    line = Outcome(SITE, "failed", Tally(), through=None, now=0, duration_ms=1, error=error).line()
    assert line.endswith(" error=SiteError")
    assert all(pair.count("=") == 1 for pair in line.split(" ")[1:])


def test_a_through_ahead_of_the_clock_is_no_negative_lag() -> None:
    line = Outcome(SITE, "ok", Tally(), through=5_000, now=0, duration_ms=1).line()
    assert "lag_seconds=0 " in line


def test_a_new_tally_begins_at_nothing() -> None:
    assert set(Tally().counts().values()) == {0}


LATE, AWAY = OutOfTime("time was up"), TransientError("storage is away")


@pytest.mark.parametrize(
    ("error", "complete", "moved", "result"),
    [
        (None, True, True, "ok"),
        (None, True, False, "ok"),
        (None, False, True, "partial"),
        (None, False, False, "failed"),
        (LATE, False, True, "partial"),
        (LATE, False, False, "failed"),
        (AWAY, False, True, "failed"),
        (AWAY, True, True, "failed"),
        (KeyError("a record's content"), True, True, "failed"),
    ],
)
def test_an_end_has_its_word_and_every_failure_its_reason(
    error: Exception | None, complete: bool, moved: bool, result: Result
) -> None:
    word, why = ending(SITE, error, complete=complete, moved=moved)
    assert word == result
    assert error is None or why is error
    assert why is not None or result != "failed"


def test_what_is_remembered_of_a_run_is_its_counts_and_its_errors_sentence() -> None:
    last = remembered("failed", AWAY, Tally(rows=4, late_found=1), 1_611_146_401_903)
    assert last == {
        **Tally(rows=4, late_found=1).counts(),
        "outcome": "failed",
        "at": "2021-01-20T12:40:01.903Z",
        "error": "storage is away",
    }


def test_of_a_bug_only_its_kind_is_remembered() -> None:
    assert remembered("failed", KeyError("a record's content"), Tally(), 0)["error"] == "KeyError"


def test_all_problems_of_settings_are_told_together() -> None:
    error = SettingsError(["JIRA_SITE_URL: is missing", "LOGS_DCR_RULE_ID: is missing"])
    assert error.problems == ("JIRA_SITE_URL: is missing", "LOGS_DCR_RULE_ID: is missing")
    assert str(error) == "settings: JIRA_SITE_URL: is missing; LOGS_DCR_RULE_ID: is missing"
