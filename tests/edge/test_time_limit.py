"""Peers that send one byte at a time: an exchange ends at its limit, in real time."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import trustme
from azure.storage.blob import ContainerClient
from requests.auth import HTTPBasicAuth
from urllib3.util.timeout import Timeout

from jira_audit.core.address import is_loopback
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import TransientError, Unanswered
from jira_audit.core.pages import PageRequest
from jira_audit.core.window import Window
from jira_audit.edge import access, blobs, identity, tenant
from jira_audit.edge.access import BasicCredentials, ClientCredentials, DirectRoute, Gateway
from jira_audit.edge.blobs import BlobCheckpoints, Retries, client_options
from jira_audit.edge.identity import Tokens, managed_identity
from jira_audit.edge.ingestion import IngestionSink
from jira_audit.edge.jira import JiraSource
from jira_audit.edge.tenant import SiteTenant
from jira_audit.edge.time_limit import TimeLimitAdapter
from jira_audit.edge.workspace import Workspace
from jira_audit.wiring import CLOCK
from tests.fakes.transport import Credential
from tests.servers.trickle import OK, TRICKLES, trickling

LIMIT = 0.6


def session() -> requests.Session:
    made = requests.Session()
    made.mount("http://", TimeLimitAdapter())
    return made


@pytest.mark.parametrize("trickle", TRICKLES.values(), ids=TRICKLES)
@pytest.mark.parametrize(
    "timeout",
    [(LIMIT / 2, LIMIT / 2), Timeout(total=LIMIT, connect=5, read=5)],
    ids=["sum", "total"],
)
def test_trickle_ends_at_the_limit(trickle: tuple[bytes, bytes], timeout: object) -> None:
    begun = time.monotonic()
    with trickling(*trickle) as url, session() as its, pytest.raises(requests.RequestException):
        its.get(url, timeout=timeout)  # type: ignore[arg-type]

    assert time.monotonic() - begun < LIMIT + 1


def test_connection_is_used_again_with_a_limit_of_its_own() -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with trickling(b"", body) as url, session() as its:
        for _ in range(3):
            assert its.get(url, timeout=(1, 1)).json() == {}


def test_peer_that_stalls_is_a_read_timeout() -> None:
    with trickling(OK, b"") as url, session() as its, pytest.raises(requests.ReadTimeout):
        its.get(url, timeout=(5, 0.2))


# Every client


def ask_jira(url: str) -> None:
    now = CLOCK.now()
    source = JiraSource("s", DirectRoute(url, HTTPBasicAuth("u", "t")), CLOCK)
    source.fetch(PageRequest(Window(now - 1_000, now), 0, 10), LIMIT)


def ask_gateway(url: str) -> None:
    Gateway(url, url, None, BasicCredentials(HTTPBasicAuth("u", "t")), CLOCK).open()


def ask_token_service(url: str) -> None:
    ClientCredentials(f"{url}/oauth/token", "id", "secret", CLOCK).auth()


def ask_tenant(url: str) -> None:
    if SiteTenant(url, None, is_loopback, CLOCK).cloud_id() is None:
        raise TransientError(url)


def ask_storage(url: str) -> None:
    key = "AccountName=devstoreaccount1;AccountKey=bm90IHRoZSBrZXk="
    options = client_options(Retries(count=0, first=0, base=0, jitter=0))
    with ContainerClient.from_connection_string(f"{key};BlobEndpoint={url}", "c", **options) as it:
        BlobCheckpoints(it, 60, CLOCK).take(Checkpoint.first("s", 0, 0))


def ask_ingestion(url: str) -> None:
    sink = IngestionSink(
        endpoint=url,
        rule="dcr-0123456789abcdef0123456789abcdef",
        stream="Custom-Jira_Audit_CL",
        audience="https://monitor.azure.com",
        credential=Credential,
        send_seconds=LIMIT,
        now=CLOCK.now,
    )
    sink.send(b"[]")


def ask_workspace(url: str) -> None:
    workspace = Workspace(
        "00000000-0000-0000-0000-000000000000",
        endpoint=url,
        credential=Credential,
        clock=replace(CLOCK, sleep=lambda _: None),
        only_site=True,
        seconds=LIMIT,
    )
    workspace.held("s", Window(0, 1))


def ask_identity(url: str) -> None:
    os.environ |= {"IDENTITY_ENDPOINT": f"{url}/msi/token", "IDENTITY_HEADER": "h"}
    Tokens(managed_identity(None, CLOCK), CLOCK).get_token("https://monitor.azure.com/.default")


@pytest.fixture
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "ANSWER_SECONDS", LIMIT)
    monkeypatch.setattr(tenant, "ANSWER_SECONDS", LIMIT)
    for module in (blobs, identity):
        monkeypatch.setattr(module, "CONNECT_SECONDS", LIMIT / 2)
        monkeypatch.setattr(module, "READ_SECONDS", LIMIT / 2)


CLIENTS = {
    "Jira": ask_jira,
    "gateway": ask_gateway,
    "token service": ask_token_service,
    "tenant": ask_tenant,
    "storage": ask_storage,
    "ingestion": ask_ingestion,
    "workspace": ask_workspace,
    "identity": ask_identity,
}
# Each takes its limit in real time; one for each client is enough for the quick tests.
OF_EACH = [
    "header",
    *(
        pytest.param(name, marks=pytest.mark.long)
        for name in ("status line", "chunk extension", "empty gzip blocks", "body")
    ),
]


@pytest.mark.usefixtures("_short_limits")
@pytest.mark.parametrize("trickle", OF_EACH)
@pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
def test_client_gives_up_a_trickle(
    ask: Callable[[str], None], trickle: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    is_azure = ask in {ask_ingestion, ask_workspace}  # these refuse to send a token over http
    begun = time.monotonic()

    with (
        trickling(*TRICKLES[trickle], server if is_azure else None) as url,
        pytest.raises(TransientError) as raised,
    ):
        ask(url)

    assert ask is not ask_ingestion or isinstance(raised.value, Unanswered)

    assert time.monotonic() - begun < 5 * LIMIT + 2, "a workspace is asked up to five times"
