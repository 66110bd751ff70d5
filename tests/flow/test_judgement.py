"""What a site's status is judged to be, from what is stored of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import count
from typing import Any

import pytest

from jira_audit.core.audit import Audit, Proof
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import TransientError
from jira_audit.core.schedule import PollSchedule
from jira_audit.core.timestamps import DAY, HOUR, MINUTE, SECOND
from jira_audit.operations.exit_codes import worst
from jira_audit.operations.judgement import VERDICTS, Judgement, Limits, judge
from jira_audit.operations.status import Status
from tests.fakes.world import HOST, START, World
from tests.flow.test_collect import answer_with, world_with
from tests.flow.test_status import status_of

LAST = {"outcome": "ok"}
WELL = Checkpoint(HOST, START - DAY, START, last=LAST)


def judged(status: Status, after: int = 0, **options: Any) -> Judgement:
    return judge(status, START + after, **options)


def stored(checkpoint: Checkpoint = WELL, **fields: Any) -> Status:
    status = Status(HOST, "ok", checkpoint, START, 0)
    return replace(status, **fields)


def test_site_just_saved_is_ok() -> None:
    judgement = judged(stored(), 14 * MINUTE)

    assert (judgement.verdict, judgement.findings, judgement.exit_code) == ("ok", (), 0)


@pytest.mark.parametrize(("after", "verdict"), [(15 * MINUTE - 1, "ok"), (15 * MINUTE, "late")])
def test_three_polls_without_a_save_are_late(after: int, verdict: str) -> None:
    assert judged(stored(), after).verdict == verdict


def test_nights_without_a_poll_are_not_late() -> None:
    limits = Limits(PollSchedule.parse("0 0 8-18 * * Mon-Fri"))
    friday = replace(stored(), saved=START + 6 * HOUR)  # 2026-11-20 at 18:00

    assert judged(friday, 2 * DAY, limits=limits).verdict == "ok"
    assert judged(friday, 3 * DAY, limits=limits).verdict == "late"


def test_polls_closer_than_a_run_takes_are_not_late() -> None:
    limits = Limits(PollSchedule.parse("*/10 * * * * *"))

    assert judged(stored(), 9 * MINUTE, limits=limits).verdict == "ok"


def test_lag_is_judged_only_if_it_is_limited() -> None:
    behind = stored(replace(WELL, through=START - 2 * HOUR))

    assert judged(behind).verdict == "ok"
    assert judged(behind, limits=Limits(max_lag=2 * HOUR)).verdict == "ok"
    assert judged(behind, limits=Limits(max_lag=HOUR)).verdict == "late"


@pytest.mark.parametrize(
    ("expires", "verdict", "words"),
    [
        (date(2026, 11, 13), "token expired", "expired on 2026-11-13, 7 days ago"),
        (date(2026, 11, 19), "token expired", "expired on 2026-11-19, 1 day ago"),
        (date(2026, 11, 20), "token expires", "expires on 2026-11-20, today"),
        (date(2026, 12, 4), "token expires", "expires on 2026-12-04, in 14 days"),
    ],
)
def test_token_is_judged_by_its_last_day(expires: date, verdict: str, words: str) -> None:
    judgement = judged(stored(), expires=expires, secret_setting="TOKEN_9")

    assert judgement.verdict == verdict
    assert words in judgement.findings[0].sentence
    assert "set TOKEN_9 and the new date" in judgement.findings[0].sentence
    assert judged(stored(), expires=date(2026, 12, 5)).verdict == "ok"


def test_dead_letters_are_named_with_their_command() -> None:
    judgement = judged(stored(letters=2))

    assert judgement.verdict == "dead letters"
    assert judgement.findings[0].sentence == (
        f"{HOST}: 2 dead letters wait: run jira-audit dead-letters list --site {HOST}"
    )


def test_halted_site_has_failed_with_its_sentence() -> None:
    judgement = judged(stored(replace(WELL, halted=f"{HOST}: the ids began again")))

    assert [each.sentence for each in judgement.findings] == [f"{HOST}: the ids began again"]
    assert judgement.verdict == "failed"


def test_lease_held_longer_than_any_run_has_failed() -> None:
    judgement = judged(stored(leased=True), DAY + SECOND)

    assert judgement.verdict == "failed"
    assert "break the lease of the blob" in judgement.findings[0].sentence


def test_worst_finding_is_first_and_all_are_named() -> None:
    judgement = judged(stored(letters=1, leased=True), 2 * DAY, expires=date(2026, 1, 1))

    verdicts = [each.verdict for each in judgement.findings]
    assert verdicts == ["failed", "token expired", "late", "dead letters"]
    payload = judgement.payload()
    assert (payload["verdict"], len(payload["findings"])) == ("failed", 4)
    assert {each["sentence"].split(":")[0] for each in payload["findings"]} == {HOST}


def test_run_in_progress_is_named_and_is_no_failure() -> None:
    running = stored(replace(WELL, began=START - MINUTE), leased=True)

    assert judged(running).verdict == "ok"
    assert judged(running).payload()["running_since"] == "2026-11-20T11:59:00.000Z"
    assert judged(stored()).payload()["running_since"] is None


def test_run_that_was_killed_has_failed() -> None:
    world = world_with(100)
    steps = count(1)
    while f"checkpoints/{HOST}.json" not in world.store.blobs or (
        world.store.checkpoint().began is None
    ):
        world = world_with(100)
        world.journal.die = (next(steps), "after")
        world.run_until_crash()

    judgement = judge(status_of(world), world.time.now)
    assert judgement.verdict == "failed"
    assert "was killed" in judgement.findings[0].sentence


def test_failure_names_its_site_once() -> None:
    world = world_with(100)
    world.run()
    world.jira.faults.always = answer_with(401)
    world.run()

    judgement = judge(status_of(world), world.time.now)

    assert judgement.verdict == "failed"
    assert judgement.findings[0].sentence.count(f"{HOST}: ") == 1


def test_site_without_a_run_is_new_and_not_ok() -> None:
    judgement = judge(status_of(World()), START)

    assert (judgement.verdict, judgement.exit_code) == ("new", 1)


def test_storage_that_does_not_answer_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_with(10)

    def fail(*_: object) -> None:
        raise TransientError("storage is away")

    monkeypatch.setattr(world.store, "stored", fail)
    judgement = judge(status_of(world), START)

    assert (judgement.verdict, judgement.exit_code) == ("unknown", 3)
    assert judgement.findings[0].sentence == f"{HOST}: storage is away"
    assert worst([judgement.exit_code, judged(stored()).exit_code]) == 3
    assert worst([judgement.exit_code, judged(stored(letters=1)).exit_code]) == 1


@pytest.mark.parametrize("state", ["unreadable", "broken"])
def test_site_that_no_run_can_read_has_failed(state: Any) -> None:
    judgement = judged(Status(HOST, state, problem="why"))

    assert (judgement.verdict, judgement.exit_code) == ("failed", 1)


def test_stopped_run_is_no_failure() -> None:
    assert judged(stored(state="stopped")).verdict == "ok"


def test_ok_is_the_least_of_all_verdicts() -> None:
    assert VERDICTS[0] == "failed"
    assert VERDICTS[-1] == "ok"


def audited(found: Proof | None, since: int = START) -> Status:
    audit = replace(Audit.begun(START - DAY, since, is_new=True), proof=found)
    return stored(replace(WELL, audit=audit))


PROVEN = Proof(START - 2 * DAY, START - DAY, START, 9, 9, 0, 9, 0, 0, 0)


def test_proof_without_a_difference_is_ok() -> None:
    assert judged(audited(PROVEN)).verdict == "ok"
    assert judged(audited(replace(PROVEN, absent=3))).verdict == "ok"  # asked for again tomorrow


@pytest.mark.parametrize(
    ("missing", "duplicated", "words"),
    [(2, 0, "2 missing: "), (0, 1, "1 duplicated: "), (2, 1, "2 missing and 1 duplicated: ")],
)
def test_proof_with_a_difference_needs_someone(missing: int, duplicated: int, words: str) -> None:
    judgement = judged(audited(replace(PROVEN, missing=missing, duplicated=duplicated)))

    assert (judgement.verdict, judgement.exit_code) == ("missing", 1)
    assert words in judgement.findings[0].sentence
    assert "verify --site contoso.atlassian.net --from 2026-11-18T12:00" in (
        judgement.findings[0].sentence
    )


def test_three_days_without_a_proof_need_someone() -> None:
    assert judged(audited(PROVEN, START - 3 * DAY + 1)).verdict == "ok"
    assert judged(audited(PROVEN, START - 3 * DAY)).verdict == "unproven"
    assert judged(audited(None, START - 3 * DAY)).exit_code == 1
