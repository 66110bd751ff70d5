"""What `check` finds out of one part of an installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Part = Literal["settings", "Jira", "ingestion", "storage"]


@dataclass(frozen=True)
class CheckResult:
    """The result for one part, or for one `site`. `sentence` says what works, or what to do.

    A `warning` keeps nothing from working.
    """

    part: Part
    ok: bool
    sentence: str
    warning: bool = False
    site: str | None = None

    @property
    def mark(self) -> str:
        """`ok`, `warning` or `failed`."""
        return "failed" if not self.ok else "warning" if self.warning else "ok"

    def payload(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            "part": self.part,
            "site": self.site,
            "result": self.mark,
            "sentence": self.sentence,
        }
