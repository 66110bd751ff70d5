"""The operator's commands, on a local folder and on blobs: what they say, do, and leave alone."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient
from typer.testing import CliRunner

from jira_audit import wiring
from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint, decode
from jira_audit.core.letters import Letter
from jira_audit.edge.blobs import BlobLetters
from jira_audit.edge.local import LocalCheckpoints, LocalLetters
from jira_audit.terminal.cli import cli
from tests.servers.identity import Identity
from tests.servers.ingestion import RULE, Ingestion
from tests.terminal.conftest import HOUR_MS, TOKEN, Ended, Run, Site, as_two_sites, now_ms
from tests.terminal.test_demo import ESCAPE, on_a_terminal

HOST = "127.0.0.1"
PATH = f"checkpoints/{HOST}.json"
SECRET_SUMMARY = "A personal matter of Größe \u202e"


def record(record_id: int, created: str = "2026-03-01T12:00:00.000+0000") -> dict[str, Any]:
    return {"id": record_id, "created": created, "summary": SECRET_SUMMARY}


REFUSED = Letter("refused", "the rows are refused (HTTP 400)", HOST, record(17), 400)
UNREADABLE = Letter("unreadable", "no readable created time", HOST, record(18, "soon"))
ORIGINAL = Letter.original(HOST, record(19))


@dataclass
class Place:
    """A store with letters in it, and the command line on it."""

    run: Run
    get: Callable[[str], bytes | None]
    put: Callable[[str, bytes], object]
    rows: Callable[[], int]
    more: tuple[str | Path, ...] = ()

    def __call__(self, *arguments: str | Path) -> Ended:
        ended = self.run(*arguments, *self.more)
        assert TOKEN not in ended.out + ended.err
        if "show" not in arguments:
            assert "personal" not in ended.out + ended.err
        return ended

    def collected(self) -> None:
        """As a run has left it that found nothing."""
        first = Checkpoint.first(HOST, now_ms() - 24 * HOUR_MS, now_ms())
        self.put(PATH, first.encode(now_ms()))

    def checkpoint(self) -> Checkpoint:
        return decode(self.get(PATH) or b"", HOST)


def folder(request: pytest.FixtureRequest) -> Place:
    path: Path = request.getfixturevalue("tmp_path")
    for letter in (REFUSED, UNREADABLE, ORIGINAL):
        assert LocalLetters(path, wiring.CLOCK).keep(letter)
    (path / "dead-letters" / HOST / "undated" / "half-written.new").touch()
    table = path / "Jira_Audit_CL.jsonl"

    def put(name: str, content: bytes) -> None:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)

    return Place(
        request.getfixturevalue("run"),
        lambda name: (path / name).read_bytes() if (path / name).exists() else None,
        put,
        lambda: len(table.read_bytes().splitlines()) if table.exists() else 0,
        ("--folder", path),
    )


def blobs(request: pytest.FixtureRequest) -> Place:
    container: ContainerClient = request.getfixturevalue("blob_container")
    identity: Identity = request.getfixturevalue("identity")
    ingestion: Ingestion = request.getfixturevalue("ingestion")
    os.environ |= {
        **identity.environment,
        "DATA_COLLECTION_ENDPOINT": ingestion.endpoint,
        "LOGS_DCR_RULE_ID": RULE,
        "AzureWebJobsStorage": request.getfixturevalue("azurite"),
        "CHECKPOINT_CONTAINER": str(container.container_name),
    }
    for letter in (REFUSED, UNREADABLE, ORIGINAL):
        assert BlobLetters(container, wiring.CLOCK).keep(letter)

    def get(name: str) -> bytes | None:
        blob = container.get_blob_client(name)
        return blob.download_blob().readall() if blob.exists() else None

    return Place(
        request.getfixturevalue("run"),
        get,
        lambda name, content: container.upload_blob(name, content, overwrite=True),
        lambda: sum(call.rows for call in ingestion.calls if call.status == 204),
    )


@pytest.fixture(params=[folder, pytest.param(blobs, marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, site: Site) -> Place:
    make: Callable[[pytest.FixtureRequest], Place] = request.param
    return make(request)


@pytest.fixture
def local(request: pytest.FixtureRequest, site: Site) -> Place:
    return folder(request)


# Dead letters and originals


def test_letters_are_listed_without_their_records(place: Place) -> None:
    ended = place("dead-letters", "list")

    assert (ended.code, ended.err) == (0, "")
    lines = [line.split("\t") for line in ended.out.splitlines()]
    assert [(site, name, kind, reason) for site, name, kind, _, reason in lines] == [
        (HOST, "2026-03-01/17", "refused", "the rows are refused (HTTP 400)"),
        (HOST, "undated/18", "unreadable", "no readable created time"),
    ]


def test_letters_are_listed_as_json(local: Place) -> None:
    ended = local("dead-letters", "list", "--json")

    first, _ = [json.loads(line) for line in ended.out.splitlines()]
    assert list(first) == ["site", "name", "kind", "status", "kept", "reason"]
    assert (first["name"], first["status"]) == (REFUSED.name, 400)


def test_letter_that_cannot_be_read_is_listed_as_such(local: Place) -> None:
    local.put(REFUSED.name, b"garbled \x1b[2J")

    ended = local("dead-letters", "list")

    assert ended.code == 0
    assert f"2026-03-01/17\tgarbled\t\t{REFUSED.name} cannot be read as a letter" in ended.out
    shown = local("dead-letters", "show", "2026-03-01/17")
    assert shown.code == 1
    assert shown.out == "garbled \\u001b[2J\n"
    assert shown.err == f"{HOST}: {REFUSED.name} cannot be read as a letter (JSONDecodeError)\n"


def test_letters_are_a_table_on_a_terminal(local: Place) -> None:
    os.environ["TERM"] = "xterm-256color"

    shown = on_a_terminal("dead-letters", "list", *local.more)

    assert "reason" in shown
    assert "2026-03-01/17" in shown
    assert ESCAPE in shown
    assert "personal" not in shown


@pytest.mark.parametrize("name", ["2026-03-01/17", REFUSED.name])
def test_letter_is_shown_exactly(place: Place, name: str) -> None:
    ended = place("dead-letters", "show", name)

    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["record"] == record(17)
    assert "Größe \\u202e" in ended.out


def test_originals_are_listed_and_shown_but_never_sent(place: Place) -> None:
    assert place("originals", "list").out == f"{HOST}\t2026-03-01/19\n"
    assert json.loads(place("originals", "show", "2026-03-01/19").out)["kind"] == "truncated"
    assert place("originals", "replay", "2026-03-01/19").code == 2
    assert place("dead-letters", "replay", ORIGINAL.name).code == 2
    assert place.rows() == 0


@pytest.mark.parametrize("command", ["show", "replay"])
@pytest.mark.parametrize("name", ["../../x", f"../checkpoints/{HOST}", PATH, "/etc/passwd", "17"])
def test_letter_with_an_invalid_name_is_a_usage_error(
    local: Place, command: str, name: str
) -> None:
    ended = local("dead-letters", command, name)

    assert (ended.code, ended.out) == (2, "")
    assert "NAME" in ended.err


def test_letter_that_is_missing_exits_with_1(place: Place) -> None:
    ended = place("dead-letters", "show", "2026-03-01/20")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"{HOST}: there is no dead-letters/{HOST}/2026-03-01/20.json: run jira-audit dead-letters "
        f"list --site {HOST}\n"
    )


def test_replay_sends_letters_and_deletes_them_once_accepted(place: Place) -> None:
    place.collected()
    ended = place("dead-letters", "replay", "2026-03-01/17")

    assert ended.code == 0
    assert ended.out == f"{HOST}: 1 dead letter sent again and deleted.\n"
    assert f"INFO {REFUSED.name} was accepted, and is deleted" in ended.err
    assert place.rows() == 1
    assert place.get(REFUSED.name) is None
    assert place.get(UNREADABLE.name)
    again = place("dead-letters", "replay", "2026-03-01/17")
    assert again.code == 1
    assert f"WARNING {REFUSED.name} is kept: there is no such letter" in again.err
    assert place.rows() == 1


def test_replay_says_what_stays_and_why_and_exits_with_1(place: Place) -> None:
    place.collected()
    ended = place("dead-letters", "replay", "--all")

    assert ended.code == 1
    assert ended.out == f"{HOST}: 1 dead letter sent again and deleted; 1 kept.\n"
    *_, why, what_to_do = ended.err.splitlines()
    assert why == (f"WARNING {UNREADABLE.name} is kept: the record has no readable created time")
    assert f"jira-audit dead-letters discard NAME --site {HOST} --reason TEXT" in what_to_do


def test_replay_is_reported_as_json(local: Place) -> None:
    local.collected()
    ended = local("dead-letters", "replay", "--all", "--json")

    assert json.loads(ended.out) == {
        "site": HOST,
        "sent": [REFUSED.name],
        "gone": [],
        "kept": [{"name": UNREADABLE.name, "reason": "the record has no readable created time"}],
        "skipped": False,
        "error": None,
    }


@pytest.mark.servers
def test_replay_that_is_stopped_says_what_to_do(request: pytest.FixtureRequest, site: Site) -> None:
    place = blobs(request)
    os.environ["LOGS_DCR_RULE_ID"] = "dcr-ffffffffffffffffffffffffffffffff"

    place.collected()
    ended = place("dead-letters", "replay", "--all")

    assert ended.code == 1
    assert ended.out == f"{HOST}: no dead letter was sent; an error stopped the rest.\n"
    (said,) = ended.err.splitlines()
    assert said.startswith(f"{HOST}: ")
    assert "check LOGS_DCR_RULE_ID" in said
    assert place.get(REFUSED.name)


def test_before_the_first_run_nothing_is_sent_again(place: Place) -> None:
    ended = place("dead-letters", "replay", "--all")

    assert ended.code == 1
    assert f"{HOST} has no checkpoint: run collect once first" in ended.err
    assert place.get(PATH) is None
    assert place.rows() == 0


@pytest.mark.parametrize("arguments", [[], ["--all", "2026-03-01/17"]])
def test_replay_needs_either_names_or_all(local: Place, arguments: list[str]) -> None:
    assert local("dead-letters", "replay", *arguments).code == 2
    assert local.rows() == 0


def test_site_that_another_run_holds_exits_with_1(local: Place, tmp_path: Path) -> None:
    lease = LocalCheckpoints(tmp_path, wiring.CLOCK).take(Checkpoint.first(HOST, 0, 0))
    assert lease
    before = local.get(PATH)

    replayed = local("dead-letters", "replay", "--all")
    discarded = local("dead-letters", "discard", "2026-03-01/17", "--reason", "a test")
    reset = local("checkpoint", "reset", "--from", "all", "--yes")
    lease.release()

    assert (replayed.code, discarded.code, reset.code) == (1, 1, 1)
    assert "another run holds the lease" in replayed.out
    assert "another run holds the lease" in discarded.out
    assert local.get(REFUSED.name)
    assert "another run holds the lease" in reset.err
    assert local.get(PATH) == before
    assert local.rows() == 0


def test_letters_list_says_on_standard_error_that_it_is_empty(local: Place) -> None:
    local.collected()
    local("dead-letters", "replay", "2026-03-01/17")
    (Path(local.more[1]) / UNREADABLE.name).unlink()

    ended = local("dead-letters", "list")

    assert (ended.code, ended.out, ended.err) == (0, "", f"{HOST}: no dead letters.\n")


def test_replay_of_all_without_a_letter_says_so(local: Place) -> None:
    local.collected()
    for letter in (REFUSED, UNREADABLE):
        (Path(local.more[1]) / letter.name).unlink()

    ended = local("dead-letters", "replay", "--all")

    assert (ended.code, ended.out, ended.err) == (0, f"{HOST}: there are no dead letters.\n", "")


def test_discard_deletes_letters_with_a_reason(place: Place) -> None:
    ended = place("dead-letters", "discard", "2026-03-01/17", "undated/18", "--reason", "a test")

    assert ended.code == 0
    assert ended.out == f"{HOST}: 2 dead letters discarded.\n"
    for letter in (REFUSED, UNREADABLE):
        assert f"WARNING {letter.name} is discarded: a test" in ended.err
        assert place.get(letter.name) is None
    assert place.get(ORIGINAL.name)
    assert place.rows() == 0


@pytest.mark.parametrize("arguments", [[], ["--reason", " "], ["--reason", "two\nlines"]])
def test_discard_without_a_reason_is_refused(local: Place, arguments: list[str]) -> None:
    assert local("dead-letters", "discard", "2026-03-01/17", *arguments).code == 2
    assert local.get(REFUSED.name)


def test_discard_prints_json_for_programs(local: Place) -> None:
    ended = local(
        *("dead-letters", "discard", "2026-03-01/17", "2026-03-01/20", "--reason", "a test"),
        "--json",
    )

    assert ended.code == 1  # one of them was not there
    assert json.loads(ended.out) == {
        "site": HOST,
        "discarded": [REFUSED.name],
        "absent": [f"dead-letters/{HOST}/2026-03-01/20.json"],
        "skipped": False,
        "error": None,
    }


# The checkpoint


def test_checkpoint_is_shown_for_people_and_as_stored(place: Place) -> None:
    known = Checkpoint(HOST, now_ms() - 50 * HOUR_MS, now_ms() - 2 * HOUR_MS, reset="all#2")
    known = known.reset_to(known.start, known.start, "all#2").read_through(known.through)
    ledger = known.ledger.with_ids([*range(10, 20), 21, 30])
    content = Checkpoint(
        HOST, known.start, known.through, ledger=ledger, swept=known.start, reset="all#2"
    ).encode(now_ms())
    place.put(PATH, content)

    ended = place("checkpoint", "show")

    assert (ended.code, ended.err) == (0, "")
    facts = dict(line.split("\t") for line in ended.out.splitlines())
    assert facts["site"] == HOST
    assert facts["complete up to"].endswith(" UTC, 2 h ago")
    assert facts["ledger"] == "12 ids, 10 to 30 in 3 ranges"
    assert facts["gaps"] == "9 ids: 20, 22 to 29"
    assert facts["step"] == "1 h"
    assert facts["sweep"].startswith("last completed ")
    assert facts["reset"] == "all#2"
    assert facts["saved"]
    assert place("checkpoint", "show", "--json").out.encode() == content + b"\n"
    assert place.get(PATH) == content


def test_checkpoint_is_a_table_on_a_terminal(local: Place) -> None:
    os.environ["TERM"] = "xterm-256color"
    local.put(PATH, Checkpoint.first(HOST, 0, now_ms()).encode(now_ms()))

    shown = on_a_terminal("checkpoint", "show", *local.more)

    assert "1970-01-01 00:00:00 UTC" in shown
    assert "\t" not in shown


def test_checkpoint_that_is_missing_is_reported_and_not_made(place: Place) -> None:
    ended = place("checkpoint", "show")

    assert (ended.code, ended.out) == (0, "")
    assert "no checkpoint yet" in ended.err
    assert place.get(PATH) is None


def test_checkpoint_that_is_garbled_is_shown_and_exits_with_1(place: Place) -> None:
    place.put(PATH, b"{garbled")

    ended = place("checkpoint", "show")

    assert ended.code == 1
    assert "the checkpoint cannot be read" in ended.err
    assert place("checkpoint", "show", "--json").out == "{garbled\n"


def test_checkpoint_that_is_garbled_cannot_steer_a_terminal(local: Place) -> None:
    local.put(PATH, b"{garbled \x1b[2J\x9b \xe2\x80\xae")

    shown = on_a_terminal("checkpoint", "show", "--json", *local.more)

    assert "{garbled \\u001b[2J\\x9b \\u202e" in shown


def test_reset_makes_the_next_run_read_from_its_time(place: Place, site: Site) -> None:
    collect_to = place.more
    assert place.run("collect", *collect_to).code == 0
    through = place.checkpoint().through
    moment = timestamps.text(now_ms() - 5 * HOUR_MS)
    after = [known for known in site.records if known["created"] >= moment[:23]]

    ended = place("checkpoint", "reset", "--from", moment, "--yes")

    assert ended.code == 0
    assert "will be in the table twice" in ended.err
    assert ended.out.startswith(f"{HOST}: the next run reads from {moment[:10]}")
    again = place.checkpoint()
    assert timestamps.text(again.start) == timestamps.text(again.through) == moment
    assert again.through < through
    assert not again.ledger.ranges
    assert place.run("collect", *collect_to).code == 0
    assert place.rows() == 200 + len(after)


@pytest.mark.parametrize(
    ("content", "setting", "kept"),
    [
        (b"{", None, None),
        (b"{", "all#7", "all#7"),
        (b'{"v": 1, "reset": "all#3"}', "all#7", "all#3"),
        (b"", None, None),
    ],
)
def test_reset_replaces_a_garbled_checkpoint(
    place: Place, content: bytes, setting: str | None, kept: str | None
) -> None:
    if setting:
        os.environ["CHECKPOINT_RESET"] = setting
    place.put(PATH, content)

    ended = place("checkpoint", "reset", "--from", "all", "--yes")

    assert ended.code == 0
    assert f"The checkpoint of {HOST} cannot be read." in ended.err
    assert place.checkpoint().reset == kept
    assert timestamps.text(place.checkpoint().start) == "2002-01-01T00:00:00.000Z"


def test_reset_keeps_the_applied_setting_and_unknown_fields(
    local: Place,
) -> None:
    known = Checkpoint(HOST, 0, 1, reset="all#1", unknown={"later": 1})
    local.put(PATH, known.encode(0))
    os.environ["CHECKPOINT_RESET"] = "all#1"

    ended = local("checkpoint", "reset", "--from", "2026-03-01T00:00Z", "--yes")

    assert "CHECKPOINT_RESET" not in ended.err
    assert local.checkpoint().reset == "all#1"
    assert local.checkpoint().unknown == {"later": 1}
    assert "NOT read" in ended.err  # from 1970 to then


def test_reset_warns_of_a_setting_still_to_be_applied(local: Place) -> None:
    local.put(PATH, Checkpoint(HOST, 0, 1, reset="all#1").encode(0))
    os.environ["CHECKPOINT_RESET"] = "all#2"

    ended = local("checkpoint", "reset", "--from", "all", "--yes")

    assert "the next run applies it after this reset" in ended.err


def test_reset_makes_a_checkpoint_where_there_was_none(place: Place) -> None:
    ended = place("checkpoint", "reset", "--from", "all", "--yes")

    assert ended.code == 0
    assert f"{HOST} has no checkpoint yet." in ended.err
    assert place.checkpoint().swept is not None


def test_reset_leaves_a_newer_versions_checkpoint(local: Place) -> None:
    local.put(PATH, b'{"v": 2, "reset": null}')

    ended = local("checkpoint", "reset", "--from", "all", "--yes")

    assert ended.code == 1
    assert "newer version" in ended.err
    assert local.get(PATH) == b'{"v": 2, "reset": null}'


@pytest.mark.parametrize("moment", ["2999-01-01T00:00:00Z", "2026-03-01T00:00:00", "soon", "ALL"])
def test_reset_refuses_a_time_that_is_invalid_or_in_the_future(local: Place, moment: str) -> None:
    ended = local("checkpoint", "reset", "--from", moment, "--yes")

    assert ended.code == 2
    assert "--from" in ended.err
    assert local.get(PATH) is None


def test_reset_without_a_yes_changes_nothing(local: Place) -> None:
    ended = local("checkpoint", "reset", "--from", "all")

    assert ended.code == 1
    assert "Reset the checkpoint?" in ended.err
    assert local.get(PATH) is None


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1)])
def test_reset_asks_on_standard_error(local: Place, answer: str, code: int) -> None:
    arguments = ["checkpoint", "reset", "--from", "all", *map(str, local.more)]

    ended = CliRunner().invoke(cli, arguments, input=answer)

    assert ended.exit_code == code
    assert ended.stderr.endswith("[y/N] " if code == 0 else "[y/N] Nothing was changed.\n")
    assert ended.stdout == (
        "" if code else f"{HOST}: the next run reads from 2002-01-01 00:00:00 UTC on.\n"
    )


# Around


@pytest.mark.parametrize(
    "command",
    [
        *(["dead-letters"], ["dead-letters", "list"], ["dead-letters", "show"]),
        *(["dead-letters", "replay"], ["dead-letters", "discard"]),
        *(["originals", "list"], ["originals", "show"]),
        *(["checkpoint"], ["checkpoint", "show"], ["checkpoint", "reset"]),
    ],
)
def test_help_of_every_command_is_at_most_80_columns(run: Run, command: list[str]) -> None:
    ended = run(*command, "--help")

    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80


def test_settings_that_are_wrong_are_listed_and_exit_with_2(run: Run) -> None:
    ended = run("dead-letters", "list")

    assert ended.code == 2
    named = {line.split()[0] for line in ended.err.splitlines()}
    assert named >= {"JIRA_SITE_URL", "AzureWebJobsStorage"}


def test_folder_that_is_missing_is_a_usage_error(run: Run, site: Site, tmp_path: Path) -> None:
    ended = run("checkpoint", "reset", "--from", "all", "--yes", "--folder", tmp_path / "new")

    assert ended.code == 2
    assert list(tmp_path.iterdir()) == []


def test_jira_is_never_asked(local: Place, site: Site) -> None:
    for command in (("dead-letters", "list"), ("checkpoint", "show")):
        local(*command)
    local("dead-letters", "replay", "--all")
    local("checkpoint", "reset", "--from", "all", "--yes")

    assert site.asked == 0


# Several sites


def test_site_must_be_named_if_there_are_several(run: Run, site: Site, tmp_path: Path) -> None:
    as_two_sites()
    assert run("collect", "--folder", tmp_path).code == 0

    unnamed = run("checkpoint", "show", "--folder", tmp_path)
    named = run("checkpoint", "show", "--folder", tmp_path, "--site", "LOCALHOST")
    unknown = run("checkpoint", "show", "--folder", tmp_path, "--site", "other.atlassian.net")

    assert (unnamed.code, unknown.code) == (2, 2)
    assert "name one of 127.0.0.1, localhost" in " ".join(unnamed.err.replace("│", "").split())
    assert named.code == 0
    assert "site\tlocalhost" in named.out
    told = run("status", "--folder", tmp_path).out.splitlines()
    assert {line.split("\t")[0] for line in told} == {"127.0.0.1", "localhost"}
