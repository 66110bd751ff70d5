"""What a page has besides its text: headings, anchors, links, tables.

An anchor is made of a heading as GitHub makes it: lower case, no punctuation, hyphens for spaces.
https://docs.github.com/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#section-links
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import dirname, join, normpath
from urllib.parse import unquote

from tests.docs import shell

_CODE = re.compile(r"^ *(```|~~~).*?^ *\1[`~]* *$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *#* *$", re.MULTILINE)
_LINK = re.compile(r"\]\(<?([^)<>\s]+)>?(?: \"[^\"]*\")?\)")


@dataclass(frozen=True)
class Heading:
    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Link:
    """A link to a file here, and the anchor in it; `path` is from the top of the checkout."""

    written: str
    path: str
    anchor: str


def headings(page: str) -> Sequence[Heading]:
    found: list[Heading] = []
    seen: dict[str, int] = {}
    for match in _HEADING.finditer(_CODE.sub("", shell.text(page))):
        anchor = anchor_of(match[2])
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.append(Heading(len(match[1]), match[2], f"{anchor}-{count}" if count else anchor))
    return found


def anchor_of(heading: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


ON_GITHUB = re.compile(r"\.\./\.\./(actions|tree)/[\w./-]+")
"""What is no file: a page of the repository on GitHub, relative to where a page is shown there."""


def links(page: str) -> Sequence[Link]:
    """The links to files of the checkout."""
    found = []
    for written in _LINK.findall(_CODE.sub("", shell.text(page))):
        if re.match(r"[a-z]+:", written):
            continue
        path, _, anchor = written.partition("#")
        target = normpath(join(dirname(page), unquote(path))) if path else page
        if not ON_GITHUB.fullmatch(target):
            found.append(Link(written, target, anchor))
    return found


def tables(page: str, heading: str | None = None) -> Sequence[Sequence[Sequence[str]]]:
    """The cells of each table: of the page, or from a heading to the next of its level or above."""
    found: list[list[list[str]]] = []
    is_table = False
    for line in _section(page, heading).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if cells and all(re.fullmatch(":?-+:?", cell) for cell in cells):
            found.append([])
            is_table = True
        elif cells and is_table:
            found[-1].append(cells)
        elif not cells:
            is_table = False
    return found


def _section(page: str, heading: str | None) -> str:
    text = shell.text(page)
    if heading is None:
        return text
    [start] = re.finditer(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest
