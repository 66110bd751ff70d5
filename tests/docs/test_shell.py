"""That pages are read as their readers read them, and commands typed as they type them."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from tests.docs import session, shell


def commands(text: str, language: str = "sh") -> list[str]:
    block = shell.Block("page.md", 1, language, textwrap.dedent(text))
    return [each.text for each in shell.commands_of(block)]


def test_command_ends_where_a_shell_ends_it() -> None:
    assert commands(
        """\
        one --a \\
            --b

        for name in a b; do
            two "$name"
        done
        three '
        ' && cat <<END
        for what
        END
        four
        """
    ) == [
        "one --a \\\n    --b",
        'for name in a b; do\n    two "$name"\ndone',
        "three '\n' && cat <<END\nfor what\nEND",
        "four",
    ]


def test_command_without_an_end_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"page\.md:2: no shell finds the end"):
        commands("one\ntwo <the workspace's group>\n")


def test_command_in_a_console_block_follows_its_prompt() -> None:
    assert commands("$ one \\\n> --a\nsays this\n$ two\n", "console") == ["one \\\n--a", "two"]


def test_command_in_powershell_continues_after_a_backtick() -> None:
    (command,) = commands("jira-audit collect `\n    --to out\n", "powershell")

    assert shell.calls(command) == [["jira-audit", "collect", "--to", "out"]]


def test_command_line_is_split_into_arguments() -> None:
    assert shell.simple_commands(
        "A=1 B='2 3' one -x 'a b' >out 2>>err 2>&1 <in && two | three & four"
    ) == [
        ["one", "-x", "a b"],
        ["two"],
        ["three"],
        ["four"],
    ]
    assert shell.simple_commands('for name in a b; do\n    one "$name" \\\n --c\ndone')[1:] == [
        ["one", "$name", "--c"]
    ]
    assert shell.calls("cd a && .venv/bin/jira-audit check") == [[".venv/bin/jira-audit", "check"]]
    assert shell.calls("cat jira-audit") == []


@pytest.mark.parametrize(
    ("command", "comment"),
    [
        ("one # two", True),
        ("one  #two", True),
        ("# one", True),
        ("one \\\n  # two", True),
        ("one a#b", False),
        ("one '# two'", False),
        ('one "#"', False),
    ],
)
def test_comment_is_told_from_a_word(command: str, comment: bool) -> None:
    assert shell.has_comment(command) == comment


def test_block_is_found_anywhere_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    page = """\
Prose with `jira-audit status` in it, ``no ` code`` and `jira-audit`.

```sh
one
```

1. A list

   ~~~~ bash title
   two \\
       three
   ~~~~
```
`jira-audit not-in-prose`
```
"""
    monkeypatch.setattr(shell, "text", lambda _: page)

    assert [(each.line, each.language, each.text) for each in shell.blocks("page.md")] == [
        (4, "sh", "one\n"),
        (10, "bash", "two \\\n    three\n"),
        (14, "", "`jira-audit not-in-prose`\n"),
    ]
    assert shell.inline_commands("page.md") == ["jira-audit status"]


def test_session_is_one_shell_and_reports_each_exit_code(tmp_path: Path) -> None:
    texts = ["export A=1", "test $A = 1", "no-such-command", "sleep 100 &", "cd /", "exit 3", "pwd"]
    typed = [shell.Command("page.md", 1, text, last=True) for text in texts]

    ended = session.run(
        typed, tmp_path, {"PATH": os.environ["PATH"]}, {"no-such": "such-no"}, tmp_path / "n o", 60
    )

    assert [each.code for each in ended] == [0, 0, 127, 0, 0, None, None]
    assert "such-no-command" in ended[2].output


def test_session_types_the_answers_that_a_command_asks_for(tmp_path: Path) -> None:
    texts = ["read -rs JIRA_API_TOKEN", 'echo "$JIRA_API_TOKEN"']
    typed = [shell.Command("page.md", 1, text, last=True) for text in texts]

    ended = session.run(typed, tmp_path, {"PATH": os.environ["PATH"]}, {}, tmp_path / "notes", 60)

    assert [(each.code, each.output) for each in ended] == [(0, ""), (0, "a-token\n")]
