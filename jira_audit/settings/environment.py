"""The reader of settings: typed values by the table's rows, and all problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from jira_audit.core.schedule import PollSchedule
from jira_audit.settings.table import BY_NAME, EVERYTHING, Needs, Part, Setting

_UNRESOLVED = "@Microsoft.KeyVault("
# Placeholders of the examples and of local.settings.sample.json.
_PLACEHOLDER = re.compile(r"<[^<>]*>|…|^dcr-0[0-]+$|^0{8}[0-]*$")


class SettingsReader:
    """Reads settings and collects the problems.

    A setting that no part of `needs` reads counts as not set. `labels` maps a setting to its name
    in problems, if that differs.
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
        """A setting's value, unchecked; empty if it is not set."""
        return self._environment.get(name, "")

    def is_set(self, name: str) -> bool:
        """Whether a setting or its alias has a legible value, right or wrong."""
        return self._legible(BY_NAME[name]) is not None

    def text(self, name: str) -> str | None:
        """The value of a setting or its alias; None if it is not set or not legible.

        A value that does not match its row is a problem, but is returned: what depends on it is
        checked as well.
        """
        row = BY_NAME[name]
        value = self._legible(row)
        if value is not None and row.pattern and not re.fullmatch(row.pattern, value):
            self.problem(name, row.must)
        return value

    def text_or_default(self, name: str) -> str:
        """As `text`, with the row's default."""
        return self.text(name) or str(BY_NAME[name].default)

    def required(self, name: str) -> str | None:
        """As `text`; a setting that is not set is a problem."""
        count = len(self.problems)
        value = self.text(name)
        if value is None and len(self.problems) == count:
            self.missing(name)
        return value

    def missing(self, name: str) -> None:
        """Add the problem that a setting is missing, if a needed part reads it."""
        row = BY_NAME[name]
        if row.parts & self._needs:
            self.problem(name, f"is missing: {row.missing}")

    def number(self, name: str) -> int:
        """A whole number, or the row's default."""
        row, text = BY_NAME[name], self.text_or_default(name)
        if _is_within(text, row):
            return int(text)
        self.problem(name, f"must be a whole number from {row.at_least} to {row.at_most}")
        return row.at_least

    def milliseconds(self, name: str) -> int:
        """A duration in milliseconds; the row has its unit."""
        return self.number(name) * (BY_NAME[name].unit or 1)

    def choice(self, name: str) -> str:
        """One of the row's choices."""
        value, choices = self.text_or_default(name), BY_NAME[name].choices
        if value not in choices:
            self.problem(name, f"must be {' or '.join(choices)}")
        return value

    def schedule(self, name: str) -> PollSchedule:
        """When the timer fires; the row's default if the value is wrong.

        It is read even if no needed part reads it; then a wrong one is no problem.
        """
        row = BY_NAME[name]
        default, count = str(row.default), len(self.problems)
        is_needed = bool(row.parts & self._needs)
        value = self.text(name) if is_needed else self.raw(name).strip()
        try:
            return PollSchedule.parse(value or default)
        except ValueError as error:
            if is_needed and len(self.problems) == count:
                self.problem(name, f"is wrong: {error}")
            return PollSchedule.parse(default)

    def day(self, name: str) -> date | None:
        """A date; None if it is not set, or is wrong."""
        value = self.text(name)
        try:
            return date.fromisoformat(value) if value else None
        except ValueError:
            self.problem(name, "must be a date such as 2027-03-31")
            return None

    def _legible(self, row: Setting) -> str | None:
        """The first value under the setting's names; None if it cannot be meant."""
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
    """What is wrong with a value in any setting."""
    if not _is_text(value):
        return "has characters that are not text: copy it again"
    if value.startswith(_UNRESOLVED):
        return (
            "is a Key Vault reference that did not resolve: check that the secret exists, that "
            "the app's identity has the role Key Vault Secrets User, that "
            "keyVaultReferenceIdentity names it, and that the vault can be reached; then have "
            "Azure resolve it again, as docs/rotate-a-token.md says: by itself it does so daily. "
            "In a terminal, --app reads it with your own rights, for which you need that role"
        )
    if not row.free and _PLACEHOLDER.search(value):
        return "is still an example's placeholder: set your own value"
    return None


def _is_text(value: str) -> bool:
    """Whether it can be encoded; a broken copy may leave half a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
