"""Who has the roles that docs/deploy.md asks for may deploy, and needs each of them.

What is written, and where, comes from the template: every way of answering it that `WAYS` lists.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from jira_audit.core.records import COLUMNS
from tests.deploy import arm, checks
from tests.deploy.classic_table import CLASSIC_COLUMNS
from tests.deploy.test_deploy_sh import Cloud, cloud, package_arguments, table
from tests.servers.azure.roles import ROLES, grants

__all__ = ["cloud"]  # a fixture

README = (checks.ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")

CONNECTOR, WATCHED, INSIGHTS = "the connector", "the workspace", "an existing Application Insights"
NETWORK = "the network"
GROUPS = {"sentinel": WATCHED, "monitoring": INSIGHTS, "network": NETWORK}

Needed = set[tuple[str, str]]
"""Pairs of whose resource group, and an action."""


def written(way: str) -> Needed:
    """What a deployment writes: for each resource its type's write, where the resource is."""
    found = set()
    for each in arm.deploy(checks.load(), checks.WAYS[way]):
        if each.active:
            group = each.id.split("/")[4]
            found.add((GROUPS.get(group, CONNECTOR), f"{each.type}/write"))
    # Who puts something into a subnet, or a name into a zone:
    # https://learn.microsoft.com/azure/private-link/rbac-permissions
    answers = checks.WAYS[way]
    if "outboundSubnetResourceId" in answers or "privateEndpointSubnetResourceId" in answers:
        found.add((NETWORK, "Microsoft.Network/virtualNetworks/subnets/join/action"))
    if "privateDnsZoneResourceIds" in answers:
        found.add((NETWORK, "Microsoft.Network/privateDnsZones/join/action"))
    # Who gives an identity to an app: https://learn.microsoft.com/entra/identity/managed-identities-azure-resources
    found.add((CONNECTOR, "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"))
    return found


def may(roles: set[str], action: str) -> bool:
    return grants(roles, action)


def asked() -> list[tuple[str, list[set[str]]]]:
    """The table's rows: whose resource group, and the sets of roles of which one is enough."""
    part = README.split("## Before you begin")[1].split("\n## ")[0]
    rows = [re.split(r" \| ", line.strip("| ")) for line in part.splitlines() if "*" in line[:200]]
    return [
        (row[0], [set(re.findall(r"\*([^*]+)\*", choice)) for choice in row[1].split(";")])
        for row in rows
        if len(row) == 3
    ]


def choices(whose: str) -> list[set[str]]:
    """Every set of roles on one resource group that the table calls enough."""
    sets: list[set[str]] = [set()]
    for name, alternatives in asked():
        if name == whose:
            sets = [one | other for one in sets for other in alternatives]
    return sets


@pytest.mark.parametrize("way", checks.WAYS)
def test_roles_of_the_page_are_enough(way: str) -> None:
    for whose, action in written(way):
        for roles in choices(whose):
            assert may(roles, action), (whose, roles)


@pytest.mark.parametrize("whose", [CONNECTOR, WATCHED, INSIGHTS, NETWORK])
def test_roles_of_the_page_are_all_needed(whose: str) -> None:
    needed = {action for way in checks.WAYS for where, action in written(way) if where == whose}

    assert choices(whose) != [set()]
    for roles in choices(whose):
        for role in roles:
            assert [each for each in needed if not may(roles - {role}, each)], role


def lacking(cloud: Cloud, way: str) -> Needed:
    """What the script says is missing, of somebody who may only read."""
    answers: dict[str, Any] = dict(checks.WAYS[way])
    existing = [
        name
        for name, parameter in (
            ("Jira_Audit_CL", "createTable"),
            ("Jira_Audit_v2_CL", "createV2Table"),
        )
        if answers.get(parameter) is False
    ]
    uri = f"rest --method get --uri {checks.WORKSPACE}/tables"
    cloud.set_answers(f"{uri}[?]*", "\n".join(["Heartbeat", *existing]))
    ours = table("DataCollectionRuleBased", dict(COLUMNS))
    cloud.set_answers(f"{uri}/Jira_Audit_CL[?]*", ours)
    reader = {"value": [{"actions": ["*/read"], "notActions": []}]}
    cloud.set_answers("rest --method get --uri */permissions[?]*", reader)
    file = cloud.folder / "way.json"
    given = {name: {"value": value} for name, value in answers.items() if name != "packageUri"}
    file.write_text(json.dumps({"parameters": given}))
    code = package_arguments(cloud)
    if answers.get("hostingPlan") == "premium":
        code = ["--package-uri", checks.PACKAGE]

    one = ("--jira-url", answers["jiraSiteUrl"], "--username", answers["jiraUsername"])

    done = cloud.run(*one, "--workspace", checks.WORKSPACE, "--parameters", str(file), *code)

    assert done.returncode == 1
    pairs = re.findall(r"^  (/\S+): (\S+)$", done.stderr, re.MULTILINE)
    return {(GROUPS.get(scope.split("/")[4], CONNECTOR), action) for scope, action in pairs}


