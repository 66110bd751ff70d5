"""A whole installation on loopback: a Jira site, Azurite, ingestion, identity, and its settings."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.storage.blob import ContainerClient

from jira_audit.simulator.server import serve
from jira_audit.simulator.site import FakeJira
from tests.servers.identity import Identity
from tests.servers.ingestion import RULE, STREAM, Ingestion
from tests.servers.many_sites import ServedSite, address_of, cloud_id_of, serve_sites

ROOT = Path(__file__).parents[2]


def now() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Installation:
    """What an administrator has after deploying; `environment` is the whole one of a worker."""

    site: FakeJira
    ingestion: Ingestion
    container: ContainerClient
    environment: dict[str, str]

    def rows(self) -> list[dict[str, Any]]:
        return self.ingestion.rows

    @contextmanager
    def several_sites(self, count: int) -> Iterator[dict[str, str]]:
        """Serve the site at several addresses, each a site of its own; yield the environment."""
        addresses = [address_of(number) for number in range(count)]
        environment = dict(self.environment)
        for name in ("JIRA_SITE_URL", "JIRA_USERNAME", "JIRA_API_TOKEN"):
            del environment[name]
        sites = {
            address: ServedSite(self.site, cloud_id=cloud_id_of(number))
            for number, address in enumerate(addresses)
        }
        with serve_sites(sites) as port:
            entries = [
                {
                    "url": f"http://{address}:{port}",
                    "username": "auditor@example.com",
                    "api_token_setting": "TOKEN",
                }
                for address in addresses
            ]
            several = {"JIRA_SITES": json.dumps(entries), "TOKEN": "a-token", "NO_PROXY": "*"}
            yield environment | several

    def checkpoint(self) -> dict[str, Any]:
        blob = self.container.get_blob_client("checkpoints/127.0.0.1.json")
        return json.loads(blob.download_blob().readall())


@pytest.fixture
def installation(
    azurite: str,
    authority: tuple[trustme.CA, Path],
    identity: Identity,
    ingestion: Ingestion,
) -> Iterator[Installation]:
    """One site without records, and everything it needs."""
    site = FakeJira("auditor@example.com", "a-token")
    name = f"e2e-{uuid.uuid4().hex}"
    with (
        serve(site, clock_ms=now) as url,
        ContainerClient.from_connection_string(azurite, name) as container,
    ):
        yield Installation(
            site,
            ingestion,
            container,
            {
                **identity.environment,
                "REQUESTS_CA_BUNDLE": str(authority[1]),
                "JIRA_SITE_URL": url,
                "JIRA_USERNAME": "auditor@example.com",
                "JIRA_API_TOKEN": "a-token",
                "DATA_COLLECTION_ENDPOINT": ingestion.endpoint,
                "LOGS_DCR_RULE_ID": RULE,
                "LOGS_DCR_STREAM_NAME": STREAM,
                "AzureWebJobsStorage": azurite,
                "CHECKPOINT_CONTAINER": name,
                "POLL_SCHEDULE": "0 */5 * * * *",
            },
        )
