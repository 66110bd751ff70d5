"""Pages, help and messages use the field's words, and sentences of one idea."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping

import pytest

from tests.docs import shell

ROOT = shell.ROOT

NOT_OURS: Mapping[str, str] = {
    r"doubl(e|es|ed|y)": "duplicate",
    r"promises?": "delivery guarantee",
    r"ways? into Jira": "authentication",
    r"kept where": "storage layout",
    r"dealt with": "delivered or dead-lettered",
    r"cards?": "data connector page",
    r"moving from": "migrate from",
    r"mend(s|ed|ing)?": "fix",
    r"astray": "say what is lost",
    r"tells the rest": "see",
    r"gone on with": "resumed",
    r"not to be had": "not available",
    r"looks? whether": "check whether",
    r"in want of|for want of": "without",
    r"(not|never|be) tried": "tested",
    r"at hand": "available",
    r"come to grief|comes to grief": "fail",
    r"whoever would": "to",
    r"asks? for fewer (requests|calls|queries)": "limit the rate",
    r"utili[sz]e": "use",
    r"in order to": "to",
    r"please": "leave it out",
    r"simply|easily|obviously": "leave it out",
    r"via": "through, by",
    r"e\.g\.": "for example",
    r"i\.e\.": "that is",
}
"""Words that are not used, as regular expressions, and what is used in their place."""

_WORDS = [(re.compile(rf"\b({each})(?!\w)", re.IGNORECASE), use) for each, use in NOT_OURS.items()]

CHANGED_ELSEWHERE = {"CHANGELOG.md"}
"""What was written when other words were in use."""

PAGES = [page for page in shell.pages() if page not in CHANGED_ELSEWHERE]


# Not the page that is made of the help, which has lists in its sentences.
GUIDES = [page for page in PAGES if page.startswith(("README", "docs/")) and "cli" not in page]


def prose(page: str) -> str:
    """A page's text without what is typed or shown as code, and without addresses."""
    text = re.sub(r"^ *(```|~~~).*?^ *\1 *$", "", shell.text(page), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"`[^`\n]+`", "`", text)
    return re.sub(r"\]\([^)\s]*\)|<https?://[^>]*>|https?://\S+", "]", text)


def unusual_words(text: str) -> list[str]:
    """The words of the list in a text, each with its replacement."""
    return [f"{match[0]!r}: {use}" for word, use in _WORDS for match in word.finditer(text)]


def messages() -> Iterator[tuple[str, str]]:
    """Every text in the code that people may read, with its file: no docstrings, keys or markup."""
    for path in sorted((ROOT / "jira_audit").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                is_markup = node.value.startswith("<")
                if id(node) not in docstrings and " " in node.value and not is_markup:
                    yield path.relative_to(ROOT).as_posix(), node.value


@pytest.mark.parametrize("page", PAGES)
def test_pages_use_the_words_of_the_field(page: str) -> None:
    assert unusual_words(prose(page)) == []


def test_messages_use_the_words_of_the_field() -> None:
    found = [(file, unusual_words(text)) for file, text in messages()]

    assert len(found) > 300
    assert [(file, words) for file, words in found if words] == []


def test_template_and_form_use_the_words_of_the_field() -> None:
    template = json.loads((ROOT / "deploy" / "azuredeploy.json").read_text(encoding="utf-8"))
    texts = [each["metadata"]["description"] for each in template["parameters"].values()]
    texts += [each["title"] + each["description"] for each in template["variables"]["alertRules"]]
    texts.append((ROOT / "deploy" / "createUiDefinition.json").read_text(encoding="utf-8"))

    assert len(texts) > 40
    assert unusual_words("\n".join(texts)) == []


@pytest.mark.parametrize("page", GUIDES)
def test_sentences_are_no_chains_of_semicolons(page: str) -> None:
    lines = [line for line in prose(page).splitlines() if not line.lstrip().startswith("|")]
    sentences = re.split(r"(?<=[.:?!])\s", "\n".join(lines))

    assert [each for each in sentences if each.count(";") > 1] == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Rows are doubled, and the card is mended.", 3),
        ("A duplicate. A Cardinal. Redoubled.", 0),
        ("The Way into Jira", 1),
    ],
)
def test_words_of_the_list_are_found(text: str, count: int) -> None:
    assert len(unusual_words(text)) == count


def test_code_and_addresses_are_no_prose(monkeypatch: pytest.MonkeyPatch) -> None:
    page = "A `card` and\n\n```sh\nmend\n```\n\n[here](card.md) <https://card.example>\n"
    monkeypatch.setattr(shell, "text", lambda _: page)

    assert "card" not in prose("page.md") + prose("page.md").replace("mend", "card")
