"""gzip that arrives in pieces of any size is what zlib makes of it, and no more than asked for."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.edge.gunzip import Gunzip, NotGzip


def pieces_of(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 80), st.binary())
def test_content_is_that_of_all_members(members: list[bytes], size: int, garbage: bytes) -> None:
    body = b"".join(map(gzip.compress, members))
    if not garbage.startswith(b"\x1f"):
        body += garbage
    gunzip = Gunzip()
    taken = [gunzip.take(piece, 10_000) for piece in pieces_of(body, size)]
    assert b"".join(taken) == b"".join(members)


@given(st.integers(1, 5_000), st.integers(1, 200))
def test_content_is_bounded(most: int, size: int) -> None:
    gunzip, content = Gunzip(), b""
    for piece in pieces_of(gzip.compress(b"a" * 100_000), size):
        content += gunzip.take(piece, most - len(content))
        if len(content) == most:
            break
    assert content == b"a" * most


def test_content_of_a_body_that_was_cut_off_is_its_start() -> None:
    text = bytes(range(256)) * 40
    [start] = [Gunzip().take(gzip.compress(text)[:200], len(text))]
    assert start
    assert text.startswith(start)


@given(st.binary(min_size=1).filter(lambda body: not body.startswith(b"\x1f")))
def test_body_that_is_no_gzip_is_an_error(body: bytes) -> None:
    with pytest.raises(NotGzip):
        Gunzip().take(20 * body, 100)


def test_body_with_a_wrong_checksum_is_an_error() -> None:
    body = bytearray(gzip.compress(b"text"))
    body[-8] ^= 1
    with pytest.raises(zlib.error):
        zlib.decompress(body, 31)
    with pytest.raises(NotGzip):
        Gunzip().take(bytes(body), 100)
