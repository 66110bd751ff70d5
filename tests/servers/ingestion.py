"""A stand-in for Azure Monitor's Logs Ingestion API, over TLS: it accepts, refuses and loses
what the service does.

What the service does silently (dropping columns, nulling, cutting, losing) is done here too, and
recorded. What it does with stored rows (transformations, queries) is not here.

Run alone, `python -m tests.servers.ingestion --ca FILE` writes the authority's certificate to
FILE, prints one line of JSON with the endpoint, and serves until its standard input ends. GET
/_observed then gives what happened, GET /_rows the rows; POST /_faults takes [{"status": …,
"headers": {…}, "body": …, "accepted": …}, …].
"""

import argparse
import contextlib
import gzip
import json
import re
import ssl
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import trustme

from tests.servers.identity import audience_of
from tests.servers.loopback import Handler, Loopback

AUDIENCE = "https://monitor.azure.com"
RULE = "dcr-0123456789abcdef0123456789abcdef"
STREAM = "Custom-Jira_Audit_CL"
# https://learn.microsoft.com/azure/azure-monitor/service-limits#logs-ingestion-api
CALL_LIMIT = 1_048_576
FIELD_LIMIT = 65_536

# The stream as deployed rules declare it. Written out, not taken from the connector: it is what the
# connector is held to.
COLUMNS: Mapping[str, str] = {
    "TimeGenerated": "datetime",
    "id_d": "real",
    "summary_s": "string",
    "remoteAddress_s": "string",
    "authorKey_s": "string",
    "authorAccountId_s": "string",
    "created_t": "datetime",
    "Category": "string",
    "eventSource_s": "string",
    "description_s": "string",
    "objectItem_id_s": "string",
    "objectItem_name_s": "string",
    "objectItem_typeName_s": "string",
    "objectItem_parentId_s": "string",
    "objectItem_parentName_s": "string",
    "changedValues_s": "string",
    "associatedItems_s": "string",
    "site_s": "string",
    "extra_s": "string",
    "truncated_b": "boolean",
}


@dataclass(frozen=True)
class Fault:
    """What is answered instead of the truth; `status` None drops the connection. `accepted`
    keeps the rows all the same.
    """

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    accepted: bool = False


DROPPED = Fault(None)
ACCEPTED_THEN_DROPPED = Fault(None, accepted=True)


@dataclass(frozen=True)
class Call:
    """One request: `size` is the JSON's, `wire` the body's as sent; `status` None for a dropped
    connection.
    """

    rule: str
    stream: str
    status: int | None
    rows: int
    size: int
    wire: int


