"""The command that verifies: what it says, writes, sends, and with which exit code it ends."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import trustme

from jira_audit import __version__, wiring
from jira_audit.core import timestamps
from jira_audit.core.checkpoint import decode
from jira_audit.core.ledger import Ledger
from jira_audit.core.records import TABLE_FILE
from jira_audit.edge.local import LocalCheckpoints
from jira_audit.operations import verify
from jira_audit.settings.azure import PUBLIC_CLOUD
from jira_audit.terminal.certificate import page
from tests.servers.identity import Identity
from tests.servers.ingestion import Ingestion
from tests.servers.workspace import FORBIDDEN, WORKSPACE, QueryService
from tests.terminal.conftest import HOUR_MS, Run, Site, as_two_sites, now_ms
from tests.terminal.test_demo import on_a_terminal
from tests.terminal.test_operate import HOST, PATH, Place, blobs, folder

FROM = ("--from", timestamps.text(now_ms() - 23 * HOUR_MS))


def collect(place: Place) -> int:
    return place.run("collect", *place.more).code


@pytest.fixture(params=[folder, pytest.param(blobs, marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, site: Site) -> Place:
    make: Callable[[pytest.FixtureRequest], Place] = request.param
    made = make(request)
    assert collect(made) == 0
    return made


@pytest.fixture
def local(request: pytest.FixtureRequest, site: Site) -> Place:
    made = folder(request)
    assert collect(made) == 0
    return made


@pytest.fixture
def service(
    request: pytest.FixtureRequest,
    authority: tuple[trustme.CA, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[QueryService]:
    """The workspace that the ingestion service's rows go to."""
    ingestion: Ingestion = request.getfixturevalue("ingestion")
    with QueryService(ingestion.rows).serve(authority[0]) as server:
        cloud = replace(PUBLIC_CLOUD, queries=server.endpoint)
        monkeypatch.setattr("jira_audit.settings.azure.PUBLIC_CLOUD", cloud)
        yield server


@pytest.fixture
def azure(request: pytest.FixtureRequest, site: Site) -> Place:
    made = blobs(request)
    assert collect(made) == 0
    return made


def remove_from_ledger(place: Place, *ids: int) -> None:
    """The ledger without these, as if they had never been seen, and no re-read that finds them."""
    known = decode(place.get(PATH) or b"", HOST).without(Ledger().with_ids(ids))
    known = replace(known, start=known.start - 90 * HOUR_MS, swept=known.through + 40 * HOUR_MS)
    place.put(PATH, known.encode(0))


def facts(out: str) -> dict[str, str]:
    return dict(line.split("\t") for line in out.splitlines() if "\t" in line)


def report(place: Place, *arguments: str | Path) -> dict[str, Any]:
    return site_report(place("verify", *FROM, *arguments, "--json").out)


def site_report(text: str | bytes) -> dict[str, Any]:
    """What the report says of its one site, with what it says of all."""
    told: dict[str, Any] = json.loads(text)
    (site,) = told.pop("sites")
    return {**told, **site}


# Answers


def test_verify_finds_nothing_missing_after_a_run(place: Place, site: Site) -> None:
    ended = place("verify", *FROM)

    assert (ended.code, ended.err) == (0, "")
    told = facts(ended.out)
    assert told["in Jira"] == told["delivered"] == str(len(site.records))
    assert told["missing"] == told["unknown"] == "0"
    assert ended.out.splitlines()[-1].startswith(f"{HOST}: nothing is missing. Of 200 records")


def test_verify_names_missing_records_and_exits_with_1(place: Place) -> None:
    remove_from_ledger(place, 10_003, 10_004, 10_005, 10_100)
    if place.more:
        path = Path(place.more[1]) / TABLE_FILE
        rows = [line for line in path.read_text().splitlines() if '"id_d":1000' not in line]
        path.write_text("\n".join(rows) + "\n")

    ended = place("verify", *FROM)

    assert ended.code == 1
    assert " records are MISSING. --repair sends them." in ended.out
    missing = facts(ended.out)["missing"]
    assert missing == ("10: 10000 to 10009" if place.more else "4: 10003 to 10005, 10100")


