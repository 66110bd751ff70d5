"""The command that tells how every site is, on a local folder and on blobs."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from jira_audit import wiring
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.edge.blobs import BlobCheckpoints
from jira_audit.edge.local import LocalCheckpoints
from jira_audit.flow.ports import Checkpoints, Lease
from tests.terminal.conftest import HOUR_MS, Run, Site, as_two_sites, now_ms
from tests.terminal.test_demo import on_a_terminal
from tests.terminal.test_operate import HOST, PATH, Place, blobs, folder

COLUMNS = (
    *(
        "site",
        "verdict",
        "last run",
        "from",
        "complete up to",
        "lag",
        "records",
        "dead letters",
        "late",
        "gaps",
    ),
    *("backfill", "token", "running since", "in the table up to"),
)


@pytest.fixture(params=[folder, pytest.param(blobs, marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, site: Site) -> Place:
    make: Callable[[pytest.FixtureRequest], Place] = request.param
    return make(request)


@pytest.fixture
def local(request: pytest.FixtureRequest, site: Site) -> Place:
    return folder(request)


def collect(place: Place) -> int:
    return place.run("collect", *place.more).code


def test_status_of_a_site_is_one_line(place: Place) -> None:
    assert collect(place) == 0
    place.put(f"backfills/{HOST}.json", Checkpoint.first(HOST, 0, 0).encode(0))
    os.environ["JIRA_TOKEN_EXPIRES"] = "2999-01-01"

    ended = place("status")

    assert ended.code == 1
    assert ended.err.splitlines() == [
        f"{HOST}: 2 dead letters wait: run jira-audit dead-letters list --site {HOST}"
    ]
    [line] = ended.out.splitlines()
    facts = dict(zip(COLUMNS, line.split("\t"), strict=True))
    assert facts["site"] == HOST
    assert facts["verdict"] == "dead letters"
    assert facts["last run"].startswith("ok, ")
    assert facts["records"] == "200"
    assert (facts["dead letters"], facts["late"], facts["gaps"]) == ("2", "0", "0")
    assert facts["backfill"] == "1970-01-01 00:00:00 UTC to 1970-01-01 00:00:00 UTC"
    assert facts["token"] == "2999-01-01"


def test_status_names_its_columns_in_help(run: Run) -> None:
    text = " ".join(run("status", "--help").out.split())

    assert f"each site is a tab-separated line: {', '.join(COLUMNS)}. Exit code" in text


def test_status_as_json_says_the_same(place: Place) -> None:
    assert collect(place) == 0

    [line] = place("status", "--json").out.splitlines()

    told = json.loads(line)
    assert (told["state"], told["verdict"]) == ("ok", "dead letters")
    assert told["last"]["rows"] == told["dealt_with"] == 200
    assert told["letters"] == 2
    assert told["token_expires"] is None


def test_status_of_a_failed_run_exits_with_1_and_says_what_to_do(place: Place, site: Site) -> None:
    assert collect(place) == 0
    site.refusal = 403
    assert collect(place) == 1

    ended = place("status")

    assert ended.code == 1
    assert ended.out.startswith(f"{HOST}\tfailed\tfailed, ")
    assert "lacks the global permission Administer Jira" in ended.err
    assert json.loads(place("status", "--json").out)["last"]["outcome"] == "failed"


def test_status_of_a_site_without_a_run_is_new(place: Place) -> None:
    ended = place("status")

    assert ended.code == 1
    assert ended.out.startswith(f"{HOST}\tdead letters\tnew\t")
    assert "no run has saved a checkpoint yet" in ended.err
    assert place.get(PATH) is None


def test_status_of_a_garbled_checkpoint_names_the_remedy(place: Place) -> None:
    place.put(PATH, b"{garbled")

    ended = place("status")

    assert ended.code == 1
    assert ended.out.startswith(f"{HOST}\tfailed\tunreadable\t")
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

    assert all(line.isprintable() for line in ended.err.splitlines())
    assert len(ended.err.splitlines()[0]) < 2_100
    assert "outcome=ok\\u001b]0;owned\\u0007\\u001b[2J\\u009b\\u202e[red]m[/]AAA" in ended.err


def test_status_ignores_a_file_that_is_named_after_no_site(
    local: Place, run: Run, tmp_path: Path
) -> None:
    assert collect(local) == 0
    (tmp_path / "checkpoints" / "x\x1b[2J jira_audit site=a.json").write_bytes(b"{}")

    ended = local("status")

    assert len(ended.out.splitlines()) == len(ended.err.splitlines()) == 1


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

    assert f"\t{ends}, in 5 days\t" in local("status").out


def test_status_of_one_site_is_a_list_on_a_terminal(local: Place) -> None:
    os.environ["TERM"] = "xterm-256color"
    known = Checkpoint(HOST, now_ms() - 50 * HOUR_MS, now_ms() - 26 * HOUR_MS)
    known = known.ended({"outcome": "partial"}, 4)
    local.put(PATH, known.encode(now_ms()))

    shown = on_a_terminal("status", *local.more)

    assert "partial, " in shown
    assert "1 d 2 h" in shown
    assert "\t" not in shown


def test_status_of_several_sites_is_one_line_each_at_80_columns(
    run: Run, site: Site, tmp_path: Path
) -> None:
    os.environ |= {"TERM": "xterm-256color", "COLUMNS": "80", "NO_COLOR": "1"}
    as_two_sites()
    assert run("collect", "--folder", tmp_path).code == 0
    host = "jira-of-contoso.atlassian.net"
    known = Checkpoint.first(host, now_ms(), now_ms())
    content = known.ended({"outcome": "failed", "error": f"{host}: x"}, 0).encode(now_ms())
    (tmp_path / "checkpoints" / f"{host}.json").write_bytes(content)

    shown = on_a_terminal("status", "--folder", tmp_path).replace("\r", "")

    lines = [line.split() for line in shown.splitlines() if " ago" in line]
    assert sorted(line[0] for line in lines) == [HOST, host, "localhost"]
    assert all({"ago"} < set(line[1:]) for line in lines)
    assert not [line for line in shown.splitlines() if line.split()[:1] == ["ago"]]


def test_status_includes_every_site_and_every_wrong_entry(
    run: Run, site: Site, tmp_path: Path
) -> None:
    as_two_sites({"url": "https://contoso.atlassian.net", "username": "nobody"})
    assert run("collect", "--folder", tmp_path).code == 1

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
    assert "api_token_setting" in told[0]["problem"]
    assert ended.out.splitlines()[0].startswith("contoso.atlassian.net\tfailed\tbroken\t")
    assert ended.err.splitlines()[-1] == "3 sites: 1 failed, 2 ok"


def test_status_of_several_sites_is_a_table_on_a_terminal(
    run: Run, site: Site, tmp_path: Path
) -> None:
    as_two_sites()
    assert run("collect", "--folder", tmp_path).code == 0
    os.environ["TERM"] = "xterm-256color"

    shown = on_a_terminal("status", "--folder", tmp_path)

    # A heading of two words wraps if a time beside it is long, such as `640 ms ago`.
    for word in ("lag", "last run", "localhost", "127.0.0.1"):
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


# The verdict


DEAD_FOR = 14 * 24 * HOUR_MS


def put_dead(place: Place) -> None:
    """A connector that died two weeks ago, while it held the lease; its token has expired."""
    assert collect(place) == 0
    known = place.checkpoint()
    old = replace(known, start=known.start - DEAD_FOR, through=known.through - DEAD_FOR)
    place.put(PATH, old.encode(now_ms() - DEAD_FOR))
    os.environ["JIRA_TOKEN_EXPIRES"] = "2026-01-31"


def hold(place: Place) -> Lease:
    """Another run's lease on the site."""
    if place.more:
        stores: Checkpoints = LocalCheckpoints(Path(place.more[1]), wiring.CLOCK)
    else:
        address, name = os.environ["AzureWebJobsStorage"], os.environ["CHECKPOINT_CONTAINER"]
        container = ContainerClient.from_connection_string(address, name)
        stores = BlobCheckpoints(container, 60, wiring.CLOCK)
    lease = stores.take(place.checkpoint())
    assert lease is not None
    return lease


