"""That the ingestion and identity stand-ins answer Microsoft's own client libraries as the
services do.
"""

import gzip
import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.identity import ManagedIdentityCredential
from azure.monitor.ingestion import LogsIngestionClient

from tests.servers.identity import Identity, issue
from tests.servers.ingestion import (
    ACCEPTED_THEN_DROPPED,
    CALL_LIMIT,
    DROPPED,
    RULE,
    STREAM,
    Fault,
    Ingestion,
)

pytestmark = pytest.mark.servers


@pytest.fixture
def client(ingestion: Ingestion, identity: Identity) -> Iterator[LogsIngestionClient]:
    with (
        ManagedIdentityCredential() as credential,
        LogsIngestionClient(ingestion.endpoint, credential, retry_total=0) as built,
    ):
        yield built


def gzip_json(content: Any) -> io.BytesIO:
    return io.BytesIO(gzip.compress(json.dumps(content).encode()))


def code_of(error: HttpResponseError) -> tuple[int | None, str | None]:
    return error.status_code, error.error.code if error.error else None


def row(number: int) -> dict[str, Any]:
    return {"TimeGenerated": "2026-01-01T00:00:00.000Z", "id_d": number, "summary_s": "usér ✓"}


def test_azure_client_uses_one_token_for_many_calls(
    client: LogsIngestionClient, ingestion: Ingestion, identity: Identity
) -> None:
    client.upload(RULE, STREAM, [row(1), row(2)])
    client.upload(RULE, STREAM, gzip_json([row(3)]))

    assert ingestion.rows == [row(1), row(2), row(3)]
    assert [call["resource"] for call in identity.calls] == ["https://monitor.azure.com"]
    assert [(call.rule, call.stream, call.status, call.rows) for call in ingestion.calls] == [
        (RULE, STREAM, 204, 2),
        (RULE, STREAM, 204, 1),
    ]
    assert ingestion.calls[1].size == len(json.dumps([row(3)]))


def test_empty_array_is_accepted(client: LogsIngestionClient, ingestion: Ingestion) -> None:
    client.upload(RULE, STREAM, gzip_json([]))

    assert (ingestion.rows, ingestion.lost) == ([], [])


def test_bare_object_is_accepted_and_lost(
    client: LogsIngestionClient, ingestion: Ingestion
) -> None:
    client.upload(RULE, STREAM, gzip_json(row(1)))

    assert (ingestion.rows, ingestion.lost) == ([], [row(1)])


def test_silent_changes_of_the_service_are_recorded(
    client: LogsIngestionClient, ingestion: Ingestion
) -> None:
    sent = {
        "id_d": "10000",
        "created_t": "yesterday",
        "truncated_b": 1,
        "summary_s": "é" * 40_000,
        "surprise_s": "x",
        "site_s": None,
    }

    client.upload(RULE, STREAM, gzip_json([sent]))

    assert ingestion.undeclared == [("surprise_s", "x")]
    assert ingestion.mistyped == [("id_d", "10000"), ("created_t", "yesterday"), ("truncated_b", 1)]
    assert ingestion.cut == [("summary_s", 80_000)]
    assert ingestion.rows == [
        {
            "id_d": None,
            "created_t": None,
            "truncated_b": None,
            "summary_s": "é" * 32_768,
            "site_s": None,
        }
    ]


@pytest.mark.parametrize(
    ("rule", "stream", "refusal"),
    [
        ("dcr-unknown", STREAM, (404, "NotFound")),
        (RULE, "Custom-Unknown", (400, "InvalidStream")),
    ],
)
def test_call_to_an_unknown_rule_or_stream_is_refused(
    client: LogsIngestionClient,
    ingestion: Ingestion,
    rule: str,
    stream: str,
    refusal: tuple[int, str],
) -> None:
    with pytest.raises(HttpResponseError) as refused:
        client.upload(rule, stream, gzip_json([row(1)]))

    assert code_of(refused.value) == refusal
    assert ingestion.rows == []


@pytest.mark.parametrize("excess", [0, 1])
def test_call_over_one_mebibyte_uncompressed_is_refused(
    client: LogsIngestionClient, ingestion: Ingestion, excess: int
) -> None:
    frame = len(json.dumps([{"extra_s": ""}]))
    content = gzip_json([{"extra_s": "x" * (CALL_LIMIT - frame + excess)}])

    if excess == 0:
        client.upload(RULE, STREAM, content)
        assert ingestion.calls[0].size == CALL_LIMIT
    else:
        with pytest.raises(HttpResponseError) as refused:
            client.upload(RULE, STREAM, content)
        assert code_of(refused.value) == (413, "ContentLengthLimitExceeded")
        assert ingestion.rows == []


