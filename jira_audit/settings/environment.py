"""Single settings read from the environment, and the problems met on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping

_UNRESOLVED = "@Microsoft.KeyVault("

# What examples and local.settings.sample.json have where a value of one's own belongs.
_PLACEHOLDER = re.compile(r"<[^<>]*>|…|^dcr-0[0-]+$|^0{8}[0-]*$")

_FREE_TEXT = {"JIRA_SITES", "CHECKPOINT_RESET"}
"""Their parts are checked one by one, and a comment may say anything."""


class SettingsReader:
    """Reads one setting after the other, and gathers the problems.

    `spelled` has what a setting is called where it stands under another name.
    """

    def __init__(
        self, environment: Mapping[str, str], spelled: Mapping[str, str] | None = None
    ) -> None:
        self._environment, self._spelled = environment, spelled or {}
        self.problems: list[str] = []

    def problem(self, name: str, text: str) -> None:
        if (found := f"{self._spelled.get(name, name)} {text}") not in self.problems:
            self.problems.append(found)

    def text(self, name: str, *aliases: str) -> str | None:
        """The value of a setting or of its alias; empty is not set."""
        for spelling in (name, *aliases):
            value = self._environment.get(spelling, "").strip()
            if not _is_text(value):
                self.problem(spelling, "has characters in it that are no text: copy it again")
                return None
            if value.startswith(_UNRESOLVED):
                self.problem(
                    spelling,
                    "is a Key Vault reference that did not resolve: see that the secret exists, "
                    "that the app's identity has the role Key Vault Secrets User, that "
                    "keyVaultReferenceIdentity names it, and that the vault can be reached",
                )
                return None
            if name not in _FREE_TEXT and _PLACEHOLDER.search(value):
                self.problem(spelling, "is still the placeholder of an example: set your own value")
                return None
            if value:
                return value
        return None

    def raw(self, name: str) -> str:
        """The value of a setting as it is, whatever is wrong with it; empty if it is not set."""
        return self._environment.get(name, "")

    def has(self, name: str) -> bool:
        """Whether a setting is set."""
        return bool(self.raw(name).strip())

    def required(self, name: str, *aliases: str, what: str) -> str | None:
        before = len(self.problems)
        value = self.text(name, *aliases)
        if value is None and len(self.problems) == before:
            self.problem(name, f"is missing: {what}")
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch("[0-9]{1,9}", value) or not least <= int(value) <= most:
            self.problem(name, f"must be a whole number from {least} to {most}")
            return default
        return int(value)

    def one_of(self, name: str, values: tuple[str, ...]) -> str:
        value = self.text(name) or values[0]
        if value not in values:
            self.problem(name, f"must be {' or '.join(values)}")
        return value


def _is_text(value: str) -> bool:
    """Whether it can be written: half a character, as a broken copy leaves it, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
