"""That the table is read back whole or not at all, and that every answer says who acts. The server
answers as Microsoft's does: their own query library reads the same from it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.core.exceptions import ClientAuthenticationError
from azure.monitor.query import LogsQueryClient, LogsQueryResult

from jira_audit.core import timestamps
from jira_audit.core.activity import Activity, count, span
from jira_audit.core.completeness import TableInventory
from jira_audit.core.errors import ConnectorError, SiteError, TransientError
from jira_audit.core.ledger import Ledger
from jira_audit.core.records import COLUMNS, identify, to_row
from jira_audit.core.review.review import review
from jira_audit.core.timestamps import DAY, HOUR
from jira_audit.core.window import Window
from jira_audit.edge import workspace as workspace_
from jira_audit.edge.identity import Tokens, managed_identity
from jira_audit.edge.workspace import (
    OLDEST_QUERY,
    REVIEWED,
    Workspace,
    held_query,
    rows_query,
)
from jira_audit.simulator.records import sample_records
from tests.conftest import needed
from tests.deploy import kql
from tests.fakes.credential import FixedToken
from tests.fakes.world import Time
from tests.servers.identity import Identity
from tests.servers.workspace import (
    DROPPED,
    FORBIDDEN,
    PARTIAL,
    WORKSPACE,
    Fault,
    QueryService,
    refusal,
)

pytestmark = pytest.mark.servers

SITE = "contoso.atlassian.net"
NOW = timestamps.parse("2026-11-20T12:00:00Z")
RANGE = Window(NOW - DAY, NOW)
JSON = {"Content-Type": "application/json"}


def row(number: int, created: int = NOW - HOUR, site: str | None = SITE) -> dict[str, Any]:
    at = timestamps.text(created)
    return {"TimeGenerated": at, "id_d": number, "created_t": at} | (
        {"site_s": site} if site else {}
    )


@pytest.fixture
def service(
    authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[QueryService]:
    signer, certificate = authority
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    with QueryService([]).serve(signer) as server:
        yield server


@pytest.fixture
def time() -> Time:
    return Time(NOW)


def workspace_of(service: QueryService, time: Time, **changes: Any) -> Workspace:
    given: dict[str, Any] = {
        "workspace": WORKSPACE,
        "endpoint": service.endpoint,
        "credential": lambda: Tokens(managed_identity(None, time.clock), time.clock),
        "clock": time.clock,
        "only_site": False,
    }
    return Workspace(**given | changes)


@pytest.fixture
def workspace(service: QueryService, identity: Identity, time: Time) -> Workspace:
    return workspace_of(service, time)


def inventory_of(*ids: int, **copies: int) -> TableInventory:
    return TableInventory(
        Ledger().with_ids(ids), {int(number[1:]): times for number, times in copies.items()}
    )


# The inventory


def test_inventory_counts_the_rows_of_each_id(service: QueryService, workspace: Workspace) -> None:
    service.rows = [row(each) for each in (5, 6, 7, 9, 6, 6, 2**53 - 1)]

    assert workspace.held(SITE, RANGE) == inventory_of(5, 6, 7, 9, 2**53 - 1, n6=3)


def test_inventory_of_an_empty_table_is_empty(workspace: Workspace) -> None:
    assert workspace.held(SITE, RANGE) == inventory_of()


def test_inventory_excludes_other_sites_and_times(
    service: QueryService, workspace: Workspace
) -> None:
    service.rows = [
        *(row(1, RANGE.start), row(2, RANGE.end)),
        *(row(3, RANGE.start - 1), row(4, RANGE.end + 1)),
        *(row(5, site="other.atlassian.net"), row(6, site=None), row(7, site="")),
        {"TimeGenerated": timestamps.text(NOW), "site_s": SITE, "created_t": timestamps.text(NOW)},
    ]

    assert workspace.held(SITE, RANGE) == inventory_of(1, 2)


def test_rows_under_a_former_name_count_as_well(
    service: QueryService, workspace: Workspace
) -> None:
    service.rows = [row(1), row(2, site="old.net"), row(1, site="old.net"), row(3, site="x.net")]

    assert workspace.held(SITE, RANGE, ("old.net",)) == inventory_of(1, 2, n1=2)


def test_inventory_of_the_only_site_includes_classic_rows(
    service: QueryService, identity: Identity, time: Time
) -> None:
    service.rows = [row(6, site=None), row(7, site=""), row(8, site="other.atlassian.net"), row(9)]

    assert workspace_of(service, time, only_site=True).held(SITE, RANGE) == inventory_of(6, 7, 9)


def test_inventory_includes_rows_written_at_any_later_time(
    service: QueryService, workspace: Workspace, time: Time
) -> None:
    long_ago = Window(NOW - 90 * DAY, NOW - 89 * DAY)
    late = row(1, long_ago.start) | {"TimeGenerated": timestamps.text(NOW)}
    early = row(2, long_ago.start) | {"TimeGenerated": timestamps.text(long_ago.start - HOUR)}
    service.rows = [late, early]

    assert workspace.held(SITE, long_ago) == inventory_of(1, 2)


@pytest.mark.parametrize(
    "numbers",
    [
        range(1, 1_200),  # two full blocks and one begun
        [*range(490, 510), *range(600, 700, 3), 5_000],
        [-501, -500, -499, -3, 0, 499, 500, 501],
        [],
    ],
)
def test_inventory_of_any_ids_is_exact_with_one_query(
    numbers: Iterable[int], service: QueryService, workspace: Workspace
) -> None:
    numbers = list(numbers)
    service.rows = [row(each) for each in [*reversed(numbers), *numbers[::7]]]

    found = workspace.held(SITE, RANGE)

    assert found == TableInventory(Ledger().with_ids(numbers), dict.fromkeys(numbers[::7], 2))
    assert len(service.queries) == 1


def test_inventory_of_a_day_without_gaps_is_a_short_answer(
    service: QueryService, identity: Identity, time: Time
) -> None:
    service.rows = [row(each) for each in range(10_000, 13_000)]

    found = workspace_of(service, time, limit=600).held(SITE, RANGE)

    assert found == inventory_of(*range(10_000, 13_000))


def test_inventory_that_is_too_long_is_an_error(
    service: QueryService, identity: Identity, time: Time
) -> None:
    service.rows = [row(each) for each in range(10_000, 13_000, 2)]

    with pytest.raises(TransientError, match="response is too long"):
        workspace_of(service, time, limit=600).held(SITE, RANGE)


def test_oldest_row_is_that_of_any_site(service: QueryService, workspace: Workspace) -> None:
    assert workspace.oldest() is None

    old = {"TimeGenerated": timestamps.text(NOW - 90 * DAY), "id_d": 5}
    service.rows = [row(1), old, row(2, site="other.atlassian.net")]

    assert workspace.oldest() == NOW - 90 * DAY


def test_inventory_is_what_microsofts_own_library_reads(
    service: QueryService, workspace: Workspace, identity: Identity, time: Time
) -> None:
    service.rows = [row(each) for each in (5, 6, 7, 9, 6)]
    workspace.held(SITE, RANGE)
    credential = managed_identity(None, time.clock)
    library = LogsQueryClient(credential, endpoint=service.endpoint)

    answer = library.query_workspace(WORKSPACE, service.queries[0], timespan=None)

    assert isinstance(answer, LogsQueryResult)
    (found,) = answer.tables
    rows = {row[0]: row[1:] for row in map(list, found.rows)}
    assert found.columns == list(COLUMNS_HELD)
    assert rows.pop(2) == [6, 6, ""]
    assert {copies: sorted(json.loads(each[-1])) for copies, each in rows.items()} == {1: [5, 7, 9]}


# Queries


def test_query_quotes_any_site_name(service: QueryService, workspace: Workspace) -> None:
    service.rows = [row(1)]

    assert workspace.held('x" or true or "x" == "x', RANGE) == inventory_of()


def test_query_is_valid_for_kustos_analyser() -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    columns = {name: "bool" if kind == "boolean" else kind for name, kind in COLUMNS.items()}
    queries = [held_query([SITE], RANGE, only_site=only_site) for only_site in (False, True)]

    oldest, *held = kql.analyse({"Jira_Audit_CL": columns}, [OLDEST_QUERY, *queries])

    assert (oldest.problems, oldest.columns) == ([], {"oldest": "datetime"})
    for analysis in held:
        assert analysis.problems == []
        long = dict.fromkeys(("copies", "least", "most"), "long")
        assert analysis.columns == long | {"records": "string"}


@pytest.mark.parametrize(
    "fault",
    [
        PARTIAL,
        DROPPED,
        refusal(429, "ThrottledError"),
        refusal(504, "GatewayTimeout"),
        Fault(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>"),
        Fault(200, {"Content-Type": "text/html"}, b"<html>sign in</html>"),
        Fault(200, {"Content-Type": "application/json"}, b'{"tables": ['),
        Fault(500),
    ],
)
def test_query_is_retried_after_a_transient_or_partial_answer(
    fault: Fault, service: QueryService, workspace: Workspace, time: Time
) -> None:
    service.rows = [row(each) for each in range(10)]
    service.script(fault, None)

    assert workspace.held(SITE, RANGE) == inventory_of(*range(10))
    assert len(time.slept) == 2


def test_query_is_retried_after_the_time_asked_for(
    service: QueryService, workspace: Workspace, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    throttled = refusal(429, "ThrottledError")
    service.script(Fault(429, {**throttled.headers, "Retry-After": "17"}, throttled.body))

    with caplog.at_level(logging.WARNING):
        workspace.held(SITE, RANGE)

    assert time.slept == [0.0, 17.0]
    assert (
        "limits the rate of queries (HTTP 429: ThrottledError; wait: 17 seconds) (retrying"
        in caplog.text
    )


@pytest.mark.parametrize("wait", ["10000000000", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_query_does_not_wait_for_years(
    wait: str, service: QueryService, workspace: Workspace, time: Time
) -> None:
    throttled = refusal(429, "ThrottledError")
    service.script(Fault(429, {**throttled.headers, "Retry-After": wait}, throttled.body))

    with pytest.raises(TransientError, match=r"wait: more than 1000 days.*try again later"):
        workspace.held(SITE, RANGE)

    assert time.slept == [0.0]


@pytest.mark.parametrize("fault", [PARTIAL, DROPPED, refusal(503, "ServiceUnavailable")])
def test_query_that_keeps_failing_is_an_error(
    fault: Fault, service: QueryService, workspace: Workspace
) -> None:
    service.rows = [row(1)]
    service.script(*[fault] * 9)

    with pytest.raises(TransientError):
        workspace.held(SITE, RANGE)

    assert len(service.queries) == 5


# Errors


@pytest.mark.parametrize(
    ("fault", "kind", "sentence"),
    [
        (FORBIDDEN, SiteError, "needs the role Log Analytics Reader"),
        (refusal(403, "InvalidAuthenticationToken"), SiteError, "InvalidAuthenticationToken"),
        (refusal(401, "AuthenticationFailed"), SiteError, "another tenant or cloud"),
        (refusal(404, "WorkspaceNotFoundError"), SiteError, "not its name or resource id"),
        (
            refusal(400, "BadArgumentError", "SemanticError", "SEM0100"),
            SiteError,
            "lacks columns that the connector writes (HTTP 400: BadArgumentError, SEM0100)",
        ),
        (Fault(418), SiteError, "not documented (HTTP 418)"),
        (Fault(302, {"Location": "https://elsewhere.example/"}), SiteError, "HTTP 302"),
    ],
)
def test_refusal_says_what_to_do_and_is_not_retried(
    fault: Fault,
    kind: type[ConnectorError],
    sentence: str,
    service: QueryService,
    workspace: Workspace,
    time: Time,
) -> None:
    service.script(fault)

    with pytest.raises(kind) as raised:
        workspace.held(SITE, RANGE)

    assert sentence in str(raised.value)
    assert time.slept == [0.0]
    assert len(service.queries) == 1


HOSTILE = "A\x1b[2J\r\njira_audit site=a.atlassian.net outcome=ok\u202e" + 3_000 * "B"


@pytest.mark.parametrize("status", [400, 403, 500])
def test_error_with_a_hostile_code_is_one_short_line(
    status: int, service: QueryService, workspace: Workspace
) -> None:
    service.script(*[refusal(status, HOSTILE, HOSTILE + "inner")] * 5)

    with pytest.raises(ConnectorError) as raised:
        workspace.held(SITE, RANGE)

    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600
    assert f"(HTTP {status}: A\\u001b[2J jira_audit site=" in str(raised.value)


def table(*columns: str, rows: Any = ()) -> dict[str, Any]:
    typed = [{"name": name, "type": "long"} for name in columns]
    return {"name": "PrimaryResult", "columns": typed, "rows": rows}


COLUMNS_HELD = ("copies", "least", "most", "records")

NOT_THE_TABLE: list[Any] = [
    [],
    None,
    5,
    {},
    {"tables": []},
    {"tables": 5},
    {"tables": [{}]},
    {"tables": [table(*COLUMNS_HELD), table(*COLUMNS_HELD)]},
    {"tables": [table("copies", rows=[[1]])]},
    {"tables": [table(*COLUMNS_HELD, rows=[[1]])]},
    {"tables": [table(*COLUMNS_HELD, rows=[["a", "b", "c", "d"]])]},
    {"tables": [table(*COLUMNS_HELD, rows=[[1, None, 1, ""]])]},
    {"tables": [table(*COLUMNS_HELD, rows=[[1, 1, 10**9, ""]])]},
    {"tables": [table(*COLUMNS_HELD, rows=[[1, 1, 2, "[1"]])]},
    {"tables": [table(*COLUMNS_HELD, rows=[[1, 1, 2, '[1, "2"]']])]},
    {"tables": [table(*COLUMNS_HELD, rows=5)]},
    {"error": {"code": "A", "innererror": 5}},
]

SAYS_NO_TABLE = "the workspace answered HTTP 200, but the body is not the table"


@pytest.mark.parametrize("content", NOT_THE_TABLE)
def test_error_of_an_answer_that_is_no_table_is_a_sentence(
    content: Any, service: QueryService, workspace: Workspace
) -> None:
    service.script(*[Fault(200, JSON, json.dumps(content).encode())] * 5)

    with pytest.raises(TransientError, match=SAYS_NO_TABLE):
        workspace.held(SITE, RANGE)


@pytest.mark.parametrize("rows", [[["a"]], [["a", "b"]], [["a", None]], [[5, 5, 5, 5]], [[]]])
def test_error_of_an_activity_of_another_form_is_a_sentence(
    rows: Any, service: QueryService, workspace: Workspace
) -> None:
    columns = ("name", "rows", "more", "most")[: len(rows[0])]
    content = {"tables": [table(*columns, rows=rows)]}
    service.script(*[Fault(200, JSON, json.dumps(content).encode())] * 20)

    with pytest.raises(TransientError, match=SAYS_NO_TABLE):
        workspace.activity([SITE], RANGE)


def test_error_of_a_partial_answer_is_one_short_line(
    service: QueryService, workspace: Workspace
) -> None:
    partial = {
        "tables": [{"name": "PrimaryResult", "columns": [], "rows": []}],
        "error": {"code": HOSTILE, "message": "x"},
    }
    service.script(*[Fault(200, JSON, json.dumps(partial).encode())] * 5)

    with pytest.raises(TransientError) as raised:
        workspace.held(SITE, RANGE)

    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600
    assert "only part of the result (A\\u001b[2J jira_audit" in str(raised.value)


def test_error_of_a_partial_answer_does_not_show_the_token(
    service: QueryService, identity: Identity, time: Time
) -> None:
    token = managed_identity(None, time.clock).get_token(f"{service.endpoint}/.default").token
    partial = {"tables": [table(*COLUMNS_HELD)], "error": {"code": f"Bad:{token}"}}
    service.script(*[Fault(200, JSON, json.dumps(partial).encode())] * 5)
    tokens = Tokens(FixedToken(token), time.clock)

    with pytest.raises(TransientError, match=r"\(Bad:\*\*\*\)"):
        workspace_of(service, time, credential=lambda: tokens).held(SITE, RANGE)


def test_error_that_repeats_the_token_does_not_show_it(
    service: QueryService, workspace: Workspace, identity: Identity, time: Time
) -> None:
    token = managed_identity(None, time.clock).get_token(f"{service.endpoint}/.default").token
    service.script(refusal(403, f"Bad:{token}"))
    tokens = Tokens(FixedToken(token), time.clock)

    with pytest.raises(SiteError, match=r"HTTP 403: Bad:\*\*\*"):
        workspace_of(service, time, credential=lambda: tokens).held(SITE, RANGE)


def test_error_names_a_missing_workspace(
    service: QueryService, identity: Identity, time: Time
) -> None:
    with pytest.raises(SiteError, match="no such workspace"):
        workspace_of(service, time, workspace="f" * 36).held(SITE, RANGE)


def test_error_names_missing_columns(service: QueryService, workspace: Workspace) -> None:
    service.columns = {name: kind for name, kind in service.columns.items() if name != "site_s"}

    with pytest.raises(SiteError, match="lacks columns that the connector writes"):
        workspace.held(SITE, RANGE)


def test_error_of_an_unreachable_service_is_transient(identity: Identity, time: Time) -> None:
    nowhere = QueryService([])
    nowhere.endpoint = "https://127.0.0.1:9"

    with pytest.raises(TransientError, match="could not be reached"):
        workspace_of(nowhere, time).held(SITE, RANGE)


# Tokens


def test_token_is_for_the_query_service_only(
    service: QueryService, workspace: Workspace, identity: Identity
) -> None:
    workspace.held(SITE, RANGE)
    workspace.held(SITE, RANGE)

    [call] = identity.calls  # one token serves all
    assert call["resource"] == service.endpoint


class NoToken:
    """A developer who is not signed in."""

    def get_token(self, *_: str, **__: Any) -> Any:
        raise ClientAuthenticationError("no credential in this chain gave a token")

    get_token_info = get_token


def test_token_that_is_missing_says_to_sign_in(service: QueryService, time: Time) -> None:
    tokens = Tokens(NoToken(), time.clock)

    with pytest.raises(SiteError, match="run az login"):
        workspace_of(service, time, credential=lambda: tokens).held(SITE, RANGE)

    assert service.queries == []


# Activity


def sample_rows() -> list[dict[str, Any]]:
    """Rows as the connector makes them, some late, some of a site with odd records."""
    rows = []
    for number, known in enumerate(
        sample_records(400, first_id=10_000, end_ms=NOW, span_ms=3 * DAY, seed=5)
    ):
        identity = identify(known)
        written = min(identity.created + (number * 791_900) % (30 * HOUR), NOW + 20 * HOUR)
        rows.append(
            json.loads(to_row(known, identity, site=SITE, generated=timestamps.text(written)).line)
        )
    odd = [{"authorKey_s": "admin", "authorAccountId_s": "5b10a2844c20165700ede21g"}]
    odd += [{"authorKey_s": "ug:1"}, {"authorKey_s": "UG:2", "authorAccountId_s": "3"}]
    odd += [{"Category": 'a "quoted" one', "summary_s": "<script>alert(1)</script>"}]
    odd += [{"objectItem_name_s": "alone"}, {"objectItem_typeName_s": "USER"}]
    rows += [row(n) | more | {"TimeGenerated": timestamps.text(NOW)} for n, more in enumerate(odd)]
    return rows


@pytest.mark.parametrize("length", [DAY, 4 * DAY, 30 * DAY])
def test_activity_equals_the_count_of_the_rows(
    length: int, service: QueryService, workspace: Workspace
) -> None:
    window = Window(NOW - length, NOW)
    service.rows = sample_rows()

    found = workspace.activity([SITE], window)

    assert found == count(service.rows, window)
    assert found.rows > 100
    assert len(found.delays) >= 3


def test_review_of_the_rows_equals_that_of_the_table(
    service: QueryService, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_, "ROWS_PAGE", 90)
    service.rows = sample_rows()
    window = Window(NOW - 4 * DAY, NOW)

    found = review(workspace.rows([SITE], window, 10_000), window)

    expected = review(service.rows, window)
    assert replace(found, people=expected.people) == expected
    assert len(found.administrators) + len(found.auditing) > 5
    assert len(service.queries) == 5


def test_rows_are_the_latest_of_each_site(
    service: QueryService, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_, "ROWS_PAGE", 2)
    others = [row(n, NOW - n * HOUR, site="other.atlassian.net") for n in range(1, 3)]
    service.rows = [row(n, NOW - HOUR - n // 2) for n in range(1, 9)] + others

    found = list(workspace.rows([SITE, "other.atlassian.net"], RANGE, 5))

    assert [each["id_d"] for each in found] == [1, 3, 2, 5, 4, 1, 2]
    assert timestamps.parse(found[0]["created_t"]) == NOW - HOUR


@pytest.mark.parametrize("before", [1, HOUR])
def test_rows_of_one_moment_are_each_read_once(
    before: int, service: QueryService, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_, "ROWS_PAGE", 3)
    service.rows = [row(n, NOW - before) for n in range(8)]

    found = list(workspace.rows([SITE], RANGE, 100))

    assert [each["id_d"] for each in found] == [7, 6, 5, 4, 3, 2, 1, 0]


def test_error_of_rows_that_repeat_a_page_is_a_sentence(
    service: QueryService, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace_, "ROWS_PAGE", 1)
    page = {"tables": [table("id_d", "created_t", rows=[[1, "2026-11-20T09:00:00Z"]])]}
    page["tables"][0]["columns"][1]["type"] = "datetime"
    service.script(*[Fault(200, JSON, json.dumps(page).encode())] * 9)

    with pytest.raises(TransientError, match=SAYS_NO_TABLE):
        list(workspace.rows([SITE], RANGE, 100))
    assert len(service.queries) == 2


def test_span_is_from_the_first_to_the_last_record(
    service: QueryService, workspace: Workspace
) -> None:
    assert workspace.span([SITE], RANGE) is None
    service.rows = [row(1, NOW - 7), row(2, NOW - 5 * HOUR), row(3, NOW - 9 * DAY)]

    assert workspace.span([SITE], RANGE) == Window(NOW - 5 * HOUR, NOW - 7)
    assert workspace.span([SITE], RANGE) == span(service.rows, RANGE)


def test_activity_is_of_the_given_sites(service: QueryService, workspace: Workspace) -> None:
    service.rows = [row(1), row(2, site="other.atlassian.net"), row(3, site="third.atlassian.net")]

    assert workspace.activity([SITE, "other.atlassian.net"], RANGE).sites == {
        SITE: 1,
        "other.atlassian.net": 1,
    }


def test_activity_of_an_empty_table_is_empty(workspace: Workspace) -> None:
    assert workspace.activity([SITE], RANGE) == Activity(RANGE)


def test_activity_queries_are_valid_for_kustos_analyser(
    service: QueryService, workspace: Workspace
) -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    columns = {name: "bool" if kind == "boolean" else kind for name, kind in COLUMNS.items()}
    workspace.activity([SITE], RANGE)
    workspace.span([SITE], RANGE)
    list(workspace.rows([SITE], RANGE, 1))
    later = rows_query(SITE, RANGE, only_site=True, before=NOW, number=7)

    found = kql.analyse({"Jira_Audit_CL": columns}, [*service.queries, later])

    assert [each.problems for each in found] == [[]] * 10
    assert [each.columns.get("rows") for each in found[:7]] == ["long"] * 7
    assert all(set(REVIEWED) < set(each.columns) for each in found[8:])
