"""The checks are checked: each fault, put into the template, is caught by the check named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.deploy import checks

Template = checks.Template
Change = Callable[[Template], object]


def resources(template: Template, kind: str) -> Iterator[dict[str, Any]]:
    """Every resource of a type, in nested templates too."""
    for each in template["resources"]:
        if each["type"] == kind:
            yield each
        if each["type"] == "Microsoft.Resources/deployments":
            yield from resources(each["properties"]["template"], kind)


def find_resource(template: Template, kind: str, containing: str = "") -> dict[str, Any]:
    """The first resource of a type whose JSON contains a text."""
    return next(each for each in resources(template, kind) if containing in json.dumps(each))


def rewrite(old: str, new: str) -> Change:
    """Replace a text wherever it is, in the template's JSON."""

    def change(template: Template) -> None:
        text = json.dumps(template)
        assert old in text, old
        template.clear()
        template.update(json.loads(text.replace(old, new)))

    return change


def put(kind: str, path: str, value: Any, containing: str = "") -> Change:
    """Set one property of the first resource of a type."""

    def change(template: Template) -> None:
        *folders, name = path.split(".")
        at: Any = find_resource(template, kind, containing)
        for folder in folders:
            at = at[int(folder) if isinstance(at, list) else folder]
        at[name] = value

    return change


def drop(kind: str, name: str, containing: str = "") -> Change:
    return lambda template: find_resource(template, kind, containing).pop(name)


def remove(kind: str, containing: str = "") -> Change:
    """Take the first resource of a type out of the top level."""

    def change(template: Template) -> None:
        template["resources"].remove(find_resource(template, kind, containing))

    return change


def variable(name: str, value: Any) -> Change:
    return lambda template: template["variables"].update({name: value})


def parameter(name: str, **values: Any) -> Change:
    return lambda template: template["parameters"].setdefault(name, {}).update(values)


def setting(plan: str, name: str, value: str) -> Change:
    return lambda template: template["variables"]["plans"][plan]["settings"].update({name: value})


def without_dependency(kind: str, on: str, containing: str = "") -> Change:
    """Take out what a resource says of waiting for another."""

    def change(template: Template) -> None:
        resource = find_resource(template, kind, containing)
        kept = [each for each in resource["dependsOn"] if on not in each]
        assert len(kept) < len(resource["dependsOn"])
        resource["dependsOn"] = kept

    return change


def first_column_gone(template: Template) -> None:
    template["variables"]["columns"].pop(3)


def retyped_column(template: Template) -> None:
    template["variables"]["columns"][2]["type"] = "long"


def table_at_the_top(template: Template) -> None:
    table = find_resource(template, "Microsoft.OperationalInsights/workspaces/tables")
    template["resources"].append(
        table
        | {
            "name": "security/Jira_Audit_CL",
            "condition": True,
            "properties": {"schema": {"name": "Jira_Audit_CL", "columns": []}},
        }
    )


def second_role(template: Template) -> None:
    text = json.dumps(find_resource(template, "Microsoft.Authorization/roleAssignments"))
    other = text.replace(checks.METRICS_PUBLISHER, "b24988ac-6180-42a0-ab88-20f7382dd24c")
    rule = find_resource(template, "Microsoft.Resources/deployments", "dataCollectionRules")
    rule["properties"]["template"]["resources"].append(json.loads(other))


def secret_in_output(template: Template) -> None:
    value = "[parameters('jiraApiToken')]"
    template["outputs"]["token"] = {"type": "string", "value": value}


def key_in_output(template: Template) -> None:
    value = "[listKeys(variables('storageAccountName'), '2024-01-01').keys[0].value]"
    template["outputs"]["key"] = {"type": "string", "value": value}


def secret_as_setting(template: Template) -> None:
    template["variables"]["settings"]["JIRA_API_TOKEN"] = "[parameters('jiraApiToken')]"


def duplicate(kind: str) -> Change:
    return lambda template: template["resources"].append(
        copy.deepcopy(find_resource(template, kind))
    )


def no_second_flow(template: Template) -> None:
    template["variables"]["flows"]["both"].pop()


