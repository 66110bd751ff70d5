"""Settings: parsed once per run from the environment into one frozen, validated value.

All problems are reported together, each naming its setting and what would be right, before anything
is requested. The table of settings in the README is held to this file by a test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from jira_audit.core import moments
from jira_audit.core.errors import SettingsError
from jira_audit.core.moments import HOUR, MINUTE
from jira_audit.core.policy import Policy, Reset

LONGEST_BUDGET_SECONDS = 540
"""`functionTimeout` of host.json less a minute."""

SITE_HOSTS = (".atlassian.net", ".jira.com", ".atlassian-us-gov-mod.net")
"""Atlassian Cloud's own domains: https://support.atlassian.com/organization-administration/docs/ip-addresses-and-domains-for-atlassian-cloud-products/"""

SERVICE_ACCOUNT = "@serviceaccount.atlassian.com"
"""How a service account's user name ends; its tokens are scoped, always:
https://support.atlassian.com/user-management/docs/manage-api-tokens-for-service-accounts/"""

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

_LOOPBACK = re.compile(r"localhost|::1|127(\.[0-9]{1,3}){3}", re.ASCII)
# http to anywhere but this machine.
_CLEAR_TEXT = re.compile(
    r"(?i)=http://(?!(127\.0\.0\.1|localhost|\[::1\])[:/])"
    r"|^(?!.*BlobEndpoint).*DefaultEndpointsProtocol=http(;|$)"
)
_UNRESOLVED = "@Microsoft.KeyVault("
# What examples and local.settings.sample.json have where a value of one's own belongs.
_PLACEHOLDER = re.compile(r"<[^<>]*>|…|^dcr-0[0-]+$|^0{8}[0-]*$")
_FREE_TEXT = {"JIRA_SITES", "CHECKPOINT_RESET"}
"""Their parts are checked one by one, and a comment may say anything."""
# Spelled out, not left to a parser: two of them disagree about `https://evil.com\.atlassian.net`.
_ADDRESS = re.compile(
    r"https?://(\[::1\]|[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*)(:[0-9]{1,5})?/*",
    re.ASCII | re.IGNORECASE,
)
_CLOUD_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
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


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine, where tests and emulators are, which speak http."""
    return _LOOPBACK.fullmatch(host or "") is not None


QUEUE_ABOVE = 10
"""So many sites run inside the timer's invocation, side by side; with more, each has one of its
own. No more may be set: sites that wait for their turn would share what time is left."""


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
class ApiToken:
    """A user's or a service account's token, for Basic authentication."""

    username: str
    token: Secret

    @property
    def holder(self) -> str:
        """Who is let in."""
        return self.username


@dataclass(frozen=True)
class OAuthClient:
    """A service account's OAuth 2.0 client credentials."""

    client_id: str
    secret: Secret

    @property
    def holder(self) -> str:
        """Who is let in."""
        return f"the OAuth client {self.client_id}"


@dataclass(frozen=True)
class Site:
    """One Jira Cloud tenant and its credentials. `host` names it everywhere; it is lower case.

    With `gateway`, requests go through Atlassian's gateway, to the site of `cloud_id`, which is
    asked for where it is not set. `kept_in` is the setting that holds the token or secret.
    """

    host: str
    base_url: str
    credentials: ApiToken | OAuthClient
    gateway: bool = False
    cloud_id: str | None = None
    token_expires: date | None = None
    kept_in: str = "JIRA_API_TOKEN"


@dataclass(frozen=True)
class Broken:
    """An entry of `JIRA_SITES` that is wrong: what it is called, and everything that is wrong."""

    site: str
    error: SettingsError


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
    """Everything an administrator can set, checked. `target` is Azure, or a local folder.

    `broken` are entries of `JIRA_SITES` that cannot be used; they keep no other site from running.
    """

    sites: tuple[Site, ...]
    broken: tuple[Broken, ...]
    target: Azure | Path
    policy: Policy
    reset_site: str | None
    budget_seconds: int
    queue_above: int = QUEUE_ABOVE

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
    sites, broken = _sites(read)
    target = folder or _azure(read)
    known = [site.host for site in sites] + [entry.site for entry in broken]
    reset, reset_site = _reset(read, now, known)
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
    queue_above = read.whole("QUEUE_SITES_ABOVE", QUEUE_ABOVE, 0, QUEUE_ABOVE)
    if read.problems or target is None:
        raise SettingsError(read.problems)
    return Settings(sites, broken, target, policy, reset_site, budget_seconds, queue_above)