@pytest.mark.servers
@pytest.mark.parametrize("way", checks.WAYS)
def test_script_asks_for_what_the_template_writes(cloud: Cloud, way: str) -> None:
    found = lacking(cloud, way)

    # The script publishes a Flex app's package itself, with the same right; and whoever keeps the
    # token today gives a new one tomorrow.
    always = {"Microsoft.Web/sites/extensions/write", "Microsoft.KeyVault/vaults/secrets/write"}
    assert found == written(way) | {(CONNECTOR, action) for action in always}


@pytest.mark.servers
def test_script_asks_for_the_migration_too(cloud: Cloud) -> None:
    uri = f"rest --method get --uri {checks.WORKSPACE}/tables"
    cloud.set_answers(f"{uri}[?]*", "Jira_Audit_CL")
    cloud.set_answers(f"{uri}/Jira_Audit_CL[?]*", table("Classic", CLASSIC_COLUMNS))
    reader = {"value": [{"actions": ["*/read"], "notActions": []}]}
    cloud.answers = {
        f"rest --method get --uri {checks.WORKSPACE}/providers/*/permissions[?]*": [
            {"out": reader}
        ],
        **cloud.answers,
    }

    done = cloud.run("--workspace", checks.WORKSPACE, "--migrate-table", *package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "Microsoft.OperationalInsights/workspaces/tables/migrate/action" in done.stderr


@pytest.mark.servers
def test_role_for_the_workspace_alone_lacks_the_card(cloud: Cloud) -> None:
    actions, without = ROLES["Log Analytics Contributor"]
    role = {"value": [{"actions": actions, "notActions": without}]}
    scope = f"rest --method get --uri {checks.WORKSPACE.split('/providers/')[0]}*"
    cloud.answers = {f"{scope}/permissions[?]*": [{"out": role}], **cloud.answers}
    cloud.set_answers(f"rest --method get --uri {checks.WORKSPACE}/tables[?]*", "Heartbeat")

    done = cloud.run("--workspace", checks.WORKSPACE, *package_arguments(cloud))

    assert done.returncode == 1
    assert re.findall(r": (Microsoft\S+)$", done.stderr, re.MULTILINE) == [
        "Microsoft.SecurityInsights/dataConnectorDefinitions/write"
    ]
    assert "Microsoft Sentinel Contributor" in done.stderr
    assert "connectorCard" in done.stderr


@pytest.mark.servers
@pytest.mark.parametrize(
    ("environment", "asks"), [("AzureCloud", True), ("AzureChinaCloud", False)]
)
def test_script_asks_for_the_card_only_where_sentinel_is(
    cloud: Cloud, environment: str, asks: bool
) -> None:
    cloud.answers = {
        "account show --query environmentName *": [{"out": environment}],
        **cloud.answers,
    }

    card = "Microsoft.SecurityInsights/dataConnectorDefinitions/write"
    assert ((WATCHED, card) in lacking(cloud, "the four answers")) is asks


@pytest.mark.servers
def test_script_refuses_private_endpoints_that_the_app_cannot_reach(cloud: Cloud) -> None:
    file = cloud.folder / "closed.json"
    closed = {
        "privateEndpointSubnetResourceId": {
            "value": checks.CLOSED["privateEndpointSubnetResourceId"]
        }
    }
    file.write_text(json.dumps({"parameters": closed}))

    done = cloud.run("--parameters", str(file), *package_arguments(cloud))

    assert done.returncode == 2
    assert "needs outboundSubnetResourceId" in done.stderr
    assert cloud.changes() == []


def test_page_names_the_four_resource_groups() -> None:
    assert {whose for whose, _ in asked()} == {CONNECTOR, WATCHED, INSIGHTS, NETWORK}
