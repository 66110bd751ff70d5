"""The suite must fail for each of these mutations, so that every promise is guarded by a test.

A mutation is applied, and a test of the suite that ought to catch it runs; it must fail. Another
test shows once that each of these tests passes without a mutation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from jira_audit.core import plan, restart
from jira_audit.core.batches import Batch
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.errors import TransientError
from jira_audit.core.http import RawResponse
from jira_audit.core.pages import Page, PageRequest, Reading, RecordsPage
from jira_audit.core.restart import RestartCheck
from jira_audit.core.timestamps import HOUR, MINUTE
from jira_audit.core.window import ReadRange
from jira_audit.edge import jira
from jira_audit.flow import identity
from jira_audit.flow.delivery import Delivery
from jira_audit.flow.ports import Lease, Run
from jira_audit.flow.sending import Sender, Sends
from jira_audit.simulator.site import Response
from tests.fakes.world import HOST, START, MemoryStore
from tests.flow import (
    test_collect,
    test_crash_points,
    test_identity,
    test_lasting_faults,
    test_movement,
    test_restart,
)

Patch = pytest.MonkeyPatch
send, finished, take, load_page = (
    Delivery._send,
    Delivery.collect_finished,
    MemoryStore.take,
    Reading.take,
)
parse_page = jira.parse_page
check_restart = RestartCheck.__init__


def save_before_send(patch: Patch) -> None:
    def mutant(self: Delivery, batch: Batch) -> None:
        self._progress.deal_with(row.identity for row in batch.rows)
        self._save()
        send(self, batch)

    patch.setattr(Delivery, "_send", mutant)


def stop_on_a_short_page(patch: Patch) -> None:
    def mutant(self: Reading, response: RecordsPage) -> Page:
        page = load_page(self, response)
        return replace(page, ended=len(response.records) < self.page_size)

    patch.setattr(Reading, "take", mutant)


def treat_403_as_empty(patch: Patch) -> None:
    def mutant(answer: RawResponse, request: PageRequest) -> RecordsPage:
        if answer.status == 403:
            return RecordsPage(request.offset, [])
        return parse_page(answer, request)

    patch.setattr(jira, "parse_page", mutant)


def ignore_the_lease(patch: Patch) -> None:
    patch.setattr(Sender, "_send", lambda self, body, *_: self._run.ports.sink.send(body))


def read_the_checkpoint_before_taking_it(patch: Patch) -> None:
    def mutant(self: MemoryStore, first: Checkpoint) -> Lease | None:
        content = self.blobs.get(f"checkpoints/{first.site}.json")
        lease = take(self, first)
        if lease and content:
            patch.setattr(lease, "load", lambda: decode(content, first.site))
        return lease

    patch.setattr(MemoryStore, "take", mutant)


def refill_a_slot_before_its_save(patch: Patch) -> None:
    def mutant(self: Delivery, *, wait: bool = False) -> None:
        with pytest.MonkeyPatch.context() as unsaved:
            unsaved.setattr(Delivery, "_save", lambda _: None)
            finished(self, wait=wait)

    patch.setattr(Delivery, "collect_finished", mutant)


def advance_by_what_was_asked(patch: Patch) -> None:
    def mutant(self: Reading, response: RecordsPage) -> Page:
        page = load_page(self, response)
        self.offset = response.offset + self.page_size
        return page

    patch.setattr(Reading, "take", mutant)


def forget_the_overlap(patch: Patch) -> None:
    def mutant(place: Checkpoint, now: int, overlap: int) -> ReadRange:
        return ReadRange(place.through, now, place.step)

    patch.setattr(plan, "tick_range", mutant)


def let_through_go_back(patch: Patch) -> None:
    patch.setattr(
        Checkpoint, "read_through", lambda self, timestamp_ms: replace(self, through=timestamp_ms)
    )


def sweep_before_from(patch: Patch) -> None:
    sweep_range = plan.sweep_range

    def mutant(place: Checkpoint, now: int, length: int, own: ReadRange) -> ReadRange | None:
        sweep = sweep_range(place, now, length, own)
        return sweep and replace(sweep, start=now - length)

    patch.setattr(plan, "sweep_range", mutant)


def heal_the_finding(patch: Patch) -> None:
    patch.setattr(Checkpoint, "halt", lambda self, reason: self)


def forget_the_first_evidence(patch: Patch) -> None:
    patch.setattr(Checkpoint, "suspecting", lambda self, identity: self)


def deliver_before_the_log_is_known(patch: Patch) -> None:
    def mutated(self: RestartCheck, delivered: Checkpoint) -> None:
        check_restart(self, delivered)
        self.is_same_log = True

    patch.setattr(RestartCheck, "__init__", mutated)


def count_a_repeated_record_as_evidence(patch: Patch) -> None:
    patch.setattr(restart, "EVIDENCE", 1)


def forget_the_mark(patch: Patch) -> None:
    patch.setattr(Checkpoint, "marked_as_begun", lambda self, at: self)


def clear_the_mark_though_unsure(patch: Patch) -> None:
    patch.setattr(Sender, "is_unsure", property(lambda _: False, lambda *_: None), raising=False)


def open_up_before_a_save(patch: Patch) -> None:
    patch.setattr(Sends, "has_room", lambda self, _: len(self) < self._limit)


Test = Callable[[], None]


def crashes_with_one_in_flight() -> None:
    test_crash_points.check_every_crash(test_crash_points.busy_world, 1)


def crashes_with_four_in_flight() -> None:
    test_crash_points.check_every_crash(test_crash_points.busy_world, 4)


def short_pages() -> None:
    test_movement.test_list_in_short_pages_is_read_to_its_end(7)


def a_failure_of_jira() -> None:
    test_collect.test_jira_failure_leaves_the_checkpoint_and_loses_nothing(1)


def restart_after_three_runs() -> None:
    test_restart.test_restart_fails_every_run_and_delivers_nothing_of_the_new_log(2500)


def newest_shown_later() -> None:
    test_restart.test_one_record_with_a_later_created_is_no_restart(1)


def store_without_saves() -> None:
    error = TransientError("HTTP 500")
    test_lasting_faults.test_a_store_that_cannot_save_is_found_with_nothing_sent(error)


def answers_lost_for_long() -> None:
    answer = Response(504, {}, b"")
    test_lasting_faults.test_an_unknown_delivery_adds_one_batch_a_run(answer)


def begin_a_renamed_site_anew(patch: Patch) -> None:
    patch.setattr(identity, "_others", lambda _: [])


def adopt_another_tenants_checkpoint(patch: Patch) -> None:
    def mutated(run: Run, lease: Lease, own: Checkpoint) -> Checkpoint:
        for each in run.ports.checkpoints.tenants():
            content = run.ports.checkpoints.stored(each.site)
            if each.site != run.site and content:
                own = own.continuing(decode(content, each.site)).moved()
        own = own.identified(run.ports.tenant.cloud_id())
        lease.save(own)
        return own

    patch.setattr(identity, "_establish", mutated)


def compare_before_claiming(patch: Patch) -> None:
    """So that two entries that begin at the same moment do not see each other."""
    others_of_tenant, saved = identity._others_of_tenant, identity._saved

    def mutated(run: Run, lease: Lease, own: Checkpoint) -> Sequence[str]:
        same = others_of_tenant(run, lease, own)
        saved(lease, own)
        return same

    def unclaimed(lease: Lease, checkpoint: Checkpoint) -> Checkpoint:
        return checkpoint if checkpoint.claim else saved(lease, checkpoint)

    patch.setattr(identity, "_others_of_tenant", mutated)
    patch.setattr(identity, "_saved", unclaimed)


def collect_whoever_answers(patch: Patch) -> None:
    patch.setattr(identity, "_check_unchanged", lambda *_, **__: None)


def restart_of_a_quiet_site() -> None:
    test_restart.test_restart_of_a_quiet_site_is_found_over_several_runs(
        range(10_000, 10_200, 2), range(10_000, 10_020), 40 * MINUTE
    )


def a_rename_within_hours() -> None:
    test_identity.test_a_renamed_site_goes_on_where_it_was(
        134, START - 20 * HOUR, 10 * MINUTE, 2 + 20 / 60, 300.0
    )


def two_entries_at_once() -> None:
    test_identity.test_two_entries_that_begin_at_once_never_both_collect(
        (test_identity.DOMAIN, HOST)
    )


CATCHES: dict[Callable[[Patch], None], Test] = {
    save_before_send: crashes_with_four_in_flight,
    stop_on_a_short_page: short_pages,
    treat_403_as_empty: a_failure_of_jira,
    ignore_the_lease: test_collect.test_lease_that_is_lost_stops_all_sends,
    read_the_checkpoint_before_taking_it: (
        test_movement.test_run_after_another_resumes_from_its_save
    ),
    refill_a_slot_before_its_save: crashes_with_one_in_flight,
    advance_by_what_was_asked: short_pages,
    forget_the_overlap: (test_collect.test_overlap_finds_and_counts_a_late_record),
    let_through_go_back: (test_movement.test_overlap_in_small_steps_does_not_move_through_back),
    heal_the_finding: restart_after_three_runs,
    forget_the_first_evidence: restart_of_a_quiet_site,
    deliver_before_the_log_is_known: restart_after_three_runs,
    count_a_repeated_record_as_evidence: newest_shown_later,
    forget_the_mark: store_without_saves,
    clear_the_mark_though_unsure: answers_lost_for_long,
    open_up_before_a_save: (
        test_lasting_faults.test_a_cautious_run_opens_up_once_a_batch_was_accepted_and_saved
    ),
    sweep_before_from: (test_collect.test_sweep_does_not_start_before_from),
    begin_a_renamed_site_anew: a_rename_within_hours,
    adopt_another_tenants_checkpoint: test_identity.test_another_tenants_checkpoint_is_left_alone,
    compare_before_claiming: two_entries_at_once,
    collect_whoever_answers: (
        test_identity.test_a_cloud_id_that_changes_fails_every_run_until_a_reset
    ),
}


def name(case: Callable[..., None]) -> str:
    return case.__name__


@pytest.mark.parametrize("test", dict.fromkeys(CATCHES.values()), ids=name)
def test_mutation_cases_pass_without_a_mutation(test: Test) -> None:
    test()


@pytest.mark.parametrize("mutate", CATCHES, ids=name)
def test_mutation_is_caught(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutate(monkeypatch)

    with pytest.raises(AssertionError):
        CATCHES[mutate]()