class _Reader:
    """Reads one setting after the other, and gathers the problems.

    `spelled` has what a setting is called where it stands under another name.
    """

    def __init__(
        self, environment: Mapping[str, str], spelled: Mapping[str, str] | None = None
    ) -> None:
        self._environment, self._spelled = environment, spelled or {}
        self.problems: list[str] = []

    def problem(self, name: str, text: str) -> None:
        if (found := f"{self._spelled.get(name, name)} {text}") not in self.problems:
            self.problems.append(found)

    def text(self, name: str, *aliases: str) -> str | None:
        """The value of a setting or of its alias; empty is not set."""
        for spelling in (name, *aliases):
            value = self._environment.get(spelling, "").strip()
            if not _is_text(value):
                self.problem(spelling, "has characters in it that are no text: copy it again")
                return None
            if value.startswith(_UNRESOLVED):
                self.problem(
                    spelling,
                    "is a Key Vault reference that did not resolve: see that the secret exists, "
                    "that the app's identity has the role Key Vault Secrets User, that "
                    "keyVaultReferenceIdentity names it, and that the vault can be reached",
                )
                return None
            if name not in _FREE_TEXT and _PLACEHOLDER.search(value):
                self.problem(spelling, "is still the placeholder of an example: set your own value")
                return None
            if value:
                return value
        return None

    def raw(self, name: str) -> str:
        """The value of a setting as it is, whatever is wrong with it; empty if it is not set."""
        return self._environment.get(name, "")

    def has(self, name: str) -> bool:
        """Whether a setting is set."""
        return bool(self.raw(name).strip())

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


_OF_ONE_SITE = {
    "JIRA_SITE_URL": ("JiraHomeSiteName",),
    "JIRA_USERNAME": ("JiraUsername",),
    "JIRA_API_TOKEN": ("JiraAccessToken",),
    "JIRA_OAUTH_CLIENT_ID": (),
    "JIRA_OAUTH_CLIENT_SECRET": (),
    "JIRA_CLOUD_ID": (),
    "JIRA_TOKEN_EXPIRES": (),
}
"""The settings of a site that stands alone, with their aliases."""

_NOT_FOR_JIRA = ("AzureWebJobs", "WEBSITE_", "IDENTITY_", "APPLICATIONINSIGHTS_", "MSI_")

_IN_AN_ENTRY = {
    "url": "JIRA_SITE_URL",
    "username": "JIRA_USERNAME",
    "api_token_setting": "JIRA_API_TOKEN",
    "oauth_client_id": "JIRA_OAUTH_CLIENT_ID",
    "oauth_client_secret_setting": "JIRA_OAUTH_CLIENT_SECRET",
    "cloud_id": "JIRA_CLOUD_ID",
    "token_expires": "JIRA_TOKEN_EXPIRES",
}
"""What each key of an entry of `JIRA_SITES` stands for; `…_setting` names where the secret is."""


def _is_text(value: str) -> bool:
    """Whether it can be written: half a character, as a broken copy leaves it, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sites(read: _Reader) -> tuple[tuple[Site, ...], tuple[Broken, ...]]:
    """The sites that are set up: one, or those of `JIRA_SITES`, and the entries that are wrong."""
    listed = read.text("JIRA_SITES")
    if listed is None:
        site = _site(read)
        return (site,) if site else (), ()
    for name, aliases in _OF_ONE_SITE.items():
        if read.text(name, *aliases):
            read.problem(name, "is set beside JIRA_SITES, which has all sites: remove one of them")
    try:
        entries = json.loads(listed)
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not entries:
        read.problem(
            "JIRA_SITES",
            'must be a list in JSON, such as [{"url": "https://contoso.atlassian.net", "username": '
            '"auditor@contoso.com", "api_token_setting": "CONTOSO_API_TOKEN"}]',
        )
        return (), ()
    sites: dict[str, Site] = {}
    broken: dict[str, Broken] = {}
    for number, entry in enumerate(entries, 1):
        name = f"JIRA_SITES[{number}]"
        found = _entry(read, entry, name)
        if isinstance(found, Site):
            found = _unless_twice(found, sites, name)
        if isinstance(found, Site):
            sites[found.host] = found
        else:
            broken[name] = found
    # A wrong entry goes by its host, unless a sound one does, or a wrong one before it.
    named: dict[str, Broken] = {}
    for name, entry in broken.items():
        free = entry.site not in sites and entry.site not in named
        known = entry if free else Broken(name, entry.error)
        named[known.site] = known
    return tuple(sites.values()), tuple(named.values())


def _unless_twice(found: Site, sites: Mapping[str, Site], name: str) -> Site | Broken:
    """Two entries for one site would collect it twice, and the other one's not at all."""
    if found.host in sites:
        said = f"{name} names {found.host}, which an entry before it has"
        return Broken(name, SettingsError([said]))
    for other in sites.values():
        if found.cloud_id and (other.cloud_id or "").lower() == found.cloud_id.lower():
            said = f"{name}: cloud_id is that of {other.host}; each site has its own"
            return Broken(found.host, SettingsError([said]))
    return found


