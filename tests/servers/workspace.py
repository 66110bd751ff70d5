"""A stand-in for Azure Monitor's query API, over TLS: it answers KQL about the rows it is given,
and refuses what the service refuses.

The KQL is run by DuckDB, so what is not supported there is refused as a query that makes no sense.
What the service does when it is slow or stops half-way can be scripted.
https://learn.microsoft.com/azure/azure-monitor/logs/api/overview
"""

import contextlib
import json
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb
import duckdb_kql
import trustme

from tests.servers.identity import audience_of
from tests.servers.ingestion import COLUMNS
from tests.servers.loopback import Handler, Loopback

WORKSPACE = "0a0b0c0d-1111-2222-3333-444455556666"
TABLE = "Jira_Audit_CL"
# https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#log-analytics-workspaces
ROW_LIMIT = 500_000

_DUCKDB = {"bool": "BOOLEAN", "datetime": "TIMESTAMP", "real": "DOUBLE", "string": "VARCHAR"}
_KUSTO = {"BIGINT": "long", "HUGEINT": "long", "INTEGER": "int"} | {
    kind: name for name, kind in _DUCKDB.items()
}

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Fault:
    """What is answered instead of the truth; `status` None drops the connection. With `partial`,
    half of the rows come, and a word that they are not all.
    """

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    partial: bool = False


PARTIAL = Fault(partial=True)
DROPPED = Fault(None)


def refusal(status: int, code: str, *inner: str) -> Fault:
    """An error as the service words it; `inner` are the codes of what lies within it.

    https://learn.microsoft.com/azure/azure-monitor/logs/api/errors
    """
    error: dict[str, Any] = {}
    for each in reversed((code, *inner)):
        error = {"message": f"{each}.", "code": each, **({"innererror": error} if error else {})}
    return Fault(
        status, {"Content-Type": "application/json"}, json.dumps({"error": error}).encode()
    )


FORBIDDEN = refusal(403, "InsufficientAccessError")


class QueryService:
    """The query service over one workspace, which holds `rows` in its one table.

    `queries` are those it was asked, refused ones too; `script(...)` faults come first, one each.
    """

    def __init__(self, rows: Rows, columns: Mapping[str, str] = COLUMNS) -> None:
        self.rows, self.columns = rows, columns
        self.endpoint = ""
        self.queries: list[str] = []
        self._faults: deque[Fault | None] = deque()
        self._lock = threading.Lock()

    def script(self, *faults: Fault | None) -> None:
        """What the next questions meet, one each; None lets one through."""
        self._faults.extend(faults)

    @contextlib.contextmanager
    def serve(self, authority: trustme.CA) -> Iterator["QueryService"]:
        service = self
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)

        class _Handler(Handler):
            def do_POST(self) -> None:
                given = service.receive(self.path, dict(self.headers), self.body())
                if given.status is None:
                    self.drop()
                else:
                    self.answer(given.status, given.body, given.headers)

        with Loopback(_Handler, tls) as server:
            self.endpoint = f"https://localhost:{server.port}"
            yield self

    def receive(self, target: str, headers: Mapping[str, str], raw: bytes) -> Fault:
        with self._lock:
            asked = json.loads(raw)
            self.queries.append(asked["query"])
            fault = self._faults.popleft() if self._faults else None
            if fault is not None and not fault.partial:
                return fault
            return self._admit(target, headers) or self._answer(asked, partial=fault is not None)

    def _admit(self, target: str, headers: Mapping[str, str]) -> Fault | None:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            return refusal(401, "AuthenticationFailed")
        if audience_of(token, time.time()) != self.endpoint:
            return refusal(403, "InvalidAuthenticationTokenAudience")
        if target != f"/v1/workspaces/{WORKSPACE}/query":
            return refusal(404, "WorkspaceNotFoundError")
        return None

    def _answer(self, asked: dict[str, Any], *, partial: bool) -> Fault:
        try:
            return _answer(self._run(asked["query"], asked.get("timespan")), partial=partial)
        except duckdb_kql.KqlSyntaxError:
            return refusal(400, "BadArgumentError", "SyntaxError")
        except (duckdb_kql.KqlError, duckdb.Error):
            return refusal(400, "BadArgumentError", "SemanticError", "SEM0100")

    def _run(self, query: str, timespan: str | None) -> Any:
        connection = duckdb_kql.connect()
        typed = (
            f'"{name}" {_DUCKDB[kind.removesuffix("ean")]}' for name, kind in self.columns.items()
        )
        connection.execute(f'CREATE TABLE "{TABLE}" ({", ".join(typed)})')
        values = [
            [_value(row.get(name), kind) for name, kind in self.columns.items()]
            for row in self.rows
            if timespan is None or _is_within(row["TimeGenerated"], timespan)
        ]
        places = f"({', '.join('?' * len(self.columns))})"
        for begin in range(0, len(values), 100):  # a statement for each row would take much longer
            part = values[begin : begin + 100]
            connection.execute(
                f'INSERT INTO "{TABLE}" VALUES {", ".join([places] * len(part))}',
                [value for row in part for value in row],
            )
        return duckdb_kql.kql(connection, query)


def _value(value: Any, kind: str) -> Any:
    if kind == "datetime" and value is not None:
        return _moment(value).replace(tzinfo=None)
    return value


def _is_within(written: str, timespan: str) -> bool:
    start, end = re.fullmatch("([^/]+)/([^/]+)", timespan).groups()  # type: ignore[union-attr]
    return _moment(start) <= _moment(written) <= _moment(end)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _answer(result: Any, *, partial: bool) -> Fault:
    rows = [[_json_value(value) for value in row] for row in result.fetchall()]
    columns = [
        {"name": name, "type": _KUSTO[str(kind)]}
        for name, kind in zip(result.columns, result.types, strict=True)
    ]
    body: dict[str, Any] = {}
    if partial or len(rows) > ROW_LIMIT:
        rows = rows[: ROW_LIMIT if not partial else len(rows) // 2]
        body["error"] = {
            "code": "PartialError",
            "message": "There were some errors when processing your query.",
            "details": [{"code": "EngineError", "message": "the results exceed a limit"}],
        }
    body["tables"] = [{"name": "PrimaryResult", "columns": columns, "rows": rows}]
    return Fault(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return value
