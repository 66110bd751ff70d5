"""Addresses of hosts: Atlassian's, this machine's, and where a redirect leads. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jira_audit.core.text import is_host

SITE_HOSTS = (".atlassian.net", ".jira.com", ".atlassian-us-gov-mod.net")
"""Atlassian Cloud's own domains: https://support.atlassian.com/organization-administration/docs/ip-addresses-and-domains-for-atlassian-cloud-products/"""

_LOOPBACK = re.compile(r"localhost|::1|127(\.[0-9]{1,3}){3}", re.ASCII)

_HOST = r"(?P<host>[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+|localhost)"
_REDIRECT = re.compile(
    rf"(?P<base>(?P<scheme>https?)://{_HOST}(:[0-9]{{1,5}})?)([/?#].*)?", re.ASCII | re.IGNORECASE
)


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine, where tests and emulators are, which speak http."""
    return _LOOPBACK.fullmatch(host or "") is not None


def redirect_target(location: str | None) -> tuple[str, str] | None:
    """The host, in lower case, that a `Location` leads to, and the base URL there.

    None for anything but an https URL of a plain host name (http on this machine): only such a
    host is asked anything, or printed.
    """
    match = _REDIRECT.fullmatch(location or "")
    if match is None:
        return None
    host = match["host"].lower()
    if not is_host(host) or (match["scheme"].lower() == "http" and not is_loopback(host)):
        return None
    return host, match["base"].lower()


def is_site_host(host: str, suffixes: Iterable[str] = ()) -> bool:
    """Whether a Jira site may be at a host: Atlassian Cloud's, one below `suffixes`, this machine.

    A suffix is a domain, such as `jira.contoso.com`.
    """
    allowed = (f".{suffix.lstrip('*.')}" for suffix in suffixes)
    return is_loopback(host) or f".{host}".endswith((*SITE_HOSTS, *allowed))


def redirect_sentence(location: str | None) -> str:
    """What a redirect that a site answers with means, and what to do; for the error's text."""
    target = redirect_target(location)
    if target is None or "login" in str(location):
        return (
            "the site answers with a redirect, as login pages and moved sites do; it is not "
            "followed: see that JIRA_SITE_URL is the site's own address"
        )
    host, base_url = target
    more = "" if is_site_host(host) else f", and add {host} to JIRA_ALLOWED_HOST_SUFFIXES"
    return (
        f"the site answers with a redirect to {host}: if it was renamed, set JIRA_SITE_URL (or url "
        f"in JIRA_SITES) to {base_url}{more}; that is all there is to do: collection goes on where "
        "it was"
    )
