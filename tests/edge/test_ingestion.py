"""That a batch is sent once and as it is, that every answer says who acts, and that a token is had
before it is needed. With Microsoft's own client libraries against servers that answer as theirs do.
"""

import json
import logging
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.core.credentials import TokenCredential
from isal import isal_zlib

from jira_audit.core import timestamps
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    SiteError,
    TransientError,
    Unanswered,
    UndocumentedSuccess,
)
from jira_audit.edge.identity import Tokens, managed_identity
from jira_audit.edge.ingestion import IngestionSink
from jira_audit.wiring import CLOCK
from tests.fakes.credential import FixedToken
from tests.servers.identity import HEADER, Identity
from tests.servers.ingestion import (
    ACCEPTED_THEN_DROPPED,
    AUDIENCE,
    CALL_LIMIT,
    DROPPED,
    RULE,
    STREAM,
    Fault,
    Ingestion,
)

pytestmark = pytest.mark.servers

NOW = timestamps.parse("2026-11-20T12:00:00Z")


def tokens(client_id: str | None = None) -> Tokens:
    """As the app has them."""
    return Tokens(managed_identity(client_id, CLOCK), CLOCK)


def sink_to(endpoint: str, **changes: Any) -> IngestionSink:
    given: dict[str, Any] = {
        "endpoint": endpoint,
        "rule": RULE,
        "stream": STREAM,
        "audience": AUDIENCE,
        "credential": tokens,
        "send_seconds": 30.0,
        "now": lambda: NOW,
    }
    return IngestionSink(**given | changes)


@pytest.fixture
def sink(ingestion: Ingestion, identity: Identity) -> IngestionSink:
    return sink_to(ingestion.endpoint)


def row(number: int) -> dict[str, Any]:
    return {"TimeGenerated": "2026-01-01T00:00:00.000Z", "id_d": number, "summary_s": "usér ✓ 😀"}


def batch(*numbers: int) -> bytes:
    return json.dumps([row(number) for number in numbers], ensure_ascii=False).encode()


# Sending


def test_batch_arrives_as_it_was_written_in_one_gzip_call(
    sink: IngestionSink, ingestion: Ingestion
) -> None:
    body = batch(1, 2, 3)

    sink.send(body)

    assert ingestion.rows == [row(1), row(2), row(3)]
    (call,) = ingestion.calls
    assert (call.rule, call.stream, call.status) == (RULE, STREAM, 204)
    assert call.size == len(body)
    assert call.wire == len(isal_zlib.compress(body, 1, 31))
    assert (ingestion.lost, ingestion.undeclared, ingestion.mistyped) == ([], [], [])


def test_batch_of_one_mebibyte_is_one_call(sink: IngestionSink, ingestion: Ingestion) -> None:
    rows = [{"id_d": number, "summary_s": "x" * 900} for number in range(1_000)]
    body = json.dumps(rows, separators=(",", ":")).encode()
    body = body[:-1] + b" " * (CALL_LIMIT - len(body)) + b"]"

    sink.send(body)

    (call,) = ingestion.calls
    assert (call.size, call.rows) == (CALL_LIMIT, 1_000)
    assert call.wire == len(isal_zlib.compress(body, 1, 31))


def test_batch_that_is_empty_is_sent_as_an_empty_array(
    sink: IngestionSink, ingestion: Ingestion
) -> None:
    sink.send(b"[]")
    assert [(call.size, call.rows) for call in ingestion.calls] == [(2, 0)]
    assert ingestion.lost == []


def test_batch_that_is_too_large_is_refused_by_its_size(
    sink: IngestionSink, ingestion: Ingestion
) -> None:
    with pytest.raises(BatchRefused) as raised:
        sink.send(b"[" + b" " * CALL_LIMIT + b"]")
    assert raised.value.status == 413


# What an answer means


