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


_AUDIENCE = re.compile(r"https://(monitor(\.[a-z0-9-]+)+)/*")


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

DNS_ZONE_HOSTS = (".blob.storage.azure.net",)
"""Hosts of accounts in DNS zones, in the public cloud:
https://learn.microsoft.com/azure/storage/common/storage-account-overview#azure-dns-zone-endpoints-preview"""

BLOB_HOSTS = (*(f".{cloud.blobs}" for cloud in CLOUDS.values()), *DNS_ZONE_HOSTS)
"""Hosts that may receive a storage token."""

PUBLIC_CLOUD = CLOUDS[".ingest.monitor.azure.com"]


def read_azure(read: SettingsReader) -> Azure | None:
    """Azure's settings, as far as needed; None if one is missing."""
    cloud = _cloud(read.raw("DATA_COLLECTION_ENDPOINT"))
    ingestion = _ingestion(read, cloud)
    storage = _storage(read, cloud)
    lease_seconds = read.number("LEASE_SECONDS")
    audit_workspace = read.text("AUDIT_WORKSPACE_ID")
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
        audit_workspace=audit_workspace,
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
    _check_audience(read, _checked_host(read, endpoint) if endpoint else None, audience)
    if not (endpoint and rule):
        return None
    audience = (audience or cloud.audience).rstrip("/")
    client_id = read.text("AZURE_CLIENT_ID")
    return Ingestion(endpoint.rstrip("/"), rule, stream, audience, client_id)


def _checked_host(read: SettingsReader, endpoint: str) -> str | None:
    """The endpoint's host, if it is an address."""
    example = "https://<name>.<region>.ingest.monitor.azure.com"
    url = checked_url(read, "DATA_COLLECTION_ENDPOINT", endpoint, example)
    return str(url.hostname) if url else None


def _check_audience(read: SettingsReader, host: str | None, audience: str | None) -> None:
    """Check that tokens for this audience may go to this host, if that is known.

    Every cloud's endpoints are named after its audience. Without an audience the cloud must be
    known.
    """
    if audience is None:
        if host and not host.endswith(tuple(CLOUDS)) and not is_loopback(host):
            read.problem(
                "DATA_COLLECTION_ENDPOINT",
                f"names {host}, which is not an ingestion endpoint of a known cloud; if it is "
                "right, set LOGS_INGESTION_AUDIENCE to that cloud's audience",
            )
        return
    service = _AUDIENCE.fullmatch(audience)
    is_meant = service and (not host or host.endswith(f".ingest.{service[1]}"))
    if not is_meant and not (service and is_loopback(host)):
        read.problem(
            "LOGS_INGESTION_AUDIENCE",
            "must be the audience of DATA_COLLECTION_ENDPOINT, such as https://monitor.azure.us "
            "for an endpoint that ends in .ingest.monitor.azure.us",
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
        if url and not is_loopback(url.hostname):
            _check_blob_host(read, str(url.hostname), cloud)
        return address.rstrip("/")
    name = read.text("AzureWebJobsStorage__accountName")
    return f"https://{name}.{cloud.blobs}" if name else None


def _check_blob_host(read: SettingsReader, host: str, cloud: Cloud) -> None:
    """Check that it may receive a storage token, and is in the cloud that rows go to, if any."""
    name, example = "AzureWebJobsStorage__blobServiceUri", f"https://<name>.{cloud.blobs}"
    if not host.endswith(BLOB_HOSTS):
        read.problem(name, f"must be Azure's: {example}")
    endpoint = host_of(read.raw("DATA_COLLECTION_ENDPOINT").strip())
    sends = read.needs("ingestion") and endpoint.endswith(tuple(CLOUDS))
    of_cloud = (f".{cloud.blobs}", *(DNS_ZONE_HOSTS if cloud is PUBLIC_CLOUD else ()))
    if sends and host.endswith(BLOB_HOSTS) and not host.endswith(of_cloud):
        read.problem(name, f"must be of the cloud of DATA_COLLECTION_ENDPOINT: {example}")