def test_repair_sends_what_is_missing(place: Place) -> None:
    remove_from_ledger(place, 10_003, 10_100)
    if place.more:
        (Path(place.more[1]) / TABLE_FILE).write_text("")
    before = place.rows()

    ended = place("verify", *FROM, "--repair")

    assert (ended.code, ended.err) == (0, "")
    assert "were missing, and were sent now" in ended.out
    assert place.rows() - before == (200 if place.more else 2)
    assert place("verify", *FROM).code == 0


@pytest.mark.servers
def test_verify_without_ledger_or_table_exits_with_3(
    request: pytest.FixtureRequest, site: Site
) -> None:
    place = blobs(request)
    os.environ["INITIAL_LOOKBACK_HOURS"] = "10"
    assert collect(place) == 0

    ended = place("verify", *FROM)

    assert ended.code == 3
    assert "no ledger covers them. Use --workspace" in ended.out
    assert place("verify", "--from", timestamps.text(now_ms() - 9 * HOUR_MS)).code == 0


@pytest.mark.servers
def test_workspace_table_is_queried(
    azure: Place, service: QueryService, ingestion: Ingestion
) -> None:
    ended = azure("verify", *FROM, "--workspace", WORKSPACE)

    assert (ended.code, ended.err) == (0, "")
    told = facts(ended.out)
    assert told["in the table"] == told["delivered"] == "200"
    assert "is in the table or a dead letter" in ended.out

    lost = ingestion.rows.pop(17)
    ingestion.rows.append(ingestion.rows[3])
    found = report(azure, "--workspace", WORKSPACE, "--wait", "0")
    assert found["answer"] == "missing"
    assert found["missing"]["ids"] == [[lost["id_d"], lost["id_d"]]]
    assert found["doubled"] == {
        "count": 1,
        "ids": [[ingestion.rows[3]["id_d"]] * 2],
        "rows_too_many": 1,
    }
    assert found["delivered"]["count"] == 200  # so the ledger says

    mended = report(azure, "--workspace", WORKSPACE, "--wait", "0", "--repair")
    assert mended["answer"] == "repaired"
    assert mended["repaired"]["sent"]["ids"] == [[lost["id_d"], lost["id_d"]]]
    assert report(azure, "--workspace", WORKSPACE, "--wait", "0")["answer"] == "complete"


@pytest.mark.servers
def test_workspace_that_is_behind_is_exit_code_3(
    azure: Place, service: QueryService, ingestion: Ingestion
) -> None:
    azure.put(PATH, decode(azure.get(PATH) or b"", HOST).encode(0))  # so that nothing is waited for
    ingestion.rows.sort(key=lambda row: str(row["created_t"]))
    behind = ingestion.rows[-20:]
    del ingestion.rows[-20:]
    sent = azure.rows()

    ended = azure("verify", *FROM, "--workspace", WORKSPACE, "--repair")
    told = report(azure, "--workspace", WORKSPACE)

    assert ended.code == 3
    assert "nothing is known to be missing, but the table is behind" in ended.out
    assert "20 that were delivered are not there yet" in ended.out
    assert (told["answer"], told["missing"]["count"]) == ("delayed", 0)
    assert told["delayed"]["count"] == len(behind)
    assert told["table_through"] == ingestion.rows[-1]["created_t"]
    assert azure.rows() == sent


@pytest.mark.servers
def test_workspace_that_may_not_be_read_gives_no_answer(
    azure: Place, service: QueryService
) -> None:
    service.script(FORBIDDEN)

    ended = azure("verify", *FROM, "--workspace", WORKSPACE)

    assert (ended.code, ended.out) == (1, "")
    assert "needs the role Log Analytics Reader" in ended.err


# The report


