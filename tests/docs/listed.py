"""What is not run of the pages' commands, and why; what is put in the place of what they name.

Every entry is a regular expression that a simple command of some page begins with (`az …` in a
loop, too). A test fails for an entry that fits none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tests.docs import shell

NOT_RUN: Mapping[str, str] = {
    r"az ": "needs a subscription; tests/docs/test_azure_cli.py has the real az read it",
    r"(bash |deploy/)deploy\.sh ": "needs the Azure CLI; tests/deploy runs it against a stand-in",
    r"(gh attestation verify|sha256sum --check) ": "needs a release, or a package that was built",
    r"func start$": "needs the Functions host; tests/end_to_end runs the worker library instead",
    r"npx --yes azurite ": "takes ports that every checkout on the machine would take; "
    "tests/docs/test_azurite.py starts Azurite with the same words on ports of its own",
    r"jira-audit .*--(app|storage-account) ": "reads a deployment by az; tests/terminal has a "
    "stand-in",
    r"jira-audit .*--workspace ": "asks a Log Analytics workspace; tests/terminal has a stand-in",
    r"curl ": "asks a real site, or fetches a file of a release",
    r"make (format|lint|test(-all|-rest)?)( |$)": "is what runs this",
    r"make package$": "fetches wheels; tests/deploy builds a package of wheels that are there",
}
"""Never."""

NEEDS_THE_NETWORK: Mapping[str, str] = {
    r"pip install ": "fetches packages; without it the environment is made by checkout.install",
}
"""Only by the test that makes everything from nothing."""

JUDGES: Mapping[str, str] = {
    r"jira-audit status(?!.*--folder)": "exits with 1 where dead letters wait, as two do here",
}
"""What may end with 1, because it says what it found."""

ANSWERS: Mapping[str, str] = {
    r"read -rs JIRA_API_TOKEN$": "a-token\n",
    r"jira-audit checkpoint reset (?!.*(--yes|-y\b))": "y\n",
}
"""What is typed where a command asks for it."""

ADDRESS, USERNAME = "https://contoso.atlassian.net", "you@contoso.com"
"""What the pages call the site and its account; the simulated one takes their place."""


def matching_entries(entries: Iterable[str], command: shell.Command) -> list[str]:
    """The entries that fit one of the simple commands in a command."""
    parts = [" ".join(words) for words in shell.simple_commands(command.text)]
    return [entry for entry in entries if any(re.match(entry, part) for part in parts)]


def answer(command: shell.Command) -> str:
    """What is typed after the command."""
    return "".join(ANSWERS[entry] for entry in matching_entries(ANSWERS, command))
