"""What code and pages point to is there."""

from __future__ import annotations

import re

import pytest

from tests.docs import shell

ROOT = shell.ROOT
CODE = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.py", "jira_audit/**/*.py", "tests/**/*.py", "deploy/**/*.py")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)


@pytest.mark.parametrize("file", CODE)
def test_files_named_in_code_exist(file: str) -> None:
    named = re.findall(r"`([\w./-]+\.py)`", (ROOT / file).read_text(encoding="utf-8"))

    assert {name for name in named if not any(_ends(each, name) for each in CODE)} == set()


def _ends(path: str, name: str) -> bool:
    """Whether a path is the one named, from wherever it is named."""
    return f"/{path}".endswith(f"/{name}")


@pytest.mark.parametrize("file", [each for each in CODE if each.startswith("jira_audit/")])
def test_files_do_not_list_their_neighbours(file: str) -> None:
    """The folder does, and does not forget."""
    source = (ROOT / file).read_text(encoding="utf-8")
    lists = re.findall(r"`[\w/]+\.py`(?:,?\s+and\s+|,\s+)`[\w/]+\.py`", source)

    assert lists == []


SHOWN = [*(each for each in CODE if each.startswith("jira_audit/")), "deploy/deploy.sh"]
"""Whose messages people see."""


@pytest.mark.parametrize("file", SHOWN)
def test_pages_named_in_messages_exist(file: str) -> None:
    named = set(re.findall(r"docs/[\w-]+\.md", (ROOT / file).read_text(encoding="utf-8")))

    assert {page for page in named if not (ROOT / page).is_file()} == set()


def test_page_named_for_an_unresolved_reference_says_how_to_resolve_it() -> None:
    source = (ROOT / "jira_audit/settings/environment.py").read_text(encoding="utf-8")
    [page] = re.findall(r"Azure resolve it again, as (docs/[\w-]+\.md) says", source)

    assert "Resolve a Key Vault reference again" in (ROOT / page).read_text(encoding="utf-8")
