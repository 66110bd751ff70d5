"""Fixtures for all tests: the servers, the pages of records, and the limits: no network except
loopback, and no file outside the checkout. No fakes and no data.
"""

import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis.configuration
import pytest
import trustme
from azure.storage.blob import BlobServiceClient, ContainerClient

from jira_audit.settings.table import SETTINGS
from jira_audit.settings.unknown import OURS
from tests import pages
from tests.pages import Page, PagesUnusable
from tests.reads import ReadGuard
from tests.servers import azurite as azurite_server
from tests.servers import browser as browser_process
from tests.servers import worker as worker_process
from tests.servers.browser import Browser
from tests.servers.identity import Identity
from tests.servers.ingestion import Ingestion

ROOT = Path(__file__).parents[1]
PAGES = pytest.StashKey[list[Page]]()

# What hypothesis keeps is in the checkout, wherever the tests are started from.
hypothesis.configuration.set_hypothesis_home_dir(ROOT / ".hypothesis")
# No test times itself: a busy machine is no failure. In CI the examples are the same in every run;
# elsewhere new ones are looked for.
hypothesis.settings.register_profile("developer", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
hypothesis.settings.load_profile("ci" if IN_CI else "developer")


StartWorker = Callable[[Path, Mapping[str, str]], worker_process.Worker]


def pytest_configure(config: pytest.Config) -> None:
    try:
        config.stash[PAGES] = pages.pages(os.environ)
    except PagesUnusable as error:
        raise pytest.UsageError(str(error)) from error
    folder = os.environ.get(pages.VARIABLE)
    guard = ReadGuard(ROOT, [Path(folder)] if folder else [])
    guard.install()
    config.pluginmanager.register(guard, "read-guard")
    # The developer may have credentials in a .netrc, which requests would use,
    os.environ["NETRC"] = os.devnull
    # and may have set the connector up in this shell.
    for name in [name for name in os.environ if is_setting(name)]:
        del os.environ[name]


def is_setting(name: str) -> bool:
    """Whether a variable is one of the connector's, known or not: `check` warns of both."""
    return name.startswith(OURS) or any(name in (row.name, *row.aliases) for row in SETTINGS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes an `audit_page` on every page."""
    if "audit_page" in metafunc.fixturenames:
        every = metafunc.config.stash[PAGES]
        metafunc.parametrize("audit_page", every, ids=[page.name for page in every])


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """For tests of files' modes: what a login shell has."""
    needed(sys.platform != "win32", "POSIX modes and owners")
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def read_guard(pytestconfig: pytest.Config) -> ReadGuard:
    guard = pytestconfig.pluginmanager.get_plugin("read-guard")
    assert isinstance(guard, ReadGuard)
    return guard


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(read_guard: ReadGuard, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests may read in their `tmp_path`; pytest lists those of earlier sessions to create it."""
    with read_guard.paused():
        read_guard.allow(tmp_path_factory.getbasetemp())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        choices=("with", "without", "only"),
        default="with",
        help="run tests marked long as well, leave them out, or run nothing else",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """An option of its own, as a second `-m` would replace the first: both are to count."""
    choice = config.getoption("--long")
    if choice == "with":
        return
    chosen, others = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        is_long = item.get_closest_marker("long") is not None
        (chosen if is_long == (choice == "only") else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


def needed(condition: object, why: str) -> None:
    """Skip on a developer's machine and fail in CI, which must have every part."""
    if condition:
        return
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        pytest.fail(f"CI is without a part that a test needs: {why}", pytrace=False)
    pytest.skip(why)


class NetworkRefused(AssertionError):
    """Not an OSError, which code under test would retry as a network failure."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets connect to loopback only, and no other name is resolved."""
    look_up = socket.getaddrinfo

    def guarded(
        connect: Callable[[socket.socket, Any], Any],
    ) -> Callable[[socket.socket, Any], Any]:
        def call(own: socket.socket, address: Any) -> Any:
            if own.family in {socket.AF_INET, socket.AF_INET6}:
                _only_loopback(address[0])
            return connect(own, address)

        return call

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        _only_loopback(host)
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


def _only_loopback(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host or "localhost"
    if name not in {"localhost", "::1"} and not name.startswith("127."):
        raise NetworkRefused(f"a test tried to reach {name}")


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The connection string of a blob service that runs for the test session."""
    needed(azurite_server.is_installed(), "Azurite is not installed: make setup")
    with azurite_server.run() as connection:
        yield connection


@pytest.fixture
def blob_container(azurite: str) -> Iterator[ContainerClient]:
    """A new container for this test alone."""
    name = f"test-{uuid.uuid4().hex}"
    with BlobServiceClient.from_connection_string(azurite) as service:
        yield service.create_container(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """Signs the servers' certificates; clients trust the file."""
    signer = trustme.CA()
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    signer.cert_pem.write_to_path(path)
    return signer, path


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    """The managed identity's endpoint, set in the environment as App Service does."""
    with Identity().serve() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def ingestion(
    authority: tuple[trustme.CA, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ingestion]:
    """The Logs Ingestion API over TLS, with a certificate that requests trusts."""
    signer, certificate = authority
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    with Ingestion().serve(signer) as server:
        yield server


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Starts function apps in the Functions worker library; stops them after the test."""
    needed(worker_process.is_installed(), "the Functions worker library needs Python 3.13")
    with ExitStack() as running:

        def start(app: Path, environment: Mapping[str, str]) -> worker_process.Worker:
            return running.enter_context(worker_process.Worker(app, environment))

        yield start


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser for the test session. Not every machine has one, CI's neither: it is no part that
    a test of ours can install.
    """
    path = browser_process.executable()
    if path is None:
        pytest.skip("no browser to look at the page with: install Debian's package chromium")
    with browser_process.run(path) as running:
        yield running
