"""Jira's settings: one site, or those of `JIRA_SITES`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from jira_audit.core.errors import SettingsError
from jira_audit.settings.address import ADDRESS, checked_url, is_loopback
from jira_audit.settings.environment import SettingsReader
from jira_audit.settings.values import ApiToken, InvalidSite, OAuthClient, Secret, Site

SITE_HOSTS = (".atlassian.net", ".jira.com", ".atlassian-us-gov-mod.net")
"""Atlassian Cloud's own domains: https://support.atlassian.com/organization-administration/docs/ip-addresses-and-domains-for-atlassian-cloud-products/"""

SERVICE_ACCOUNT = "@serviceaccount.atlassian.com"
"""How a service account's user name ends; its tokens are scoped, always:
https://support.atlassian.com/user-management/docs/manage-api-tokens-for-service-accounts/"""

_CLOUD_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_SINGLE_SITE_SETTINGS = {
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

_ENTRY_KEYS = {
    "url": "JIRA_SITE_URL",
    "username": "JIRA_USERNAME",
    "api_token_setting": "JIRA_API_TOKEN",
    "oauth_client_id": "JIRA_OAUTH_CLIENT_ID",
    "oauth_client_secret_setting": "JIRA_OAUTH_CLIENT_SECRET",
    "cloud_id": "JIRA_CLOUD_ID",
    "token_expires": "JIRA_TOKEN_EXPIRES",
}
"""What each key of an entry of `JIRA_SITES` stands for; `…_setting` names where the secret is."""


def read_sites(read: SettingsReader) -> tuple[tuple[Site, ...], tuple[InvalidSite, ...]]:
    """The sites that are set up: one, or those of `JIRA_SITES`, and the entries that are wrong."""
    listed = read.text("JIRA_SITES")
    if listed is None:
        site = _site(read)
        return (site,) if site else (), ()
    for name, aliases in _SINGLE_SITE_SETTINGS.items():
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
    invalid: dict[str, InvalidSite] = {}
    for number, entry in enumerate(entries, 1):
        name = f"JIRA_SITES[{number}]"
        found = _entry(read, entry, name)
        if isinstance(found, Site):
            found = _reject_duplicate(found, sites, name)
        if isinstance(found, Site):
            sites[found.host] = found
        else:
            invalid[name] = found
    # A wrong entry goes by its host, unless a sound one does, or a wrong one before it.
    named: dict[str, InvalidSite] = {}
    for name, entry in invalid.items():
        free = entry.site not in sites and entry.site not in named
        known = entry if free else InvalidSite(name, entry.error)
        named[known.site] = known
    return tuple(sites.values()), tuple(named.values())


def _reject_duplicate(found: Site, sites: Mapping[str, Site], name: str) -> Site | InvalidSite:
    """Two entries for one site would collect it twice, and the other one's not at all."""
    if found.host in sites:
        said = f"{name} names {found.host}, which an entry before it has"
        return InvalidSite(name, SettingsError([said]))
    for other in sites.values():
        if found.cloud_id and (other.cloud_id or "").lower() == found.cloud_id.lower():
            said = f"{name}: cloud_id is that of {other.host}; each site has its own"
            return InvalidSite(found.host, SettingsError([said]))
    return found


def _entry(read: SettingsReader, entry: Any, name: str) -> Site | InvalidSite:
    """One entry of `JIRA_SITES`; what is wrong with it is a matter of this site alone."""
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        return InvalidSite(name, SettingsError([f"{name} must be an object of texts"]))
    values = {"JIRA_ALLOWED_HOST_SUFFIXES": read.text("JIRA_ALLOWED_HOST_SUFFIXES") or ""}
    spelled = {}
    for key, stands_for in _ENTRY_KEYS.items():
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
    one = SettingsReader(values, spelled)
    for key in sorted(set(entry) - set(_ENTRY_KEYS)):
        one.problem(
            f"{name}: {key}",
            f"is not known; an entry has {', '.join(_ENTRY_KEYS)}, and secrets in settings of "
            "their own",
        )
    secret_setting = entry.get("api_token_setting") or entry.get("oauth_client_secret_setting")
    site = _site(one, secret_setting)
    if site and not one.problems:
        return site
    address = one.text("JIRA_SITE_URL")
    host = urlsplit(address).hostname if address and ADDRESS.fullmatch(address) else None
    return InvalidSite(host.lower() if host else name, SettingsError(one.problems))


def _site(read: SettingsReader, secret_setting: str | None = None) -> Site | None:
    """The site that the settings of one site name."""
    address = read.required(
        "JIRA_SITE_URL",
        *_SINGLE_SITE_SETTINGS["JIRA_SITE_URL"],
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
        secret_setting=secret_setting
        or ("JIRA_OAUTH_CLIENT_SECRET" if by_client else "JIRA_API_TOKEN"),
    )


def _credentials(read: SettingsReader) -> ApiToken | OAuthClient | None:
    """A user name with its token, or an OAuth client with its secret; not both."""
    client = read.text("JIRA_OAUTH_CLIENT_ID")
    if client or read.text("JIRA_OAUTH_CLIENT_SECRET"):
        for name in ("JIRA_USERNAME", "JIRA_API_TOKEN"):
            if read.text(name, *_SINGLE_SITE_SETTINGS[name]):
                read.problem(name, "is set beside an OAuth client: remove one of them")
        client = read.required("JIRA_OAUTH_CLIENT_ID", what="set it to the client's id")
        secret = read.required("JIRA_OAUTH_CLIENT_SECRET", what="set it to the client's secret")
        return OAuthClient(client, Secret(secret)) if client and secret else None
    username = read.required(
        "JIRA_USERNAME",
        *_SINGLE_SITE_SETTINGS["JIRA_USERNAME"],
        what="set it to the e-mail address the token belongs to",
    )
    token = read.required(
        "JIRA_API_TOKEN", *_SINGLE_SITE_SETTINGS["JIRA_API_TOKEN"], what="set it to the API token"
    )
    if username and ":" in username:
        read.problem("JIRA_USERNAME", "must not contain a colon")
    return ApiToken(username, Secret(token)) if username and token else None


def _site_address(read: SettingsReader, address: str) -> tuple[str, str] | None:
    """A site's host and base URL, if it may be given credentials."""
    if re.fullmatch("[A-Za-z0-9-]+", address):  # as in the old connector: `contoso`
        address = f"https://{address}.atlassian.net"
    url = checked_url(read, "JIRA_SITE_URL", address, "https://<your site>.atlassian.net")
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


def _expiry(read: SettingsReader) -> date | None:
    value = read.text("JIRA_TOKEN_EXPIRES")
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        read.problem("JIRA_TOKEN_EXPIRES", "must be a date such as 2027-03-31")
        return None