def test_report_is_written_for_an_auditor_to_file(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "report.json"

    ended = place("verify", *FROM, "--out", file)

    assert ended.code == 0
    assert "nothing is missing" in ended.out
    told = site_report(file.read_bytes())
    assert (told["v"], told["connector"], told["site"]) == (2, __version__, HOST)
    assert told["from"] == FROM[1]
    assert told["from"] < told["complete_up_to"] <= told["to"]
    assert told["to"] <= told["began"] <= told["asked"] <= told["ended"]
    assert told["answer"] == "complete"
    assert told["in_jira"] == {"count": 200, "ids": [[10_000, 10_199]]}
    assert told["delivered"] == {"count": 200, "ids": [[10_000, 10_199]]}
    assert told["missing"] == told["unknown"] == told["kept"] == {"count": 0, "ids": []}
    assert told["checkpoint"]["from"] < told["from"]
    assert told["backfill"] is None
    assert "was looked up by its id" in told["method"]
    assert told["repaired"] is None
    if place.more:
        assert told["table"] == str(Path(place.more[1]) / TABLE_FILE)
        assert told["in_table"] == told["delivered"]
        assert told["doubled"] == {"count": 0, "ids": [], "rows_too_many": 0}
    else:
        assert (told["table"], told["in_table"], told["doubled"]) == (None, None, None)


def test_report_defines_every_answer(local: Place) -> None:
    told = report(local)

    for name in ("delivered", "in_table", "kept", "to_come", "delayed", "missing", "unknown"):
        assert f"{name}: " in told["method"]
        assert name in told


def test_report_on_standard_output_is_alone_and_without_records(place: Place) -> None:
    ended = place("verify", *FROM, "--json")

    assert len(ended.out.splitlines()) == 1
    assert "summary" not in ended.out


# Around


def test_jira_failure_exits_with_1_and_leaves_no_report(
    local: Place, site: Site, tmp_path: Path
) -> None:
    site.refusal = 403

    ended = local("verify", *FROM, "--out", tmp_path / "report.json")

    assert (ended.code, ended.out) == (1, "")
    assert "lacks the global permission Administer Jira" in ended.err
    assert not (tmp_path / "report.json").exists()


def test_repair_leaves_alone_a_site_that_another_run_holds(local: Place, tmp_path: Path) -> None:
    (tmp_path / TABLE_FILE).write_text("")
    take = LocalCheckpoints(tmp_path, wiring.CLOCK).take
    lease = take(decode(local.get(PATH) or b"", HOST))
    assert lease

    ended = local("verify", *FROM, "--repair")
    lease.release()

    assert ended.code == 1
    assert "Another run holds the lease: retry in a few minutes." in ended.out
    assert local.rows() == 0


def test_site_that_is_named_is_the_one_verified(run: Run, site: Site, tmp_path: Path) -> None:
    as_two_sites()
    assert run("collect", "--folder", tmp_path).code == 0
    file = tmp_path / TABLE_FILE
    rows = [line for line in file.read_text().splitlines() if '"site_s":"localhost"' in line]
    file.write_text("\n".join(rows) + "\n")

    assert run("verify", *FROM, "--folder", tmp_path).code == 1
    assert run("verify", *FROM, "--folder", tmp_path, "--site", "localhost").code == 0
    missing = run("verify", *FROM, "--folder", tmp_path, "--site", HOST, "--repair")

    assert missing.code == 0
    assert "200 of 200 records were missing, and were sent now" in missing.out
    assert run("verify", *FROM, "--folder", tmp_path, "--site", HOST).code == 0


@pytest.fixture
def several(run: Run, site: Site, tmp_path: Path) -> Path:
    """A folder with two sites, of which one misses a record, and a third entry that is wrong."""
    as_two_sites({"url": "https://contoso.atlassian.net", "username": "nobody"})
    assert run("collect", "--folder", tmp_path).code == 1
    file = tmp_path / TABLE_FILE
    lines = file.read_text().splitlines()
    lines.remove(next(line for line in lines if '"site_s":"localhost"' in line))
    file.write_text("\n".join(lines) + "\n")
    return tmp_path


def test_report_of_all_sites_has_the_worst_answer_and_each_site(run: Run, several: Path) -> None:
    out = several / "report.json"
    ended = run("verify", *FROM, "--folder", several, "--json", "--out", out)

    told = json.loads(ended.out)
    assert ended.code == 1
    assert json.loads(out.read_bytes()) == told
    assert (told["v"], told["answer"]) == (2, "missing")
    assert told["answers"] == {"missing": 1, "failed": 1, "complete": 1}
    sites = {each["site"]: each for each in told["sites"]}
    assert sites[HOST]["answer"] == "complete"
    assert sites["localhost"]["missing"]["count"] == 1
    assert "JIRA_SITES[3]: api_token_setting is missing" in sites["contoso.atlassian.net"]["error"]
    assert not {"method", "from", "to", "connector"} & set(sites[HOST])


def test_verify_of_all_sites_is_a_line_for_each_and_a_sentence_for_those_not_complete(
    run: Run, several: Path
) -> None:
    ended = run("verify", *FROM, "--folder", several)

    lines = {line.split("\t")[0]: line.split("\t")[1:] for line in ended.out.splitlines()}
    assert lines[HOST] == ["complete", "200", "200", "0", "0", "0"]
    assert lines["localhost"] == ["missing", "200", "200", "0", "1", "0"]
    assert lines["contoso.atlassian.net"] == ["failed", "", "", "", "", ""]
    missing, failed, counted = ended.err.splitlines()
    assert missing == "localhost: 1 of 200 records are MISSING. --repair sends them."
    assert failed.startswith("contoso.atlassian.net: ")
    assert counted == "3 sites: 1 missing, 1 failed, 1 complete"


def test_repair_of_all_sites_sends_what_each_misses(run: Run, several: Path) -> None:
    before = len((several / TABLE_FILE).read_text().splitlines())
    chosen = ("--site", HOST, "--site", "localhost")

    ended = run("verify", *FROM, "--folder", several, *chosen, "--repair")

    assert ended.code == 0
    assert len((several / TABLE_FILE).read_text().splitlines()) == before + 1
    assert ended.err.splitlines()[-1] == "2 sites: 1 repaired, 1 complete"


def test_certificates_of_several_sites_are_files_named_after_them(run: Run, several: Path) -> None:
    run("verify", *FROM, "--folder", several, "--certificate", several / "certificate.html")

    assert {path.name for path in several.glob("certificate*.html")} == {
        f"certificate-{HOST}.html",
        "certificate-localhost.html",
    }


@pytest.mark.parametrize("part", ["read", "repair"])
def test_interrupt_says_how_to_resume_and_leaves_nothing_half_done(
    part: str, local: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / TABLE_FILE).write_text("")
    before = local.get(PATH)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, part, interrupt)

    ended = local("verify", *FROM, "--repair", "--out", tmp_path / "report.json")

    assert (ended.code, ended.out) == (130, "")
    assert "verify again" in ended.err
    assert not (tmp_path / "report.json").exists()
    assert local.get(PATH) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--from", "soon"],
        ["--from", "2999-01-01T00:00:00Z"],
        ["--from", "2026-03-02T00:00:00Z", "--to", "2026-03-01T00:00:00Z"],
        [*FROM, "--wait", "-1"],
        [*FROM, "--out", "."],
    ],
)
def test_range_that_is_invalid_is_a_usage_error(local: Place, arguments: list[str]) -> None:
    ended = local("verify", *arguments)

    assert (ended.code, ended.out) == (2, "")


