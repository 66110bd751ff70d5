"""Addresses that may receive credentials: https and a host, nothing else."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from jira_audit.core.address import is_loopback
from jira_audit.settings.environment import SettingsReader

# Explicit: two parsers disagree about `https://evil.com\.atlassian.net`.
_ADDRESS = re.compile(
    r"https?://(\[::1\]|[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*)(:[0-9]{1,5})?/*",
    re.ASCII | re.IGNORECASE,
)


def host_of(address: str) -> str:
    """The host of an address that is only a host, in lower case; otherwise empty."""
    return (urlsplit(address).hostname or "") if _ADDRESS.fullmatch(address) else ""


def checked_url(read: SettingsReader, name: str, value: str, example: str) -> SplitResult | None:
    """An https URL of a host only (http on loopback, for tests and emulators).

    For anything else, adds a problem with the `example` and returns None.
    """
    url = _split(value)
    if not (url and _is_safe(url) and _ADDRESS.fullmatch(value)):
        read.problem(name, f"must be an https address without a path, such as {example}")
        return None
    return url


def _split(value: str) -> SplitResult | None:
    try:
        url = urlsplit(value)
        _ = url.port  # raises for an invalid port
    except ValueError:
        return None
    return url if url.hostname else None


def _is_safe(url: SplitResult) -> bool:
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname))
