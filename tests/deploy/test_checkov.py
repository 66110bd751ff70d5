"""checkov finds nothing in what would be deployed, but what is excused here with its reason."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import needed
from tests.deploy import arm, checks

CHECKOV = Path(__file__).parents[2] / "build/checkov/bin/checkov"
"""In an environment of its own (tests/setup/checkov.txt); `make setup` makes it."""

NO_HTTP = "the app has no HTTP function: nothing answers there"
NO_NETWORK = (
    "without a virtual network of the customer's there is no private way from the app to it "
    "(privateEndpointSubnetResourceId); it is opened by Entra identities alone, its keys are off"
)
EXCUSED = {
    "CKV_AZURE_17": NO_HTTP,
    "CKV_AZURE_35": NO_NETWORK,
    "CKV_AZURE_41": "a token ends when Atlassian says so (JIRA_TOKEN_EXPIRES warns of it)",
    "CKV_AZURE_59": NO_NETWORK,
    "CKV_AZURE_78": "Flex Consumption has no FTP, and refuses the property that would say so",
    "CKV_AZURE_109": NO_NETWORK,
    "CKV_AZURE_189": NO_NETWORK,
    "CKV_AZURE_206": "what is lost with a data centre is read again; storageSku asks for three",
    "CKV_AZURE_212": "a timer runs on one instance, and a lease sees to it",
    "CKV_AZURE_213": NO_HTTP,
    "CKV_AZURE_222": NO_HTTP,
    "CKV_AZURE_225": "a tick that a zone loses is made up for by the next",
}
"""https://www.checkov.io/5.Policy%20Index/arm.html"""

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def checkov() -> None:
    needed(CHECKOV.exists(), "checkov is not installed: make setup")


def finding_ids(template: checks.Template, way: str, folder: Path) -> set[str]:
    """The ids of what checkov finds in the resources that would be deployed."""
    resources: list[Any] = [
        each.body for each in arm.deploy(template, checks.WAYS[way]) if each.active
    ]
    flat = {"$schema": template["$schema"], "contentVersion": "1.0.0.0", "resources": resources}
    (folder / "azuredeploy.json").write_text(json.dumps(flat, default=str), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(CHECKOV), "--directory", str(folder), "--framework", "arm"),
            *("--skip-download", "--quiet", "--output", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 10
    return {each["check_id"] for each in report["results"]["failed_checks"]}


def test_plans_are_clean_and_every_exception_has_a_finding(tmp_path: Path) -> None:
    findings = set()
    for way in ("released", "premium"):
        (tmp_path / way).mkdir()
        findings |= finding_ids(checks.load(), way, tmp_path / way)

    assert findings == set(EXCUSED)


def test_closed_network_needs_no_excuse(tmp_path: Path) -> None:
    findings = finding_ids(checks.load(), "a closed network", tmp_path)

    open_networks = {each for each, why in EXCUSED.items() if why == NO_NETWORK}
    assert findings & open_networks == set()
    assert findings <= set(EXCUSED)


def test_storage_account_that_is_open_is_found(tmp_path: Path) -> None:
    template = checks.load()
    (storage,) = [
        each for each in template["resources"] if each["type"].endswith("/storageAccounts")
    ]
    storage["properties"]["supportsHttpsTrafficOnly"] = False

    assert finding_ids(template, "released", tmp_path) - set(EXCUSED)
