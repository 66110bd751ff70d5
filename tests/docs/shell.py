"""The pages of this repository, the fenced blocks on them, and the shell commands in those.

A fenced block is what CommonMark says: https://spec.commonmark.org/0.31.2/#fenced-code-blocks.
Where a command ends is asked of bash itself.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = {"sh", "bash", "shell", "zsh", "console"}
POWERSHELL = {"powershell", "pwsh"}
NOT_COMMANDS = {"bicep", "hcl", "ini", "json", "kusto", "mermaid", "python", "text", "yaml"}

_NOT_OURS = {"build", "dist", "node_modules", "out"}
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^ *(?P=fence)[`~]* *$",
    re.DOTALL | re.MULTILINE,
)
_KEYWORDS = {"!", "{", "}", "do", "done", "elif", "else", "esac", "fi", "if", "in", "then", "while"}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line, `language` what it is marked as."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command of a block, as it is typed; `last` says that no other of its block follows."""

    page: str
    line: int
    text: str
    last: bool

    def __str__(self) -> str:
        """Where it is, for who reads a failure."""
        return f"{self.page}:{self.line}: {self.text}"


def pages() -> list[str]:
    """Every page that is written here, README.md first."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name == ".github" or not (name.startswith(".") or name in _NOT_OURS)
        ]
        inside = Path(folder).relative_to(ROOT)
        found += [(inside / name).as_posix() for name in files if name.endswith(".md")]
    return sorted(found, key=lambda page: (page != "README.md", page))


@functools.cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    return [
        Block(
            page,
            text(page)[: match.start("body")].count("\n") + 1,
            (match["info"].split() or [""])[0].lower(),
            textwrap.dedent(match["body"]),
        )
        for match in _FENCE.finditer(text(page))
    ]


@functools.cache
def commands(page: str) -> tuple[Command, ...]:
    """What the page tells one to type, from top to bottom."""
    return tuple(
        command
        for block in blocks(page)
        if block.language in SHELL | POWERSHELL
        for command in commands_of(block)
    )


def commands_of(block: Block) -> list[Command]:
    """Raises ValueError where the last one has no end."""
    typed = list(_typed(block))
    found, gathered, begin = list[tuple[int, str]](), "", block.line
    for number, line in typed:
        begin = begin if gathered else number
        gathered += line + "\n"
        if gathered.strip() and _is_whole(gathered, block.language):
            found.append((begin, gathered.strip()))
            gathered = ""
        elif not gathered.strip():
            gathered = ""
    if gathered:
        message = f"{block.page}:{begin}: no shell finds the end of this: {gathered}"
        raise ValueError(message)
    return [
        Command(block.page, number, command, position == len(found))
        for position, (number, command) in enumerate(found, 1)
    ]


def _typed(block: Block) -> Iterator[tuple[int, str]]:
    """The lines that are typed: of a `console`, those with a prompt."""
    for number, line in enumerate(block.text.splitlines(), block.line):
        if block.language != "console":
            yield number, line
        elif line.startswith(("$ ", "> ")):
            yield number, line[2:]


def _is_whole(command: str, language: str) -> bool:
    line = command.rstrip("\n")
    if language in POWERSHELL:
        return not line.endswith("`")
    if line.endswith("\\") and not line.endswith("\\\\"):
        return False
    # An open here-document is a warning only.
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-n", "-c", command],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and not done.stderr


def simple_commands(command: str) -> list[list[str]]:
    """The simple commands in a command, each as its words: no assignments, no redirections."""
    line = re.sub(r"[\\`]\n", " ", command).replace("\n", " ; ")
    line = re.sub(r"(?<=\s)[0-9](?=[<>])", "", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    found: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if set(word) <= set("<>&") and set(word) & set("<>"):
            next(words, None)
        elif set(word) <= set("();|&"):
            found.append([])
        elif found[-1] or not (word in _KEYWORDS or _ASSIGNMENT.fullmatch(word)):
            found[-1].append(word)
    return [each for each in found if each]


def arguments_of(command: str) -> list[str]:
    """The arguments of the one call of `jira-audit` in a command."""
    ((_, *arguments),) = calls(command)
    return arguments


def calls(command: str) -> list[list[str]]:
    """The calls of `jira-audit` in a command, whatever is before its name."""
    return [words for words in simple_commands(command) if Path(words[0]).name == "jira-audit"]


def has_comment(command: str) -> bool:
    """Whether part of it is a comment, which zsh, as it is on macOS, takes for words.

    https://zsh.sourceforge.io/Doc/Release/Options.html (INTERACTIVE_COMMENTS)
    """
    words = shlex.shlex(command.replace("\\\n", " "), posix=False)
    words.whitespace_split, words.commenters = True, ""
    return any(word.startswith("#") for word in words)


def inline_commands(page: str) -> list[str]:
    """What stands in the page's text as code and begins with `jira-audit `."""
    prose = _FENCE.sub("", text(page))
    return re.findall(r"(?<!`)`((?:[A-Z_]+=\S+ )?jira-audit [^`\n]+)`(?!`)", prose)
