"""Addresses that may be given credentials: https, and nothing but a host."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from jira_audit.settings.environment import SettingsReader

_LOOPBACK = re.compile(r"localhost|::1|127(\.[0-9]{1,3}){3}", re.ASCII)

# Spelled out, not left to a parser: two of them disagree about `https://evil.com\.atlassian.net`.
_ADDRESS = re.compile(
    r"https?://(\[::1\]|[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*)(:[0-9]{1,5})?/*",
    re.ASCII | re.IGNORECASE,
)


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine, where tests and emulators are, which speak http."""
    return _LOOPBACK.fullmatch(host or "") is not None


def host_of(address: str) -> str:
    """The lower-case host of an address that is nothing but a host; empty for anything else."""
    return (urlsplit(address).hostname or "") if _ADDRESS.fullmatch(address) else ""


def checked_url(read: SettingsReader, name: str, value: str, example: str) -> SplitResult | None:
    """An https URL of nothing but a host (http on loopback, for tests and emulators).

    Anything else is a problem of the setting, with an `example` of what is right; then None.
    """
    url = _split(value)
    if not (url and _is_safe(url) and _ADDRESS.fullmatch(value)):
        read.problem(name, f"must be an https address without a path, such as {example}")
        return None
    return url


def _split(value: str) -> SplitResult | None:
    try:
        url = urlsplit(value)
        _ = url.port  # raises for what is no port
    except ValueError:
        return None
    return url if url.hostname else None


def _is_safe(url: SplitResult) -> bool:
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname))