def refusal(code: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": "near 'a-record-of-the-site'"}}).encode()


JSON = {"Content-Type": "application/json; charset=utf-8"}

HTML = b"<html>Bad gateway</html>"

MEANINGS: list[tuple[int, Mapping[str, str], bytes, type[ConnectorError], tuple[str, ...]]] = [
    (400, JSON, refusal("InvalidStream"), BatchRefused, ("refuses the rows", "InvalidStream")),
    (400, JSON, refusal("InvalidPayload"), BatchRefused, ("refuses the rows", "InvalidPayload")),
    (400, {}, HTML, BatchRefused, ("refuses the rows", "HTTP 400")),
    (401, JSON, refusal("InvalidToken"), SiteError, ("LOGS_INGESTION_AUDIENCE", "tenant")),
    (401, {"WWW-Authenticate": "Bearer"}, b"", SiteError, ("LOGS_INGESTION_AUDIENCE",)),
    (
        403,
        JSON,
        refusal("OperationFailed"),
        SiteError,
        ("Monitoring Metrics Publisher", "30 minutes", "nothing is lost", "OperationFailed"),
    ),
    (404, JSON, refusal("NotFound"), SiteError, ("LOGS_DCR_RULE_ID", "one region", "NotFound")),
    (
        404,
        JSON,
        refusal("InvalidDcrImmutableId"),
        SiteError,
        ("LOGS_DCR_RULE_ID", "DATA_COLLECTION_ENDPOINT", "InvalidDcrImmutableId"),
    ),
    (413, JSON, refusal("ContentLengthLimitExceeded"), BatchRefused, ("too large",)),
    (429, {}, b"", TransientError, ("limits the rate", "HTTP 429")),
    (408, {}, b"", Unanswered, ("unavailable", "HTTP 408")),
    (500, JSON, refusal("InternalServerError"), Unanswered, ("unavailable", "Internal")),
    (502, {}, HTML, Unanswered, ("unavailable", "HTTP 502")),
    (503, {}, b"", Unanswered, ("unavailable", "HTTP 503")),
    (504, {}, b"", Unanswered, ("unavailable", "HTTP 504")),
    (599, {}, b"", Unanswered, ("not documented", "HTTP 599")),
    # Only 204 says that the rows were accepted.
    (200, JSON, b"{}", UndocumentedSuccess, ("not documented", "HTTP 200")),
    (202, {}, b"", UndocumentedSuccess, ("not documented", "HTTP 202")),
    (405, {}, b"", SiteError, ("not documented", "HTTP 405")),
    (409, {}, b"", SiteError, ("not documented", "HTTP 409")),
    (415, {}, b"", SiteError, ("not documented", "HTTP 415")),
    # An error's body is anybody's.
    (500, JSON, b"{", Unanswered, ("unavailable",)),
    (500, JSON, b'{"error": "text"}', Unanswered, ("unavailable",)),
    (500, JSON, b'{"error": {"code": null}}', Unanswered, ("unavailable",)),
    (500, JSON, b"[1]", Unanswered, ("unavailable",)),
]


@pytest.mark.parametrize(("status", "headers", "body", "kind", "says"), MEANINGS)
def test_answer_other_than_204_is_one_attempt_and_an_error(
    sink: IngestionSink,
    ingestion: Ingestion,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    kind: type[ConnectorError],
    says: tuple[str, ...],
) -> None:
    ingestion.script(Fault(status, headers, body))

    with pytest.raises(ConnectorError) as raised:
        sink.send(batch(1))

    assert type(raised.value) is kind
    text = str(raised.value)
    assert all(each in text for each in says), text
    assert "a-record-of-the-site" not in text
    assert "<html>" not in text
    assert len(ingestion.calls) == 1
    assert ingestion.rows == []
    if isinstance(raised.value, BatchRefused):
        assert raised.value.status == status


HOSTILE = "X\r\njira_audit site=a.atlassian.net outcome=ok\x1b]0;owned\x07\x1b[2J\u202e[red]m[/]"


@pytest.mark.parametrize("status", [400, 403, 500])
def test_answer_with_a_hostile_code_is_one_short_line(
    sink: IngestionSink, ingestion: Ingestion, status: int
) -> None:
    ingestion.script(Fault(status, JSON, refusal(HOSTILE + 3_000 * "A")))

    with pytest.raises(ConnectorError) as raised:
        sink.send(batch(1))

    text = str(raised.value)
    assert text.isprintable()
    assert len(text) < 700
    assert f"HTTP {status}: X jira_audit site=" in text


def test_answer_that_repeats_the_token_does_not_show_it(ingestion: Ingestion) -> None:
    tokens = FixedToken("a-token-that-nobody-may-see")
    ingestion.script(Fault(403, JSON, refusal(f"Bad:{tokens.text}")))

    with pytest.raises(SiteError, match=r"HTTP 403: Bad:\*\*\*"):
        sink_to(ingestion.endpoint, credential=lambda: tokens).send(batch(1))


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"rule": "dcr-unknown"}, SiteError, "LOGS_DCR_RULE_ID"),
        ({"stream": "Custom-Unknown"}, BatchRefused, "InvalidStream"),
        ({"audience": "https://monitor.azure.us"}, SiteError, "LOGS_INGESTION_AUDIENCE"),
    ],
)
def test_answer_to_a_wrong_setting_shows_the_setting(
    ingestion: Ingestion,
    identity: Identity,
    change: dict[str, str],
    kind: type[ConnectorError],
    says: str,
) -> None:
    with pytest.raises(kind, match=says):
        sink_to(ingestion.endpoint, **change).send(batch(1))
    assert len(ingestion.calls) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "45"}, 45.0),
        ({"Retry-After": "Fri, 20 Nov 2026 12:01:30 GMT"}, 90.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, float("inf")),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_answer_with_retry_after_is_not_waited_for_here(
    sink: IngestionSink,
    ingestion: Ingestion,
    headers: Mapping[str, str],
    seconds: float | None,
    status: int,
) -> None:
    ingestion.script(Fault(status, headers))
    with pytest.raises(TransientError) as raised:
        sink.send(batch(1))
    assert raised.value.retry_after == seconds
    assert len(ingestion.calls) == 1

    sink.send(batch(1))
    assert ingestion.rows == [row(1)]


