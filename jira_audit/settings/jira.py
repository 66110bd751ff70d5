"""Jira's settings: one site, or those of `JIRA_SITES`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jira_audit.core.address import SITE_HOSTS, is_site_host
from jira_audit.core.cloud_id import is_cloud_id
from jira_audit.core.errors import SettingsError
from jira_audit.settings.address import checked_url, host_of
from jira_audit.settings.environment import SettingsReader
from jira_audit.settings.table import EVERYTHING
from jira_audit.settings.values import ApiToken, InvalidSite, OAuthClient, Secret, Site

Sites = tuple[tuple[Site, ...], tuple[InvalidSite, ...]]
"""The sites, and the invalid entries of `JIRA_SITES`."""

_GATEWAY = re.compile(r"https?://api\.[a-z0-9.-]+/ex/jira/([^/?#]+)", re.IGNORECASE)
"""https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/#authentication"""

_SETTING_NAME = re.compile("[A-Z][A-Z0-9_]{0,39}")
"""No token of Atlassian's looks so: they have lower-case letters."""

_NOT_FOR_JIRA = ("AzureWebJobs", "WEBSITE_", "IDENTITY_", "APPLICATIONINSIGHTS_", "MSI_")

_ENTRY_KEYS = {
    "url": "JIRA_SITE_URL",
    "username": "JIRA_USERNAME",
    "api_token_setting": "JIRA_API_TOKEN",
    "oauth_client_id": "JIRA_OAUTH_CLIENT_ID",
    "oauth_client_secret_setting": "JIRA_OAUTH_CLIENT_SECRET",
    "cloud_id": "JIRA_CLOUD_ID",
    "token_expires": "JIRA_TOKEN_EXPIRES",
}
"""The setting that each key of an entry stands for; `…_setting` names the one with the secret."""

_SINGLE_SITE_SETTINGS = tuple(_ENTRY_KEYS.values())


def read_sites(read: SettingsReader) -> Sites:
    """The sites, one or those of `JIRA_SITES`, and the invalid entries.

    They have credentials if Jira's part is needed. Otherwise nothing is sent, so any host will do.
    """
    text = read.text("JIRA_SITES")
    if text is None:
        site = _site(read, connects=read.needs("jira"))
        return (site,) if site else (), ()
    for name in filter(read.is_set, _SINGLE_SITE_SETTINGS):
        read.problem(name, "is set beside JIRA_SITES, which has all sites: remove one of them")
    return _sites_of(read, _entries(read, text))


def _entries(read: SettingsReader, text: str) -> list[Any]:
    """The entries of a JSON list."""
    try:
        entries = json.loads(text)
    except ValueError:
        entries = None
    if isinstance(entries, list) and entries:
        return entries
    read.problem(
        "JIRA_SITES",
        'must be a list in JSON, such as [{"url": "https://contoso.atlassian.net", "username": '
        '"auditor@contoso.com", "api_token_setting": "CONTOSO_API_TOKEN"}]',
    )
    return []


def secret_settings(text: str) -> list[str]:
    """The settings that the entries of `JIRA_SITES` name for their secrets."""
    try:
        entries = json.loads(text)
    except ValueError:
        return []
    return [
        value
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
        for key, value in entry.items()
        if key.endswith("_setting") and isinstance(value, str)
    ]


def _sites_of(read: SettingsReader, entries: list[Any]) -> Sites:
    sites: dict[str, Site] = {}
    invalid: dict[str, InvalidSite] = {}
    for number, entry in enumerate(entries, 1):
        name = f"JIRA_SITES[{number}]"
        site = _entry(read, entry, name)
        if isinstance(site, Site):
            site = _reject_duplicate(site, sites, name)
        if isinstance(site, Site):
            sites[site.host] = site
        else:
            invalid[name] = site
    return tuple(sites.values()), tuple(_named_apart(invalid, sites).values())


