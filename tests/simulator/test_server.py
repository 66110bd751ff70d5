"""The simulated site over HTTP, on loopback: nothing here needs a network beyond it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from urllib.parse import quote, urlencode, urlsplit

import pytest

from jira_audit.simulator.server import serve
from jira_audit.simulator.site import (
    RECORDS_PATH,
    FakeJira,
)
from tests.simulator.small_sites import (
    NOW_MS,
    TOKEN,
    USERNAME,
    basic,
    created,
    record,
    site_with,
    some_records,
)


def test_server_answers_on_one_kept_connection() -> None:
    site = site_with(record(1, 0), record(2, 1))
    with serve(site, clock_ms=lambda: NOW_MS) as base_url:
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)
        connection.connect()
        used = connection.sock
        older = f"{RECORDS_PATH}?{urlencode({'to': created(0)})}"
        for path, status, seen in (
            (older, 200, [1]),
            ("/nowhere", 404, []),
            (RECORDS_PATH, 200, [2, 1]),
        ):
            connection.request("GET", path, headers=basic())
            response = connection.getresponse()
            said = json.loads(response.read())
            assert (response.version, response.status) == (11, status)
            assert response.headers.get_all("Date") == ["Tue, 05 Mar 2024 14:20:45 GMT"]
            assert [found["id"] for found in said.get("records", [])] == seen
        assert connection.sock is used
        connection.close()


def test_server_reads_an_unescaped_plus_as_a_space() -> None:
    with serve(site_with(), clock_ms=lambda: NOW_MS) as base_url:
        bare = get(base_url, f"{RECORDS_PATH}?from=2024-03-01T12:00:00.000+0000")
        escaped = get(base_url, f"{RECORDS_PATH}?from={quote('2024-03-01T12:00:00.000+0000')}")
    assert (bare[0], escaped[0]) == (400, 200)
    assert json.loads(bare[1])["errorMessages"] == ['Invalid date "2024-03-01T12:00:00.000 0000"']


def test_server_refuses_what_it_does_not_know() -> None:
    with serve(site_with(), clock_ms=lambda: NOW_MS) as base_url:
        assert get(base_url, RECORDS_PATH + "?limit=1&limit=2")[0] == 400
        assert get(base_url, RECORDS_PATH + "?limit=")[0] == 400
        assert get(base_url, RECORDS_PATH, body=b"{}")[0] == 400
        assert get(base_url, RECORDS_PATH, method="POST", body=b"{}")[0] == 501
        assert get(base_url, RECORDS_PATH, method="HEAD")[0] == 501


def test_server_answers_within_a_few_milliseconds() -> None:
    with serve(site_with(record(1, 0)), clock_ms=lambda: NOW_MS) as base_url:
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)
        begun = time.perf_counter()
        for _ in range(100):
            connection.request("GET", RECORDS_PATH, headers=basic())
            connection.getresponse().read()
        # A delayed acknowledgement would cost some 40 ms each.
        assert time.perf_counter() - begun < 1.5
        connection.close()


def test_server_answers_nothing_after_its_block() -> None:
    with serve(site_with(), clock_ms=lambda: NOW_MS) as base_url:
        address = urlsplit(base_url)
        kept = socket.create_connection((address.hostname, address.port), timeout=5)
        kept.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 404"
    with kept:
        while kept.recv(65_536):
            pass
    with pytest.raises(OSError):  # noqa: PT011 - each system refuses in its own words
        socket.create_connection((address.hostname, address.port), timeout=5)


def test_server_logs_nothing_if_a_client_hangs_up(capfd: pytest.CaptureFixture[str]) -> None:
    site = FakeJira(USERNAME, TOKEN)
    site.add(some_records(1000))
    with serve(site, clock_ms=lambda: NOW_MS) as base_url:
        get(base_url, "/nowhere")
        get(base_url, RECORDS_PATH, method="POST")
        address = urlsplit(base_url)
        impatient = socket.create_connection((address.hostname, address.port), timeout=5)
        lines = [f"GET {RECORDS_PATH} HTTP/1.1", f"Authorization: {basic()['Authorization']}"]
        impatient.sendall(("\r\n".join([*lines, "", ""]) * 20).encode())
        impatient.recv(1)
        impatient.close()
        get(base_url, "/nowhere")
    assert capfd.readouterr() == ("", "")


def test_import_has_no_effect() -> None:
    script = "import threading, jira_audit.simulator.server; print(threading.active_count())"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("1\n", "")


def get(
    base_url: str, target: str, method: str = "GET", body: bytes | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)
    connection.request(method, target, body, basic())
    response = connection.getresponse()
    got = response.status, response.read()
    connection.close()
    return got
