"""The suite must fail for each of these mutations: a promise that no test would miss is no promise.

A mutation is applied, and a test of the suite that ought to catch it is run; it must fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from jira_audit.core import plan
from jira_audit.core.batches import Batch
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.http import RawResponse
from jira_audit.core.pages import Page, Reading, Response
from jira_audit.core.window import Stretch
from jira_audit.edge import jira
from jira_audit.flow.delivery import Delivery
from jira_audit.flow.ports import Lease
from jira_audit.flow.sending import Sender
from tests.fakes.world import MemoryStore
from tests.flow import test_collect, test_crash_points, test_movement

Patch = pytest.MonkeyPatch
submit, finished, take, load_page = (
    Delivery._submit,
    Delivery.collect_finished,
    MemoryStore.take,
    Reading.take,
)
parse_page = jira.parse_page


def save_before_send(patch: Patch) -> None:
    def mutated(self: Delivery, batch: Batch) -> None:
        self._progress.deal_with(row.identity for row in batch.rows)
        self._save()
        submit(self, batch)

    patch.setattr(Delivery, "_submit", mutated)


def stop_on_a_short_page(patch: Patch) -> None:
    def mutated(self: Reading, response: Response) -> Page:
        page = load_page(self, response)
        return replace(page, ended=len(response.records) < self.page_size)

    patch.setattr(Reading, "take", mutated)


def treat_403_as_empty(patch: Patch) -> None:
    def mutated(answer: RawResponse, offset: int) -> Response:
        return Response(offset, []) if answer.status == 403 else parse_page(answer, offset)

    patch.setattr(jira, "parse_page", mutated)


def ignore_the_lease(patch: Patch) -> None:
    patch.setattr(Sender, "_send", lambda self, body: self._run.ports.sink.send(body))


def read_the_checkpoint_before_taking_it(patch: Patch) -> None:
    def mutated(self: MemoryStore, first: Checkpoint) -> Lease | None:
        content = self.blobs.get(f"checkpoints/{first.site}.json")
        lease = take(self, first)
        if lease and content:
            patch.setattr(lease, "load", lambda: decode(content, first.site))
        return lease

    patch.setattr(MemoryStore, "take", mutated)


def refill_a_slot_before_its_save(patch: Patch) -> None:
    def mutated(self: Delivery, *, wait: bool = False) -> None:
        with pytest.MonkeyPatch.context() as unsaved:
            unsaved.setattr(Delivery, "_save", lambda _: None)
            finished(self, wait=wait)

    patch.setattr(Delivery, "collect_finished", mutated)


def advance_by_what_was_asked(patch: Patch) -> None:
    def mutated(self: Reading, response: Response) -> Page:
        page = load_page(self, response)
        self.offset = response.offset + self.page_size
        return page

    patch.setattr(Reading, "take", mutated)


def forget_the_overlap(patch: Patch) -> None:
    def mutated(place: Checkpoint, now: int, overlap: int) -> Stretch:
        return Stretch(place.through, now, place.step)

    patch.setattr(plan, "tick_range", mutated)


def let_through_go_back(patch: Patch) -> None:
    patch.setattr(Checkpoint, "read_through", lambda self, moment: replace(self, through=moment))


def sweep_before_from(patch: Patch) -> None:
    sweep_range = plan.sweep_range

    def mutated(place: Checkpoint, now: int, length: int, own: Stretch) -> Stretch | None:
        sweep = sweep_range(place, now, length, own)
        return sweep and replace(sweep, start=now - length)

    patch.setattr(plan, "sweep_range", mutated)


CATCHES: list[tuple[Callable[[Patch], None], Callable[[], None]]] = [
    (
        save_before_send,
        lambda: test_crash_points.die_everywhere(test_crash_points.lively_world, 4),
    ),
    (
        stop_on_a_short_page,
        lambda: test_movement.test_a_server_that_gives_fewer_than_asked_is_read_to_its_end(7),
    ),
    (
        treat_403_as_empty,
        lambda: test_collect.test_a_failure_of_jira_leaves_the_checkpoint_and_loses_nothing(1),
    ),
    (ignore_the_lease, test_collect.test_a_run_that_lost_its_lease_sends_nothing_more),
    (
        read_the_checkpoint_before_taking_it,
        test_movement.test_a_run_that_begins_as_another_ends_goes_on_from_what_that_one_saved,
    ),
    (
        refill_a_slot_before_its_save,
        lambda: test_crash_points.die_everywhere(test_crash_points.lively_world, 1),
    ),
    (
        advance_by_what_was_asked,
        lambda: test_movement.test_a_server_that_gives_fewer_than_asked_is_read_to_its_end(7),
    ),
    (
        forget_the_overlap,
        test_collect.test_a_record_that_jira_shows_late_is_found_by_the_overlap_and_counted,
    ),
    (
        let_through_go_back,
        test_movement.test_the_overlap_is_read_again_in_small_steps_without_through_going_back,
    ),
    (
        sweep_before_from,
        test_collect.test_a_sweep_goes_no_further_back_than_where_the_checkpoint_began,
    ),
]


@pytest.mark.parametrize(("mutate", "test"), CATCHES, ids=lambda case: case.__name__)
def test_the_mutation_is_caught(
    mutate: Callable[[Patch], None], test: Callable[[], None], monkeypatch: Patch
) -> None:
    test()
    mutate(monkeypatch)

    with pytest.raises(AssertionError):
        test()