STORAGE = "Microsoft.Storage/storageAccounts"
CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"
LIFECYCLE = "Microsoft.Storage/storageAccounts/managementPolicies"
VAULT = "Microsoft.KeyVault/vaults"
SECRET = "Microsoft.KeyVault/vaults/secrets"
SITE = "Microsoft.Web/sites"
PLAN = "Microsoft.Web/serverfarms"
DOOR = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
CODE = "Microsoft.Web/sites/extensions"
ROLE = "Microsoft.Authorization/roleAssignments"
RULE = "Microsoft.Insights/dataCollectionRules"
ENDPOINT = "Microsoft.Network/privateEndpoints"
LOGS = "Microsoft.Insights/diagnosticSettings"
INSIGHTS = "Microsoft.Insights/components"
ALERT = "Microsoft.Insights/scheduledQueryRules"
SAVED = "Microsoft.OperationalInsights/workspaces/savedSearches"
CARD = "Microsoft.SecurityInsights/dataConnectorDefinitions"
TABLE = "Microsoft.OperationalInsights/workspaces/tables"
NESTED = "Microsoft.Resources/deployments"

FAULTS: list[tuple[str, str, Change]] = [
    ("expressions_can_be_read", "a bracket is missing", rewrite("'flex'), not(", "'flex', not(")),
    ("expressions_can_be_read", "a quote is missing", rewrite("split(parameters('", "split(p('")),
    (
        "expressions_can_be_read",
        "an unknown function",
        rewrite("[uniqueString(", "[uniqueStrings("),
    ),
    ("expressions_can_be_read", "no end", variable("unique", "[uniqueString('a')")),
    (
        "every_way_can_be_evaluated",
        "no such plan",
        parameter("hostingPlan", allowedValues=["flex"]),
    ),
    ("every_way_can_be_evaluated", "a key misspelt", rewrite("('plan').kind", "('plan').sort")),
    ("every_way_can_be_evaluated", "an id with too few names", rewrite("'default', ", "")),
    (
        "parameters_and_variables_are_defined_and_used",
        "a parameter nobody uses",
        parameter("spare", type="string", defaultValue=""),
    ),
    (
        "parameters_and_variables_are_defined_and_used",
        "a variable nobody uses",
        variable("spare", "x"),
    ),
    (
        "parameters_and_variables_are_defined_and_used",
        "an undefined parameter",
        rewrite("parameters('sweepHours')", "parameters('sweepDays')"),
    ),
    (
        "parameters_and_variables_are_defined_and_used",
        "an outer variable in a nested template",
        put(TABLE, "name", "[format('{0}/t', variables('workspaceName'))]"),
    ),
    (
        "parameters_are_described_and_four_are_required",
        "a fifth answer",
        lambda template: template["parameters"]["pollSchedule"].pop("defaultValue"),
    ),
    (
        "parameters_are_described_and_four_are_required",
        "no description",
        parameter("tables", metadata={}),
    ),
    (
        "references_wait_for_what_they_read",
        "the app reads a rule that is elsewhere",
        rewrite(
            "reference(resourceId('Microsoft.Resources/deployments'", "reference(resourceId('A/b'"
        ),
    ),
    (
        "references_wait_for_what_they_read",
        "the rule's role does not wait for the identity",
        without_dependency(NESTED, "ManagedIdentity", "dataCollectionRules"),
    ),
    (
        "references_name_their_version",
        "a reference without a version",
        rewrite(", '2020-02-02').ConnectionString", ").ConnectionString"),
    ),
    (
        "dependencies_can_be_ordered",
        "a dependency that is not there",
        put(CODE, "dependsOn", ["[resourceId('Microsoft.Web/sites', 'another')]"]),
    ),
    (
        "dependencies_can_be_ordered",
        "a circle",
        put(
            PLAN,
            "dependsOn",
            ["[resourceId('Microsoft.Web/sites', variables('functionAppName'))]"],
        ),
    ),
    (
        "dependencies_can_be_ordered",
        "a loop that is not there",
        put(PLAN, "dependsOn", ["siteToken"]),
    ),
    (
        "dependencies_can_be_ordered",
        "a nested deployment looked for in the wrong group",
        rewrite("variables('workspaceResourceGroup')), 'Mi", "resourceGroup().name), 'Mi"),
    ),
    (
        "children_wait_for_their_parent",
        "a secret before its vault",
        put(SECRET, "dependsOn", []),
    ),
    (
        "children_wait_for_their_parent",
        "a role before its rule",
        put(ROLE, "dependsOn", []),
    ),
    (
        "runtime_values_are_read_only_where_they_are_known",
        "a region that is read",
        put(RULE, "location", "[reference(resourceGroup().id, '2022-09-01', 'Full').location]"),
    ),
    (
        "runtime_values_are_read_only_where_they_are_known",
        "a variable that is read",
        variable("tags", "[reference(resourceGroup().id, '2022-09-01').tags]"),
    ),
    ("resources_are_unique", "a plan twice", duplicate(PLAN)),
    (
        "outputs_read_resources_that_exist",
        "an output reads what is not there",
        rewrite("parameters('name')), '2023-03-11').imm", "'x'), '2023-03-11').imm"),
    ),
    (
        "api_versions_are_those_decided_on",
        "another version",
        put(STORAGE, "apiVersion", "2021-04-01"),
    ),
    (
        "api_versions_are_those_decided_on",
        "a rule read with another version",
        rewrite("'2023-03-11').immutableId", "'2021-04-01').immutableId"),
    ),
    (
        "secrets_are_secure_parameters",
        "a token as a plain string",
        parameter("jiraApiToken", type="string"),
    ),
    (
        "secrets_are_secure_parameters",
        "a secret with a default",
        parameter("jiraOauthClientSecret", defaultValue="hush"),
    ),
    ("secrets_go_into_the_vault_only", "a secret as output", secret_in_output),
    ("keys_are_never_listed", "a key as output", key_in_output),
    ("secrets_go_into_the_vault_only", "a secret as setting", secret_as_setting),
    (
        "secrets_go_into_the_vault_only",
        "a secret in a tag",
        put(SITE, "tags", {"token": "[parameters('jiraApiToken')]"}),
    ),
    (
        "vault_references_name_secrets_of_the_template",
        "another name",
        rewrite("{0}/jira-api-token'", "{0}/jira-token'"),
    ),
    (
        "flex_gets_only_what_it_accepts",
        "a setting that Flex refuses",
        setting("flex", "FUNCTIONS_WORKER_RUNTIME", "python"),
    ),
    (
        "flex_gets_only_what_it_accepts",
        "a property that Flex refuses",
        lambda template: template["variables"]["plans"]["flex"]["siteConfig"].update(
            {"linuxFxVersion": "Python|3.13"}
        ),
    ),
    (
        "flex_gets_only_what_it_accepts",
        "an older Python",
        rewrite("'version', '3.13'", "'version', '3.11'"),
    ),
    (
        "flex_gets_only_what_it_accepts",
        "memory that nobody can choose",
        rewrite("'instanceMemoryMB', parameters('instanceMemoryMB')", "'instanceMemoryMB', 512"),
    ),
    (
        "flex_gets_only_what_it_accepts",
        "instances without a bound",
        rewrite(", 'maximumInstanceCount', parameters('maximumInstanceCount')", ""),
    ),
    (
        "premium_gets_what_it_needs",
        "Premium without its runtime",
        lambda template: template["variables"]["plans"]["premium"]["settings"].pop(
            "FUNCTIONS_WORKER_RUNTIME"
        ),
    ),
    (
        "premium_gets_what_it_needs",
        "Premium without its code",
        setting("premium", "WEBSITE_RUN_FROM_PACKAGE", "1"),
    ),
    (
        "roles_are_the_least_at_the_least_scope",
        "Contributor",
        rewrite(checks.BLOB_DATA_OWNER, "b24988ac-6180-42a0-ab88-20f7382dd24c"),
    ),
    ("roles_are_the_least_at_the_least_scope", "one role more", second_role),
    (
        "roles_are_the_least_at_the_least_scope",
        "on the whole group",
        put(ROLE, "scope", "[resourceGroup().id]"),
    ),
    (
        "roles_are_the_least_at_the_least_scope",
        "a name that is not of its own",
        put(ROLE, "name", "[guid(resourceGroup().id)]"),
    ),
    (
        "roles_are_the_least_at_the_least_scope",
        "no type of principal",
        lambda template: find_resource(template, ROLE)["properties"].pop("principalType"),
    ),
    (
        "app_starts_after_what_it_needs",
        "an app before its roles",
        without_dependency(SITE, "rolesDeployment"),
    ),
    (
        "app_starts_after_what_it_needs",
        "an app before its secret",
        without_dependency(SITE, "'jira-api-token'"),
    ),
    (
        "app_starts_after_what_it_needs",
        "a rule before its table",
        without_dependency(NESTED, "tablesDeployment", "dataCollectionRules"),
    ),
    ("app_starts_after_what_it_needs", "code before its app", put(CODE, "dependsOn", [])),
    (
        "existing_table_is_never_overwritten",
        "made whatever is asked",
        put(TABLE, "condition", True),
    ),
    (
        "existing_table_is_never_overwritten",
        "the choice is not handed on",
        rewrite("[and(variables('classic'), parameters('createTable'))]", "[variables('classic')]"),
    ),
    ("existing_table_is_never_overwritten", "outside of the workspace", table_at_the_top),
    ("columns_are_those_of_the_code", "a column is missing", first_column_gone),
    ("columns_are_those_of_the_code", "a column of another type", retyped_column),
    (
        "columns_are_those_of_the_code",
        "a schema of another name",
        put(TABLE, "properties.schema.name", "Jira_CL"),
    ),
    (
        "rule_sends_the_stream_to_its_tables",
        "no endpoint of its own",
        put(RULE, "kind", "Linux"),
    ),
    (
        "rule_sends_the_stream_to_its_tables",
        "in the group's region",
        rewrite(
            "[reference(parameters('workspaceResourceId'), '2022-10-01', 'Full').location]",
            "[parameters('location')]",
        ),
    ),
    (
        "rule_sends_the_stream_to_its_tables",
        "another stream than the app's",
        put(RULE, "properties.streamDeclarations", {"Custom-Other": {"columns": []}}),
    ),
    ("rule_sends_the_stream_to_its_tables", "one table of both", no_second_flow),
    (
        "audit_reads_the_workspace_that_is_written_to",
        "a setting where nobody asked",
        rewrite("if(variables('audited'), createArray", "if(true(), createArray"),
    ),
    (
        "roles_are_the_least_at_the_least_scope",
        "a reader where nobody asked",
        drop(NESTED, "condition", checks.LOG_ANALYTICS_READER),
    ),
    (
        "app_starts_after_what_it_needs",
        "an app before its right to read",
        without_dependency(SITE, "auditDeployment"),
    ),
    (
        "rule_errors_are_logged",
        "no category",
        put(LOGS, "properties.logs", []),
    ),
    (
        "rule_sends_the_stream_to_its_tables",
        "too long a name",
        variable("ruleName", "[format('the-jira-audit-rule-{0}', variables('unique'))]"),
    ),
    (
        "access_is_closed_where_it_can_be",
        "shared keys",
        put(STORAGE, "properties.allowSharedKeyAccess", True),
    ),
    (
        "access_is_closed_where_it_can_be",
        "public blobs",
        put(CONTAINER, "properties.publicAccess", "Blob"),
    ),
    (
        "access_is_closed_where_it_can_be",
        "old TLS",
        put(STORAGE, "properties.minimumTlsVersion", "TLS1_0"),
    ),
    (
        "access_is_closed_where_it_can_be",
        "a vault without purge protection",
        lambda template: find_resource(template, VAULT)["properties"].pop("enablePurgeProtection"),
    ),
    (
        "access_is_closed_where_it_can_be",
        "plain http",
        put(SITE, "properties.httpsOnly", False),
    ),
    ("access_is_closed_where_it_can_be", "publishing by password", remove(DOOR, "/ftp")),
    ("access_is_closed_where_it_can_be", "FTP allowed", put(DOOR, "properties.allow", True)),
    (
        "access_is_closed_where_it_can_be",
        "telemetry by key",
        put(INSIGHTS, "properties.DisableLocalAuth", False),
    ),
    (
        "access_is_closed_where_it_can_be",
        "nobody opens the vault",
        lambda template: find_resource(template, SITE)["properties"].pop(
            "keyVaultReferenceIdentity"
        ),
    ),
    (
        "closed_network_is_left_by_private_endpoints_alone",
        "public storage",
        put(STORAGE, "properties.publicNetworkAccess", "Enabled"),
    ),
    (
        "closed_network_is_left_by_private_endpoints_alone",
        "a vault that takes every address",
        put(VAULT, "properties.networkAcls.defaultAction", "Allow"),
    ),
    (
        "closed_network_is_left_by_private_endpoints_alone",
        "no way to the queue",
        rewrite(
            "createArray(createObject('group', 'queue'", "createArray(createObject('group', 'q'"
        ),
    ),
    (
        "closed_network_is_left_by_private_endpoints_alone",
        "in the app's subnet",
        put(ENDPOINT, "properties.subnet.id", "[parameters('outboundSubnetResourceId')]"),
    ),
    (
        "closed_network_is_left_by_private_endpoints_alone",
        "endpoints where nobody asked",
        drop(ENDPOINT, "condition"),
    ),
    (
        "closed_network_is_left_by_private_endpoints_alone",
        "names in one zone",
        rewrite(
            "('privateDnsZoneResourceIds')[variables('privateEndpoints')[copyIndex()].group]",
            "('privateDnsZoneResourceIds').blob",
        ),
    ),
    (
        "rows_go_to_the_collection_endpoint_that_is_given",
        "a rule without it",
        put(RULE, "properties.dataCollectionEndpointId", None),
    ),
    (
        "rows_go_to_the_collection_endpoint_that_is_given",
        "rows go to the public endpoint",
        rewrite("if(empty(parameters('endpointId')), ref", "if(true(), ref"),
    ),
    (
        "app_starts_after_what_it_needs",
        "an app before its private endpoints",
        without_dependency(SITE, "private"),
    ),
    ("personal_data_expires", "no lifecycle rule", remove(LIFECYCLE)),
    ("personal_data_expires", "checkpoints are deleted", rewrite("{0}/originals/", "{0}/")),
    (
        "cloud_hosts_are_not_hard_coded",
        "a storage host",
        rewrite(".blob.{1}", ".blob.core.windows.net"),
    ),
    (
        "cloud_hosts_are_not_hard_coded",
        "a vault host",
        variable("vaultEndpoint", "https://x.vault.azure.net"),
    ),
    (
        "package_is_of_one_fixed_version",
        "the latest",
        parameter("packageUri", defaultValue="https://x/releases/latest/released-package.zip"),
    ),
    (
        "package_is_of_one_fixed_version",
        "another version",
        variable("packageVersion", "9.9.9"),
    ),
    (
        "package_is_of_one_fixed_version",
        "built at deployment",
        put(CODE, "properties.remoteBuild", True),
    ),
    (
        "identity_reads_packages_in_our_own_storage_only",
        "to anywhere",
        rewrite("format('{0}/', variables('blobEndpoint'))", "'https://'"),
    ),
    ("alerts_notify_somebody", "one is missing", rewrite('"letters", "sev', '"l", "sev')),
    (
        "alerts_notify_somebody",
        "nobody is told",
        put(ALERT, "properties.actions.actionGroups", []),
    ),
    (
        "alerts_notify_somebody",
        "a proof that nobody makes",
        put(ALERT, "condition", "[parameters('alerts')]"),
    ),
    ("alerts_notify_somebody", "nowhere to read on", rewrite("alerts.md#{2}", "alerts.md")),
    (
        "alerts_notify_somebody",
        "on another resource",
        put(ALERT, "properties.scopes", ["[parameters('workspaceResourceId')]"]),
    ),
    ("card_is_the_one_that_rules_name", "another id", put(CARD, "name", "JiraAudit")),
    (
        "card_is_the_one_that_rules_name",
        "connected for a month",
        rewrite("ago(12h)", "ago(720h)"),
    ),
    (
        "card_is_the_one_that_rules_name",
        "shown where nobody asked",
        drop(NESTED, "condition", "dataConnectorDefinitions"),
    ),
    (
        "run_queries_are_in_the_workspace",
        "saved where nobody asked",
        drop(NESTED, "condition", "savedSearches"),
    ),
    (
        "run_queries_are_in_the_workspace",
        "in the connector's own group",
        drop(NESTED, "resourceGroup", "savedSearches"),
    ),
    (
        "run_queries_are_in_the_workspace",
        "once and never again",
        lambda template: find_resource(template, SAVED)["properties"].pop("etag"),
    ),
]


@pytest.mark.parametrize(
    ("check", "change"),
    [pytest.param(check, change, id=f"{check}: {fault}") for check, fault, change in FAULTS],
)
def test_fault_is_caught(check: str, change: Change) -> None:
    template = checks.load()
    change(template)

    assert template != checks.load()
    assert checks.CHECKS[check](template)


def test_faults_cover_every_check() -> None:
    assert {check for check, _, _ in FAULTS} == set(checks.CHECKS)
