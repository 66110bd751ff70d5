"""That every client sends its own credentials, to its own host, and keeps nothing that it is given:
no cookie, no line of a .netrc, no redirect. With the real client libraries and real servers.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
import trustme
from azure.storage.blob import ContainerClient
from requests.auth import HTTPBasicAuth

from jira_audit.core import timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import ConnectorError, SiteError
from jira_audit.core.letters import Letter
from jira_audit.core.pages import PageRequest
from jira_audit.core.window import Window
from jira_audit.edge.access import BasicCredentials, ClientCredentials, DirectRoute, Gateway
from jira_audit.edge.blobs import BlobCheckpoints, BlobLetters, Retries, client_options
from jira_audit.edge.identity import Tokens, developer_login, managed_identity
from jira_audit.edge.ingestion import IngestionSink
from jira_audit.edge.jira import JiraSource
from jira_audit.edge.tenant import SiteTenant
from jira_audit.edge.workspace import Workspace
from tests.fakes.credential import FixedToken
from tests.fakes.world import Time
from tests.servers.loopback import Handler, Loopback

pytestmark = pytest.mark.servers

SITE = "contoso.atlassian.net"
NOW = timestamps.parse("2026-11-20T12:00:00Z")
TOKEN = FixedToken("our-own-token")
KEY = "bm90IHRoZSBrZXk="
CLIENT_SECRET, IDENTITY_HEADER = "the-client-secret", "the-identity-header"
NO_RETRIES = Retries(count=0, first=0, base=0, jitter=0)


@dataclass
class Service:
    """Answers everything with one status and header fields, and records what it was sent.

    With `echoes`, it repeats what it was sent, wherever an error's words may be.
    """

    status: int = 404
    echoes: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    seen: list[Mapping[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    echoed: list[str] = field(default_factory=list)
    url: str = ""

    @contextlib.contextmanager
    def serve(self, tls: ssl.SSLContext | None = None) -> Iterator[Service]:
        service = self

        class _Handler(Handler):
            def do_GET(self) -> None:
                service.seen.append({name.lower(): value for name, value in self.headers.items()})
                service.bodies.append(self.body())
                if service.echoes:
                    service.echo(self)
                else:
                    self.answer(service.status, b"", service.headers)

        for method in ("POST", "PUT", "HEAD", "DELETE"):
            setattr(_Handler, f"do_{method}", _Handler.do_GET)
        with Loopback(_Handler, tls) as server:
            self.url = f"{'https' if tls else 'http'}://localhost:{server.port}"
            yield self

    def echo(self, to: Handler) -> None:
        names = ("authorization", "x-identity-header")
        said = [self.seen[-1][name] for name in names if name in self.seen[-1]]
        said.append(self.bodies[-1].decode("ascii", "ignore"))
        plain, in_url = " ".join(said), quote(said[0], safe="")
        self.echoed += [plain, in_url]
        code = f"{plain} {in_url}"
        to.answer_json(
            self.status,
            {"error": {"code": code}, "errorMessages": [code], "message": code},
            {"RateLimit-Reason": plain, "x-ms-error-code": code},
        )


@dataclass(frozen=True)
class Client:
    """One of the connector's clients: how it is called at an address, and what it sends there.

    `authorization` is how its header begins; empty for none. One that `sends_nothing` has no secret
    at all; one that `is_optional` fails in silence.
    """

    make: Callable[[str, Time], Callable[[], object]]
    authorization: str
    over_tls: bool = False
    sends_nothing: bool = False
    is_optional: bool = False


def _jira(url: str, time: Time) -> Callable[[], object]:
    source = JiraSource(SITE, DirectRoute(url, HTTPBasicAuth(b"u", b"t")), time.clock)
    request = PageRequest(Window(NOW - 1_000, NOW), 0, 1)
    return lambda: source.decipher(source.fetch(request, 5), request)


def _gateway(url: str, time: Time) -> Callable[[], object]:
    credentials = BasicCredentials(HTTPBasicAuth("u", "t"))
    return Gateway(url, url, None, credentials, time.clock).open


def _tenant(url: str, time: Time) -> Callable[[], object]:
    return SiteTenant(url, None, lambda _: False, time.clock).cloud_id


def _token_service(url: str, time: Time) -> Callable[[], object]:
    return ClientCredentials(f"{url}/oauth/token", "id", CLIENT_SECRET, time.clock).auth


def _ingestion(url: str, time: Time) -> Callable[[], object]:
    sink = IngestionSink(
        endpoint=url,
        rule="dcr-1",
        stream="Custom-Jira_Audit_CL",
        audience="https://monitor.azure.com",
        credential=lambda: TOKEN,
        send_seconds=10.0,
        now=time.clock.now,
    )
    return lambda: sink.send(b"[]")


def _workspace(url: str, time: Time) -> Callable[[], object]:
    workspace = Workspace(
        "w", endpoint=url, credential=lambda: TOKEN, clock=time.clock, only_site=True
    )
    return lambda: workspace.held(SITE, Window(NOW - 1_000, NOW))


def _identity(url: str, time: Time) -> Callable[[], object]:
    credential = Tokens(managed_identity(None, time.clock), time.clock)
    return lambda: credential.get_token("https://monitor.azure.com/.default")


def _storage_by_token(url: str, time: Time) -> Callable[[], object]:
    return _store(ContainerClient(url, "test", TOKEN, **client_options(NO_RETRIES)), time)


def _storage_by_key(url: str, time: Time) -> Callable[[], object]:
    connection = f"AccountName=account;AccountKey={KEY};BlobEndpoint={url}/account;"
    options = client_options(NO_RETRIES)
    return _store(ContainerClient.from_connection_string(connection, "test", **options), time)


def _store(container: ContainerClient, time: Time) -> Callable[[], object]:
    def call() -> None:
        letter = Letter("refused", "a reason", SITE, {"id": 1, "summary": "a matter of Anna's"})
        checkpoints = BlobCheckpoints(container, 60, time.clock)
        failed: list[ConnectorError] = []
        for each in (
            lambda: BlobLetters(container, time.clock).keep(letter),
            lambda: checkpoints.stored(SITE),
            lambda: checkpoints.take(Checkpoint.first(SITE, NOW, NOW)),
        ):
            try:
                each()
            except ConnectorError as error:
                failed.append(error)
        if failed:
            raise ConnectorError("; ".join(map(str, failed)))

    return call


CLIENTS = {
    "Jira": Client(_jira, "Basic dTp0"),
    "gateway": Client(_gateway, "", sends_nothing=True),
    "tenant": Client(_tenant, "", sends_nothing=True, is_optional=True),
    "token service": Client(_token_service, ""),
    "identity endpoint": Client(_identity, ""),
    "ingestion": Client(_ingestion, "Bearer our-own-token", over_tls=True),
    "workspace": Client(_workspace, "Bearer our-own-token", over_tls=True),
    "storage, token": Client(_storage_by_token, "Bearer our-own-token", over_tls=True),
    "storage, key": Client(_storage_by_key, "SharedKey account:"),
}


@pytest.fixture(params=[pytest.param(each, id=name) for name, each in CLIENTS.items()])
def client(request: pytest.FixtureRequest) -> Client:
    made: Client = request.param
    return made


@pytest.fixture
def time() -> Time:
    return Time(NOW)


@pytest.fixture
def service(
    client: Client,
    authority: tuple[trustme.CA, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Service]:
    signer, certificate = authority
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    with Service().serve(tls_of(signer) if client.over_tls else None) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        yield server


def tls_of(signer: trustme.CA) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    signer.issue_cert("localhost").configure_cert(tls)
    return tls


def call(client: Client, service: Service, time: Time, times: int) -> None:
    """Call it so often, whatever it makes of the answers."""
    ask = client.make(service.url, time)
    for _ in range(times):
        before = len(service.seen)
        with contextlib.suppress(ConnectorError):
            ask()
        assert len(service.seen) > before


@pytest.mark.parametrize("status", [404, 500])
def test_client_sends_no_cookie_back(
    client: Client, service: Service, time: Time, status: int
) -> None:
    service.status = status
    service.headers = {"Set-Cookie": "JSESSIONID=old; Path=/; HttpOnly"}

    call(client, service, time, times=3)

    assert not [seen["cookie"] for seen in service.seen if "cookie" in seen]


@pytest.mark.parametrize("place", ["NETRC", "HOME"])
def test_client_sends_its_own_credentials_only(
    client: Client,
    service: Service,
    time: Time,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / ".netrc").write_text("default login netrcuser password NETRCPASS\n")
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv(place, str(tmp_path / ".netrc" if place == "NETRC" else tmp_path))

    call(client, service, time, times=1)

    for seen in service.seen:
        assert seen.get("authorization", "").startswith(client.authorization)
        assert client.authorization or "authorization" not in seen


@pytest.mark.parametrize("status", [400, 403, 429, 503])
def test_client_quotes_nothing_that_it_has_sent(
    client: Client, service: Service, time: Time, status: int
) -> None:
    service.status, service.echoes = status, True
    said = ""

    try:
        client.make(service.url, time)()
    except ConnectorError as error:
        said = str(error)

    assert said or client.is_optional
    assert said.isprintable()
    secrets = [TOKEN.text, CLIENT_SECRET, IDENTITY_HEADER, "dTp0", "SharedKey account:"]
    assert client.sends_nothing or [secret for secret in secrets if secret in service.echoed[0]]
    assert not [secret for secret in secrets if secret in said]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_client_follows_no_redirect(
    client: Client,
    service: Service,
    time: Time,
    status: int,
    authority: tuple[trustme.CA, Path],
) -> None:
    with Service(200).serve(tls_of(authority[0]) if client.over_tls else None) as elsewhere:
        service.status = status
        service.headers = {"Location": f"{elsewhere.url}/steal"}

        call(client, service, time, times=1)

        assert elsewhere.seen == []
        assert elsewhere.bodies == []


@pytest.mark.parametrize("name", [name for name in CLIENTS if "storage" not in name])
def test_client_says_that_the_certificates_are_missing(
    name: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "https://localhost:9"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/certificates.pem")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{nowhere}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)

    with pytest.raises(SiteError, match="certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"):
        CLIENTS[name].make(nowhere, time)()


def test_storage_says_that_the_certificates_are_missing(
    time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/certificates.pem")
    container = ContainerClient("https://localhost:9", "test", TOKEN, **client_options(NO_RETRIES))

    with pytest.raises(SiteError, match="certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"):
        BlobCheckpoints(container, 60, time.clock).stored(SITE)


@pytest.mark.parametrize("name", ["Jira", "storage, key"])
def test_client_goes_through_a_proxy_that_is_set(
    name: str, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with Service().serve() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with contextlib.suppress(ConnectorError):
            CLIENTS[name].make("http://nowhere.example", time)()

        assert {seen["host"] for seen in proxy.seen} == {"nowhere.example"}


def test_developer_login_reads_no_netrc(
    time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login netrcuser password NETRCPASS\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.setenv("AZURE_TENANT_ID", "11111111-1111-1111-1111-111111111111")
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "secret")
    sent: list[requests.PreparedRequest] = []

    def note(_: object, request: requests.PreparedRequest, **__: object) -> None:
        sent.append(request)
        raise requests.ConnectionError

    # Its address cannot be one of this machine.
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", note)

    with pytest.raises(ConnectorError):
        Tokens(developer_login(), time.clock).get_token("https://monitor.azure.com/.default")

    assert sent
    assert not [request for request in sent if "Authorization" in request.headers]
