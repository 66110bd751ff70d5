"""The README is short, and says in short what the pages say."""

from __future__ import annotations

import re
import tomllib

import jira_audit
from tests.docs import pages, shell

README = shell.text("README.md")
PROJECT = tomllib.loads((shell.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORDS = 700


def guarantees(page: str) -> list[str]:
    """The names of the guarantees, which are numbered and bold."""
    return re.findall(r"^\d\. \*\*([^*]+?)\.?\*\*", shell.text(page), re.MULTILINE)


def test_readme_has_at_most_700_words() -> None:
    assert len(README.split()) <= WORDS


def test_readme_names_the_guarantees_of_their_page() -> None:
    tests = re.findall(r"^\| \*\*\d\. ([^*]+?)\.?\*\*", shell.text("tests/README.md"), re.MULTILINE)

    assert guarantees("README.md") == guarantees("docs/delivery-guarantees.md") == tests
    assert len(tests) >= 5


def test_readme_states_maturity_once_on_its_first_screen() -> None:
    [status] = re.findall(r"^\*\*Status:\*\* version ([\d.]+\d)", README, re.MULTILINE)

    assert status == jira_audit.__version__ == PROJECT["version"]
    assert README.index("docs/not-tested.md") < README.index("![A terminal")
    others = [page for page in shell.pages() if "never deployed" in shell.text(page)]
    assert others == ["README.md"]


def test_readme_supports_the_pythons_of_the_project() -> None:
    named = re.findall(r"3\.\d+", README)

    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert named == ["3.11", "3.12", "3.13"]


def test_badges_show_workflows_that_exist() -> None:
    workflows = re.findall(r"actions/workflows/([\w.]+)/badge\.svg", README)

    assert workflows == ["ci.yml"]
    assert all((shell.ROOT / ".github" / "workflows" / each).is_file() for each in workflows)


def test_repository_has_one_name() -> None:
    """It is in `urls` of pyproject.toml. Who publishes the project replaces it everywhere."""
    repository = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    forms = (shell.ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml").read_text(encoding="utf-8")
    texts = {page: shell.text(page) for page in shell.pages()} | {"config.yml": forms}

    assert {page for page, text in texts.items() if repository in text} >= {
        *("docs/deploy.md", "SECURITY.md", "config.yml"),
    }
    placeholder = "OWNER/REPOSITORY"
    left = [page for page, text in texts.items() if placeholder in text]
    assert repository == placeholder or left == []
    assert all(repository in address for address in PROJECT["urls"].values())


def test_picture_has_a_text_for_those_who_do_not_see_it() -> None:
    for page in shell.pages():
        for text in re.findall(r"!\[([^\]]*)\]\(", shell.text(page)):
            assert text, page
    assert any(link.path == "docs/images/demo.svg" for link in pages.links("README.md"))
