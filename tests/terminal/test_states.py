"""Each state in which a connector needs its operator is said everywhere: in text, JSON and HTML.

`status` ends with exit code 1 then. On blobs, the HTML report is that of a workspace.
"""

import html
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from jira_audit import wiring
from jira_audit.core.audit import Audit, Proof
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.edge.blobs import BlobCheckpoints
from jira_audit.edge.local import LocalCheckpoints
from jira_audit.flow.ports import Checkpoints
from tests.servers.workspace import WORKSPACE
from tests.terminal.conftest import HOUR_MS, Run, Site, now_ms
from tests.terminal.test_operate import HOST, PATH, Place, blobs, folder
from tests.terminal.test_report import service

__all__ = ["service"]  # a fixture

DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Operated:
    """A connector that has collected, without dead letters; `report` writes a page and reads it."""

    place: Place
    stores: Checkpoints
    report: Callable[[], str]

    def put(self, checkpoint: Checkpoint, saved: int) -> None:
        self.place.put(PATH, checkpoint.encode(saved))


@pytest.fixture(params=["folder", pytest.param("blobs", marks=pytest.mark.servers)])
def operated(request: pytest.FixtureRequest, run: Run, site: Site, tmp_path: Path) -> Operated:
    page = tmp_path / "page.html"

    def report(*source: str | Path) -> str:
        ended = run("report", *source, "--out", page)
        assert (ended.code, ended.err) == (0, "")
        return html.unescape(page.read_text(encoding="utf-8"))

    if request.param == "folder":
        place = folder(request)
        for letter in (tmp_path / "dead-letters").rglob("*.json"):
            letter.unlink()
        local = LocalCheckpoints(tmp_path, wiring.CLOCK)
        connector = Operated(place, local, lambda: report("--folder", tmp_path))
    else:
        request.getfixturevalue("service")
        place = blobs(request)
        container: ContainerClient = request.getfixturevalue("blob_container")
        for name in list(container.list_blob_names(name_starts_with="dead-letters/")):
            container.delete_blob(name)
        stores = BlobCheckpoints(container, 60, wiring.CLOCK)
        connector = Operated(place, stores, lambda: report("--workspace", WORKSPACE))
    assert place.run("collect", *place.more).code == 0
    return connector


@contextmanager
def dead_for_a_day(connector: Operated) -> Iterator[None]:
    known = connector.place.checkpoint()
    then = replace(known, start=known.start - DAY_MS, through=known.through - DAY_MS)
    connector.put(then, now_ms() - DAY_MS)
    yield


@contextmanager
def token_expired(connector: Operated) -> Iterator[None]:
    os.environ["JIRA_TOKEN_EXPIRES"] = str((datetime.now(UTC) - timedelta(days=7)).date())
    yield


@contextmanager
def dead_letter_waiting(connector: Operated) -> Iterator[None]:
    connector.place.put(f"dead-letters/{HOST}/2026-03-01/17.json", b"{}")
    yield


@contextmanager
def lease_stuck(connector: Operated) -> Iterator[None]:
    connector.put(connector.place.checkpoint(), now_ms() - DAY_MS - HOUR_MS)
    lease = connector.stores.take(connector.place.checkpoint())
    assert lease is not None
    try:
        yield
    finally:
        lease.release()


@contextmanager
def gap_in_the_table(connector: Operated) -> Iterator[None]:
    now = now_ms()
    proof = Proof(now - 2 * DAY_MS, now - DAY_MS, now, 9, 9, 0, 6, 0, 3, 0)
    audit = replace(Audit.begun(now - DAY_MS, now, is_new=True), proof=proof)
    connector.put(replace(connector.place.checkpoint(), audit=audit), now)
    yield


STATES: dict[Callable[[Operated], AbstractContextManager[None]], tuple[str, str]] = {
    dead_for_a_day: ("late", "check that the Function App runs"),
    token_expired: ("token expired", "7 days ago"),
    dead_letter_waiting: ("dead letters", f"run jira-audit dead-letters list --site {HOST}"),
    lease_stuck: ("failed", "break the lease"),
    gap_in_the_table: ("missing", f"3 missing: run jira-audit verify --site {HOST} --from "),
}
"""For each state its verdict, and what the operator is told to do or know."""


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_state_is_said_in_text_json_and_html(
    state: Callable[[Operated], AbstractContextManager[None]], operated: Operated
) -> None:
    verdict, words = STATES[state]
    with state(operated):
        text, as_json = operated.place("status"), operated.place("status", "--json")
        page = operated.report()

    assert (text.code, as_json.code) == (1, 1)
    assert text.out.split("\t")[:2] == [HOST, verdict]
    assert words in text.err
    told = json.loads(as_json.out)
    assert told["verdict"] == verdict
    assert words in told["findings"][0]["sentence"]
    knows_settings = not operated.place.more
    if state is not token_expired or knows_settings:
        assert f"<bdi>{HOST}</bdi> <span class=bad>{verdict}</span>" in page
        assert words in page


def test_connector_that_is_well_is_ok_in_text_json_and_html(operated: Operated) -> None:
    text, as_json = operated.place("status"), operated.place("status", "--json")

    assert (text.code, as_json.code, text.err) == (0, 0, "")
    assert text.out.split("\t")[:2] == [HOST, "ok"]
    assert json.loads(as_json.out)["verdict"] == "ok"
    assert f"<bdi>{HOST}</bdi> <span class=good>ok</span>" in operated.report()
