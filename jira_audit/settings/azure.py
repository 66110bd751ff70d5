"""Azure's settings: where rows and checkpoints go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jira_audit.core.policy import Policy
from jira_audit.settings.address import checked_url, is_loopback
from jira_audit.settings.environment import SettingsReader
from jira_audit.settings.values import Azure, Ingestion, Secret, Storage

DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
)
"""What `UseDevelopmentStorage=true` stands for; the key is public and the same everywhere:
https://learn.microsoft.com/azure/storage/common/storage-use-azurite#connection-strings"""

# http to anywhere but this machine.
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
    """One of Azure's clouds: the audience of its ingestion, the domain of its blobs, and where a
    workspace's tables are asked about.
    """

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
"""By the end of the ingestion endpoint's host:
https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview,
https://learn.microsoft.com/python/api/overview/azure/monitor-query-readme#configure-client-for-azure-sovereign-cloud"""

BLOB_HOSTS = (
    *(f".{cloud.blobs}" for cloud in CLOUDS.values()),
    ".blob.storage.azure.net",
)
"""Where an identity's token for storage may go; the last is of accounts in DNS zones:
https://learn.microsoft.com/azure/storage/common/storage-account-overview#azure-dns-zone-endpoints-preview"""

PUBLIC_CLOUD = CLOUDS[".ingest.monitor.azure.com"]


def read_azure(read: SettingsReader) -> Azure | None:
    ingestion, cloud = _ingestion(read)
    storage = _storage(read, cloud)
    lease_seconds = read.whole("LEASE_SECONDS", 60, 15, 60)
    if not (ingestion and storage):
        return None
    send_seconds = min(Policy.send_seconds, lease_seconds * 2 / 3)
    managed_identity = bool(read.text("IDENTITY_ENDPOINT"))
    return Azure(ingestion, storage, cloud.queries, lease_seconds, send_seconds, managed_identity)


def _ingestion(read: SettingsReader) -> tuple[Ingestion | None, Cloud]:
    endpoint = read.required(
        "DATA_COLLECTION_ENDPOINT", what="set it to the rule's logs ingestion endpoint"
    )
    rule = read.required("LOGS_DCR_RULE_ID", what="set it to the rule's immutable id, dcr-…")
    stream = read.text("LOGS_DCR_STREAM_NAME") or "Custom-Jira_Audit_CL"
    audience = read.text("LOGS_INGESTION_AUDIENCE")
    cloud = PUBLIC_CLOUD
    if endpoint:
        example = "https://<name>.<region>.ingest.monitor.azure.com"
        url = checked_url(read, "DATA_COLLECTION_ENDPOINT", endpoint, example)
        host = str(url.hostname) if url else ""
        known = [found for end, found in CLOUDS.items() if host.endswith(end)]
        cloud = known[0] if known else PUBLIC_CLOUD
        if url and not known and not audience and not is_loopback(host):
            read.problem(
                "DATA_COLLECTION_ENDPOINT",
                f"names {host}, which is no ingestion endpoint of a cloud known here; if it is "
                "right, set LOGS_INGESTION_AUDIENCE to that cloud's audience",
            )
    if audience:
        checked_url(read, "LOGS_INGESTION_AUDIENCE", audience, "https://monitor.azure.us")
    if rule and not re.fullmatch("dcr-[0-9A-Za-z-]+", rule):
        read.problem("LOGS_DCR_RULE_ID", "must be the immutable id, dcr-…, not the rule's name")
    if not re.fullmatch("(Custom|Microsoft)-[0-9A-Za-z_-]+", stream):
        read.problem("LOGS_DCR_STREAM_NAME", "must begin with Custom-")
    if not (endpoint and rule):
        return None, cloud
    audience = (audience or cloud.audience).rstrip("/")
    client_id = read.text("AZURE_CLIENT_ID")
    return Ingestion(endpoint.rstrip("/"), rule, stream, audience, client_id), cloud


def _storage(read: SettingsReader, cloud: Cloud) -> Storage | None:
    container = read.text("CHECKPOINT_CONTAINER") or "jira-audit"
    if not re.fullmatch("(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*", container):
        read.problem(
            "CHECKPOINT_CONTAINER", "must be 3 to 63 lower-case letters, digits and single hyphens"
        )
    client_id = read.text("AzureWebJobsStorage__clientId") or read.text("AZURE_CLIENT_ID")
    before = len(read.problems)
    connection = _connection(read)
    if connection:
        return Storage(container, connection)
    address = read.text("AzureWebJobsStorage__blobServiceUri")
    if address:
        example = f"https://<name>.{cloud.blobs}"
        url = checked_url(read, "AzureWebJobsStorage__blobServiceUri", address, example)
        if url and not str(url.hostname).endswith(BLOB_HOSTS) and not is_loopback(url.hostname):
            read.problem("AzureWebJobsStorage__blobServiceUri", f"must be Azure's: {example}")
        return Storage(container, address.rstrip("/"), client_id)
    name = read.text("AzureWebJobsStorage__accountName")
    if name and re.fullmatch("[a-z0-9]{3,24}", name):
        return Storage(container, f"https://{name}.{cloud.blobs}", client_id)
    if name:
        read.problem(
            "AzureWebJobsStorage__accountName", "must be 3 to 24 lower-case letters, digits"
        )
    elif len(read.problems) == before:
        read.problem(
            "AzureWebJobsStorage",
            "is missing: set it to a connection string, or AzureWebJobsStorage__accountName to the "
            "account's name where an identity is used",
        )
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
        read.problem("AzureWebJobsStorage", "must use https, as it carries a key")
    return Secret(connection)