def _named_apart(
    invalid: Mapping[str, InvalidSite], sites: Mapping[str, Site]
) -> Mapping[str, InvalidSite]:
    """An invalid entry is named by its host, unless another entry already has that name."""
    by_name: dict[str, InvalidSite] = {}
    for name, entry in invalid.items():
        is_taken = entry.site in {*sites, *by_name}
        unique = InvalidSite(name, entry.error) if is_taken else entry
        by_name[unique.site] = unique
    return by_name


def _reject_duplicate(site: Site, sites: Mapping[str, Site], name: str) -> Site | InvalidSite:
    """Refuse a site's second entry: the site would be collected twice, another not at all."""
    if site.host in sites:
        problem = f"{name} names {site.host}, which an earlier entry has"
        return InvalidSite(name, SettingsError([problem]))
    hosts = {other.cloud_id.lower(): other.host for other in sites.values() if other.cloud_id}
    if host := hosts.get((site.cloud_id or "").lower()):
        problem = f"{name}: cloud_id is that of {host}; each site has its own"
        return InvalidSite(site.host, SettingsError([problem]))
    return site


def _entry(read: SettingsReader, entry: Any, name: str) -> Site | InvalidSite:
    """One entry of `JIRA_SITES`; its problems concern this site alone."""
    if not _is_of_texts(entry):
        return InvalidSite(name, SettingsError([f"{name} must be an object of texts"]))
    of_entry = _entry_reader(read, entry, name)
    site = _site(of_entry, connects=read.needs("jira"))
    if site is None or of_entry.problems:
        host = host_of(of_entry.text("JIRA_SITE_URL") or "")
        return InvalidSite(host or name, SettingsError(of_entry.problems))
    secret_setting = entry.get("api_token_setting") or entry.get("oauth_client_secret_setting")
    return replace(site, secret_setting=str(secret_setting))


def _is_of_texts(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values())


def _entry_reader(read: SettingsReader, entry: Mapping[str, str], name: str) -> SettingsReader:
    """A reader of an entry's values, under the settings that its keys stand for.

    An entry must be whole, whatever is needed; only its secret may be missing if Jira is not asked.
    """
    values = {"JIRA_ALLOWED_HOST_SUFFIXES": read.text("JIRA_ALLOWED_HOST_SUFFIXES") or ""}
    labels = {}
    for key, setting in _ENTRY_KEYS.items():
        values[setting], labels[setting] = entry.get(key, ""), f"{name}: {key}"
        if key.endswith("_setting") and entry.get(key):
            values[setting], labels[setting] = _secret(read, entry[key], name, key)
    of_entry = SettingsReader(values, EVERYTHING, labels)
    for key in sorted(set(entry) - set(_ENTRY_KEYS)):
        of_entry.problem(
            f"{name}: {key}",
            f"is not known; an entry has {', '.join(_ENTRY_KEYS)}, and secrets in settings of "
            "their own",
        )
    return of_entry


def _secret(read: SettingsReader, setting: str, name: str, key: str) -> tuple[str, str]:
    """The secret in the setting that an entry names, and its label in problems.

    If Jira is not asked, the name stands for it.
    """
    if setting.startswith(_NOT_FOR_JIRA):
        return "", f"{name}: {key}, which names a setting of the host's and no secret of Jira's,"
    if not read.needs("jira"):
        return setting, f"{name}: {key}"
    value = read.raw(setting)
    # Name what is set, or looks like a setting's name; anything else may be a secret in the wrong
    # place.
    if value.strip() or _SETTING_NAME.fullmatch(setting):
        return value, f"{name}: {setting}"
    return "", f"{name}: {key}, which names no setting that is set,"


