"""Text from outside, made fit for a log line, a message or a terminal. Pure.

Services, stored blobs and queue messages are not trusted: their text could forge a line of ours,
steer a terminal, hide what stands beside it, or repeat what was sent to them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator

MESSAGE_LENGTH = 300
"""Characters of a service's own words in a message."""

SENTENCE_LENGTH = 2_000
"""Characters of a whole message that was stored."""

HOST_LENGTH = 253
"""Characters: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4"""

_SCAN_LENGTH = 10_000
"""Characters of a text that are looked at; a service may send megabytes."""

REDACTED = "***"

# A credential by its form, such as one that a proxy has put in the place of ours.
_CREDENTIAL = re.compile(r"(?i)\b(basic|bearer|sharedkey)([ :=]+)[^\s\"'<>,;]{20,}")


def printable(text: str, limit: int = MESSAGE_LENGTH) -> str:
    """The text on one line of at most `limit` characters, with unprintable ones escaped.

    A text that is too long ends with an ellipsis.
    """
    line = one_line(text[:_SCAN_LENGTH])
    is_whole = len(line) <= limit and len(text) <= _SCAN_LENGTH
    return line if is_whole else line[: limit - 1] + "…"


def quoted(text: str, secrets: Iterable[str] = ()) -> str:
    """A service's words, to quote in a message, without the `secrets` that were sent to it.

    Never begins a message: it could pass for a line of ours.
    """
    return printable(redacted(text, secrets))


def one_line(text: str) -> str:
    """The text on one line, with unprintable characters escaped."""
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    """The text with unprintable characters escaped as in JSON; line feeds stay.

    Unprintable are control characters, which terminals obey; directional marks, which reorder
    text; invisible characters; and surrogates, which cannot be encoded.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in _KEPT else _escape(each) for each in text)


_KEPT = "\n\u00a0\u202f\u3000"
"""Line feeds, and the spaces of other languages."""


def _escape(character: str) -> str:
    if character < "\x80":
        return f"\\u{ord(character):04x}"
    return json.dumps(character)[1:-1]  # two escapes for one beyond U+FFFF


_HOST = re.compile(r"::1|[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*", re.ASCII)


def is_host(text: str) -> bool:
    """Whether the text has the form of a site's host, in lower case."""
    return len(text) <= HOST_LENGTH and _HOST.fullmatch(text) is not None


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without these secrets, plain, as in a URL or in base64, and without any long
    credential.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = _as_in_url(secret).sub(REDACTED, text)
        for form in _in_base64(secret):
            text = text.replace(form, REDACTED)
    return _CREDENTIAL.sub(rf"\1\2{REDACTED}", text)


def _as_in_url(secret: str) -> re.Pattern[str]:
    """Matches a secret with any of its characters percent-encoded, or none."""
    encoded = ("".join(f"%{byte:02x}" for byte in _bytes(each)) for each in secret)
    characters = zip(map(re.escape, secret), encoded, strict=True)
    return re.compile("".join(f"(?:{plain}|(?i:{escape}))" for plain, escape in characters))


def _in_base64(secret: str) -> Iterator[str]:
    """What a secret, alone or in the middle of other content, is in base64."""
    for before in range(3):  # bytes of the content before it, in the same group of three
        encoded = base64.b64encode(b"\0" * before + _bytes(secret)).decode()
        is_cut = encoded.endswith("=")  # then its last character depends on what follows
        inner = encoded.rstrip("=")[(0, 2, 3)[before] : -1 if is_cut else None]
        if len(inner) >= _BASE64_LENGTH:
            yield inner
            yield inner.translate(_URL_SAFE)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


_BASE64_LENGTH = 8
"""Characters in base64, at least: fewer could be a part of any word."""

_URL_SAFE = str.maketrans("+/", "-_")
"""https://www.rfc-editor.org/rfc/rfc4648#section-5"""


def secrets_in(authorization: str) -> tuple[str, ...]:
    """What an `Authorization` header holds that nobody may see: the longest first.

    The credentials, and of basic ones the user name with the password, and the password.
    https://www.rfc-editor.org/rfc/rfc7617#section-2
    """
    scheme, _, credentials = authorization.strip().partition(" ")
    credentials = credentials.strip()
    if not credentials:
        return (scheme,) if scheme else ()
    if scheme.lower() != "basic":
        return (credentials,)
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return (credentials,)
    password = pair.partition(":")[2]
    return tuple(each for each in (credentials, pair, password) if each)
