"""What must hold for deploy/azuredeploy.json, one function per promise, each returning problems.

They look at what would be deployed for every way of answering that `WAYS` lists, so that no branch
goes unseen. `test_template.py` runs them; `test_seeded_faults.py` shows that each can fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jira_audit
from function_app import app
from jira_audit.core.records import COLUMNS
from tests.deploy import arm
from tests.deploy.arm import Resource

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "deploy" / "azuredeploy.json"
SCRIPT = ROOT / "deploy" / "deploy.sh"
FORM = ROOT / "deploy" / "createUiDefinition.json"

Template = dict[str, Any]
Check = Callable[[Template], list[str]]

WORKSPACE_SUBSCRIPTION = "00000000-0000-0000-0000-0000000000ff"
WORKSPACE = (
    f"/subscriptions/{WORKSPACE_SUBSCRIPTION}/resourceGroups/sentinel"
    "/providers/Microsoft.OperationalInsights/workspaces/security"
)
INSIGHTS = (
    f"/subscriptions/{WORKSPACE_SUBSCRIPTION}/resourceGroups/monitoring"
    "/providers/Microsoft.Insights/components/shared"
)
NETWORK = (
    f"/subscriptions/{WORKSPACE_SUBSCRIPTION}/resourceGroups/network/providers/Microsoft.Network"
)
CLOSED: dict[str, Any] = {
    "outboundSubnetResourceId": f"{NETWORK}/virtualNetworks/spoke/subnets/app",
    "privateEndpointSubnetResourceId": f"{NETWORK}/virtualNetworks/spoke/subnets/private",
    "privateDnsZoneResourceIds": {
        "blob": f"{NETWORK}/privateDnsZones/privatelink.blob.example",
        "vault": f"{NETWORK}/privateDnsZones/privatelink.vault.example",
    },
    "dataCollectionEndpointResourceId": (
        f"/subscriptions/{WORKSPACE_SUBSCRIPTION}/resourceGroups/monitoring"
        "/providers/Microsoft.Insights/dataCollectionEndpoints/private"
    ),
}
ANSWERS: dict[str, Any] = {
    "workspaceResourceId": WORKSPACE,
    "jiraSiteUrl": "https://contoso.atlassian.net",
    "jiraUsername": "auditor@contoso.example",
    "jiraApiToken": "a secret token",
}
NO_SITE = ANSWERS | {"jiraSiteUrl": "", "jiraUsername": "", "jiraApiToken": ""}
A_PROVIDERS_SITES = [
    {
        "url": f"https://customer{n}.atlassian.net",
        "oauth_client_id": "client",
        "oauth_client_secret_setting": f"JIRA_API_TOKEN_{n}",
    }
    for n in range(12)
]
PACKAGE = f"https://packages.example/v{jira_audit.__version__}/released-package.zip"
WAYS: dict[str, dict[str, Any]] = {
    "the four answers": ANSWERS,
    "released": ANSWERS | {"packageUri": PACKAGE, "jiraTokenExpires": "2027-03-31"},
    "premium": ANSWERS | {"hostingPlan": "premium", "packageUri": PACKAGE},
    "an existing table": ANSWERS | {"createTable": False},
    "both tables": ANSWERS | {"tables": "both", "timeGeneratedSource": "created"},
    "both tables, the classic one existing": ANSWERS | {"tables": "both", "createTable": False},
    "the newer table alone, existing": ANSWERS | {"tables": "v2", "createV2Table": False},
    "the newer table alone": ANSWERS | {"tables": "v2"},
    "an audit of both tables": ANSWERS | {"tables": "both", "auditWorkspace": True},
    "an audit of the newer table alone": ANSWERS | {"tables": "v2", "auditWorkspace": True},
    "an upgrade": ANSWERS | {"jiraApiToken": "", "createTable": False, "packageUri": PACKAGE},
    "a service account": ANSWERS
    | {
        "jiraUsername": "",
        "jiraApiToken": "",
        "jiraOauthClientId": "client",
        "jiraOauthClientSecret": "another secret",
        "jiraCloudId": "9a1f5b0e-7c56-4f5e-9d0e-2f4b8c6d7e8f",
    },
    "everything": NO_SITE
    | {
        "jiraAllowedHostSuffixes": "example.org",
        "checkpointReset": "2026-09-14T00:00:00Z",
        "logsIngestionAudience": "https://monitor.azure.com",
        "auditWorkspace": True,
        "instanceMemoryMB": 2048,
        "maximumInstanceCount": 100,
        "outboundSubnetResourceId": f"{NETWORK}/virtualNetworks/spoke/subnets/app",
        "applicationInsightsResourceId": INSIGHTS,
        "alertEmail": "security@contoso.example",
        "alertActionGroupIds": ["/subscriptions/s/actionGroups/one"],
        "jiraSites": [
            {
                "url": "https://contoso.atlassian.net",
                "username": "auditor@contoso.example",
                "api_token_setting": "JIRA_API_TOKEN_ONE",
            }
        ],
        "jiraSiteTokens": {"JIRA_API_TOKEN_ONE": "a third secret"},
    },
    "a provider's sites": NO_SITE | {"jiraSites": A_PROVIDERS_SITES},
    "a closed network": NO_SITE | CLOSED | {"jiraSites": A_PROVIDERS_SITES},
    "as little as possible": ANSWERS
    | {"alerts": False, "connectorCard": False, "savedQueries": False},
}

AUDITED = {
    way
    for way, answers in WAYS.items()
    if answers.get("auditWorkspace") and answers.get("tables") != "v2"
}
"""Rows of the newer table name no site, so none is there to be compared with a site's ledger."""

