"""That a moment's absence of the identity endpoint is waited out, for whoever asks; and that what
lasts names the endpoint, and nothing that was never asked.

The credential and Azure's clients are the real ones, and so is storage, with tokens: Azurite.
"""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import ContainerClient

from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.clock import Clock, Deadline, RetryPolicy, retry
from jira_audit.core.errors import SiteError, TransientError
from jira_audit.core.window import Window
from jira_audit.edge.blobs import BlobCheckpoints, client_options
from jira_audit.edge.identity import Tokens, managed_identity
from jira_audit.edge.ingestion import IngestionSink
from jira_audit.edge.workspace import Workspace
from tests.conftest import needed
from tests.servers import azurite as azurite_server
from tests.servers.identity import HEADER, Fault, Identity
from tests.servers.ingestion import AUDIENCE, RULE, STREAM, Ingestion
from tests.servers.workspace import WORKSPACE, QueryService

pytestmark = pytest.mark.servers

SITE = "contoso.atlassian.net"
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}

BLIPS = {
    "500, JSON": Fault(500, b'{"statusCode": 500, "message": "An unexpected error"}', JSON),
    "503, JSON": Fault(503, b'{"statusCode": 503, "message": "unavailable"}', JSON),
    "429, JSON": Fault(429, b'{"statusCode": 429, "message": "throttled"}', JSON),
    "429, Retry-After": Fault(429, b"{}", JSON | {"Retry-After": "3"}),
    "408": Fault(408),
    "502, HTML": Fault(502, b"<html>", {"Content-Type": "text/html"}),
    "503, nothing": Fault(503),
    "429, text": Fault(429, b"slow down", TEXT),
    "307": Fault(307, b"", {"Location": "http://127.0.0.1:9/"}),
    "401": Fault(401, b"{}", JSON),
    "404": Fault(404),
    "200, HTML": Fault(200, b"<html>", {"Content-Type": "text/html"}),
    "200, nothing": Fault(200),
    "200, a list": Fault(200, b"[]", JSON),
    "200, null": Fault(200, b"null", JSON),
    "200, no token": Fault(200, b'{"expires_on": "99999999999"}', JSON),
    "200, soon": Fault(200, b'{"access_token": "x", "expires_on": "soon"}', JSON),
    "200, never": Fault(200, b'{"access_token": "x", "expires_on": null}', JSON),
    "200, half": Fault(200, b'{"access_tok', JSON),
    "200, not UTF-8": Fault(200, b"\xff\xfe", JSON),
    "dropped": Fault(None),
}


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def clock(sleeps: list[float]) -> Clock:
    """Time that goes on by itself, and in which no wait takes any."""
    return Clock(
        now=lambda: time.time_ns() // 1_000_000,
        monotonic=time.monotonic,
        sleep=sleeps.append,
        random=lambda: 0.5,
    )


