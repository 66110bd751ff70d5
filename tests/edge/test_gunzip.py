"""gzip that arrives in pieces of any size is what zlib makes of it, in bounded parts."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jira_audit.edge.gunzip import CONTENT_SIZE, Gunzip, NotGzip


def pieces_of(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 80), st.binary())
def test_content_is_that_of_all_members(members: list[bytes], size: int, garbage: bytes) -> None:
    body = b"".join(map(gzip.compress, members))
    if not garbage.startswith(b"\x1f"):
        body += garbage
    gunzip = Gunzip()
    taken = [content for piece in pieces_of(body, size) for content in gunzip.take(piece)]
    assert b"".join(taken) == b"".join(members)


@given(st.integers(0, 3 * CONTENT_SIZE + 1), st.integers(1, 200))
def test_content_comes_in_bounded_parts(length: int, size: int) -> None:
    gunzip = Gunzip()
    body = gzip.compress(b"a" * length)
    parts = [content for piece in pieces_of(body, size) for content in gunzip.take(piece)]
    assert max(map(len, parts), default=0) <= CONTENT_SIZE
    assert b"".join(parts) == b"a" * length


@pytest.mark.parametrize("length", [CONTENT_SIZE, 2 * CONTENT_SIZE])
def test_content_of_just_the_bound_is_whole(length: int) -> None:
    assert b"".join(Gunzip().take(gzip.compress(b"a" * length))) == b"a" * length


def test_content_of_a_body_that_was_cut_off_is_its_start() -> None:
    text = bytes(range(256)) * 40
    start = b"".join(Gunzip().take(gzip.compress(text)[:200]))
    assert start
    assert text.startswith(start)


@given(st.binary(min_size=1).filter(lambda body: not body.startswith(b"\x1f")))
def test_body_that_is_no_gzip_is_an_error(body: bytes) -> None:
    with pytest.raises(NotGzip):
        list(Gunzip().take(20 * body))


def test_body_with_a_wrong_checksum_is_an_error() -> None:
    body = bytearray(gzip.compress(b"text"))
    body[-8] ^= 1
    with pytest.raises(zlib.error):
        zlib.decompress(body, 31)
    with pytest.raises(NotGzip):
        list(Gunzip().take(bytes(body)))
