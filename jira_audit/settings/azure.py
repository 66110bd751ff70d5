"""Azure's settings: where rows and checkpoints go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jira_audit.core.address import is_loopback
from jira_audit.core.policy import Policy
from jira_audit.settings.address import checked_url, host_of
from jira_audit.settings.environment import SettingsReader
from jira_audit.settings.values import Azure, Ingestion, Secret, Storage

DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
)
"""`UseDevelopmentStorage=true` in full; the key is public and the same everywhere:
https://learn.microsoft.com/azure/storage/common/storage-use-azurite#connection-strings"""

# http to another machine.
_CLEAR_TEXT = re.compile(
    r"(?i)=http://(?!(127\.0\.0\.1|localhost|\[::1\])[:/])"
    r"|^(?!.*BlobEndpoint).*DefaultEndpointsProtocol=http(;|$)"
)

_CONNECTION = re.compile(
    r"(?=.*(AccountName|BlobEndpoint)=[^;])(?=.*(AccountKey|SharedAccessSignature)=[^;])"
    r"[^=;]+=[^;]*(;[^=;]+=[^;]*)*;*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Cloud:
    """One Azure cloud: its ingestion audience, blob domain and query endpoint."""

    audience: str
    blobs: str
    queries: str


CLOUDS: Mapping[str, Cloud] = {
    ".ingest.monitor.azure.com": Cloud(
        "https://monitor.azure.com", "blob.core.windows.net", "https://api.loganalytics.io"
    ),
    ".ingest.monitor.azure.us": Cloud(
        "https://monitor.azure.us", "blob.core.usgovcloudapi.net", "https://api.loganalytics.us"
    ),
    ".ingest.monitor.azure.cn": Cloud(
        "https://monitor.azure.cn",
        "blob.core.chinacloudapi.cn",
        "https://api.loganalytics.azure.cn",
    ),
}
"""By the suffix of the ingestion endpoint's host:
https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview,
https://learn.microsoft.com/python/api/overview/azure/monitor-query-readme#configure-client-for-azure-sovereign-cloud"""

BLOB_HOSTS = (
    *(f".{cloud.blobs}" for cloud in CLOUDS.values()),
    ".blob.storage.azure.net",
)
"""Hosts that may receive a storage token; the last is for accounts in DNS zones:
https://learn.microsoft.com/azure/storage/common/storage-account-overview#azure-dns-zone-endpoints-preview"""

PUBLIC_CLOUD = CLOUDS[".ingest.monitor.azure.com"]


def read_azure(read: SettingsReader) -> Azure | None:
    """Azure's settings, as far as needed; None if one is missing."""
    cloud = _cloud(read.raw("DATA_COLLECTION_ENDPOINT"))
    ingestion = _ingestion(read, cloud)
    storage = _storage(read, cloud)
    lease_seconds = read.number("LEASE_SECONDS")
    if storage is None or (ingestion is None and read.needs("ingestion")):
        return None
    return Azure(
        ingestion,
        storage,
        cloud.queries,
        lease_seconds,
        send_seconds=min(Policy.send_seconds, lease_seconds * 2 / 3),
        managed_identity=bool(read.raw("IDENTITY_ENDPOINT").strip()),
        client_id=read.text("AZURE_CLIENT_ID"),
    )


def _cloud(endpoint: str) -> Cloud:
    """The cloud of an ingestion endpoint; the public one if it is missing or unknown.

    It also gives the domains of storage and queries, for commands that send nothing.
    """
    host = host_of(endpoint.strip())
    clouds = [cloud for end, cloud in CLOUDS.items() if host.endswith(end)]
    return clouds[0] if clouds else PUBLIC_CLOUD


def _ingestion(read: SettingsReader, cloud: Cloud) -> Ingestion | None:
    endpoint = read.required("DATA_COLLECTION_ENDPOINT")
    rule = read.required("LOGS_DCR_RULE_ID")
    stream = read.text_or_default("LOGS_DCR_STREAM_NAME")
    audience = read.text("LOGS_INGESTION_AUDIENCE")
    if endpoint:
        _check_endpoint(read, endpoint, audience)
    if audience:
        checked_url(read, "LOGS_INGESTION_AUDIENCE", audience, "https://monitor.azure.us")
    if not (endpoint and rule):
        return None
    audience = (audience or cloud.audience).rstrip("/")
    client_id = read.text("AZURE_CLIENT_ID")
    return Ingestion(endpoint.rstrip("/"), rule, stream, audience, client_id)


def _check_endpoint(read: SettingsReader, endpoint: str, audience: str | None) -> None:
    """Check that it is a known cloud's ingestion endpoint, or that its audience is set."""
    example = "https://<name>.<region>.ingest.monitor.azure.com"
    url = checked_url(read, "DATA_COLLECTION_ENDPOINT", endpoint, example)
    if url is None or audience:
        return
    host = str(url.hostname)
    if not host.endswith(tuple(CLOUDS)) and not is_loopback(host):
        read.problem(
            "DATA_COLLECTION_ENDPOINT",
            f"names {host}, which is not an ingestion endpoint of a known cloud; if it is right, "
            "set LOGS_INGESTION_AUDIENCE to that cloud's audience",
        )


def _storage(read: SettingsReader, cloud: Cloud) -> Storage | None:
    container = read.text_or_default("CHECKPOINT_CONTAINER")
    client_id = read.text("AzureWebJobsStorage__clientId") or read.text("AZURE_CLIENT_ID")
    count = len(read.problems)
    if connection := _connection(read):
        return Storage(container, connection)
    if address := _blob_service(read, cloud):
        return Storage(container, address, client_id)
    if len(read.problems) == count:
        read.missing("AzureWebJobsStorage")
    return None


def _connection(read: SettingsReader) -> Secret | None:
    connection = read.text("AzureWebJobsStorage")
    if connection is None:
        return None
    if connection == "UseDevelopmentStorage=true":
        connection = DEVELOPMENT_STORAGE
    if not _CONNECTION.fullmatch(connection):
        read.problem(
            "AzureWebJobsStorage", "must be a storage account's connection string, with its key"
        )
    elif _CLEAR_TEXT.search(connection):
        read.problem("AzureWebJobsStorage", "must use https: it carries a key")
    return Secret(connection)


def _blob_service(read: SettingsReader, cloud: Cloud) -> str | None:
    """The blob service's address, for an identity: as set, or from the account's name."""
    if address := read.text("AzureWebJobsStorage__blobServiceUri"):
        example = f"https://<name>.{cloud.blobs}"
        url = checked_url(read, "AzureWebJobsStorage__blobServiceUri", address, example)
        if url and not str(url.hostname).endswith(BLOB_HOSTS) and not is_loopback(url.hostname):
            read.problem("AzureWebJobsStorage__blobServiceUri", f"must be Azure's: {example}")
        return address.rstrip("/")
    name = read.text("AzureWebJobsStorage__accountName")
    return f"https://{name}.{cloud.blobs}" if name else None
