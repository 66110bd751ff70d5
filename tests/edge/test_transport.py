"""What Jira, its gateway and the token service are asked over: nothing is followed, and nothing is
read beyond its bounds.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import requests
import urllib3
from azure.core.exceptions import ServiceRequestError
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NameResolutionError

from jira_audit.core.clock import Clock
from jira_audit.core.errors import TransientError
from jira_audit.core.http import RawResponse
from jira_audit.edge import transport
from jira_audit.wiring import CLOCK
from tests.fakes.world import START, Time

URL = "https://contoso.example/page"
LIMIT = 200_000


class Body(io.RawIOBase):
    """A body of so many bytes, endless without; it knows how many were `read`."""

    def __init__(self, size: float = float("inf")) -> None:
        self.size, self.read_bytes = size, 0

    def readable(self) -> bool:
        return True

    def read(self, amount: int | None = -1) -> bytes:
        wanted = 1_000_000 if amount is None or amount < 0 else amount
        sent = b"x" * int(min(wanted, self.size - self.read_bytes))
        self.read_bytes += len(sent)
        assert self.read_bytes < 50 * LIMIT, "it would be read for ever"
        return sent

    read1 = read


class Service(BaseAdapter):
    """Answers every request with one status, header fields and body, or cannot be reached."""

    def __init__(self, body: Body, status: int = 200, **headers: str) -> None:
        super().__init__()
        self.body, self.status, self.headers = body, status, headers
        self.asked: list[str] = []
        self.error: Exception | None = None

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        self.asked.append(request.url)
        if self.error:
            raise self.error
        response = requests.Response()
        response.status_code, response.request, response.url = self.status, request, request.url
        response.headers.update(self.headers)
        response.raw = HTTPResponse(self.body, preload_content=False)
        return response

    def close(self) -> None:
        """Nothing is open."""


def fetch(service: Service, clock: Clock | None = None) -> RawResponse:
    with transport.session() as session:
        session.mount("https://", service)
        return transport.fetch(
            session,
            "The service",
            "GET",
            URL,
            limit=LIMIT,
            seconds=10,
            clock=clock or Time(START).clock,
        )


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_body_up_to_the_limit_is_read(size: int) -> None:
    found = fetch(Service(Body(size), 418, Kind="teapot"))

    assert (found.status, found.body, found.at) == (418, b"x" * size, START)
    assert found.headers["kind"] == "teapot"


@pytest.mark.parametrize("size", [LIMIT + 1, float("inf")])
def test_body_over_the_limit_is_given_up(size: float) -> None:
    body = Body(size)

    with pytest.raises(TransientError, match=r"The service's response is too long"):
        fetch(Service(body))
    assert body.read_bytes <= LIMIT + 65_536


def test_body_that_takes_too_long_is_given_up() -> None:
    seconds = count(0, 5.1)
    clock = replace(Time(START).clock, monotonic=lambda: next(seconds))

    with pytest.raises(TransientError, match="took too long"):
        fetch(Service(Body(LIMIT)), clock)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed_and_its_body_not_awaited(status: int) -> None:
    body = Body()
    service = Service(body, status, Location="https://evil.example/")

    with pytest.raises(TransientError, match="too long"):
        fetch(service)
    assert service.asked == [URL]
    assert body.read_bytes <= LIMIT + 65_536


def test_redirect_with_a_short_body_is_an_answer() -> None:
    service = Service(Body(3), 302, Location="https://evil.example/")

    assert (fetch(service).status, service.asked) == (302, [URL])


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("at 10.0.0.1"), requests.exceptions.SSLError("at 10.0.0.1")]
)
def test_error_names_the_service_and_not_its_address(error: Exception) -> None:
    service = Service(Body())
    service.error = error

    with pytest.raises(TransientError) as raised:
        fetch(service)
    assert str(raised.value) == f"The service could not be reached ({type(error).__name__})"


def refused_port() -> int:
    """A port of this machine where nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def real_error(url: str, **options: Any) -> str:
    """What is said of a real request that fails."""
    with pytest.raises(TransientError) as raised:
        transport.fetch(
            transport.session(), "Jira", "GET", url, limit=9, seconds=3, clock=CLOCK, **options
        )
    return str(raised.value)


def test_refused_connection_names_host_and_reason() -> None:
    said = real_error(f"http://127.0.0.1:{refused_port()}/secret?token=x")

    assert said.startswith("Jira could not be reached (127.0.0.1: the connection was refused")
    assert "secret" not in said


def test_proxy_that_is_away_is_named_as_such() -> None:
    proxy = f"http://127.0.0.1:{refused_port()}"

    said = real_error("https://contoso.atlassian.net/", proxies={"https": proxy})

    assert said.startswith("Jira could not be reached (contoso.atlassian.net: the proxy cannot")


def test_peer_without_tls_is_named_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_plainly, args=(server,), daemon=True).start()

        said = real_error(f"https://127.0.0.1:{server.getsockname()[1]}/")

    assert said.startswith("Jira could not be reached (127.0.0.1: TLS failed")


def answer_plainly(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(9)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


NAME = NameResolutionError("x.example", HTTPConnection("x.example"), socket.gaierror(-2, "no"))
UNTRUSTED = ssl.SSLCertVerificationError(1, "self-signed certificate")


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (NAME, "x.example: its name was not found"),
        (urllib3.exceptions.SSLError(UNTRUSTED), "its certificate is not trusted"),
        (TimeoutError("slow"), "timed out"),
        (ConnectionResetError(104, "reset"), "the connection was closed"),
        (ValueError("http://user:secret@x.example"), "Error"),
    ],
)
@pytest.mark.parametrize("wrap", [requests.ConnectionError, ServiceRequestError])
def test_reason_is_found_within_the_error_of_a_client(
    wrap: type[Exception], inner: Exception, reason: str
) -> None:
    error = wrap(inner)
    if wrap is ServiceRequestError:
        error = ServiceRequestError("a text with an address", error=inner)

    said = transport.unreachable("storage", error)

    assert reason in said
    assert "secret" not in said
    assert "address" not in said.split("check")[0]
