"""Settings: parsed once per run from the environment into one frozen, validated value.

All problems are reported together, each naming its setting and what would be right, before anything
is requested. The table of settings in the README is held to this file by a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from jira_audit.collect import Policy, Reset
from jira_audit.core import moments
from jira_audit.core.errors import SettingsError
from jira_audit.core.moments import HOUR, MINUTE

LONGEST_BUDGET_SECONDS = 540
"""`functionTimeout` of host.json less a minute."""

SITE_HOSTS = (".atlassian.net", ".jira.com", ".atlassian-us-gov-mod.net")
"""Atlassian Cloud's own domains: https://support.atlassian.com/organization-administration/docs/ip-addresses-and-domains-for-atlassian-cloud-products/"""

BEGINNING_OF_ALL = moments.parse("2002-01-01T00:00:00Z")
"""Where `CHECKPOINT_RESET=all` begins: there was no Jira before."""

DEVELOPMENT_STORAGE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
    "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1;"
)
"""What `UseDevelopmentStorage=true` stands for; the key is public and the same everywhere:
https://learn.microsoft.com/azure/storage/common/storage-use-azurite#connection-strings"""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# http to anywhere but this machine.
_CLEAR_TEXT = re.compile(
    r"(?i)=http://(?!(127\.0\.0\.1|localhost|\[::1\])[:/])"
    r"|^(?!.*BlobEndpoint).*DefaultEndpointsProtocol=http(;|$)"
)
_UNRESOLVED = "@Microsoft.KeyVault("
# Spelled out, not left to a parser: two of them disagree about `https://evil.com\.atlassian.net`.
_ADDRESS = re.compile(
    r"https?://(\[::1\]|[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*)(:[0-9]{1,5})?/*",
    re.ASCII | re.IGNORECASE,
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


class Secret:
    """A text that prints as `***`, whatever prints it; `reveal` is for the place that sends it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        """Never the text."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Equal to a secret of the same text."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """Of the text, so that clients can be cached by their settings."""
        return hash(self._text)


@dataclass(frozen=True)
class Site:
    """One Jira Cloud tenant and its credentials. `host` names it everywhere; it is lower case."""

    host: str
    base_url: str
    username: str
    token: Secret
    token_expires: date | None = None


@dataclass(frozen=True)
class Storage:
    """Where checkpoints live.

    `account` is a connection string (secret), or the blob service's address for an identity.
    """

    container: str
    account: Secret | str
    client_id: str | None = None


@dataclass(frozen=True)
class Ingestion:
    """The data collection rule's stream, and who sends to it."""

    endpoint: str
    rule: str
    stream: str
    audience: str
    client_id: str | None


@dataclass(frozen=True)
class Azure:
    """Where rows and checkpoints go.

    `managed_identity` says that the credential is the app's own; else it is the developer's;
    `queries` is where the cloud's workspaces are asked about what they hold.
    """

    ingestion: Ingestion
    storage: Storage
    queries: str
    lease_seconds: int
    send_seconds: float
    managed_identity: bool


@dataclass(frozen=True)
class Settings:
    """Everything an administrator can set, checked. `target` is Azure, or a local folder."""

    sites: tuple[Site, ...]
    target: Azure | Path
    policy: Policy
    reset_site: str | None
    budget_seconds: int

    def policy_for(self, site: Site) -> Policy:
        """The policy for one site: a reset meant for another does not concern it."""
        if self.reset_site in {None, site.host}:
            return self.policy
        return replace(self.policy, reset=None)


def load(environment: Mapping[str, str], now: int, folder: Path | None = None) -> Settings:
    """Read and check all settings.

    `now` is a moment; with `folder`, rows go there, and Azure's settings are not asked for. Raises
    SettingsError with every problem there is.
    """
    read = _Reader(environment)
    sites = _sites(read)
    target = folder or _azure(read)
    reset, reset_site = _reset(read, now, sites)
    policy = Policy(
        lookback=read.whole("INITIAL_LOOKBACK_HOURS", 24, 1, 24 * 366) * HOUR,
        overlap=read.whole("OVERLAP_MINUTES", 15, 1, 24 * 60) * MINUTE,
        sweep=read.whole("SWEEP_HOURS", 48, 1, 24 * 31) * HOUR,
        event_time=read.one_of("TIME_GENERATED_SOURCE", ("ingestion", "created")) == "created",
        reset=reset,
        send_seconds=target.send_seconds if isinstance(target, Azure) else Policy.send_seconds,
    )
    _schedule(read)
    budget_seconds = read.whole("RUN_BUDGET_SECONDS", 480, 10, LONGEST_BUDGET_SECONDS)
    if read.problems or target is None:
        raise SettingsError(read.problems)
    return Settings(sites, target, policy, reset_site, budget_seconds)


class _Reader:
    """Reads one setting after the other, and gathers the problems."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def problem(self, name: str, text: str) -> None:
        if (found := f"{name} {text}") not in self.problems:
            self.problems.append(found)

    def text(self, name: str, *aliases: str) -> str | None:
        """The value of a setting or of its alias; empty is not set."""
        for spelling in (name, *aliases):
            value = self._environment.get(spelling, "").strip()
            if value.startswith(_UNRESOLVED):
                self.problem(
                    spelling,
                    "is a Key Vault reference that did not resolve: see that the secret exists, "
                    "that the app's identity has the role Key Vault Secrets User, that "
                    "keyVaultReferenceIdentity names it, and that the vault can be reached",
                )
                return None
            if value:
                return value
        return None

    def required(self, name: str, *aliases: str, what: str) -> str | None:
        before = len(self.problems)
        value = self.text(name, *aliases)
        if value is None and len(self.problems) == before:
            self.problem(name, f"is missing: {what}")
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch("[0-9]{1,9}", value) or not least <= int(value) <= most:
            self.problem(name, f"must be a whole number from {least} to {most}")
            return default
        return int(value)

    def one_of(self, name: str, values: tuple[str, ...]) -> str:
        value = self.text(name) or values[0]
        if value not in values:
            self.problem(name, f"must be {' or '.join(values)}")
        return value


def _sites(read: _Reader) -> tuple[Site, ...]:
    for name, what in (
        ("JIRA_SITES", "several sites"),
        ("JIRA_OAUTH_CLIENT_ID", "OAuth credentials"),
        ("JIRA_OAUTH_CLIENT_SECRET", "OAuth credentials"),
        ("JIRA_CLOUD_ID", "Atlassian's gateway"),
    ):
        if read.text(name):
            read.problem(name, f"is set, but this version does not support {what} yet: remove it")
    address = read.required(
        "JIRA_SITE_URL", "JiraHomeSiteName", what="set it to https://<your site>.atlassian.net"
    )
    username = read.required(
        "JIRA_USERNAME", "JiraUsername", what="set it to the e-mail address the token belongs to"
    )
    token = read.required("JIRA_API_TOKEN", "JiraAccessToken", what="set it to the API token")
    expires = _expiry(read)
    if username and ":" in username:
        read.problem("JIRA_USERNAME", "must not contain a colon")
    host_and_url = _site_address(read, address) if address else None
    if not (host_and_url and username and token):
        return ()
    return (Site(*host_and_url, username, Secret(token), expires),)


def _site_address(read: _Reader, address: str) -> tuple[str, str] | None:
    """A site's host and base URL, if it may be given credentials."""
    if re.fullmatch("[A-Za-z0-9-]+", address):  # as in the old connector: `contoso`
        address = f"https://{address}.atlassian.net"
    url = _url(read, "JIRA_SITE_URL", address, "https://<your site>.atlassian.net")
    if url is None:
        return None
    host = str(url.hostname)
    added = (read.text("JIRA_ALLOWED_HOST_SUFFIXES") or "").lower().replace(",", " ").split()
    suffixes = (*SITE_HOSTS, *("." + suffix.lstrip("*.") for suffix in added))
    if host not in _LOOPBACK and not f".{host}".endswith(suffixes):
        read.problem(
            "JIRA_SITE_URL",
            f"names {host}, which is not on Atlassian Cloud ({', '.join(SITE_HOSTS)}); for a "
            "custom domain, add it to JIRA_ALLOWED_HOST_SUFFIXES",
        )
        return None
    return host, f"{url.scheme}://{url.netloc.lower()}"


def _url(read: _Reader, name: str, value: str, example: str) -> SplitResult | None:
    """An https URL of nothing but a host (http on loopback, for tests and emulators)."""
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        url, host = urlsplit(""), None
    plain = host and _ADDRESS.fullmatch(value)
    if not plain or not (url.scheme == "https" or (url.scheme == "http" and host in _LOOPBACK)):
        read.problem(name, f"must be an https address without a path, such as {example}")
        return None
    return url


def _expiry(read: _Reader) -> date | None:
    value = read.text("JIRA_TOKEN_EXPIRES")
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        read.problem("JIRA_TOKEN_EXPIRES", "must be a date such as 2027-03-31")
        return None


def _azure(read: _Reader) -> Azure | None:
    ingestion, cloud = _ingestion(read)
    storage = _storage(read, cloud)
    lease_seconds = read.whole("LEASE_SECONDS", 60, 15, 60)
    if not (ingestion and storage):
        return None
    send_seconds = min(Policy.send_seconds, lease_seconds * 2 / 3)
    managed_identity = bool(read.text("IDENTITY_ENDPOINT"))
    return Azure(ingestion, storage, cloud.queries, lease_seconds, send_seconds, managed_identity)


def _ingestion(read: _Reader) -> tuple[Ingestion | None, Cloud]:
    endpoint = read.required(
        "DATA_COLLECTION_ENDPOINT", what="set it to the rule's logs ingestion endpoint"
    )
    rule = read.required("LOGS_DCR_RULE_ID", what="set it to the rule's immutable id, dcr-…")
    stream = read.text("LOGS_DCR_STREAM_NAME") or "Custom-Jira_Audit_CL"
    audience = read.text("LOGS_INGESTION_AUDIENCE")
    cloud = PUBLIC_CLOUD
    if endpoint:
        example = "https://<name>.<region>.ingest.monitor.azure.com"
        url = _url(read, "DATA_COLLECTION_ENDPOINT", endpoint, example)
        host = str(url.hostname) if url else ""
        known = [found for end, found in CLOUDS.items() if host.endswith(end)]
        cloud = known[0] if known else PUBLIC_CLOUD
        if url and not known and not audience and host not in _LOOPBACK:
            read.problem(
                "DATA_COLLECTION_ENDPOINT",
                f"names {host}, which is no ingestion endpoint of a cloud known here; if it is "
                "right, set LOGS_INGESTION_AUDIENCE to that cloud's audience",
            )
    if audience:
        _url(read, "LOGS_INGESTION_AUDIENCE", audience, "https://monitor.azure.us")
    if rule and not re.fullmatch("dcr-[0-9A-Za-z-]+", rule):
        read.problem("LOGS_DCR_RULE_ID", "must be the immutable id, dcr-…, not the rule's name")
    if not re.fullmatch("(Custom|Microsoft)-[0-9A-Za-z_-]+", stream):
        read.problem("LOGS_DCR_STREAM_NAME", "must begin with Custom-")
    if not (endpoint and rule):
        return None, cloud
    audience = (audience or cloud.audience).rstrip("/")
    client_id = read.text("AZURE_CLIENT_ID")
    return Ingestion(endpoint.rstrip("/"), rule, stream, audience, client_id), cloud


def _storage(read: _Reader, cloud: Cloud) -> Storage | None:
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
        url = _url(read, "AzureWebJobsStorage__blobServiceUri", address, example)
        if url and not str(url.hostname).endswith(BLOB_HOSTS) and url.hostname not in _LOOPBACK:
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


def _connection(read: _Reader) -> Secret | None:
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


def _reset(read: _Reader, now: int, sites: tuple[Site, ...]) -> tuple[Reset | None, str | None]:
    """The reset and the site it is limited to, from `[site=](time|all)[#anything]`."""
    value = read.text("CHECKPOINT_RESET")
    if value is None:
        return None, None
    limited, equals, when = value.split("#")[0].rpartition("=")
    site = limited.strip().lower() if equals else None
    hosts = [known.host for known in sites]
    if site is not None and sites and site not in hosts:
        read.problem("CHECKPOINT_RESET", f"must name a site set up here: {', '.join(hosts)}")
    try:
        start = BEGINNING_OF_ALL if when.strip() == "all" else moments.parse(when.strip())
    except ValueError:
        read.problem(
            "CHECKPOINT_RESET", "must be a time with its zone, such as 2026-09-14T00:00:00Z, or all"
        )
        return None, site
    if start > now:
        read.problem("CHECKPOINT_RESET", "lies in the future")
    return Reset(value, start), site


def _schedule(read: _Reader) -> None:
    """The host reads the schedule; that it has six fields is worth knowing before.

    https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-expressions
    """
    value = read.text("POLL_SCHEDULE")
    if value and len(value.split()) != 6:
        read.problem("POLL_SCHEDULE", "must have six fields (seconds first), such as 0 */5 * * * *")