@pytest.fixture(scope="module")
def blob_service(
    authority: tuple[trustme.CA, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    needed(azurite_server.is_installed(), "Azurite is not installed: make setup")
    folder = tmp_path_factory.mktemp("storage")
    issued = authority[0].issue_cert("127.0.0.1", "localhost")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    issued.private_key_pem.write_to_path(key)
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(certificate, append=number > 0)
    with azurite_server.run_with_tls(certificate, key) as address:
        yield address


Ask = Callable[[], Any]


@pytest.fixture(params=["ingestion", "a send", "storage", "workspace"])
def ask(
    request: pytest.FixtureRequest,
    clock: Clock,
    identity: Identity,
    authority: tuple[trustme.CA, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ask]:
    """What needs a token first, with its own retries, or those of the run."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority[1]))
    monkeypatch.setenv("NO_PROXY", "*")
    tokens = Tokens(managed_identity(None, clock), clock)
    match request.param:
        case "storage":
            address = request.getfixturevalue("blob_service")
            policy = RetryPolicy(retries=3, first=0.5, longest=4.0)
            yield from _storage(
                address, Tokens(managed_identity(None, clock), clock, policy), clock
            )
        case "workspace":
            with QueryService([]).serve(authority[0]) as service:
                endpoint = service.endpoint
                workspace = Workspace(
                    WORKSPACE,
                    endpoint=endpoint,
                    credential=lambda: tokens,
                    clock=clock,
                    only_site=True,
                )
                yield lambda: workspace.held(SITE, Window(0, 1))
        case _:
            ingestion: Ingestion = request.getfixturevalue("ingestion")
            sink = IngestionSink(
                endpoint=ingestion.endpoint,
                rule=RULE,
                stream=STREAM,
                audience=AUDIENCE,
                credential=lambda: tokens,
                send_seconds=20.0,
                now=clock.now,
            )
            call = sink.prepare if request.param == "ingestion" else lambda: sink.send(b"[]")
            yield lambda: retry(
                call,
                policy=RetryPolicy(),
                deadline=Deadline.after(clock, 60),
                on_wait=lambda *_: None,
            )


def _storage(address: str, tokens: Tokens, clock: Clock) -> Iterator[Ask]:
    name = f"test-{uuid.uuid4().hex}"
    with ContainerClient(address, name, tokens, **client_options()) as container:
        checkpoints = BlobCheckpoints(container, 15, clock)
        yield lambda: checkpoints.take(Checkpoint.first(SITE, 0, 0))


@pytest.mark.parametrize("blip", BLIPS.values(), ids=BLIPS)
def test_token_request_is_retried_after_an_error(
    ask: Ask, identity: Identity, blip: Fault, sleeps: list[float]
) -> None:
    identity.faults = [blip]

    ask()

    assert len(identity.calls) == 2
    assert len(sleeps) == 1


def test_token_request_waits_as_long_as_asked(
    ask: Ask, identity: Identity, sleeps: list[float]
) -> None:
    identity.faults = [Fault(429, b"{}", JSON | {"Retry-After": "7"})]

    ask()

    assert sleeps == [7.0]


@pytest.mark.parametrize("blip", ["503, JSON", "200, HTML", "200, soon"])
def test_token_error_that_lasts_is_transient_and_names_the_endpoint(
    ask: Ask, identity: Identity, blip: str
) -> None:
    identity.faults = [BLIPS[blip]] * 20

    with pytest.raises(TransientError, match="the identity endpoint") as raised:
        ask()

    for blamed in ("role", "storage", "AZURE_CLIENT_ID", "az login", "workspace"):
        assert blamed not in str(raised.value)
    assert 4 <= len(identity.calls) <= 5


@pytest.mark.parametrize("status", [400, 403])
def test_token_refusal_is_for_an_administrator_at_once(
    ask: Ask, identity: Identity, status: int, sleeps: list[float]
) -> None:
    identity.faults = [Fault(status, b"{}", JSON)] * 20

    with pytest.raises(SiteError, match="the identity endpoint refuses: AZURE_CLIENT_ID"):
        ask()

    assert (len(identity.calls), sleeps) == (1, [])


def test_token_endpoint_that_never_answers_is_given_up(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jira_audit.edge.identity.READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}/msi/token"
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        tokens = Tokens(managed_identity(None, clock), clock)

        with pytest.raises(TransientError, match="could not be reached"):
            tokens.get_token("https://storage.azure.com/.default")


class FailingCredential:
    """A credential that raises what a client library may."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_token(self, *_: str, **__: Any) -> Any:
        raise self.error

    get_token_info = get_token


def test_credential_of_a_developer_says_to_sign_in(clock: Clock) -> None:
    tokens = Tokens(FailingCredential(ClientAuthenticationError("nothing in this chain")), clock)

    with pytest.raises(SiteError, match="run az login"):
        tokens.get_token("https://storage.azure.com/.default")


@pytest.mark.parametrize("error", [RuntimeError("secret"), KeyError("secret"), OSError("secret")])
def test_credential_errors_of_any_type_are_transient(clock: Clock, error: Exception) -> None:
    tokens = Tokens(FailingCredential(error), clock)

    with pytest.raises(TransientError, match=f"\\({type(error).__name__}\\)") as raised:
        tokens.get_token_info("https://storage.azure.com/.default")
    assert "secret" not in str(raised.value)