def _entry(read: _Reader, entry: Any, name: str) -> Site | Broken:
    """One entry of `JIRA_SITES`; what is wrong with it is a matter of this site alone."""
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        return Broken(name, SettingsError([f"{name} must be an object of texts"]))
    values = {"JIRA_ALLOWED_HOST_SUFFIXES": read.text("JIRA_ALLOWED_HOST_SUFFIXES") or ""}
    spelled = {}
    for key, stands_for in _IN_AN_ENTRY.items():
        value = entry.get(key, "")
        spelled[stands_for] = f"{name}: {key}"
        if key.endswith("_setting") and value.startswith(_NOT_FOR_JIRA):
            spelled[stands_for] += ", which names a setting of the host's and no secret of Jira's,"
            value = ""
        elif key.endswith("_setting") and value:
            # Only what is there is a name; anything else may be a secret in the wrong place.
            if read.has(value):
                spelled[stands_for] = f"{name}: {value}"
            else:
                spelled[stands_for] += ", which names no setting that is set,"
            value = read.raw(value)
        values[stands_for] = value
    one = _Reader(values, spelled)
    for key in sorted(set(entry) - set(_IN_AN_ENTRY)):
        one.problem(
            f"{name}: {key}",
            f"is not known; an entry has {', '.join(_IN_AN_ENTRY)}, and secrets in settings of "
            "their own",
        )
    kept_in = entry.get("api_token_setting") or entry.get("oauth_client_secret_setting")
    site = _site(one, kept_in)
    if site and not one.problems:
        return site
    address = one.text("JIRA_SITE_URL")
    host = urlsplit(address).hostname if address and _ADDRESS.fullmatch(address) else None
    return Broken(host.lower() if host else name, SettingsError(one.problems))


def _site(read: _Reader, kept_in: str | None = None) -> Site | None:
    """The site that the settings of one site name."""
    address = read.required(
        "JIRA_SITE_URL",
        *_OF_ONE_SITE["JIRA_SITE_URL"],
        what="set it to https://<your site>.atlassian.net",
    )
    credentials = _credentials(read)
    cloud_id = read.text("JIRA_CLOUD_ID")
    if cloud_id and not _CLOUD_ID.fullmatch(cloud_id):
        read.problem("JIRA_CLOUD_ID", "must be an id such as 11111111-2222-4333-8444-555555555555")
    expires = _expiry(read)
    host_and_url = _site_address(read, address) if address else None
    if not (host_and_url and credentials):
        return None
    by_client = isinstance(credentials, OAuthClient)
    scoped = by_client or credentials.holder.lower().endswith(SERVICE_ACCOUNT)
    return Site(
        *host_and_url,
        credentials,
        gateway=scoped or cloud_id is not None,
        cloud_id=cloud_id,
        token_expires=expires,
        kept_in=kept_in or ("JIRA_OAUTH_CLIENT_SECRET" if by_client else "JIRA_API_TOKEN"),
    )


def _credentials(read: _Reader) -> ApiToken | OAuthClient | None:
    """A user name with its token, or an OAuth client with its secret; not both."""
    client = read.text("JIRA_OAUTH_CLIENT_ID")
    if client or read.text("JIRA_OAUTH_CLIENT_SECRET"):
        for name in ("JIRA_USERNAME", "JIRA_API_TOKEN"):
            if read.text(name, *_OF_ONE_SITE[name]):
                read.problem(name, "is set beside an OAuth client: remove one of them")
        client = read.required("JIRA_OAUTH_CLIENT_ID", what="set it to the client's id")
        secret = read.required("JIRA_OAUTH_CLIENT_SECRET", what="set it to the client's secret")
        return OAuthClient(client, Secret(secret)) if client and secret else None
    username = read.required(
        "JIRA_USERNAME",
        *_OF_ONE_SITE["JIRA_USERNAME"],
        what="set it to the e-mail address the token belongs to",
    )
    token = read.required(
        "JIRA_API_TOKEN", *_OF_ONE_SITE["JIRA_API_TOKEN"], what="set it to the API token"
    )
    if username and ":" in username:
        read.problem("JIRA_USERNAME", "must not contain a colon")
    return ApiToken(username, Secret(token)) if username and token else None


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
    if not is_loopback(host) and not f".{host}".endswith(suffixes):
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
    if not plain or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(host))):
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
        if url and not known and not audience and not is_loopback(host):
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


def _reset(read: _Reader, now: int, hosts: list[str]) -> tuple[Reset | None, str | None]:
    """The reset and the site it is limited to, from `[site=](time|all)[#anything]`."""
    value = read.text("CHECKPOINT_RESET")
    if value is None:
        return None, None
    limited, equals, when = value.split("#")[0].rpartition("=")
    site = limited.strip().lower() if equals else None
    if site is not None and hosts and site not in hosts:
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
