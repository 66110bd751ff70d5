"""The canonical line: one per site and run, without any content of a record."""

from __future__ import annotations

import pytest

from jira_audit.core.errors import OutOfTime, SettingsError, SiteError, TransientError
from jira_audit.core.outcome import Outcome, Result, Tally, ending, remembered

SITE = "contoso.atlassian.net"


def test_line_has_every_count_as_a_pair() -> None:
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


def test_line_of_a_skipped_site_has_no_through() -> None:
    line = Outcome(SITE, "skipped", Tally(), through=None, now=0, duration_ms=1).line()
    assert "outcome=skipped" in line
    assert "through" not in line
    assert "lag_seconds" not in line


def test_line_names_an_error_by_its_type() -> None:
    error = SiteError("a sentence = with anything in it")
    line = Outcome(SITE, "failed", Tally(), through=None, now=0, duration_ms=1, error=error).line()
    assert line.endswith(" error=SiteError")
    assert all(pair.count("=") == 1 for pair in line.split(" ")[1:])


def test_settings_error_names_all_problems() -> None:
    error = SettingsError(["JIRA_SITE_URL: is missing", "LOGS_DCR_RULE_ID: is missing"])
    assert error.problems == ("JIRA_SITE_URL: is missing", "LOGS_DCR_RULE_ID: is missing")
    assert str(error) == "settings: JIRA_SITE_URL: is missing; LOGS_DCR_RULE_ID: is missing"


def test_line_shows_no_negative_lag() -> None:
    line = Outcome(SITE, "ok", Tally(), through=5_000, now=0, duration_ms=1).line()
    assert "lag_seconds=0 " in line


def test_tally_starts_at_zero() -> None:
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
def test_result_has_its_word_and_a_failure_its_reason(
    error: Exception | None, complete: bool, moved: bool, result: Result
) -> None:
    word, why = ending(SITE, error, complete=complete, moved=lambda: moved)
    assert word == result
    assert error is None or type(why) is type(error)
    assert why is not None or result != "failed"
    assert why is None or isinstance(why, KeyError) or str(why).startswith(f"{SITE}: ")


def test_run_that_was_stopped_has_not_failed() -> None:
    result, _ = ending(SITE, None, complete=False, moved=lambda: False, stopped=True)

    assert result == "partial"


def test_last_run_has_the_counts_and_the_errors_text() -> None:
    last = remembered("failed", AWAY, Tally(rows=4, late_found=1), 1_611_146_401_903)
    assert last == {
        **Tally(rows=4, late_found=1).counts(),
        "outcome": "failed",
        "at": "2021-01-20T12:40:01.903Z",
        "error": "storage is away",
    }


def test_last_run_names_a_bug_by_its_type() -> None:
    assert remembered("failed", KeyError("a record's content"), Tally(), 0)["error"] == "KeyError"