@pytest.mark.parametrize("body", [b"{", b"[NaN]", b'["\\ud83d"]', b"\xff"])
def test_call_with_a_body_that_is_not_json_is_refused(
    client: LogsIngestionClient, ingestion: Ingestion, body: bytes
) -> None:
    with pytest.raises(HttpResponseError) as refused:
        client.upload(RULE, STREAM, io.BytesIO(gzip.compress(body)))

    assert code_of(refused.value) == (400, "InvalidPayload")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "made-up",
        issue("https://monitor.azure.us", expires_on=2**40),
        issue("https://monitor.azure.com", expires_on=1),
    ],
)
def test_call_with_a_missing_foreign_or_expired_token_is_refused(
    ingestion: Ingestion, token: str
) -> None:
    answer = requests.post(
        f"{ingestion.endpoint}/dataCollectionRules/{RULE}/streams/{STREAM}?api-version=2023-01-01",
        json=[row(1)],
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )

    assert answer.status_code == 401
    assert ingestion.rows == []


def test_call_without_a_trusted_certificate_fails(
    ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    with pytest.raises(requests.exceptions.SSLError):
        requests.get(ingestion.endpoint, timeout=10)


def test_faults_are_answered_in_order(client: LogsIngestionClient, ingestion: Ingestion) -> None:
    ingestion.script(Fault(429, {"Retry-After": "1"}), None, Fault(503, accepted=True))

    for expected in (429, None, 503, None):
        try:
            client.upload(RULE, STREAM, gzip_json([row(1)]))
            status = None
        except HttpResponseError as refused:
            status = refused.status_code
        assert status == expected

    assert [call.status for call in ingestion.calls] == [429, 204, 503, 204]
    assert len(ingestion.rows) == 3


def test_faults_can_lose_an_answer_before_or_after_acceptance(
    client: LogsIngestionClient, ingestion: Ingestion
) -> None:
    ingestion.script(DROPPED, ACCEPTED_THEN_DROPPED)

    for rows in (0, 1):
        with pytest.raises((ServiceRequestError, ServiceResponseError)):
            client.upload(RULE, STREAM, gzip_json([row(1)]))
        assert len(ingestion.rows) == rows


def test_identity_endpoint_requires_its_header(identity: Identity) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{identity.endpoint}?api-version=2019-08-01&resource=x", timeout=10)


def test_identity_is_requested_by_its_client_id(identity: Identity) -> None:
    identity.client_ids = frozenset({"11111111-1111-1111-1111-111111111111"})

    with ManagedIdentityCredential(client_id="11111111-1111-1111-1111-111111111111") as credential:
        token = credential.get_token("https://monitor.azure.com/.default").token

    assert token
    assert identity.calls[0]["client_id"] == "11111111-1111-1111-1111-111111111111"


def test_servers_run_in_their_own_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "ca.pem"

    def start(module: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with (
        start("tests.servers.identity") as tokens,
        start("tests.servers.ingestion", "--ca", str(certificate)) as service,
    ):
        assert tokens.stdout is not None
        assert service.stdout is not None
        for name, value in json.loads(tokens.stdout.readline()).items():
            monkeypatch.setenv(name, value)
        endpoint = json.loads(service.stdout.readline())["endpoint"]
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        faults = [{"status": 503}]
        assert requests.post(f"{endpoint}/_faults", json=faults, timeout=10).ok
        with (
            ManagedIdentityCredential() as credential,
            LogsIngestionClient(endpoint, credential, retry_total=0) as client,
        ):
            with pytest.raises(HttpResponseError):
                client.upload(RULE, STREAM, gzip_json([row(1)]))
            client.upload(RULE, STREAM, gzip_json([row(1)]))

        assert requests.get(f"{endpoint}/_rows", timeout=10).json() == [row(1)]
        observed = requests.get(f"{endpoint}/_observed", timeout=10).json()
        assert [call["status"] for call in observed["calls"]] == [503, 204]
    assert (tokens.returncode, service.returncode) == (0, 0)
