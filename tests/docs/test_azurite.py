"""Azurite as CONTRIBUTING.md has one start it takes what the storage library sends."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from tests.conftest import needed
from tests.docs import shell
from tests.servers import azurite

pytestmark = pytest.mark.servers

ALL_SERVICES = azurite.SERVERS / "azurite.js"
# Ports that nothing else has, and no network.
OURS = ["--blobPort", "0", "--queuePort", "0", "--tablePort", "0", "--disableTelemetry"]


def azurite_arguments() -> list[str]:
    """What the page gives to Azurite."""
    (found,) = [
        each
        for command in shell.commands("CONTRIBUTING.md")
        for each in shell.simple_commands(command.text)
        if each[:3] == ["npx", "--yes", "azurite"]
    ]
    return found[3:]


def blob_port(process: subprocess.Popen[bytes], said: int) -> int:
    """Where its blob service listens."""
    deadline = time.monotonic() + azurite.STARTS_WITHIN
    while time.monotonic() < deadline:
        text = os.pread(said, 10_000, 0).decode(errors="replace")
        if found := re.search(r"Blob service is successfully listening at http://.*:(\d+)", text):
            return int(found[1])
        assert process.poll() is None, text
        time.sleep(0.02)
    raise TimeoutError("Azurite did not say its port")


def test_azurite_serves_as_the_page_starts_it(tmp_path: Path) -> None:
    needed(azurite.is_installed(), "Azurite is not installed: make setup")
    with (tmp_path / "said").open("wb+") as said:
        process = subprocess.Popen(
            [str(azurite.node()), str(ALL_SERVICES), *azurite_arguments(), *OURS],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            connection = azurite.connection_to(blob_port(process, said.fileno()))
            with BlobServiceClient.from_connection_string(connection) as service:
                container = service.create_container("jira-audit")
                container.upload_blob("a", b"b").close()
                assert container.download_blob("a").readall() == b"b"
        finally:
            process.kill()
            process.wait()

    assert {path.name for path in tmp_path.iterdir()} == {"said", ".azurite"}