def test_dead_connector_is_judged_in_text_and_json(place: Place) -> None:
    put_dead(place)
    lease = hold(place)
    try:
        ended, as_json = place("status"), place("status", "--json")
    finally:
        lease.release()

    assert (ended.code, as_json.code) == (1, 1)
    assert ended.out.split("\t")[:2] == [HOST, "failed"]
    verdicts = ["failed", "token expired", "late", "dead letters"]
    told = json.loads(as_json.out)
    assert told["verdict"] == "failed"
    assert told["running_since"] is not None
    assert [each["verdict"] for each in told["findings"]] == verdicts
    assert ended.err.splitlines() == [each["sentence"] for each in told["findings"]]
    for words in ("break the lease", "expired", "check that the Function App runs", "2 dead"):
        assert words in ended.err


def test_dead_connector_is_bad_in_the_report(local: Place, run: Run, tmp_path: Path) -> None:
    put_dead(local)
    page = tmp_path / "report.html"

    assert run("report", "--out", page, "--folder", tmp_path).code == 0

    assert "<span class=bad>late</span>" in page.read_text()
    assert "check that the Function App runs" in page.read_text()


def test_late_site_exits_with_1(local: Place, tmp_path: Path) -> None:
    put_dead(local)
    del os.environ["JIRA_TOKEN_EXPIRES"]
    for letter in (tmp_path / "dead-letters" / HOST).glob("*/*.json"):
        letter.unlink()

    ended = local("status")

    assert (ended.code, ended.out.split("\t")[1]) == (1, "late")