def _site(read: SettingsReader, *, connects: bool) -> Site | None:
    """The site of one site's settings; without credentials unless it `connects`."""
    address = read.required("JIRA_SITE_URL")
    credentials = _credentials(read)
    cloud_id = read.text("JIRA_CLOUD_ID")
    token_expires = read.day("JIRA_TOKEN_EXPIRES")
    place = _site_address(read, address, connects=connects) if address else None
    if place is None or (connects and credentials is None):
        return None
    return Site(
        *place,
        credentials if connects else None,
        gateway=cloud_id is not None or (credentials is not None and credentials.is_scoped),
        cloud_id=cloud_id,
        token_expires=token_expires,
        secret_setting=_secret_setting(credentials),
        host_suffixes=_host_suffixes(read),
    )


def _secret_setting(credentials: ApiToken | OAuthClient | None) -> str:
    is_client = isinstance(credentials, OAuthClient)
    return "JIRA_OAUTH_CLIENT_SECRET" if is_client else "JIRA_API_TOKEN"


def _credentials(read: SettingsReader) -> ApiToken | OAuthClient | None:
    """A user name with its token, or an OAuth client with its secret; not both."""
    if read.is_set("JIRA_OAUTH_CLIENT_ID") or read.is_set("JIRA_OAUTH_CLIENT_SECRET"):
        return _oauth_client(read)
    username = read.required("JIRA_USERNAME")
    token = read.required("JIRA_API_TOKEN")
    if token and (fault := _token_fault(token, username)):
        read.problem("JIRA_API_TOKEN", fault)
        return None
    return ApiToken(username, Secret(token)) if username and token else None


def _token_fault(token: str, username: str | None) -> str | None:
    """What a token was copied with that does not belong to it."""
    scheme = token.split(maxsplit=1)[0].lower()
    if scheme in {"bearer", "basic", "authorization:"} and scheme != token.lower():
        return f"must be the token alone, without the word {scheme.removesuffix(':')} before it"
    if username and token.lower().startswith(f"{username.lower()}:"):
        return "must be the token alone, without the user name and the colon before it"
    return None


def _oauth_client(read: SettingsReader) -> OAuthClient | None:
    for name in filter(read.is_set, ("JIRA_USERNAME", "JIRA_API_TOKEN")):
        read.problem(name, "is set beside an OAuth client: remove one of them")
    client = read.required("JIRA_OAUTH_CLIENT_ID")
    secret = read.required("JIRA_OAUTH_CLIENT_SECRET")
    return OAuthClient(client, Secret(secret)) if client and secret else None


def _site_address(read: SettingsReader, address: str, *, connects: bool) -> tuple[str, str] | None:
    """A site's host and base URL, if it may receive credentials."""
    if re.fullmatch("[A-Za-z0-9-]+", address):  # as in the old connector: `contoso`
        address = f"https://{address}.atlassian.net"
    if gateway := _GATEWAY.match(address):
        cloud_id = gateway[1] if is_cloud_id(gateway[1]) else "the id in that address"
        read.problem(
            "JIRA_SITE_URL",
            f"is the address of Atlassian's gateway: set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to "
            f"{cloud_id}, and this to "
            "the site's own address, https://<your site>.atlassian.net",
        )
        return None
    url = checked_url(read, "JIRA_SITE_URL", address, "https://<your site>.atlassian.net")
    if url is None:
        return None
    host = str(url.hostname)
    if connects and not is_site_host(host, _host_suffixes(read)):
        read.problem(
            "JIRA_SITE_URL",
            f"names {host}, which is not on Atlassian Cloud ({', '.join(SITE_HOSTS)}); for a "
            "custom domain, add it to JIRA_ALLOWED_HOST_SUFFIXES",
        )
        return None
    return host, f"{url.scheme}://{url.netloc.lower()}"


def _host_suffixes(read: SettingsReader) -> tuple[str, ...]:
    """The domains, beside Atlassian Cloud's, whose hosts may receive credentials."""
    domains = (read.text("JIRA_ALLOWED_HOST_SUFFIXES") or "").lower().split(",")
    return tuple(domain.strip() for domain in domains if domain.strip())
