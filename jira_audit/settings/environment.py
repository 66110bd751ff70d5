"""The reader of settings: typed values by the rows of the table, and every problem on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from jira_audit.settings.table import BY_NAME, EVERYTHING, Needs, Part, Setting

_UNRESOLVED = "@Microsoft.KeyVault("
# What examples and local.settings.sample.json have where a value of one's own belongs.
_PLACEHOLDER = re.compile(r"<[^<>]*>|…|^dcr-0[0-]+$|^0{8}[0-]*$")


class SettingsReader:
    """Reads one setting after the other, and gathers the problems.

    What no part of `needs` reads is as if it were not set, whatever is wrong with it. `labels` has
    what a setting is called in a problem where it stands under another name.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        needs: Needs = EVERYTHING,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._environment, self._needs, self._labels = environment, needs, labels or {}
        self.problems: list[str] = []

    def problem(self, name: str, text: str) -> None:
        """Add a problem of a setting, once."""
        if (problem := f"{self._labels.get(name, name)} {text}") not in self.problems:
            self.problems.append(problem)

    def needs(self, part: Part) -> bool:
        """Whether settings for this part are read."""
        return part in self._needs

    def raw(self, name: str) -> str:
        """The value of any setting as it is, whatever is wrong with it; empty if it is not set."""
        return self._environment.get(name, "")

    def is_set(self, name: str) -> bool:
        """Whether a setting, or its alias, has a value that can be read, be it right or wrong."""
        return self._legible(BY_NAME[name]) is not None

    def text(self, name: str) -> str | None:
        """The value of a setting or of its alias; None if it is not set, or cannot be meant.

        One that is not as its row says is a problem, and is returned all the same, so that what
        depends on it is checked, too.
        """
        row = BY_NAME[name]
        value = self._legible(row)
        if value is not None and row.pattern and not re.fullmatch(row.pattern, value):
            self.problem(name, row.must)
        return value

    def text_or_default(self, name: str) -> str:
        """The same, with the row's default where there is none."""
        return self.text(name) or str(BY_NAME[name].default)

    def required(self, name: str) -> str | None:
        """The same as `text`; that it is not set is a problem."""
        count = len(self.problems)
        value = self.text(name)
        if value is None and len(self.problems) == count:
            self.missing(name)
        return value

    def missing(self, name: str) -> None:
        """Add the problem that a setting is not set, if anything reads it."""
        row = BY_NAME[name]
        if row.parts & self._needs:
            self.problem(name, f"is missing: {row.missing}")

    def number(self, name: str) -> int:
        """A whole number; the row's default where it is not set."""
        row, text = BY_NAME[name], self.text_or_default(name)
        if _is_within(text, row):
            return int(text)
        self.problem(name, f"must be a whole number from {row.at_least} to {row.at_most}")
        return row.at_least

    def milliseconds(self, name: str) -> int:
        """A span of time, which the row counts in its own unit."""
        return self.number(name) * (BY_NAME[name].unit or 1)

    def choice(self, name: str) -> str:
        """One of the row's choices."""
        value, choices = self.text_or_default(name), BY_NAME[name].choices
        if value not in choices:
            self.problem(name, f"must be {' or '.join(choices)}")
        return value

    def day(self, name: str) -> date | None:
        """A date; None if it is not set, or is wrong."""
        value = self.text(name)
        try:
            return date.fromisoformat(value) if value else None
        except ValueError:
            self.problem(name, "must be a date such as 2027-03-31")
            return None

    def _legible(self, row: Setting) -> str | None:
        """The value under the first name that has one; a value nobody could have meant is none."""
        if not row.parts & self._needs:
            return None
        for name in (row.name, *row.aliases):
            value = self._environment.get(name, "").strip()
            if fault := _fault(value, row):
                self.problem(name, fault)
                return None
            if value:
                return value
        return None


def _is_within(text: str, row: Setting) -> bool:
    is_number = re.fullmatch("[0-9]{1,9}", text) is not None
    return is_number and row.at_least <= int(text) <= row.at_most


def _fault(value: str, row: Setting) -> str | None:
    """What is wrong with a value, whatever setting it is of."""
    if not _is_text(value):
        return "has characters in it that are no text: copy it again"
    if value.startswith(_UNRESOLVED):
        return (
            "is a Key Vault reference that did not resolve: see that the secret exists, "
            "that the app's identity has the role Key Vault Secrets User, that "
            "keyVaultReferenceIdentity names it, and that the vault can be reached"
        )
    if not row.free and _PLACEHOLDER.search(value):
        return "is still the placeholder of an example: set your own value"
    return None


def _is_text(value: str) -> bool:
    """Whether it can be written: half a character, as a broken copy leaves it, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
