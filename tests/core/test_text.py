"""That text from outside is one printable, bounded line, and repeats nothing that was sent."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.core.text import (
    MESSAGE_LENGTH,
    escaped,
    is_host,
    printable,
    quoted,
    redacted,
    secrets_in,
)

TOKEN = "ATATT3xFfGF0T0k3nW1thAll/0f+1t="
BASIC = base64.b64encode(f"anna@contoso.com:{TOKEN}".encode()).decode()

ANY_TEXT = st.text(st.characters(codec=None))


@given(ANY_TEXT, st.integers(1, 400))
def test_text_is_one_printable_line_of_bounded_length(text: str, limit: int) -> None:
    line = printable(text, limit)

    assert line.isprintable()
    assert len(line) <= limit
    line.encode()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("InvalidStream", "InvalidStream"),
        ("Ärger: 価格 😀", "Ärger: 価格 😀"),
        ("a\r\njira_audit site=x outcome=ok", "a jira_audit site=x outcome=ok"),
        ("\x1b]0;owned\x07\x1b[2J", "\\u001b]0;owned\\u0007\\u001b[2J"),
        ("a\u202eb\u2066c\u200ed", "a\\u202eb\\u2066c\\u200ed"),
        ("\x9b31m\x7f\x00", "\\u009b31m\\u007f\\u0000"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("a\u2028b\u2029c\x85d", "a b c d"),
        ("", ""),
    ],
)
def test_text_shows_what_cannot_be_printed(text: str, line: str) -> None:
    assert printable(text) == line


def test_text_that_is_too_long_ends_with_an_ellipsis() -> None:
    assert printable("x" * 300) == "x" * 300
    assert printable("x" * 301) == "x" * 299 + "…"
    assert printable("abc" + " " * 1_000_000 + "end") == "abc…"


def test_escaped_text_keeps_its_lines() -> None:
    assert escaped("a\nb\tc\x1b") == "a\nb\\u0009c\\u001b"


@given(ANY_TEXT)
def test_escaped_json_means_the_same(text: str) -> None:
    assert json.loads(escaped(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("contoso.atlassian.net", True),
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("a" * 63 + ".net", True),
        ("", False),
        ("Contoso.atlassian.net", False),
        ("contoso.atlassian.net\n", False),
        ("contoso..net", False),
        (".net", False),
        ("a b", False),
        ("a=b", False),
        ("a_b.net", False),
        ("contoso.atlassian.net:443", False),
        ("ä.net", False),
        ("a" * 64 + ".net", False),
        ("a." * 126 + "aa", False),
    ],
)
def test_host_is_told_from_any_other_text(text: str, is_one: bool) -> None:
    assert is_host(text) == is_one


@pytest.mark.parametrize(
    ("authorization", "secrets"),
    [
        (f"Basic {BASIC}", (BASIC, f"anna@contoso.com:{TOKEN}", TOKEN)),
        (f"basic  {BASIC} ", (BASIC, f"anna@contoso.com:{TOKEN}", TOKEN)),
        ("Bearer abc.def.ghi", ("abc.def.ghi",)),
        ("SharedKey account:c2lnbmF0dXJl", ("account:c2lnbmF0dXJl",)),
        ("Basic no+base64!", ("no+base64!",)),
        ("Basic /w==", ("/w==",)),
        ("opaque", ("opaque",)),
        ("Basic", ("Basic",)),
        ("", ()),
    ],
)
def test_secrets_are_all_that_a_header_holds(authorization: str, secrets: tuple[str, ...]) -> None:
    assert secrets_in(authorization) == secrets


@pytest.mark.parametrize(
    "said",
    [
        f"bad header Authorization: Basic {BASIC}",
        f"user anna@contoso.com:{TOKEN} is unknown",
        f"no such token {TOKEN}",
        f"?token={TOKEN.replace('/', '%2F').replace('+', '%2B').replace('=', '%3D')}&a=b",
    ],
)
def test_redacted_text_lacks_what_was_sent(said: str) -> None:
    shown = redacted(said, secrets_in(f"Basic {BASIC}"))

    assert "***" in shown
    assert BASIC not in shown
    assert TOKEN[:12] not in shown


PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=40)
ENCODINGS: list[Callable[[str], str]] = [
    str,
    lambda text: quote(text, safe=""),
    quote,
    lambda text: re.sub("%..", lambda match: match[0].lower(), quote(text)),
    lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
]


@given(PASSWORDS, ANY_TEXT, ANY_TEXT, st.sampled_from(ENCODINGS))
def test_quoted_text_lacks_a_secret_in_any_encoding(
    password: str, before: str, after: str, encode: Callable[[str], str]
) -> None:
    sent = base64.b64encode(f"anna:{password}".encode()).decode()
    secrets = secrets_in(f"Basic {sent}")
    texts = before.encode(errors="ignore").decode(), after.encode(errors="ignore").decode()

    for said in (
        f"{before} {encode(password)} {after}",
        f"{before} {encode(f'anna:{password}')} {after}",
        f"{before} {encode(password.join(texts))} {after}",
    ):
        shown = redacted(said, secrets)

        assert "***" in shown
        for form in (password, quote(password, safe=""), sent):
            assert form not in shown
        assert not [part for part in decoded_parts(shown) if password.encode() in part]


def decoded_parts(text: str) -> list[bytes]:
    """What every run of base64's characters means, from each of its first four characters."""
    runs = re.findall(r"[A-Za-z0-9+/_-]{8,}", text)
    parts = [run[start:].replace("-", "+").replace("_", "/") for run in runs for start in range(4)]
    return [base64.b64decode(part[: len(part) // 4 * 4]) for part in parts]


@given(ANY_TEXT)
def test_quoted_text_is_printable_and_bounded(text: str) -> None:
    shown = quoted(text, ("a-secret-nobody-may-see",))

    assert shown.isprintable()
    assert len(shown) <= MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"header Basic {BASIC}", "header Basic ***"),
        (
            "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJhdWQ.c2ln here",
            "Authorization: Bearer *** here",
        ),
        ("Basic authentication with passwords is deprecated", None),
        ("Bearer token has expired", None),
    ],
)
def test_redacted_text_lacks_any_credential(said: str, shown: str | None) -> None:
    assert redacted(said) == (said if shown is None else shown)