def test_answer_lost_after_acceptance_is_an_error(
    sink: IngestionSink, ingestion: Ingestion
) -> None:
    ingestion.script(ACCEPTED_THEN_DROPPED)
    with pytest.raises(TransientError, match="could not be reached"):
        sink.send(batch(1))
    assert (len(ingestion.calls), ingestion.rows) == (1, [row(1)])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_answer_with_a_redirect_is_not_followed(
    sink: IngestionSink, ingestion: Ingestion, status: int
) -> None:
    place = f"{ingestion.endpoint}/dataCollectionRules/{RULE}/streams/{STREAM}"
    ingestion.script(Fault(status, {"Location": f"{place}?api-version=2023-01-01"}))
    with pytest.raises(SiteError, match=f"HTTP {status}"):
        sink.send(batch(1))
    assert (len(ingestion.calls), ingestion.rows) == (1, [])


def test_answer_with_a_challenge_sends_no_empty_body(
    sink: IngestionSink, ingestion: Ingestion
) -> None:
    claims = "eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="
    challenge = f'Bearer error="insufficient_claims", claims="{claims}"'
    ingestion.script(Fault(401, {"WWW-Authenticate": challenge}))
    with pytest.raises(SiteError, match="HTTP 401"):
        sink.send(batch(1))
    assert len(ingestion.calls) == 1


# Connections


def test_connection_dropped_is_one_attempt_and_transient(
    sink: IngestionSink, ingestion: Ingestion
) -> None:
    ingestion.script(DROPPED)
    with pytest.raises(TransientError, match="could not be reached"):
        sink.send(batch(1))
    assert (len(ingestion.calls), ingestion.rows) == (1, [])


def test_connection_closed_while_idle_is_no_second_attempt(
    sink: IngestionSink, ingestion: Ingestion
) -> None:
    ingestion.script(None, DROPPED)
    sink.send(batch(1))
    with pytest.raises(TransientError):
        sink.send(batch(2))
    assert [call.status for call in ingestion.calls] == [204, None]


def test_connection_to_a_closed_port_is_a_transient_error(identity: Identity) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(TransientError, match="could not be reached"):
        sink_to(f"https://localhost:{port}").send(batch(1))


def test_connection_without_a_trusted_certificate_gets_no_data(
    ingestion: Ingestion, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(TransientError, match="could not be reached"):
        sink_to(ingestion.endpoint).send(batch(1))
    assert ingestion.calls == []


def test_connection_that_is_silent_is_given_up(identity: Identity) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = sink_to(f"https://localhost:{silent.getsockname()[1]}", send_seconds=0.3)
        with pytest.raises(TransientError, match="could not be reached"):
            sink.send(batch(1))


def test_connection_given_up_may_still_deliver(ingestion: Ingestion, identity: Identity) -> None:
    sink = sink_to(ingestion.endpoint, send_seconds=0.6)
    with ingestion._lock, pytest.raises(TransientError, match="could not be reached"):
        sink.send(batch(1))


# Tokens


def test_prepare_gets_a_token_and_sends_nothing(
    ingestion: Ingestion, identity: Identity, sink: IngestionSink
) -> None:
    sink.prepare()
    assert [call["resource"] for call in identity.calls] == [AUDIENCE]
    assert ingestion.calls == []


def test_token_is_shared_by_all_threads_and_sends(
    sink: IngestionSink, ingestion: Ingestion, identity: Identity
) -> None:
    sink.prepare()
    begin = threading.Barrier(4)

    def send(first: int) -> None:
        begin.wait(30)
        for number in range(first, first + 5):
            sink.prepare()
            sink.send(batch(number))

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(send, (0, 5, 10, 15)))

    assert sorted(each["id_d"] for each in ingestion.rows) == list(range(20))
    assert len(identity.calls) == 1


