"""Azure Resource Manager's REST surface over the model: what deploy.sh and az ask of it.

A request that is not known is refused with 501, never answered. The shapes of the answers are those
of https://learn.microsoft.com/rest/api/azure/ for the path and version asked.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers.azure import templates
from tests.servers.azure.app import App
from tests.servers.azure.cloud import FLEX_REGIONS, SEARCHABLE, TENANT, Azure, Body
from tests.servers.azure.places import group_of, key, name_of, type_of
from tests.servers.azure.refusal import Refusal

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Fault:
    """What the next call whose `METHOD path` fits the pattern meets instead of an answer."""

    pattern: str
    status: int


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: Any


@dataclass
class Api:
    azure: Azure
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def respond(self, method: str, target: str, body: Any = None) -> Answer:
        parts = urlsplit(target)
        path = unquote(parts.path).rstrip("/")
        line = f"{method.upper()} {path}"
        self.calls.append(line)
        for fault in self.faults:
            if fnmatch.fnmatchcase(line.lower(), fault.pattern.lower()):
                self.faults.remove(fault)
                return fault.status, Refusal(fault.status, "ServerBusy", "Try again later.").body
        asked = Asked(method.upper(), path, dict(parse_qsl(parts.query)), body)
        try:
            for pattern, function in ROUTES:
                if re.fullmatch(pattern, line, re.IGNORECASE):
                    return function(self.azure, asked)
            return _any_resource(self.azure, asked)
        except Refusal as refused:
            return refused.status, refused.body


def _unknown(asked: Asked) -> Refusal:
    return Refusal(
        501, "NotImplemented", f"the local Azure does not know {asked.method} {asked.path}"
    )


# Subscriptions, groups and providers.


def _subscriptions(azure: Azure, asked: Asked) -> Answer:
    return 200, {"value": [_subscription(azure)]}


def _subscription(azure: Azure) -> Body:
    return {
        "id": f"/subscriptions/{azure.subscription}",
        "subscriptionId": azure.subscription,
        "tenantId": TENANT,
        "displayName": "local",
        "state": "Enabled",
    }


def _tenants(azure: Azure, asked: Asked) -> Answer:
    return 200, {"value": [{"id": f"/tenants/{TENANT}", "tenantId": TENANT}]}


def _group(azure: Azure, asked: Asked) -> Answer:
    action = "Microsoft.Resources/subscriptions/resourceGroups"
    if asked.method == "PUT":
        azure.demand(f"{action}/write", asked.path)
        return 201, azure.put_group(asked.path, asked.body["location"].replace(" ", "").lower())
    azure.demand(f"{action}/{'delete' if asked.method == 'DELETE' else 'read'}", asked.path)
    if asked.method == "DELETE":
        azure.delete_group(asked.path)
        return 200, None
    group = azure.groups.get(key(asked.path))
    if asked.method == "HEAD":
        return (204 if group else 404), None
    if group is None:
        raise Refusal(404, "ResourceGroupNotFound", f"No group {name_of(asked.path)}")
    return 200, group


def _resources(azure: Azure, asked: Asked) -> Answer:
    """Those of the subscription that whoever asks may read.

    https://learn.microsoft.com/rest/api/resources/resources/list
    """
    wanted = dict(re.findall(r"(\w+) eq '([^']*)'", asked.query.get("$filter", "")))
    within = asked.path.rpartition("/resources")[0]
    return 200, {
        "value": [
            {name: each[name] for name in ("id", "name", "type", "location") if name in each}
            for each in azure.resources.values()
            if key(each["id"]).startswith(key(within) + "/")
            and _is(each["type"], wanted.get("resourceType"))
            and _is(each["name"], wanted.get("name"))
            and azure.person.may(f"{each['type']}/read", each["id"])
        ]
    }


def _is(text: str, wanted: str | None) -> bool:
    return wanted is None or text.lower() == wanted.lower()


def _providers(azure: Azure, asked: Asked) -> Answer:
    subscription = asked.path.split("/")[2]
    azure.demand(
        "Microsoft.Resources/subscriptions/providers/read", f"/subscriptions/{subscription}"
    )
    named = asked.path.split("/providers/")[1:]
    names = named or sorted({name for _, name in azure.registered} | set(NAMESPACES))
    shown = [_provider(azure, subscription, name) for name in names]
    return 200, shown[0] if named else {"value": shown}


NAMESPACES = (
    *("Microsoft.App", "Microsoft.Authorization", "Microsoft.Insights", "Microsoft.KeyVault"),
    *("Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.OperationalInsights"),
    *("Microsoft.Resources", "Microsoft.SecurityInsights", "Microsoft.Storage", "Microsoft.Web"),
)


def _provider(azure: Azure, subscription: str, name: str) -> Body:
    spelled = {each.lower(): each for each in NAMESPACES}.get(name.lower(), name)
    known = azure.is_registered(subscription, name)
    return {
        "id": f"/subscriptions/{subscription}/providers/{spelled}",
        "namespace": spelled,
        "registrationState": "Registered" if known else "NotRegistered",
        "resourceTypes": _TYPES.get(spelled, []),
    }


_TYPES = {
    "Microsoft.OperationalInsights": [
        {"resourceType": "workspaces", "apiVersions": ["2023-09-01"], "locations": ["West Europe"]}
    ],
    "Microsoft.Web": [
        {"resourceType": "sites", "apiVersions": ["2023-12-01"], "locations": ["West Europe"]}
    ],
}


def _register(azure: Azure, asked: Asked) -> Answer:
    _, _, subscription, _, namespace, _ = asked.path.split("/")
    azure.demand(f"{namespace}/register/action", f"/subscriptions/{subscription}")
    azure.register(subscription, namespace)
    return 200, _provider(azure, subscription, namespace)


def _locations(azure: Azure, asked: Asked) -> Answer:
    azure.demand("Microsoft.Resources/subscriptions/locations/read", group_of(asked.path))
    spelled = [(each.replace(" ", "").lower(), each) for each in FLEX_REGIONS]
    return 200, {"value": [{"name": name, "displayName": each} for name, each in spelled]}


def _regions(azure: Azure, asked: Asked) -> Answer:
    azure.demand("Microsoft.Web/geoRegions/read", group_of(asked.path))
    return 200, {"value": [{"name": each, "properties": {"name": each}} for each in FLEX_REGIONS]}


def _permissions(azure: Azure, asked: Asked) -> Answer:
    scope = asked.path.rpartition("/providers/Microsoft.Authorization")[0]
    azure.demand("Microsoft.Authorization/permissions/read", scope)
    return 200, {"value": azure.person.permissions(scope)}


# Deployments.


def _validate(azure: Azure, asked: Asked) -> Answer:
    scope = asked.path.rpartition("/providers/")[0]
    azure.demand("Microsoft.Resources/deployments/validate/action", scope)
    found = templates.validate(azure, scope, asked.body["properties"])
    shown = [{"id": each} for each in templates.ids(found)]
    return 200, {"properties": {"provisioningState": "Succeeded", "validatedResources": shown}}


def _what_if(azure: Azure, asked: Asked) -> Answer:
    scope = asked.path.rpartition("/providers/")[0]
    azure.demand("Microsoft.Resources/deployments/whatIf/action", scope)
    found = templates.validate(azure, scope, asked.body["properties"])
    changes = [
        {
            "resourceId": each,
            "changeType": "NoChange" if key(each) in azure.resources else "Create",
            "after": {"id": each, "name": name_of(each), "type": type_of(each)},
        }
        for each in templates.ids(found)
    ]
    return 200, {"status": "Succeeded", "properties": {"changes": changes}}


def _deployment(azure: Azure, asked: Asked) -> Answer:
    if asked.method == "PUT":
        body = templates.create(azure, asked.path, asked.body["properties"])
        return 201, body
    azure.demand("Microsoft.Resources/deployments/read", asked.path)
    if key(asked.path) not in azure.deployments:
        raise Refusal(404, "DeploymentNotFound", f"No deployment {name_of(asked.path)}")
    return 200, azure.deployments[key(asked.path)]


# Tables, vaults, telemetry.


def _tables(azure: Azure, asked: Asked) -> Answer:
    azure.demand("Microsoft.OperationalInsights/workspaces/tables/read", asked.path)
    named = [
        azure.show_table(each["id"])
        for each in azure.of_type("Microsoft.OperationalInsights/workspaces/tables")
        if key(each["id"]).startswith(key(asked.path) + "/")
    ]
    return 200, {"value": [{"name": "Heartbeat"}, *named]}


def _table(azure: Azure, asked: Asked) -> Answer:
    if asked.method == "PUT":
        return 200, azure.put(asked.path, asked.body)
    azure.demand("Microsoft.OperationalInsights/workspaces/tables/read", asked.path)
    return 200, azure.show_table(asked.path)


def _migrate(azure: Azure, asked: Asked) -> Answer:
    table = asked.path.rpartition("/")[0]
    azure.demand("Microsoft.OperationalInsights/workspaces/tables/migrate/action", table)
    azure.migrate(table)
    return 200, None


def _deleted_vaults(azure: Azure, asked: Asked) -> Answer:
    """https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/list-deleted"""
    azure.demand("Microsoft.KeyVault/deletedVaults/read", group_of(asked.path))
    return 200, {"value": [_deleted(each) for each in azure.deleted_vaults.values()]}


def _deleted_vault(azure: Azure, asked: Asked) -> Answer:
    azure.demand("Microsoft.KeyVault/locations/deletedVaults/read", group_of(asked.path))
    vault = azure.deleted_vaults.get(name_of(asked.path).lower())
    if vault is None:
        raise Refusal(404, "DeletedVaultNotFound", f"No deleted vault {name_of(asked.path)}")
    return 200, _deleted(vault)


def _deleted(vault: Body) -> Body:
    subscription = "/".join(vault["id"].split("/")[:3])
    where = f"{subscription}/providers/Microsoft.KeyVault/locations/{vault['location']}"
    return {
        "id": f"{where}/deletedVaults/{vault['name']}",
        "name": vault["name"],
        "properties": {"location": vault["location"], "vaultId": vault["id"]},
    }


def _purge(azure: Azure, asked: Asked) -> Answer:
    azure.demand("Microsoft.KeyVault/locations/deletedVaults/purge/action", group_of(asked.path))
    azure.purge_vault(asked.path.split("/")[-2])
    return 200, None


_FUZZY = re.compile(r"union isfuzzy=true \(")
_BEGAN = re.compile(r"timestamp > datetime\(([^)]+)\)")
_LINES = re.compile(
    r"traces \| where cloud_RoleName =~ '[^']+' and message startswith 'jira_audit site='\n"
    r"\| where tostring\(customDimensions\.Category\) == 'Function\.poll\.User' "
    r"\| summarize Lines = count\(\)"
)
_ROLE = re.compile(r"cloud_RoleName =~ '([^']+)'")


def _query(azure: Azure, asked: Asked) -> Answer:
    """The questions of deploy.sh and rehearse, and no other: the newest run, and what its exception
    said; how many canonical lines there are.

    A table without a row is not there. https://learn.microsoft.com/rest/api/application-insights/query
    """
    component = asked.path.rpartition("/query")[0]
    azure.demand("Microsoft.Insights/components/query/read", component)
    azure.get(component)
    query = asked.body["query"]
    began, role = _BEGAN.search(query), _ROLE.search(query)
    if role is None:
        raise _unknown(asked)
    seen = [
        run
        for app in azure.apps.values()
        if name_of(app.id).lower() == role[1].lower()
        for run in app.runs
        if run.at + SEARCHABLE <= azure.now
    ]
    if _LINES.fullmatch(query):
        return _rows([[sum(run.ok for run in seen)]])
    if began is None or "Success = tobool(success), Said" not in query:
        raise _unknown(asked)
    tables = {"requests"} | ({"exceptions"} if any(not run.ok for run in seen) else set())
    if "exceptions" not in tables and "exceptions" in query and not _FUZZY.search(query):
        raise Refusal(400, "BadArgumentError", "SemanticError: table 'exceptions' is not there")
    since = datetime.fromisoformat(began[1])
    newest = max((run for run in seen if run.at > since), key=lambda run: run.at, default=None)
    rows = [] if newest is None else [[newest.ok, newest.message]]
    return _rows(rows)


def _rows(rows: list[list[Any]]) -> Answer:
    return 200, {"tables": [{"name": "PrimaryResult", "rows": rows}]}


# The app.


def _app(azure: Azure, site: str) -> App:
    azure.get(site)
    return azure.apps[key(site)]


def _refresh(azure: Azure, asked: Asked) -> Answer:
    """https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#rotation"""
    site = asked.path.partition("/config/")[0]
    azure.demand("Microsoft.Web/sites/config/write", site)
    azure.resolve(_app(azure, site))
    return 200, None


