"""Every link of a page leads somewhere, and every page of `docs` can be reached."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import pages, shell

ROOT = shell.ROOT
PAGES = shell.pages()
TEXTS = ("*.md", "*.py", "*.sh", "*.json", "*.yaml", "*.yml", "*.kql")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    broken = []
    for link in pages.links(page):
        target = ROOT / link.path
        if not target.exists():
            broken.append(link.written)
        elif link.anchor and target.suffix == ".md":
            anchors = {each.anchor for each in pages.headings(link.path)}
            broken += [link.written] if link.anchor not in anchors else []

    assert broken == []


def test_pages_have_links() -> None:
    assert len([link for page in PAGES for link in pages.links(page)]) > 100


def test_pages_of_docs_are_all_on_the_map() -> None:
    linked = {link.path for link in pages.links("docs/README.md")}

    assert {page for page in PAGES if page.startswith("docs/")} - linked == {"docs/README.md"}


def test_pages_begin_with_their_only_title() -> None:
    for page in PAGES:
        if not page.startswith(".github/"):
            levels = [each.level for each in pages.headings(page)]
            assert levels[0] == 1, page
            assert levels.count(1) == 1, page


def files_that_name_pages() -> list[str]:
    return sorted(
        path.relative_to(ROOT).as_posix()
        for folder in ("deploy", "jira_audit", ".github")
        for pattern in (*TEXTS, "build", "package")
        for path in (ROOT / folder).rglob(pattern)
    )


@pytest.mark.parametrize("file", files_that_name_pages())
def test_pages_named_in_code_exist(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w./-])((?:docs|deploy|tests)/[\w./-]+\.md)(?:#([\w-]+))?", text)

    for page, anchor in named:
        assert Path(ROOT / page).is_file(), page
        anchors = {each.anchor for each in pages.headings(page)}
        assert not anchor or anchor in anchors, f"{page}#{anchor}"


def test_anchors_are_githubs() -> None:
    assert pages.anchor_of("What is deployed, and why") == "what-is-deployed-and-why"
    assert pages.anchor_of("`host.json`") == "hostjson"
    assert pages.anchor_of("The [release](x.md)") == "the-release"
    assert pages.anchor_of("1. Run the demo") == "1-run-the-demo"


def test_repeated_headings_have_numbered_anchors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "text", lambda _: "# A\n\n## B\n\n```sh\n# C\n```\n\n## B\n")

    assert [each.anchor for each in pages.headings("page.md")] == ["a", "b", "b-1"]