@dataclass(frozen=True)
class Answer:
    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def error_answer(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Answer(status, {"Content-Type": "application/json; charset=utf-8"}, body)


class RequestRefused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = error_answer(status, code, message)


class Ingestion:
    """Everything it was sent and what became of it. `script(...)` faults come first, one a call,
    in order.

    `rules` is {rule id: {stream: {column: type}}}; a call that holds a row whose `id_d` is in
    `poison` is refused. Lists only grow; each is complete for the
    calls that were answered.
    """

    def __init__(
        self,
        rules: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
        audience: str = AUDIENCE,
    ) -> None:
        self.rules = rules if rules is not None else {RULE: {STREAM: COLUMNS}}
        self.audience = audience
        self.endpoint = ""
        self.rows: list[dict[str, Any]] = []
        self.calls: list[Call] = []
        self.lost: list[Any] = []
        self.undeclared: list[tuple[str, Any]] = []
        self.mistyped: list[tuple[str, Any]] = []
        self.cut: list[tuple[str, int]] = []
        self.poison: set[int] = set()
        self._faults: deque[Fault | None] = deque()
        self._lock = threading.Lock()

    def script(self, *faults: Fault | None) -> None:
        """What the next calls meet, one each; None lets a call through."""
        with self._lock:
            self._faults.extend(faults)

    @contextlib.contextmanager
    def serve(self, authority: trustme.CA) -> Iterator["Ingestion"]:
        ingestion = self
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)

        class _Handler(Handler):
            def do_POST(self) -> None:
                if self.path == "/_faults":
                    ingestion.script(*(_fault(each) for each in json.loads(self.body())))
                    self.answer(204)
                    return
                given = ingestion.receive(self.path, dict(self.headers), self.body())
                if given.status is None:
                    self.drop()
                else:
                    self.answer(given.status, given.body, given.headers)

            def do_GET(self) -> None:
                if self.path == "/_rows":
                    self.answer_json(200, ingestion.rows)
                elif self.path == "/_observed":
                    self.answer_json(200, ingestion.observed())
                else:
                    self.answer(405, headers={"Allow": "POST"})

        with Loopback(_Handler, tls) as server:
            self.endpoint = f"https://localhost:{server.port}"
            yield self

    def observed(self) -> dict[str, Any]:
        with self._lock:
            return {
                "calls": [asdict(call) for call in self.calls],
                "lost": list(self.lost),
                "undeclared": list(self.undeclared),
                "mistyped": list(self.mistyped),
                "cut": list(self.cut),
            }

    def receive(self, target: str, headers: Mapping[str, str], raw: bytes) -> Answer:
        with self._lock:
            fault = self._faults.popleft() if self._faults else None
            rule, stream = _rule_and_stream(target)
            content, sent = b"", []
            try:
                if fault is not None and not fault.accepted:
                    given = Answer(fault.status, fault.headers, fault.body)
                else:
                    columns = self._admit(target, headers, rule, stream)
                    content = _decompress(headers, raw)
                    sent = self._accept(content, columns)
                    given = Answer(204)
                    if fault is not None:
                        given = Answer(fault.status, fault.headers, fault.body)
            except RequestRefused as refused:
                given = refused.answer
            self.calls.append(Call(rule, stream, given.status, len(sent), len(content), len(raw)))
            return given

    def _admit(
        self, target: str, headers: Mapping[str, str], rule: str, stream: str
    ) -> Mapping[str, str]:
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or audience_of(token, time.time()) != self.audience:
            raise RequestRefused(
                401, "InvalidToken", "The token is not for this audience, or has expired"
            )
        if dict(parse_qsl(urlsplit(target).query)).get("api-version") != "2023-01-01":
            raise RequestRefused(400, "UnsupportedApiVersion", "api-version=2023-01-01 is required")
        if rule not in self.rules:
            raise RequestRefused(
                404, "NotFound", f"No data collection rule with immutable id '{rule}'"
            )
        if stream not in self.rules[rule]:
            raise RequestRefused(400, "InvalidStream", f"The rule has no stream '{stream}'")
        return self.rules[rule][stream]

    def _accept(self, content: bytes, columns: Mapping[str, str]) -> list[Any]:
        sent = _parse_body(content)
        # A bare object is answered 204 and never seen again: https://github.com/MicrosoftDocs/azure-docs/issues/112669
        if not isinstance(sent, list):
            self.lost.append(sent)
            return []
        if any(isinstance(each, dict) and each.get("id_d") in self.poison for each in sent):
            raise RequestRefused(400, "InvalidPayload", "A row cannot be taken")
        for each in sent:
            if isinstance(each, dict):
                self.rows.append(self._store_row(each, columns))
            else:
                self.lost.append(each)
        return sent

    def _store_row(self, sent: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, value in sent.items():
            if name not in columns:
                self.undeclared.append((name, value))
            elif value is not None and not _fits(columns[name], value):
                self.mistyped.append((name, value))
                row[name] = None
            elif isinstance(value, str) and len(value.encode()) > FIELD_LIMIT:
                self.cut.append((name, len(value.encode())))
                row[name] = value.encode()[:FIELD_LIMIT].decode(errors="ignore")
            else:
                row[name] = value
        return row


def _rule_and_stream(target: str) -> tuple[str, str]:
    found = re.fullmatch(r"/dataCollectionRules/([^/]+)/streams/([^/]+)", urlsplit(target).path)
    return (unquote(found[1]), unquote(found[2])) if found else ("", "")


def _decompress(headers: Mapping[str, str], raw: bytes) -> bytes:
    too_large = RequestRefused(
        413, "ContentLengthLimitExceeded", "Maximum allowed content length: 1 MB"
    )
    if len(raw) > CALL_LIMIT:
        raise too_large
    match headers.get("Content-Encoding"):
        case "gzip":
            try:
                content = gzip.decompress(raw)
            except (OSError, EOFError, zlib.error) as error:
                raise RequestRefused(400, "InvalidPayload", "The body is no gzip") from error
        case None | "identity":
            content = raw
        case other:
            raise RequestRefused(415, "UnsupportedMediaType", f"Content-Encoding {other}")
    if len(content) > CALL_LIMIT:
        raise too_large
    return content


def _parse_body(content: bytes) -> Any:
    def reject_constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        sent = json.loads(content.decode("utf-8"), parse_constant=reject_constant)
        # A lone surrogate is no text: it could be read here, and nowhere else.
        json.dumps(sent, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise RequestRefused(400, "InvalidPayload", f"The body is not JSON: {error}") from error
    return sent


def _fits(kind: str, value: Any) -> bool:
    # In Python a bool is an int; in a stream it is not.
    whole = isinstance(value, int) and not isinstance(value, bool)
    match kind:
        case "string":
            fits = isinstance(value, str)
        case "boolean":
            fits = isinstance(value, bool)
        case "int":
            fits = whole and -(2**31) <= value < 2**31
        case "long":
            fits = whole and -(2**63) <= value < 2**63
        case "real":
            fits = whole or isinstance(value, float)
        case "datetime":
            fits = isinstance(value, str) and _is_time(value)
        case "dynamic":
            fits = True
        case _:
            raise ValueError(f"no type of a stream's column: {kind}")
    return fits


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _fault(given: dict[str, Any]) -> Fault:
    body = given.get("body", "").encode()
    return Fault(given["status"], given.get("headers", {}), body, given.get("accepted", False))


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for the Logs Ingestion API.")
    parser.add_argument("--ca", type=Path, required=True, help="where the CA certificate goes")
    parser.add_argument("--rules", type=json.loads, help="JSON {rule: {stream: {column: type}}}")
    parser.add_argument("--audience", default=AUDIENCE)
    given = parser.parse_args()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(given.ca)
    with Ingestion(given.rules, given.audience).serve(authority) as ingestion:
        print(json.dumps({"endpoint": ingestion.endpoint}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
