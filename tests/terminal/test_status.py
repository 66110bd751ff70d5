"""The command that tells how every site is, on a local folder and on blobs."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jira_audit.core.checkpoint import Checkpoint
from tests.terminal.conftest import HOUR_MS, Run, Site, as_two_sites, now_ms
from tests.terminal.test_demo import on_a_terminal
from tests.terminal.test_operate import HOST, PATH, Place, blobs, folder

COLUMNS = (
    *(
        "site",
        "last run",
        "from",
        "complete up to",
        "lag",
        "records",
        "dead letters",
        "late",
        "gaps",
    ),
    *("backfill", "token"),
)


@pytest.fixture(params=[folder, pytest.param(blobs, marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, site: Site) -> Place:
    make: Callable[[pytest.FixtureRequest], Place] = request.param
    return make(request)


@pytest.fixture
def local(request: pytest.FixtureRequest, site: Site) -> Place:
    return folder(request)


def collect(place: Place) -> int:
    to = ("--to", place.more[1]) if place.more else ()
    return place.run("collect", *to).code


def test_status_of_a_site_is_one_line(place: Place) -> None:
    assert collect(place) == 0
    place.put(f"backfills/{HOST}.json", Checkpoint.first(HOST, 0, 0).encode(0))
    os.environ["JIRA_TOKEN_EXPIRES"] = "2999-01-01"

    ended = place("status")

    assert (ended.code, ended.err) == (0, "")
    [line] = ended.out.splitlines()
    facts = dict(zip(COLUMNS, line.split("\t"), strict=True))
    assert facts["site"] == HOST
    assert facts["last run"].startswith("ok, ")
    assert facts["records"] == "200"
    assert (facts["dead letters"], facts["late"], facts["gaps"]) == ("2", "0", "0")
    assert facts["backfill"] == "1970-01-01 00:00:00 UTC to 1970-01-01 00:00:00 UTC"
    assert facts["token"] == "2999-01-01"


def test_status_as_json_says_the_same(place: Place) -> None:
    assert collect(place) == 0

    [line] = place("status", "--json").out.splitlines()

    told = json.loads(line)
    assert told["state"] == "ok"
    assert told["last"]["rows"] == told["dealt_with"] == 200
    assert told["letters"] == 2
    assert told["token_expires"] is None


def test_status_of_a_failed_run_exits_with_1_and_says_what_to_do(place: Place, site: Site) -> None:
    assert collect(place) == 0
    site.refusal = 403
    assert collect(place) == 1

    ended = place("status")

    assert ended.code == 1
    assert ended.out.startswith(f"{HOST}\tfailed, ")
    assert "lacks the global permission Administer Jira" in ended.err
    assert json.loads(place("status", "--json").out)["last"]["outcome"] == "failed"


def test_status_of_a_site_without_a_run_is_new(place: Place) -> None:
    ended = place("status")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{HOST}\tnew\t")
    assert place.get(PATH) is None


def test_status_of_a_garbled_checkpoint_names_the_remedy(place: Place) -> None:
    place.put(PATH, b"{garbled")

    ended = place("status")

    assert ended.code == 1
    assert ended.out.startswith(f"{HOST}\tunreadable\t")
    assert f"Run jira-audit checkpoint reset --site {HOST} --from TIME" in ended.err


HOSTILE = (
    "X\r\njira_audit site=a outcome=ok\x1b]0;owned\x07\x1b[2J\x9b\u202e[red]m[/]" + 9_000 * "A"
)


def put_hostile(place: Place) -> None:
    known = Checkpoint.first(HOST, now_ms(), now_ms())
    place.put(PATH, known.ended({"outcome": "failed", "error": HOSTILE}, 0).encode(now_ms()))


def test_status_shows_a_stored_error_on_one_printable_line(place: Place) -> None:
    put_hostile(place)

    ended = place("status")

    assert ended.err.rstrip("\n").isprintable()
    assert len(ended.err) < 2_100
    assert "outcome=ok\\u001b]0;owned\\u0007\\u001b[2J\\u009b\\u202e[red]m[/]AAA" in ended.err


def test_status_ignores_a_file_that_is_named_after_no_site(
    local: Place, run: Run, tmp_path: Path
) -> None:
    assert collect(local) == 0
    (tmp_path / "checkpoints" / "x\x1b[2J jira_audit site=a.json").write_bytes(b"{}")

    ended = local("status")

    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) == 1


@pytest.mark.parametrize("command", [("status", "--json"), ("checkpoint", "show", "--json")])
def test_status_in_json_is_printable_on_a_terminal(command: tuple[str, ...], local: Place) -> None:
    put_hostile(local)

    shown = on_a_terminal(*command, *local.more).replace("\r", "")

    assert {each for each in shown if not each.isprintable()} <= {"\n"}
    assert "outcome=ok" in shown


def test_status_counts_the_days_until_the_token_expires(local: Place) -> None:
    assert collect(local) == 0
    ends = (datetime.now(UTC) + timedelta(days=5)).date()
    os.environ["JIRA_TOKEN_EXPIRES"] = str(ends)

    assert local("status").out.rstrip().endswith(f"{ends}, in 5 days")


def test_status_of_one_site_is_a_list_on_a_terminal(local: Place) -> None:
    os.environ["TERM"] = "xterm-256color"
    known = Checkpoint(HOST, now_ms() - 50 * HOUR_MS, now_ms() - 26 * HOUR_MS)
    known = known.ended({"outcome": "partial"}, 4)
    local.put(PATH, known.encode(now_ms()))

    shown = on_a_terminal("status", *local.more)

    assert "partial, " in shown
    assert "1 d 2 h" in shown
    assert "\t" not in shown


def test_status_includes_every_site_and_every_wrong_entry(
    run: Run, site: Site, tmp_path: Path
) -> None:
    as_two_sites({"url": "https://contoso.atlassian.net", "username": "nobody"})
    assert run("collect", "--to", tmp_path).code == 1

    ended = run("status", "--folder", tmp_path)
    told = [
        json.loads(line)
        for line in run("status", "--folder", tmp_path, "--json").out.split("\n")
        if line
    ]

    assert ended.code == 1
    assert "api_token_setting" in ended.err
    assert {each["site"]: each["state"] for each in told} == {
        HOST: "ok",
        "localhost": "ok",
        "contoso.atlassian.net": "broken",
    }
    assert "api_token_setting" in told[-1]["problem"]
    assert ended.out.splitlines()[-1].startswith("contoso.atlassian.net\tbroken\t")


def test_status_of_several_sites_is_a_table_on_a_terminal(
    run: Run, site: Site, tmp_path: Path
) -> None:
    as_two_sites()
    assert run("collect", "--to", tmp_path).code == 0
    os.environ["TERM"] = "xterm-256color"

    shown = on_a_terminal("status", "--folder", tmp_path)

    # A heading of two words wraps if a time beside it is long, such as `640 ms ago`.
    for word in ("lag", "records", "dead", "letters", "localhost", "127.0.0.1"):
        assert word in shown
    assert "\t" not in shown


def test_status_never_asks_jira(local: Place, site: Site) -> None:
    local("status")

    assert site.asked == 0


def test_status_with_wrong_settings_exits_with_2(run: Run) -> None:
    os.environ["JIRA_SITE_URL"] = "contoso.atlassian.net"

    ended = run("status")

    assert ended.code == 2
    names = [line.split()[0] for line in ended.err.splitlines()]
    assert names == ["JIRA_SITE_URL", "AzureWebJobsStorage"]
