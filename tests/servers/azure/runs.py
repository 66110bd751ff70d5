"""What a run of an app comes to: worked out by rules, quickly, from what the platform gives it.

The connector's own reader of settings says what is wrong with them. Real runs, of the published
package in the Functions worker, are those of tests/deploy/test_local_azure.py.
"""

from __future__ import annotations

from datetime import datetime

from jira_audit.core.errors import SettingsError
from jira_audit.settings.load import load
from tests.servers.azure.app import App, Run
from tests.servers.azure.cloud import Azure


def environment(app: App) -> dict[str, str]:
    """What the platform puts into the app's process.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
    """
    identity = {"IDENTITY_ENDPOINT": "http://127.0.0.1:41000/msi/token", "IDENTITY_HEADER": "x"}
    return app.resolved | identity


def expected_run(azure: Azure, app: App, at: datetime) -> Run | None:
    if b"cpython-311" in app.package:
        return None  # it cannot be imported: there is no function, and so no run
    try:
        settings = load(environment(app), round(at.timestamp() * 1000))
    except SettingsError as error:
        return Run(at, ok=False, message=f"SettingsError: {error}")
    if settings.invalid:
        return Run(at, ok=False, message=f"SettingsError: {settings.invalid[0]}")
    if not azure.may_send(app):
        return Run(at, ok=False, message="403: the identity lacks Monitoring Metrics Publisher")
    return Run(at, ok=True, message="")