def _references(azure: Azure, asked: Asked) -> Answer:
    site = asked.path.partition("/config/")[0]
    azure.demand("Microsoft.Web/sites/config/read", site)
    app = _app(azure, site)
    shown = [
        {
            "name": name,
            "properties": {
                "reference": value,
                "status": "AccessToKeyVaultDenied" if name in app.unresolved else "Resolved",
            },
        }
        for name, value in app.settings.items()
        if value.startswith("@Microsoft.KeyVault(")
    ]
    return 200, {"value": shown}


def _stacks(azure: Azure, asked: Asked) -> Answer:
    """https://learn.microsoft.com/rest/api/appservice/provider/get-function-app-stacks-for-location"""
    settings = {
        "appSettingsDictionary": {"FUNCTIONS_WORKER_RUNTIME": "python"},
        "gitHubActionSettings": {"isSupported": True},
        "appInsightsSettings": {"isSupported": True},
        "Sku": [{"skuCode": "FC1"}],
    }
    minor = {"value": "3.13", "stackSettings": {"linuxRuntimeSettings": settings}}
    python = {"name": "python", "properties": {"majorVersions": [{"minorVersions": [minor]}]}}
    return 200, {"value": [python]}


def _app_settings(azure: Azure, asked: Asked) -> Answer:
    site = asked.path.partition("/config/")[0]
    azure.demand("Microsoft.Web/sites/config/list/action", site)
    return 200, {"id": asked.path, "properties": dict(_app(azure, site).settings)}


