"""One name for one thing in all commands, times in every form, and one table of exit codes."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from jira_audit import __version__
from jira_audit.core import timestamps
from jira_audit.core.outcome import Tally
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.operations.exit_codes import MEANINGS, ExitCode
from jira_audit.settings.load import BEGINNING_OF_ALL
from jira_audit.terminal.cli import cli
from jira_audit.terminal.collect import Progress
from jira_audit.terminal.times import parse_duration, parse_from, parse_range, parse_to
from tests.docs.commands import commands
from tests.servers.ingestion import Fault, Ingestion
from tests.terminal.conftest import ROOT, Run, Site, as_two_sites
from tests.terminal.test_operate import blobs

NOW = timestamps.parse("2026-11-27T21:00:00Z")
MIDNIGHT = timestamps.parse("2026-11-27T00:00:00Z")

COMMANDS = commands(cli)


def options(name: str) -> dict[str, Any]:
    """The options of a command, by each of their names."""
    return {name: option for option in COMMANDS[name].params for name in option.opts}


# Names


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"demo", "report"}])
def test_every_command_that_answers_does_so_in_json(name: str) -> None:
    assert options(name)["--json"].is_flag


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "check"])
def test_every_command_has_a_local_folder_of_the_same_name(name: str) -> None:
    assert options(name)["--folder"].metavar == "DIR"
    assert not {"--dir", "--env-file"} & set(options(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_name_means_the_same_in_every_command(name: str) -> None:
    meant = {
        "--from": "TIME|all",
        "--to": "TIME",
        "--folder": "DIR",
        "--settings": "FILE",
        "--site": "HOST",
        "--out": "FILE",
        "--workspace": "ID",
    }

    for option, metavar in meant.items():
        if option in options(name):
            assert options(name)[option].metavar == metavar


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_no_type_beside_a_flag(name: str, run: Run) -> None:
    assert "bool" not in run(*name.split(), "--help").out


# Times


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20", timestamps.parse("2026-11-20T00:00:00Z")),
        ("2026-11-20T12:00:00+02:00", timestamps.parse("2026-11-20T10:00:00Z")),
        ("30d", NOW - 30 * DAY),
        ("12h", NOW - 12 * HOUR),
        ("90m", NOW - 90 * 60_000),
        ("2w", NOW - 14 * DAY),
        ("999999d", 0),
        ("all", BEGINNING_OF_ALL),
    ],
)
def test_times_are_iso_times_dates_and_durations(text: str, moment: int) -> None:
    assert parse_from(text, NOW) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20", timestamps.parse("2026-11-21T00:00:00Z") - 1),
        ("2026-11-27", NOW),
        ("2026-11-20T00:00:00Z", timestamps.parse("2026-11-20T00:00:00Z")),
        ("1d", NOW - DAY),
    ],
)
def test_time_to_which_a_date_leads_includes_that_day(text: str, moment: int) -> None:
    assert parse_to(text, NOW) == moment


def test_range_of_one_date_is_that_day() -> None:
    window = parse_range("2026-11-20", "2026-11-20", NOW, default=0)

    assert window.length == DAY


@pytest.mark.parametrize(
    "text",
    ["soon", "2026-11-20T12:00:00", "20261120", "2026-W47-5", "30", "-3d", "3y", "2026-11-31", ""],
)
def test_time_of_another_form_is_refused_with_every_form(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is not a time such as 2026-03-01, .* or 12h"):
        parse_from(text, NOW)


@pytest.mark.parametrize("text", ["2026-11-28", "2026-11-27T21:00:01Z"])
def test_time_in_the_future_is_refused(text: str) -> None:
    for parse in parse_from, parse_to:
        with pytest.raises(typer.BadParameter, match="is in the future"):
            parse(text, NOW)


def test_duration_of_another_form_is_refused() -> None:
    assert parse_duration("6h", "--max-lag") == 6 * HOUR
    with pytest.raises(typer.BadParameter, match="is not a duration such as"):
        parse_duration("2026-11-20", "--max-lag")


# Output


def test_collect_in_json_is_an_object_for_each_site(run: Run, site: Site, tmp_path: Path) -> None:
    ended = run("collect", "--folder", tmp_path, "--json")

    told = json.loads(ended.out)
    assert (told["site"], told["outcome"], told["rows"]) == ("127.0.0.1", "ok", 200)
    assert told["error"] is None
    site.refusal = 403
    told = json.loads(run("collect", "--folder", tmp_path, "--json").out)
    assert told["outcome"] == "failed"
    assert told["error"].startswith("127.0.0.1: Jira refuses")


def test_backfill_in_json_has_its_range(run: Run, site: Site, tmp_path: Path) -> None:
    os.environ["INITIAL_LOOKBACK_HOURS"] = "1"
    assert run("collect", "--folder", tmp_path).code == 0

    ended = run("backfill", "--from", "1d", "--folder", tmp_path, "--json")

    told = json.loads(ended.out)
    assert ended.code == 0
    assert (told["site"], told["outcome"]) == ("127.0.0.1", "ok")
    assert told["from"] < told["to"]


def test_version_has_a_short_option(run: Run) -> None:
    assert run("-V").out == f"{__version__}\n"


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_collect_that_is_quiet_prints_only_what_is_not_ok(
    run: Run, site: Site, tmp_path: Path, option: str
) -> None:
    well = run("collect", "--folder", tmp_path, option)
    site.refusal = 503
    ill = run("collect", "--folder", tmp_path, option)

    assert (well.code, well.out, well.err) == (0, "", "")
    assert ill.code == 1
    assert ill.out.startswith("127.0.0.1: failed")
    assert [line.split()[:2] for line in ill.err.splitlines()] == [["ERROR", "127.0.0.1:"]]


def test_collect_says_each_thing_once(run: Run, site: Site, tmp_path: Path) -> None:
    assert run("collect", "--folder", tmp_path).code == 0

    ended = run("collect", "--folder", tmp_path)

    assert (len(ended.out.splitlines()), ended.err) == (1, "")
    assert "INFO jira_audit site=127.0.0.1" in run("collect", "--folder", tmp_path, "-v").err


def test_collect_works_on_the_sites_that_are_named(run: Run, site: Site, tmp_path: Path) -> None:
    as_two_sites({"url": "https://contoso.atlassian.net", "username": "nobody"})

    named = run("collect", "--folder", tmp_path, "--site", "LOCALHOST")
    both = run("collect", "--folder", tmp_path)
    wrong = run("collect", "--folder", tmp_path, "--site", "contoso.atlassian.net")

    assert named.code == 0
    assert [line.split(":")[0] for line in named.out.splitlines()] == ["localhost"]
    assert (both.code, len(both.out.splitlines())) == (1, 3)
    assert "ERROR contoso.atlassian.net: settings: JIRA_SITES[3]: api_token_setting" in both.err
    assert (wrong.code, wrong.out) == (1, "contoso.atlassian.net: could not start.\n")
    assert run("collect", "--folder", tmp_path, "--site", "other.atlassian.net").code == 2


def test_progress_of_collect_shows_from_now_and_how_far() -> None:
    one, another = Tally(), Tally()
    begin = NOW - 10 * DAY
    progress = Progress({"a.example": one, "b.example": another}, NOW)
    assert progress.text() == "2 sites: connecting, 0 records, 0 rows"

    one.position, another.position = begin, NOW
    progress.text()
    one.position, one.records, another.rows = begin + 5 * DAY, 1_200, 34

    assert progress.text() == (
        "2 sites: 2 begun, the furthest behind a.example: at 2026-11-22 21:00:00 UTC, 50% of "
        "2026-11-17 21:00:00 UTC to 2026-11-27 21:00:00 UTC, 1,200 records, 34 rows"
    )


@pytest.mark.parametrize("command", [("verify", "--from", "1d"), ("report",)])
def test_workspace_that_is_no_guid_is_refused_before_any_request(
    run: Run, site: Site, command: tuple[str, ...]
) -> None:
    ended = run(*command, "--workspace", "sentinel")

    assert ended.code == 2
    assert "a GUID" in ended.err
    assert "customerId" in ended.err
    assert site.asked == 0


@pytest.mark.servers
def test_ingestion_that_refuses_is_named_with_its_site(
    run: Run, request: pytest.FixtureRequest, site: Site
) -> None:
    blobs(request)
    ingestion: Ingestion = request.getfixturevalue("ingestion")
    ingestion.script(Fault(403))

    ended = run("collect", "--quiet")

    assert ended.code == 1
    assert ended.err.startswith("ERROR 127.0.0.1: the identity may not send")


# Completion


def completed(**environment: str) -> str:
    """What the command says to a shell that completes."""
    code = "import sys; from jira_audit.__main__ import main; sys.argv[0] = 'jira-audit'; main()"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_shell_completes_commands_and_options() -> None:
    words = {"_JIRA_AUDIT_COMPLETE": "complete_bash", "COMP_CWORD": "1"}

    assert completed(COMP_WORDS="jira-audit co", **words).split() == ["collect"]
    options = completed(**{**words, "COMP_WORDS": "jira-audit status --f", "COMP_CWORD": "2"})
    assert options.split() == ["--failing", "--folder"]


# Exit codes


def test_exit_codes_are_one_table_in_help(run: Run) -> None:
    table = run("--help").out.split("Exit codes")[1]

    words = " ".join(table.split())
    for code, meaning in MEANINGS.items():
        assert f" {code.value} {meaning}" in words
    assert list(MEANINGS) == list(ExitCode)


def test_exit_codes_are_written_in_no_other_place() -> None:
    """Every command ends with a member of the table, never with a number of its own."""
    for path in sorted((ROOT / "jira_audit" / "terminal").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "typer.Exit":
                assert not any(isinstance(each, ast.Constant) for each in node.args), path