SECRETS = ("a secret token", "another secret", "a third secret")
"""Those that `WAYS` gives."""

# Versions of FACTS; where it names none, the newest stable one of the reference:
# https://learn.microsoft.com/azure/templates/
API_VERSIONS = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/dataCollectionEndpoints": "2023-03-11",
    "Microsoft.Insights/dataCollectionRules": "2023-03-11",
    "Microsoft.Insights/diagnosticSettings": "2021-05-01-preview",
    "Microsoft.Insights/scheduledQueryRules": "2023-12-01",
    "Microsoft.KeyVault/vaults": "2023-07-01",
    "Microsoft.KeyVault/vaults/secrets": "2023-07-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
    "Microsoft.Network/privateEndpoints": "2024-01-01",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "2024-01-01",
    "Microsoft.OperationalInsights/workspaces": "2022-10-01",
    "Microsoft.OperationalInsights/workspaces/savedSearches": "2020-08-01",
    "Microsoft.OperationalInsights/workspaces/tables": "2022-10-01",
    "Microsoft.Resources/deployments": "2022-09-01",
    "Microsoft.SecurityInsights/dataConnectorDefinitions": "2025-09-01",
    "Microsoft.Storage/storageAccounts": "2024-01-01",
    "Microsoft.Storage/storageAccounts/blobServices": "2024-01-01",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "2024-01-01",
    "Microsoft.Storage/storageAccounts/managementPolicies": "2024-01-01",
    "Microsoft.Web/serverfarms": "2024-04-01",
    "Microsoft.Web/sites": "2024-04-01",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": "2024-04-01",
    "Microsoft.Web/sites/extensions": "2022-09-01",
}

# https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
BLOB_DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
QUEUE_DATA_CONTRIBUTOR = "974c5e8b-45b9-4653-ba55-5f855dd0fb88"
GRANTS = {
    ("Microsoft.Storage/storageAccounts", BLOB_DATA_OWNER),
    ("Microsoft.KeyVault/vaults", SECRETS_USER),
    ("Microsoft.Insights/dataCollectionRules", METRICS_PUBLISHER),
    ("Microsoft.Insights/components", METRICS_PUBLISHER),
}
LOG_ANALYTICS_READER = "73c42c96-874c-492b-b04d-ab87d138a893"
FOR_THE_AUDIT = {("Microsoft.OperationalInsights/workspaces", LOG_ANALYTICS_READER)}
FOR_A_QUEUE = {("Microsoft.Storage/storageAccounts", QUEUE_DATA_CONTRIBUTOR)}