@pytest.mark.parametrize("audience", ["https://monitor.azure.us", "https://monitor.azure.cn"])
def test_token_is_for_the_audience_of_the_cloud(
    ingestion: Ingestion, identity: Identity, audience: str
) -> None:
    ingestion.audience = audience
    sink = sink_to(ingestion.endpoint, audience=audience)
    sink.prepare()
    sink.send(batch(1))
    assert ingestion.rows == [row(1)]
    assert [call["resource"] for call in identity.calls] == [audience]


def test_token_refused_to_a_send_is_the_same_error(
    ingestion: Ingestion, identity: Identity
) -> None:
    identity.client_ids = frozenset()
    with pytest.raises(SiteError, match="AZURE_CLIENT_ID"):
        sink_to(ingestion.endpoint).send(batch(1))
    assert ingestion.calls == []


def test_token_without_an_identity_is_for_an_administrator(
    ingestion: Ingestion, identity: Identity
) -> None:
    identity.client_ids = frozenset({"known"})
    sink = sink_to(ingestion.endpoint, credential=lambda: tokens("other"))
    with pytest.raises(SiteError, match="AZURE_CLIENT_ID"):
        sink.prepare()
    assert len(identity.calls) == 1


@pytest.fixture
def unreachable_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)


@pytest.mark.usefixtures("unreachable_identity")
def test_token_endpoint_out_of_reach_is_a_transient_error(ingestion: Ingestion) -> None:
    sink = sink_to(ingestion.endpoint)
    with pytest.raises(TransientError, match="identity endpoint could not be reached"):
        sink.prepare()
    with pytest.raises(TransientError):
        sink.send(batch(1))
    assert ingestion.calls == []


def test_credential_and_client_are_created_once(ingestion: Ingestion, identity: Identity) -> None:
    made: list[TokenCredential] = []

    def credential() -> TokenCredential:
        made.append(tokens())
        return made[-1]

    sink = sink_to(ingestion.endpoint, credential=credential)
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(sink.send, [batch(number) for number in range(8)]))
    assert len(made) == 1
    assert len(ingestion.rows) == 8


# What an idle tick does not load


def test_azure_clients_are_imported_by_the_first_send() -> None:
    script = """
import sys
from jira_audit import app, wiring
from jira_audit.settings.load import load
loaded = load(
    {
        "JIRA_SITE_URL": "contoso",
        "JIRA_USERNAME": "a@example.com",
        "JIRA_API_TOKEN": "token",
        "DATA_COLLECTION_ENDPOINT": "https://x.y.ingest.monitor.azure.com",
        "LOGS_DCR_RULE_ID": "dcr-1",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    },
    0,
)
sink = wiring.ports(loaded.destination, loaded.sites[0]).sink
def heavy():
    return sorted({".".join(n.split(".")[:2]) for n in sys.modules if n.startswith(
        ("azure.monitor", "azure.identity", "msal"))})
print(heavy())
sink._client
print(heavy())
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = ran.stdout.splitlines()
    assert before == "[]"
    assert "azure.monitor" in after
    assert "azure.identity" in after


def test_errors_and_logs_show_no_token_and_no_row(
    sink: IngestionSink,
    ingestion: Ingestion,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("azure").setLevel(logging.WARNING)  # as `app.run` does
    sink.prepare()
    token = sink._token_source.get_token(f"{AUDIENCE}/.default").token
    for fault in (Fault(401), Fault(403), Fault(400), DROPPED):
        ingestion.script(fault)
        with pytest.raises(ConnectorError) as raised:
            sink.send(batch(1))
        shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value)
        for hidden in (token, "usér"):
            assert hidden not in shown + caplog.text
