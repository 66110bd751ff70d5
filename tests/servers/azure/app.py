"""A Function App as the platform runs it: its code, its settings, and its runs by schedule."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_EVERY = timedelta(minutes=5)
"""The default of `pollSchedule`."""

REFERENCE = re.compile(
    r"@Microsoft\.KeyVault\(SecretUri=https://([^./]+)[^/]*/secrets/([^/)]+)/?\)", re.IGNORECASE
)
"""https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#understand-source-app-settings-from-key-vault"""


@dataclass(frozen=True)
class Run:
    at: datetime
    ok: bool
    message: str


@dataclass
class App:
    """`settings` are as the site was given them, `resolved` as the app sees them."""

    id: str
    settings: Mapping[str, str] = field(default_factory=dict)
    resolved: dict[str, str] = field(default_factory=dict)
    resolved_at: datetime | None = None
    package: bytes = b""
    next_run: datetime | None = None
    runs: list[Run] = field(default_factory=list)

    @property
    def unresolved(self) -> list[str]:
        return [name for name, value in self.resolved.items() if REFERENCE.fullmatch(value)]

    def publish(self, package: bytes, now: datetime) -> None:
        self.package = package
        self.next_run = now + _EVERY

    def due(self, now: datetime) -> datetime | None:
        """When its next run is, if that has come. After downtime there is one run, not several."""
        if not self.package or self.next_run is None or self.next_run > now:
            return None
        at, self.next_run = self.next_run, self.next_run + _EVERY
        return at


def rebuilt(package: bytes) -> bytes:
    """The package after a remote build on another Python: binaries that 3.13 cannot load.

    What the build does: https://github.com/microsoft/Oryx (PythonBashBuildSnippet.sh.tpl); that it
    may run another Python than the app's: https://github.com/Azure/azure-dev/issues/8538
    """
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as before, zipfile.ZipFile(out, "w") as after:
        for each in before.infolist():
            name = each.filename.replace("cpython-313", "cpython-311")
            after.writestr(name, before.read(each))
    return out.getvalue()