# https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
REFUSED_BY_FLEX = {
    *("ENABLE_ORYX_BUILD", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME"),
    *("FUNCTIONS_WORKER_RUNTIME_VERSION", "FUNCTIONS_MAX_HTTP_CONCURRENCY"),
    *("FUNCTIONS_WORKER_PROCESS_COUNT", "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED"),
    *("SCM_DO_BUILD_DURING_DEPLOYMENT", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING"),
    *("WEBSITE_CONTENTOVERVNET", "WEBSITE_CONTENTSHARE", "WEBSITE_DNS_SERVER"),
    *("WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT", "WEBSITE_NODE_DEFAULT_VERSION"),
    *("WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID"),
    *("WEBSITE_SKIP_CONTENTSHARE_VALIDATION", "WEBSITE_TIME_ZONE", "WEBSITE_VNET_ROUTE_ALL"),
}
REFUSED_SITE_CONFIG = {
    *("alwaysOn", "ftpsState", "functionAppScaleLimit", "linuxFxVersion", "windowsFxVersion"),
    *("minimumElasticInstanceCount", "preWarmedInstanceCount", "pythonVersion"),
    *("use32BitWorkerProcess", "vnetRouteAllEnabled", "netFrameworkVersion"),
}

NESTED = "Microsoft.Resources/deployments"

CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


@cache
def functions() -> frozenset[str]:
    """The names of the app's functions; an app tells them once."""
    return frozenset(str(each.get_function_name()) for each in app.get_functions())


def load() -> Template:
    return json.loads(TEMPLATE.read_text(encoding="utf-8"))


def of_type(resources: list[Resource], kind: str) -> list[Resource]:
    """The active ones of a type."""
    return [each for each in resources if each.type == kind and each.active]


def _ways(template: Template) -> Iterator[tuple[str, list[Resource]]]:
    for way, given in WAYS.items():
        yield way, arm.deploy(template, given)


def _scopes(template: Template, where: str = "") -> Iterator[tuple[str, Template]]:
    """The template and those nested in it."""
    yield where, template
    for index, resource in enumerate(template["resources"]):
        if resource["type"] == NESTED:
            inner = resource["properties"]["template"]
            yield from _scopes(inner, f"{where}/resources/{index}")


def _own(template: Template) -> Template:
    """A template without what is nested in it, whose expressions are not its own."""
    own = json.loads(json.dumps(template))
    for resource in own["resources"]:
        if resource["type"] == NESTED:
            del resource["properties"]["template"]
    return own


def site(resources: list[Resource]) -> Resource:
    (found,) = of_type(resources, "Microsoft.Web/sites")
    return found


def app_settings(resources: list[Resource]) -> dict[str, str]:
    """The Function App's settings, by name."""
    listed = site(resources).body["properties"]["siteConfig"]["appSettings"]
    assert len({each["name"] for each in listed}) == len(listed), "a setting is there twice"
    return {each["name"]: str(each["value"]) for each in listed}


@check
def expressions_can_be_read(template: Template) -> list[str]:
    problems = []
    for path, text in arm.texts(template):
        if not arm.is_expression(text):
            continue
        try:
            names = {call.name for call in arm.calls(arm.parse(text))}
        except arm.TemplateError as error:
            problems.append(f"{path}: {error}")
        else:
            unknown = names - arm.FUNCTIONS_OF_ARM
            problems += [f"{path}: {name} is no function of ARM" for name in unknown]
    return problems


@check
def every_way_can_be_evaluated(template: Template) -> list[str]:
    problems = []
    for way, given in WAYS.items():
        try:
            arm.deploy(template, given)
            arm.outputs(template, given)
        except (arm.TemplateError, KeyError) as error:
            problems.append(f"{way}: {error}")
    return problems


@check
def parameters_and_variables_are_defined_and_used(template: Template) -> list[str]:
    problems = []
    for where, scope in _scopes(template):
        loops = {loop["name"] for loop in scope.get("variables", {}).get("copy", [])}
        defined = {
            "parameters": set(scope.get("parameters", {})),
            "variables": set(scope.get("variables", {})) - {"copy"} | loops,
        }
        used: dict[str, set[str]] = {"parameters": set(), "variables": set()}
        for _, node in arm.expressions(_own(scope)):
            for call in arm.calls(node):
                if call.name in used and isinstance(call.arguments[0], arm.Literal):
                    used[call.name].add(str(call.arguments[0].value))
        for kind, names in defined.items():
            problems += [f"{where} {kind}: {each} is not used" for each in names - used[kind]]
            problems += [f"{where} {kind}: {each} is not defined" for each in used[kind] - names]
    return problems


@check
def parameters_are_described_and_four_are_required(template: Template) -> list[str]:
    parameters = template["parameters"]
    needed = {name for name, each in parameters.items() if "defaultValue" not in each}
    problems = [f"{name} has to be answered" for name in needed ^ set(ANSWERS)]
    for name, parameter in parameters.items():
        if len(parameter.get("metadata", {}).get("description", "")) < 20:
            problems.append(f"{name} is not described")
    return problems


@check
def references_wait_for_what_they_read(template: Template) -> list[str]:
    """A `reference` names a resource that the reader waits for, or one that was given."""
    problems = []
    for way, resources in _ways(template):
        active = {each.id for each in resources if each.active}
        waits = _waits(resources)
        given = {WORKSPACE, INSIGHTS, CLOSED["dataCollectionEndpointResourceId"]} - active
        for resource in resources:
            for read in resource.references - given:
                if read not in active:
                    problems.append(f"{way}: {resource.id} reads {read}, which is not there")
                elif read not in waits[resource.id]:
                    problems.append(f"{way}: {resource.id} does not wait for {read}")
    return problems


@check
def outputs_read_resources_that_exist(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        there = {each.id for each in resources if each.active}
        nested = [each.body["properties"]["outputs"] for each in of_type(resources, NESTED)]
        given = WAYS[way].get("dataCollectionEndpointResourceId")
        for read, _ in read_at_run_time([arm.outputs(template, WAYS[way]), nested]):
            if read not in {*there, given}:
                problems.append(f"{way}: an output reads {read}, which is not there")
    return problems


@check
def references_name_their_version(template: Template) -> list[str]:
    """Without one, only what the same template deploys can be read."""
    return [
        f"{path}: a reference names no API version"
        for path, node in arm.expressions(template)
        for call in arm.calls(node)
        if call.name == "reference" and len(call.arguments) < 2
    ]


def _waits(resources: list[Resource]) -> dict[str, set[str]]:
    """For every resource, all that is deployed before it begins."""
    by_loop: dict[str, set[str]] = {}
    for each in resources:
        by_loop.setdefault(each.loop, set()).add(each.id)
    direct = {
        each.id: {
            target
            for name in each.depends_on
            for target in (by_loop[name] if name in by_loop and name else {name})
        }
        for each in resources
    }
    inside = {each.id: each.template for each in resources}

    def all_before(start: str, seen: set[str]) -> set[str]:
        for name in direct.get(start, set()) - seen:
            seen.add(name)
            all_before(name, seen)
        if inside.get(start):
            all_before(inside[start], seen)
        return seen

    return {each.id: all_before(each.id, set()) for each in resources}


@check
def runtime_values_are_read_only_where_they_are_known(template: Template) -> list[str]:
    """Azure works out names, regions and conditions before it deploys anything:
    https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions-resource#reference
    """
    problems = []
    for where, scope in _scopes(template):
        own = _own(scope)
        early = [own.get("parameters"), own.get("variables")]
        early += [
            {key: resource[key] for key in resource if key != "properties"}
            for resource in own["resources"]
        ]
        problems += [
            f"{where}{path}: reference is not known yet"
            for path, node in arm.expressions(early)
            for call in arm.calls(node)
            if call.name == "reference"
        ]
    return problems


@check
def dependencies_can_be_ordered(template: Template) -> list[str]:
    """Every `dependsOn` is beside the resource, and nothing waits for itself."""
    problems = []
    for way, resources in _ways(template):
        waits = _waits(resources)
        for each in resources:
            beside = {other.id for other in resources if other.template == each.template}
            beside |= {other.loop for other in resources if other.template == each.template}
            problems += [
                f"{way}: {each.id} depends on {name}, which is not there"
                for name in each.depends_on
                if not name or name not in beside | _empty_loops(template)
            ]
            if each.id in waits[each.id]:
                problems.append(f"{way}: {each.id} waits for itself")
    return problems


def _empty_loops(template: Template) -> set[str]:
    return {each["copy"]["name"] for each in template["resources"] if "copy" in each}


@check
def children_wait_for_their_parent(template: Template) -> list[str]:
    """A child for its parent, and what is put on a resource (a role, a setting) for that one."""
    problems = []
    for way, resources in _ways(template):
        waits = _waits(resources)
        active = {each.id for each in resources if each.active}
        for each in resources:
            parent = each.body.get("scope") or each.id.rsplit("/", 2)[0]
            if each.active and parent in active and parent not in waits[each.id]:
                problems.append(f"{way}: {each.id} does not wait for {parent}")
    return problems


@check
def resources_are_unique(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        ids = [each.id.lower() for each in resources if each.active]
        problems += [
            f"{way}: {each} is there twice" for each in {i for i in ids if ids.count(i) > 1}
        ]
    return problems


@check
def api_versions_are_those_decided_on(template: Template) -> list[str]:
    problems = [
        f"{where}: {each['type']} {each['apiVersion']}"
        for where, scope in _scopes(template)
        for each in scope["resources"]
        if API_VERSIONS.get(each["type"]) != each["apiVersion"]
    ]
    for way, resources in _ways(template):
        for resource in resources:
            for read, version in read_at_run_time(resource.body):
                provider, *parts = read.split("/providers/")[-1].split("/")
                kind = "/".join([provider, *parts[::2]])
                if API_VERSIONS.get(kind) != version:
                    problems.append(f"{way}: {kind} is read with {version}")
    return problems


def read_at_run_time(value: Any) -> Iterator[tuple[str, str]]:
    """The ids that a value is read from, with the API version."""
    for _, text in arm.texts(json.loads(json.dumps(value, default=str))):
        yield from re.findall(r"<(/[^@<>]*)@(\d{4}-\d{2}-\d{2}(?:-preview)?)", text)


@check
def secrets_are_secure_parameters(template: Template) -> list[str]:
    problems = []
    for where, scope in _scopes(template):
        for name, parameter in scope.get("parameters", {}).items():
            secure = parameter["type"].lower() in {"securestring", "secureobject"}
            sounds_secret = re.search(r"(?i)(token|secret|password|accountkey)s?$", name)
            if bool(sounds_secret) != secure:
                problems.append(f"{where}: {name} is of type {parameter['type']}")
            if secure and parameter.get("defaultValue"):
                problems.append(f"{where}: {name} has a default")
    return problems


@check
def keys_are_never_listed(template: Template) -> list[str]:
    """`listKeys` and its like would put a key of Azure's own where it can be seen."""
    return [
        f"{path}: {call.name}"
        for path, node in arm.expressions(template)
        for call in arm.calls(node)
        if call.name.lower().startswith("list")
    ]


@check
def secrets_go_into_the_vault_only(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        shown = [arm.outputs(template, WAYS[way])]
        for each in resources:
            body = json.loads(json.dumps(each.body, default=str))
            if each.type == "Microsoft.KeyVault/vaults/secrets":
                body.get("properties", {}).pop("value", None)
            shown.append(body)
        text = json.dumps(shown, default=str)
        problems += [f"{way}: {secret} can be seen" for secret in SECRETS if secret in text]
        problems += [
            f"{way}: {name} is no reference to the vault"
            for name, value in app_settings(resources).items()
            if re.search(r"_(TOKEN|SECRET)(_ONE)?$", name)
            and not value.startswith("@Microsoft.KeyVault(SecretUri=https://")
        ]
    return problems


@check
def vault_references_name_secrets_of_the_template(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        kept = {each.name for each in resources if each.type == "Microsoft.KeyVault/vaults/secrets"}
        (vault,) = of_type(resources, "Microsoft.KeyVault/vaults")
        for name, value in app_settings(resources).items():
            found = re.fullmatch(r"@Microsoft\.KeyVault\(SecretUri=(.*)\)", value)
            if found:
                secret = found[1].removeprefix(f"https://{vault.name}.<vault suffix>/secrets/")
                if f"{vault.name}/{secret}" not in kept:
                    problems.append(f"{way}: {name} names {found[1]}")
    return problems


@check
def flex_gets_only_what_it_accepts(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        if WAYS[way].get("hostingPlan") == "premium":
            continue
        properties = site(resources).body["properties"]
        refused = set(app_settings(resources)) & REFUSED_BY_FLEX
        refused |= set(properties["siteConfig"]) & REFUSED_SITE_CONFIG
        problems += [f"{way}: Flex refuses {name}" for name in refused]
        if _plan(resources) != ("FC1", True):
            problems.append(f"{way}: the plan is no Flex Consumption on Linux")
        flex = properties["functionAppConfig"]
        if flex["runtime"] != {"name": "python", "version": "3.13"}:
            problems.append(f"{way}: the runtime is {flex['runtime']}")
        wanted = {
            name: WAYS[way].get(name, default)
            for name, default in {"instanceMemoryMB": 512, "maximumInstanceCount": 40}.items()
        }
        if flex["scaleAndConcurrency"] != wanted:
            problems.append(f"{way}: an instance is {flex['scaleAndConcurrency']}")
        if flex["deployment"]["storage"]["authentication"]["type"] != "UserAssignedIdentity":
            problems.append(f"{way}: the deployment container is not opened by the identity")
    return problems


@check
def premium_gets_what_it_needs(template: Template) -> list[str]:
    resources = arm.deploy(template, WAYS["premium"])
    properties, made = site(resources).body["properties"], app_settings(resources)
    found = {
        "plan": _plan(resources),
        "functionAppConfig": properties["functionAppConfig"],
        "linuxFxVersion": properties["siteConfig"].get("linuxFxVersion"),
        "ftpsState": properties["siteConfig"].get("ftpsState"),
        "FUNCTIONS_EXTENSION_VERSION": made.get("FUNCTIONS_EXTENSION_VERSION"),
        "FUNCTIONS_WORKER_RUNTIME": made.get("FUNCTIONS_WORKER_RUNTIME"),
        "WEBSITE_RUN_FROM_PACKAGE": made.get("WEBSITE_RUN_FROM_PACKAGE"),
        "a share, which would need a key": made.get("WEBSITE_CONTENTAZUREFILECONNECTIONSTRING"),
    }
    wanted = {
        "plan": ("EP1", True),
        "functionAppConfig": None,
        "linuxFxVersion": "Python|3.13",
        "ftpsState": "Disabled",
        "FUNCTIONS_EXTENSION_VERSION": "~4",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "WEBSITE_RUN_FROM_PACKAGE": PACKAGE,
        "a share, which would need a key": None,
    }
    return [f"{name} is {found[name]}" for name in wanted if found[name] != wanted[name]]


def _plan(resources: list[Resource]) -> tuple[str, bool]:
    """Its size, and whether it is on Linux."""
    (plan,) = of_type(resources, "Microsoft.Web/serverfarms")
    return plan.body["sku"]["name"], plan.body["properties"].get("reserved", False)


@check
def roles_are_the_least_at_the_least_scope(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        granted: set[tuple[str, str]] = set()
        for each in of_type(resources, "Microsoft.Authorization/roleAssignments"):
            properties, scope = each.body["properties"], each.body.get("scope", "")
            kind = "/".join(scope.split("/providers/")[-1].split("/")[:2])
            role = properties["roleDefinitionId"].rsplit("/", 1)[1]
            if (kind, role) in granted:
                problems.append(f"{way}: {role} twice on {kind}")
            granted.add((kind, role))
            if each.name != arm.guid(scope, str(properties["principalId"]), role):
                problems.append(f"{way}: {each.name} is not named by scope, principal and role")
            if properties.get("principalType") != "ServicePrincipal":
                problems.append(f"{way}: {each.name} has no principalType")
            if "userAssignedIdentities" not in str(properties["principalId"]):
                problems.append(f"{way}: {each.name} is not for the identity")
            named = {other.id for other in resources if other.active} | {INSIGHTS, WORKSPACE}
            if scope not in named:
                problems.append(f"{way}: {scope} is no resource of ours")
        queued = (
            len(WAYS[way].get("jiraSites", []))
            > template["parameters"]["queueSitesAbove"]["defaultValue"]
        )
        wanted = GRANTS | (FOR_A_QUEUE if queued else set())
        wanted |= FOR_THE_AUDIT if way in AUDITED else set()
        if granted != wanted:
            problems.append(f"{way}: {granted}")
    return problems


@check
def app_starts_after_what_it_needs(template: Template) -> list[str]:
    """Roles, secrets and the rule come before the app, and the code after it."""
    problems = []
    first = {
        "Microsoft.Authorization/roleAssignments",
        "Microsoft.KeyVault/vaults/secrets",
        "Microsoft.Insights/dataCollectionRules",
        "Microsoft.Network/privateEndpoints",
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        "Microsoft.Storage/storageAccounts/blobServices/containers",
    }
    for way, resources in _ways(template):
        waits = _waits(resources)
        before = waits[site(resources).id]
        for each in resources:
            done = each.template or each.id
            if each.active and each.type in first and done not in before:
                problems.append(f"{way}: the app does not wait for {each.id}")
        rules = of_type(resources, "Microsoft.Insights/dataCollectionRules")
        for table in of_type(resources, "Microsoft.OperationalInsights/workspaces/tables"):
            problems += [
                f"{way}: the rule does not wait for {table.id}"
                for rule in rules
                if table.template not in waits[rule.template]
            ]
        for code in of_type(resources, "Microsoft.Web/sites/extensions"):
            # Every minute counts: the identity's role on the container has to be in force by then.
            before = waits[code.id] | {code.id}
            problems += [
                f"{way}: the code does not wait for {each.id}"
                for each in resources
                if each.active and (each.template or each.id) not in before
            ]
    return problems


@check
def existing_table_is_never_overwritten(template: Template) -> list[str]:
    wanted = {
        "the four answers": {"Jira_Audit_CL"},
        "an existing table": set(),
        "an upgrade": set(),
        "both tables": {"Jira_Audit_CL", "Jira_Audit_v2_CL"},
        "both tables, the classic one existing": {"Jira_Audit_v2_CL"},
        "the newer table alone": {"Jira_Audit_v2_CL"},
        "the newer table alone, existing": set(),
    }
    problems = []
    for way, resources in _ways(template):
        tables = of_type(resources, "Microsoft.OperationalInsights/workspaces/tables")
        names = {each.name.split("/")[-1] for each in tables}
        if way in wanted and names != wanted[way]:
            problems.append(f"{way}: writes {names or 'no table'}")
        problems += [
            f"{way}: {each.id} is not in the workspace"
            for each in tables
            if each.id.rsplit("/tables/", 1)[0] != WORKSPACE
        ]
    return problems


@check
def columns_are_those_of_the_code(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        (rule,) = of_type(resources, "Microsoft.Insights/dataCollectionRules")
        for name, stream in rule.body["properties"]["streamDeclarations"].items():
            if columns_of(stream) != dict(COLUMNS):
                problems.append(f"{way}: stream {name} has other columns than the code")
        for table in of_type(resources, "Microsoft.OperationalInsights/workspaces/tables"):
            schema = table.body["properties"]["schema"]
            if schema["name"] != table.name.split("/")[-1]:
                problems.append(f"{way}: {table.name} is called {schema['name']} in its schema")
            if schema["name"] == "Jira_Audit_CL" and columns_of(schema) != dict(COLUMNS):
                problems.append(f"{way}: the table has other columns than the code")
    return problems


def columns_of(declaration: dict[str, Any]) -> dict[str, str]:
    listed = declaration["columns"]
    assert len({each["name"] for each in listed}) == len(listed), "a column is there twice"
    return {each["name"]: each["type"] for each in listed}


@check
def rule_sends_the_stream_to_its_tables(template: Template) -> list[str]:
    wanted = {
        "the four answers": ["Custom-Jira_Audit_CL"],
        "both tables": ["Custom-Jira_Audit_CL", "Custom-Jira_Audit_v2_CL"],
        "the newer table alone": ["Custom-Jira_Audit_v2_CL"],
    }
    problems = []
    for way, resources in _ways(template):
        (rule,) = of_type(resources, "Microsoft.Insights/dataCollectionRules")
        properties = rule.body["properties"]
        stream = app_settings(resources)["LOGS_DCR_STREAM_NAME"]
        if rule.body.get("kind") != "Direct" or len(rule.name) > 30:
            problems.append(f"{way}: the rule has no endpoint of its own")
        place = f"<{WORKSPACE}@2022-10-01 Full.location>"
        if str(rule.body["location"]) != place:
            problems.append(f"{way}: the rule is not in the workspace's region")
        (destination,) = properties["destinations"]["logAnalytics"]
        if destination["workspaceResourceId"] != WORKSPACE:
            problems.append(f"{way}: the rule writes elsewhere")
        flows = properties["dataFlows"]
        if way in wanted and [flow["outputStream"] for flow in flows] != wanted[way]:
            problems.append(f"{way}: the rule writes into {flows}")
        for flow in flows:
            if flow["streams"] != [stream] or set(properties["streamDeclarations"]) != {stream}:
                problems.append(f"{way}: the rule does not take {stream}")
            if flow["destinations"] != [destination["name"]]:
                problems.append(f"{way}: the flow goes nowhere")
            if len(flow["transformKql"]) > 15_360:
                problems.append(f"{way}: the transformation is too long")
    return problems


@check
def audit_reads_the_workspace_that_is_written_to(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        found = app_settings(resources).get("AUDIT_WORKSPACE_ID")
        wanted = f"<{WORKSPACE}@2022-10-01.customerId>" if way in AUDITED else None
        if found != wanted:
            problems.append(f"{way}: reads {found}")
    return problems


@check
def rule_errors_are_logged(template: Template) -> list[str]:
    """In the workspace's table DCRLogErrors."""
    problems = []
    for way, resources in _ways(template):
        (rule,) = of_type(resources, "Microsoft.Insights/dataCollectionRules")
        logs = [
            (each.body["scope"], log["category"], log["enabled"])
            for each in of_type(resources, "Microsoft.Insights/diagnosticSettings")
            for log in each.body["properties"]["logs"]
            if each.body["properties"]["workspaceId"] == WORKSPACE
        ]
        if logs != [(rule.id, "LogErrors", True)]:
            problems.append(f"{way}: {logs}")
    return problems


@check
def access_is_closed_where_it_can_be(template: Template) -> list[str]:
    wanted: dict[str, dict[str, Any]] = {
        "Microsoft.Storage/storageAccounts": {
            "allowSharedKeyAccess": False,
            "allowBlobPublicAccess": False,
            "allowCrossTenantReplication": False,
            "minimumTlsVersion": "TLS1_2",
            "supportsHttpsTrafficOnly": True,
        },
        "Microsoft.Storage/storageAccounts/blobServices/containers": {"publicAccess": "None"},
        "Microsoft.KeyVault/vaults": {
            "enableRbacAuthorization": True,
            "enableSoftDelete": True,
            "enablePurgeProtection": True,
        },
        "Microsoft.Insights/components": {"DisableLocalAuth": True},
        "Microsoft.Web/sites": {"httpsOnly": True},
        "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"allow": False},
    }
    problems = []
    for way, resources in _ways(template):
        for kind, properties in wanted.items():
            for each in of_type(resources, kind):
                for name, value in properties.items():
                    if each.body["properties"].get(name) != value:
                        problems.append(f"{way}: {each.id}: {name} is not {value}")
        if site(resources).body["properties"]["siteConfig"].get("minTlsVersion") not in {
            "1.2",
            "1.3",
        }:
            problems.append(f"{way}: the app takes old TLS")
        doors = of_type(resources, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
        if {each.name.split("/")[1] for each in doors} != {"ftp", "scm"}:
            problems.append(f"{way}: publishing by password is open")
        identity = site(resources).body["identity"]
        (own,) = of_type(resources, "Microsoft.ManagedIdentity/userAssignedIdentities")
        if identity != {"type": "UserAssigned", "userAssignedIdentities": {own.id: {}}}:
            problems.append(f"{way}: the app has another identity")
        if site(resources).body["properties"].get("keyVaultReferenceIdentity") != own.id:
            problems.append(f"{way}: nobody opens the vault")
    return problems


@check
def closed_network_is_left_by_private_endpoints_alone(template: Template) -> list[str]:
    """https://learn.microsoft.com/azure/azure-functions/configure-networking-how-to"""
    problems = []
    for way, resources in _ways(template):
        subnet = WAYS[way].get("privateEndpointSubnetResourceId", "")
        zones = WAYS[way].get("privateDnsZoneResourceIds", {})
        wanted = {"publicNetworkAccess": "Disabled", "defaultAction": "Deny"}
        if not subnet:
            wanted = {"publicNetworkAccess": "Enabled", "defaultAction": "Allow"}
        (account,) = of_type(resources, "Microsoft.Storage/storageAccounts")
        (vault,) = of_type(resources, "Microsoft.KeyVault/vaults")
        for each in (account, vault):
            properties = each.body["properties"]
            found = {**properties, **properties["networkAcls"]}
            problems += [
                f"{way}: {each.id}: {name} is {found[name]}"
                for name, value in wanted.items()
                if found[name] != value
            ]
        queued = "AzureWebJobs.collect_site.Disabled" not in app_settings(resources)
        targets = {("blob", account.id), ("vault", vault.id)}
        targets |= {("queue", account.id)} if queued else set()
        ends = of_type(resources, "Microsoft.Network/privateEndpoints")
        connections = [
            (connection["properties"], each.body["properties"]["subnet"]["id"])
            for each in ends
            for connection in each.body["properties"]["privateLinkServiceConnections"]
        ]
        made = {
            (group, connection["privateLinkServiceId"])
            for connection, place in connections
            for group in connection["groupIds"]
            if place == subnet
        }
        if made != (targets if subnet else set()):
            problems.append(f"{way}: private endpoints for {made}")
        names = {
            each.id.split("/privateDnsZoneGroups/")[0].rsplit("-", 1)[1]: config["properties"]
            for each in of_type(
                resources, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups"
            )
            for config in each.body["properties"]["privateDnsZoneConfigs"]
        }
        if {group: each["privateDnsZoneId"] for group, each in names.items()} != zones:
            problems.append(f"{way}: names are registered in {names}")
    return problems


@check
def rows_go_to_the_collection_endpoint_that_is_given(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        given = WAYS[way].get("dataCollectionEndpointResourceId")
        (rule,) = of_type(resources, "Microsoft.Insights/dataCollectionRules")
        (deployment,) = [each for each in resources if each.id == rule.template]
        endpoint = str(deployment.body["properties"]["outputs"]["endpoint"])
        wanted = f"<{rule.id}@2023-03-11.endpoints.logsIngestion>"
        if given:
            wanted = f"<{given}@2023-03-11.logsIngestion.endpoint>"
        if (rule.body["properties"]["dataCollectionEndpointId"], endpoint) != (given, wanted):
            problems.append(f"{way}: rows go to {endpoint}")
    return problems


@check
def personal_data_expires(template: Template) -> list[str]:
    """Dead letters and originals are deleted after the days asked for; checkpoints are not."""
    given = ANSWERS | {"deadLetterRetentionDays": 11, "originalRetentionDays": 22}
    resources = arm.deploy(template, given)
    found = {}
    for policy in of_type(resources, "Microsoft.Storage/storageAccounts/managementPolicies"):
        for rule in policy.body["properties"]["policy"]["rules"]:
            delete = rule["definition"]["actions"]["baseBlob"]["delete"]
            for prefix in rule["definition"]["filters"]["prefixMatch"]:
                found[prefix] = rule["enabled"] and delete["daysAfterModificationGreaterThan"]
    container = app_settings(resources)["CHECKPOINT_CONTAINER"]
    wanted = {f"{container}/dead-letters/": 11, f"{container}/originals/": 22}
    return [] if found == wanted else [f"{found}"]


@check
def cloud_hosts_are_not_hard_coded(template: Template) -> list[str]:
    cloud = re.compile(
        r"(windows|azure|chinacloudapi|usgovcloudapi|azurewebsites|applicationinsights)"
        r"[\w.-]*\.(net|com|us|cn|de)\b",
        re.IGNORECASE,
    )
    problems = []
    for path, text in arm.texts(template):
        if not path.endswith(("/$schema", "/description")) and cloud.search(text):
            problems.append(f"{path}: {text}")
    return problems


@check
def package_is_of_one_fixed_version(template: Template) -> list[str]:
    version = jira_audit.__version__
    problems = []
    if template["variables"].get("packageVersion") != version:
        problems.append(f"packageVersion is not {version}")
    default = template["parameters"]["packageUri"]["defaultValue"]
    moving = re.search(r"(?i)latest|/main/|/master/|/head/", default)
    if default and (version not in default or moving):
        problems.append(f"packageUri moves: {default}")
    for way, resources in _ways(template):
        code = of_type(resources, "Microsoft.Web/sites/extensions")
        uris = [each.body["properties"]["packageUri"] for each in code]
        asked = WAYS[way].get("packageUri", default)
        flex = WAYS[way].get("hostingPlan", "flex") == "flex"
        if uris != ([asked] if asked and flex else []):
            problems.append(f"{way}: publishes {uris}")
        for each in code:
            if each.name.split("/")[-1] != "onedeploy":
                problems.append(f"{way}: {each.name} is not how Flex is published")
            if each.body["properties"].get("remoteBuild") is not False:
                problems.append(f"{way}: dependencies would be resolved at deployment")
    return problems


@check
def identity_reads_packages_in_our_own_storage_only(template: Template) -> list[str]:
    name = "WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID"
    premium = ANSWERS | {"hostingPlan": "premium"}
    (account,) = of_type(arm.deploy(template, premium), "Microsoft.Storage/storageAccounts")
    own = f"https://{account.name}.blob.<storage suffix>/released-packages/p.zip"
    problems = []
    for uri, goes in ((own, True), (PACKAGE, False)):
        settings = app_settings(arm.deploy(template, premium | {"packageUri": uri}))
        if (name in settings) != goes:
            problems.append(f"{uri}: {settings.get(name)}")
    return problems


@check
def alerts_notify_somebody(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        alerts = of_type(resources, "Microsoft.Insights/scheduledQueryRules")
        names = {each.name.rsplit("-", 1)[1] for each in alerts}
        on = WAYS[way].get("alerts", True)
        wanted = {"failing", "silent", "lagging", "letters"} if on else set()
        wanted |= {"proof"} if on and way in AUDITED else set()
        if names != wanted:
            problems.append(f"{way}: alerts {names}")
        watched = app_insights(resources)
        groups = [each.id for each in of_type(resources, "Microsoft.Insights/actionGroups")]
        told = WAYS[way].get("alertActionGroupIds", []) + groups
        for each in alerts:
            properties = each.body["properties"]
            if properties["scopes"] != [watched] or not properties["enabled"]:
                problems.append(f"{way}: {each.name} watches {properties['scopes']}")
            if not properties["description"].endswith(
                f" docs/alerts.md#{each.name.rsplit('-', 1)[1]}"
            ):
                problems.append(f"{way}: {each.name} does not say what to do")
            if properties["actions"]["actionGroups"] != told:
                problems.append(f"{way}: {each.name} does not tell {told}")
        if bool(groups) != (on and "alertEmail" in WAYS[way]):
            problems.append(f"{way}: e-mail goes to {groups}")
    return problems


def app_insights(resources: list[Resource]) -> str:
    """The id of the Application Insights that the app writes to."""
    text = app_settings(resources)["APPLICATIONINSIGHTS_CONNECTION_STRING"]
    found = re.fullmatch(r"<(.*)@2020-02-02\.ConnectionString>", text)
    assert found, text
    return found[1]


@check
def card_is_the_one_that_rules_name(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        cards = of_type(resources, "Microsoft.SecurityInsights/dataConnectorDefinitions")
        if bool(cards) != WAYS[way].get("connectorCard", True):
            problems.append(f"{way}: {len(cards)} cards")
        for card in cards:
            ui = card.body["properties"]["connectorUiConfig"]
            if (card.name, ui["id"]) != ("JiraAuditAPI", "JiraAuditAPI"):
                problems.append(f"{way}: the card is {card.name}")
            if [each["name"] for each in ui["dataTypes"]] != ["JiraAudit"]:
                problems.append(f"{way}: data types {ui['dataTypes']}")
            if not card.id.startswith(WORKSPACE):
                problems.append(f"{way}: the card is not in the workspace")
            (criterion,) = ui["connectivityCriteria"]
            hours = re.search(r"ago\((\d+)h\)", criterion["value"][0])
            if hours is None or int(hours[1]) > 24:
                problems.append(f"{way}: connected is not data in the last hours")
    return problems


@check
def run_queries_are_in_the_workspace(template: Template) -> list[str]:
    problems = []
    for way, resources in _ways(template):
        saved = of_type(resources, "Microsoft.OperationalInsights/workspaces/savedSearches")
        if bool(saved) != WAYS[way].get("savedQueries", True):
            problems.append(f"{way}: {len(saved)} saved queries")
        for each in saved:
            if not each.id.startswith(WORKSPACE):
                problems.append(f"{way}: {each.name} is not in the workspace")
            # Within the properties: beside them, ARM refuses the whole template, though the REST
            # API has it there. https://github.com/Azure/bicep-types-az/issues/1499
            if each.body["properties"].get("etag") != "*" or "etag" in each.body:
                problems.append(f"{way}: {each.name} cannot be deployed again over itself")
    return problems
