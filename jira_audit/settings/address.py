"""Addresses that may be given credentials: https, and nothing but a host."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from jira_audit.settings.environment import SettingsReader

_LOOPBACK = re.compile(r"localhost|::1|127(\.[0-9]{1,3}){3}", re.ASCII)

# Spelled out, not left to a parser: two of them disagree about `https://evil.com\.atlassian.net`.
ADDRESS = re.compile(
    r"https?://(\[::1\]|[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*)(:[0-9]{1,5})?/*",
    re.ASCII | re.IGNORECASE,
)


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine, where tests and emulators are, which speak http."""
    return _LOOPBACK.fullmatch(host or "") is not None


def checked_url(read: SettingsReader, name: str, value: str, example: str) -> SplitResult | None:
    """An https URL of nothing but a host (http on loopback, for tests and emulators)."""
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        url, host = urlsplit(""), None
    plain = host and ADDRESS.fullmatch(value)
    if not plain or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(host))):
        read.problem(name, f"must be an https address without a path, such as {example}")
        return None
    return url