@pytest.mark.parametrize(("limit", "verdict"), [("3d", "ok"), ("25h", "late"), ("90m", "late")])
def test_lag_beyond_its_limit_is_late(
    limit: str, verdict: str, run: Run, site: Site, tmp_path: Path
) -> None:
    behind = Checkpoint(HOST, now_ms() - 50 * HOUR_MS, now_ms() - 26 * HOUR_MS)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / PATH).write_bytes(behind.ended({"outcome": "ok"}, 0).encode(now_ms()))

    ended = run("status", "--folder", tmp_path, "--max-lag", limit)

    assert ended.out.split("\t")[1] == verdict
    assert ended.code == (verdict != "ok")


def test_limit_that_is_no_duration_is_refused(local: Place) -> None:
    ended = local("status", "--max-lag", "soon")

    assert ended.code == 2
    assert "30m" in ended.err


def test_sites_are_filtered_by_name_and_by_verdict(run: Run, site: Site, tmp_path: Path) -> None:
    as_two_sites({"url": "https://contoso.atlassian.net", "username": "nobody"})
    assert run("collect", "--folder", tmp_path).code == 1

    def named(*options: str) -> tuple[int, list[str]]:
        ended = run("status", "--folder", tmp_path, *options)
        return ended.code, [line.split("\t")[0] for line in ended.out.splitlines()]

    assert named("--failing") == (1, ["contoso.atlassian.net"])
    assert named("--site", "localhost", "--site", HOST) == (0, [HOST, "localhost"])
    assert named("--site", "localhost", "--failing") == (0, [])
    assert named("--site", "contoso.atlassian.net") == (1, ["contoso.atlassian.net"])
    assert run("status", "--folder", tmp_path, "--site", "contosso").code == 2


def test_verdict_is_coloured_on_a_terminal(local: Place) -> None:
    put_dead(local)
    os.environ["TERM"] = "xterm-256color"

    assert "\x1b[1;31mtoken expired" in on_a_terminal("status", *local.more)