def _host_keys(azure: Azure, asked: Asked) -> Answer:
    azure.demand("Microsoft.Web/sites/host/listkeys/action", asked.path)
    app = _app(azure, asked.path.partition("/host/")[0])
    if not azure.may_write_storage(app):  # the host's keys are in its storage
        raise Refusal(
            400, "BadRequest", "Encountered an error (ServiceUnavailable) from host runtime."
        )
    return 200, {"masterKey": "master", "functionKeys": {}, "systemKeys": {}}


def _any_resource(azure: Azure, asked: Asked) -> Answer:
    kind = type_of(asked.path)
    if "/" not in kind:
        raise _unknown(asked)
    if asked.method == "PUT":
        return 200, azure.put(asked.path, asked.body)
    if asked.method == "GET":
        azure.demand(f"{kind}/read", asked.path)
        return 200, azure.get(asked.path)
    if asked.method == "DELETE":
        azure.demand(f"{kind}/delete", asked.path)
        azure.delete(asked.path)
        return 200, None
    raise _unknown(asked)


_SUBSCRIPTION = r"/subscriptions/[^/]+"
_GROUP = rf"{_SUBSCRIPTION}/resourcegroups/[^/]+"
_ARM = rf"{_GROUP}/providers/Microsoft\.Resources/deployments/[^/]+"
_VAULTS = rf"{_SUBSCRIPTION}/providers/Microsoft\.KeyVault"
_TABLES = r"/\S+/Microsoft\.OperationalInsights/workspaces/[^/]+/tables"
_SITE = r"/\S+/Microsoft\.Web/sites/[^/]+"

