"""The settings of a deployed connector, read with the operator's own rights by the Azure CLI.

The app's secrets are Key Vault references; those that a command needs are read from the vault.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jira_audit.core.errors import SettingsError
from jira_audit.core.text import printable

INSTALL = "https://learn.microsoft.com/cli/azure/install-azure-cli"

AZ_SECONDS = 120.0
"""The longest that one call of az may take; the first of a day refreshes a token."""

VAULT_CALLS = 8
"""Secrets that are read at a time."""

REASON_LENGTH = 300

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,59}")
_GROUP = re.compile(r"[\w.()-]{1,90}")
"""What Azure allows, and nothing that a shell would read: on Windows, az is a batch file.
https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules"""

_REFERENCE = re.compile(r"@Microsoft\.KeyVault\((?P<parts>.*)\)", re.DOTALL)
_SECRET_URI = re.compile(
    r"https://(?P<vault>[A-Za-z0-9-]{3,24})\.[a-z.]+/secrets/(?P<name>[0-9A-Za-z-]{1,127})"
    r"(/(?P<version>[0-9a-f]{32})?)?"
)
_PART = re.compile(r"[0-9A-Za-z-]{1,127}")


class AzFailed(Exception):
    """az did not do what it was asked; the text is the reason."""


def app_settings(app: str, group: str | None) -> dict[str, str]:
    """The settings of a Function App, as `az functionapp config appsettings list` shows them.

    Raises SettingsError. az shows no value for some settings of registries and logins.
    """
    for option, value, pattern in ("--app", app, _NAME), ("--resource-group", group, _GROUP):
        if value is not None and not pattern.fullmatch(value):
            raise SettingsError([f"{option} is not a name that Azure allows"])
    arguments = ["functionapp", "config", "appsettings", "list", "--name", app]
    try:
        listed = _az([*arguments, *(("--resource-group", group) if group else ())])
        return {each["name"]: each["value"] for each in listed if each["value"] is not None}
    except (TypeError, KeyError) as error:
        raise SettingsError([f"--app {app}: the answer of az cannot be read"]) from error
    except AzFailed as error:
        raise SettingsError([f"--app {app}: its settings could not be read: {error}"]) from error


def resolve(
    settings: Mapping[str, str], names: Iterable[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The settings, with the secrets in place of those references that have one of these names.

    Also returns, by name, why a secret could not be read; its setting stays a reference.
    """
    wanted = [name for name in names if _REFERENCE.fullmatch(settings.get(name, "").strip())]

    def read(name: str) -> str | AzFailed:
        try:
            return _secret(settings[name].strip())
        except AzFailed as error:
            return error

    with ThreadPoolExecutor(VAULT_CALLS) as executor:
        values = dict(zip(wanted, executor.map(read, wanted), strict=True))
    secrets = {name: value for name, value in values.items() if isinstance(value, str)}
    failures = {name: str(value) for name, value in values.items() if isinstance(value, AzFailed)}
    return {**settings, **secrets}, failures


def _secret(reference: str) -> str:
    """The secret that a reference names; raises AzFailed.

    https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#understand-source-app-settings-from-key-vault
    """
    vault, name, version = _secret_name(reference)
    arguments = ["keyvault", "secret", "show", "--vault-name", vault, "--name", name]
    shown = _az([*arguments, *(("--version", version) if version else ())])
    try:
        return str(shown["value"])
    except (TypeError, KeyError) as error:
        message = "the answer of az cannot be read"
        raise AzFailed(message) from error


def _secret_name(reference: str) -> tuple[str, str, str | None]:
    """The vault, the secret and its version, if any, of a reference in either of its forms."""
    match = _REFERENCE.fullmatch(reference)
    text = match["parts"] if match else ""
    parts = dict(part.strip().partition("=")[::2] for part in text.split(";"))
    if uri := _SECRET_URI.fullmatch(parts.get("SecretUri", "")):
        return uri["vault"], uri["name"], uri["version"]
    vault, name = parts.get("VaultName", ""), parts.get("SecretName", "")
    version = parts.get("SecretVersion") or None
    if not all(_PART.fullmatch(each) for each in (vault, name, version or "any")):
        message = "the reference names no vault and secret"
        raise AzFailed(message)
    return vault, name, version


def _az(arguments: Sequence[str]) -> Any:
    """The JSON that az prints; raises AzFailed with the last line of its complaint.

    Never by way of a shell. `which` finds az.cmd on Windows, too.
    """
    program = shutil.which("az")
    if program is None:
        message = f"the Azure CLI (az) is not installed here: {INSTALL}"
        raise AzFailed(message)
    command = [program, *arguments, "--output", "json", "--only-show-errors"]
    try:
        done = subprocess.run(  # no shell, checked arguments  # noqa: S603  # nosec B603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=AZ_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"az did not answer within {AZ_SECONDS:.0f} s"
        raise AzFailed(message) from error
    except OSError as error:
        message = f"az could not be run: {error.strerror}"
        raise AzFailed(message) from error
    if done.returncode:
        raise AzFailed(_complaint(done.stderr.decode(errors="replace"), done.returncode))
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        message = "the answer of az is not JSON"
        raise AzFailed(message) from error


def _complaint(text: str, code: int) -> str:
    """The line in which az says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else "")
    reason = said.removeprefix("ERROR:").strip() or f"az ended with exit code {code}"
    return printable(reason, REASON_LENGTH)