def test_verify_prints_a_table_and_a_sentence_on_a_terminal(local: Place) -> None:
    os.environ["TERM"] = "xterm-256color"

    shown = on_a_terminal("verify", *FROM, *local.more)

    assert "pending" in shown
    assert "nothing is missing" in shown
    assert "\t" not in shown


def test_verify_with_wrong_settings_exits_with_2(run: Run, tmp_path: Path) -> None:
    assert run("verify", *FROM, "--folder", tmp_path).code == 2


# The daily audit


@pytest.mark.servers
def test_daily_audit_asks_the_workspace_once_with_the_apps_identity(
    azure: Place, service: QueryService, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jira_audit.core.audit.SETTLED_AFTER", 0)  # the records are of today
    before = azure.checkpoint()
    assert before.audit is None
    azure.put(PATH, replace(before, swept=before.through - 25 * HOUR_MS).encode(0))
    os.environ["AUDIT_WORKSPACE_ID"] = WORKSPACE
    service.rows = service.rows[1:]

    ended = azure("collect")

    assert ended.code == 0
    audit = azure.checkpoint().audit
    assert audit
    assert audit.proof
    assert audit.proof.jira == audit.proof.ledger > 100
    assert (audit.proof.table, audit.proof.absent) == (audit.proof.ledger - 1, 1)
    assert (audit.proof.missing, audit.proof.duplicated) == (0, 0)
    assert len(service.queries) == 1
    assert service.endpoint in {call["resource"] for call in identity.calls}
    assert ", 1 not there yet" in azure("status").out


@pytest.mark.servers
def test_daily_audit_that_may_not_ask_is_a_warning_of_a_good_run(
    azure: Place, service: QueryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jira_audit.core.audit.SETTLED_AFTER", 0)
    before = azure.checkpoint()
    azure.put(PATH, replace(before, swept=before.through - 25 * HOUR_MS).encode(0))
    os.environ["AUDIT_WORKSPACE_ID"] = WORKSPACE
    service.script(FORBIDDEN)

    ended = azure("collect")

    assert ended.code == 0
    assert "could not be compared with the ledger" in ended.err
    assert "needs the role Log Analytics Reader" in ended.err
    assert azure.checkpoint().audited is None


# The certificate


class Certificate(HTMLParser):
    """What a certificate's page shows, and the JSON in it."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    @property
    def data(self) -> Any:
        [attributes] = [attributes for tag, attributes in self.tags if tag == "script"]
        assert attributes == {"type": "application/json", "id": "certificate"}
        return json.loads(next(text for text in self.texts if text.startswith("{")))


def test_certificate_is_one_file_with_its_sha_256_beside_it(local: Place, tmp_path: Path) -> None:
    file = tmp_path / "certificate.html"

    ended = local("verify", *FROM, "--certificate", file)

    assert ended.code == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"{file}: SHA-256 {digest}" in ended.out
    beside = tmp_path / "certificate.html.sha256"
    assert beside.read_text(encoding="utf-8") == f"{digest}  certificate.html\n"
    read = Certificate(file.read_bytes())
    assert "Complete: nothing is missing." in read.texts
    assert read.data["site"] == HOST
    assert read.data["verification"]["answer"] == "complete"
    assert read.data["issued"]["versions"]["connector"] == __version__
    assert read.data["issued"]["by"]
    assert f"{read.data['verification']['in_jira']['count']:,}" in read.texts


def test_certificate_needs_nothing_else_and_runs_nothing(local: Place, tmp_path: Path) -> None:
    file = tmp_path / "certificate.html"
    local("verify", *FROM, "--certificate", file)

    read = Certificate(file.read_bytes())

    assert not [tag for tag, attributes in read.tags if {"src", "href"} & set(attributes)]
    [policy] = [its["content"] for _, its in read.tags if its.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_certificate_of_a_loss_says_so(local: Place, tmp_path: Path) -> None:
    table = Path(local.more[1]) / TABLE_FILE
    table.write_bytes(b"".join(table.read_bytes().splitlines(keepends=True)[:-5]))
    file = tmp_path / "certificate.html"

    ended = local("verify", *FROM, "--certificate", file)

    assert ended.code == 1
    read = Certificate(file.read_bytes())
    assert "Records are missing." in read.texts
    assert read.data["verification"]["missing"]["count"] == 5
    assert f"the oldest row, of any site: {read.data['retention']['oldest_row']}" in read.texts


def test_certificate_shows_any_text_as_text() -> None:
    report = {"site": "</script><script>alert(1)</script>", "answer": "complete", "method": "&"}
    report |= dict.fromkeys(("from", "to", "began", "ended", "complete_up_to", "table"), "<b>")
    certificate = {
        "site": report["site"],
        "cloud_id": None,
        "former_hosts": ["<i>"],
        "ids": None,
        "issued": {"by": "<u>", "jira_account": "", "versions": {}},
        "gaps": [],
        "retention": {
            "oldest_record_shown": None,
            "oldest_row": None,
            "missing_before_oldest_row": {"count": 0, "ids": []},
        },
        "daily_audit": {"audited": None, "proof": None},
        "verification": report,
    }

    read = Certificate(page(certificate, {}).encode())

    assert read.data == certificate
    assert not {"b", "i", "u"} & {tag for tag, _ in read.tags}
    assert "alert(1)" not in read.texts