ROUTES: list[tuple[str, Callable[[Azure, Asked], Answer]]] = [
    (r"GET /subscriptions", _subscriptions),
    (rf"GET {_SUBSCRIPTION}", lambda azure, asked: (200, _subscription(azure))),
    (r"GET /tenants", _tenants),
    (rf"(GET|HEAD|PUT|DELETE) {_GROUP}", _group),
    (rf"GET {_SUBSCRIPTION}(/resourcegroups/[^/]+)?/resources", _resources),
    (rf"GET {_SUBSCRIPTION}/providers(/[^/]+)?", _providers),
    (rf"POST {_SUBSCRIPTION}/providers/[^/]+/register", _register),
    (rf"GET {_SUBSCRIPTION}/providers/Microsoft\.Web/geoRegions", _regions),
    (rf"GET {_SUBSCRIPTION}/locations", _locations),
    (rf"GET {_VAULTS}/deletedVaults", _deleted_vaults),
    (rf"GET {_VAULTS}/locations/[^/]+/deletedVaults/[^/]+", _deleted_vault),
    (
        rf"POST {_VAULTS}/locations/[^/]+/deletedVaults/[^/]+/purge",
        _purge,
    ),
    (r"GET /\S+/providers/Microsoft\.Authorization/permissions", _permissions),
    (rf"POST {_ARM}/validate", lambda azure, asked: _validate(azure, _up(asked))),
    (rf"POST {_ARM}/whatIf", lambda azure, asked: _what_if(azure, _up(asked))),
    (rf"(GET|PUT) {_ARM}", _deployment),
    (rf"GET {_TABLES}", _tables),
    (rf"(GET|PUT) {_TABLES}/[^/]+", _table),
    (rf"POST {_TABLES}/[^/]+/migrate", _migrate),
    (r"POST /\S+/Microsoft\.Insights/components/[^/]+/query", _query),
    (rf"POST {_SITE}/config/configreferences/appsettings/refresh", _refresh),
    (rf"GET {_SITE}/config/configreferences/appsettings", _references),
    (rf"POST {_SITE}/config/appsettings/list", _app_settings),
    (r"GET /providers/Microsoft\.Web/locations/[^/]+/functionAppStacks", _stacks),
    (rf"POST {_SITE}/host/default/listkeys", _host_keys),
]


def _up(asked: Asked) -> Asked:
    return Asked(asked.method, asked.path.rpartition("/")[0], asked.query, asked.body)
