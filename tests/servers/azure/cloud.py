"""What is in the subscriptions, and what each write does to it. Time is a clock that tests move."""

from __future__ import annotations

import copy
import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.servers.azure.app import REFERENCE, App, Run, rebuilt
from tests.servers.azure.places import (
    group_of,
    key,
    name_of,
    parent_of,
    subscription_of,
    type_of,
)
from tests.servers.azure.refusal import Refusal, missing, unauthorized
from tests.servers.azure.roles import (
    BLOB_DATA_OWNER,
    METRICS_PUBLISHER,
    VAULT_SECRETS_USER,
    Holding,
    Person,
)

Body = dict[str, Any]

TENANT = "00000000-0000-0000-0000-00000000000b"
BEGIN = datetime(2026, 11, 27, 8, tzinfo=UTC)
ALWAYS_REGISTERED = {"microsoft.authorization", "microsoft.resources"}
FLEX_REGIONS = ("East US", "North Europe", "West Europe")
MIGRATION = timedelta(minutes=1)
RESOLVED_AGAIN = timedelta(hours=24)
SEARCHABLE = timedelta(minutes=2)
"""How long a log line takes to Application Insights: https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time"""


@dataclass
class Azure:
    """`role_delay` is how long an assigned role takes to be in force.

    `packages` is what addresses serve, `ingestion` the endpoint that rules hand out, `runner` what
    a run of an app comes to. `deleted_vaults` maps names to vaults that can be recovered.
    `after_write` is called with each resource's id once it was written, and may raise.
    """

    subscription: str
    person: Person
    role_delay: timedelta = timedelta()
    packages: dict[str, bytes] = field(default_factory=dict)
    ingestion: str = "https://rule.westeurope-1.ingest.monitor.azure.com"
    runner: Callable[[Azure, App, datetime], Run | None] = lambda azure, app, at: Run(at, True, "")
    after_write: Callable[[str], None] = lambda resource_id: None
    now: datetime = BEGIN
    resources: dict[str, Body] = field(default_factory=dict)
    groups: dict[str, Body] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    deployments: dict[str, Body] = field(default_factory=dict)
    registered: set[tuple[str, str]] = field(default_factory=set)
    deleted_vaults: dict[str, Body] = field(default_factory=dict)
    with_sentinel: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict)
    host_names: Callable[[App], list[Body]] = lambda app: []

    # The clock.

    def advance(self, span: timedelta) -> None:
        """Let time pass, with what happens by itself in it."""
        end = self.now + span
        while (due := self._next_event(end)) is not None:
            self.now = due
            for app in self.apps.values():
                self._run_if_due(app)
        self.now = end

    def _next_event(self, end: datetime) -> datetime | None:
        times = [app.next_run for app in self.apps.values() if app.package and app.next_run]
        return min((each for each in times if each <= end), default=None)

    def _run_if_due(self, app: App) -> None:
        at = app.due(self.now)
        if at is None:
            return
        if app.resolved_at is not None and at - app.resolved_at >= RESOLVED_AGAIN:
            self.resolve(app)
        # The host keeps the timer's lock in storage: without its role it starts no function.
        # https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity
        if self.may_write_storage(app) and (run := self.runner(self, app, at)) is not None:
            app.runs.append(run)

    # People.

    def demand(self, action: str, scope: str) -> None:
        if not self.person.may(action, scope):
            raise unauthorized(action, scope)

    # Resources.

    def get(self, resource_id: str) -> Body:
        found = self.resources.get(key(resource_id))
        if found is None:
            raise missing(resource_id)
        return found

    def of_type(self, kind: str) -> list[Body]:
        return [each for each in self.resources.values() if each["type"].lower() == kind.lower()]

    def put_group(self, group_id: str, location: str) -> Body:
        group_id = f"/subscriptions/{subscription_of(group_id)}/resourceGroups/{name_of(group_id)}"
        there = self.groups.get(key(group_id))
        if there is not None and there["location"] != location:
            raise Refusal(
                409, "InvalidResourceGroupLocation", f"The group is in {there['location']}."
            )
        body = {
            "id": group_id,
            "name": name_of(group_id),
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "properties": {"provisioningState": "Succeeded"},
        }
        self.groups[key(group_id)] = body
        return body

    def delete_group(self, group_id: str) -> None:
        """Everything in it goes; of a vault, its name stays taken.

        https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
        """
        if key(group_id) not in self.groups:
            raise Refusal(404, "ResourceGroupNotFound", f"No group {name_of(group_id)}")
        for resource_id in [
            each for each in self.resources if each.startswith(key(group_id) + "/")
        ]:
            body = self.resources.pop(resource_id)
            if body["type"] == "Microsoft.KeyVault/vaults":
                self.deleted_vaults[body["name"].lower()] = body
            self.apps.pop(resource_id, None)
        del self.groups[key(group_id)]

    def purge_vault(self, name: str) -> None:
        vault = self.deleted_vaults.get(name.lower())
        if vault is None:
            raise Refusal(404, "DeletedVaultNotFound", f"No deleted vault {name}")
        if vault["properties"].get("enablePurgeProtection"):
            raise Refusal(403, "Forbidden", "Operation 'DeletedVaultPurge' is not allowed.")
        del self.deleted_vaults[name.lower()]
        self._forget_secrets(name)

    def _forget_secrets(self, vault: str) -> None:
        for name in [each for each in self.secrets if each.startswith(f"{vault.lower()}/")]:
            del self.secrets[name]

    def delete(self, resource_id: str) -> None:
        self.get(resource_id)
        for each in list(self.resources):
            if each == key(resource_id) or each.startswith(f"{key(resource_id)}/"):
                del self.resources[each]
                self.apps.pop(each, None)

    def register(self, subscription: str, namespace: str) -> None:
        self.registered.add((subscription, namespace.lower()))

    def is_registered(self, subscription: str, namespace: str) -> bool:
        name = namespace.lower()
        return name in ALWAYS_REGISTERED or (subscription, name) in self.registered

    def put(self, resource_id: str, body: Body) -> Body:
        """Write one resource, if whoever asks may, and everything that it needs is there."""
        kind = type_of(resource_id)
        self._check_place(resource_id)
        for action, scope in self.actions(resource_id, body):
            self.demand(action, scope)
        before = self.resources.get(key(resource_id))
        stored = {
            **copy.deepcopy(body),
            "id": resource_id,
            "name": name_of(resource_id),
            "type": kind,
        }
        stored.setdefault("properties", {})
        stored.pop("dependsOn", None)
        write = _WRITES.get(kind.lower())
        if write is not None:
            write(self, resource_id, stored, before)
        stored["properties"]["provisioningState"] = "Succeeded"
        self.resources[key(resource_id)] = stored
        self.after_write(resource_id)
        return stored

    @staticmethod
    def actions(resource_id: str, body: Body) -> Iterator[tuple[str, str]]:
        """What a write of this resource needs, and where."""
        yield f"{type_of(resource_id)}/write", resource_id
        # https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-manage-ua-identity-portal
        for identity in (body.get("identity") or {}).get("userAssignedIdentities") or {}:
            yield "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", identity

    def _check_place(self, resource_id: str) -> None:
        if key(group_of(resource_id)) not in self.groups:
            raise Refusal(404, "ResourceGroupNotFound", f"No group {group_of(resource_id)}")
        namespace = type_of(resource_id).partition("/")[0]
        if not self.is_registered(subscription_of(resource_id), namespace):
            raise Refusal(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'.",
            )
        parent = key(parent_of(resource_id))
        if "/providers/" in parent and parent not in self.resources and not _made_with(parent):
            raise Refusal(404, "ParentResourceNotFound", f"{parent} is not there.")

    # What the app's identity may do.

    def in_force(self, identity: str, role: str, scope: str) -> bool:
        principal = self.get(identity)["properties"]["principalId"]
        return any(
            each["properties"]["principalId"] == principal
            and each["properties"]["roleDefinitionId"].endswith(role)
            and key(parent_of(each["id"])) == key(scope)
            and self.now
            >= datetime.fromisoformat(each["properties"]["createdOn"]) + self.role_delay
            for each in self.of_type("Microsoft.Authorization/roleAssignments")
        )

    def identity_of(self, app: App) -> str:
        [identity] = self.get(app.id)["identity"]["userAssignedIdentities"]
        return str(identity)

    def may_write_storage(self, app: App) -> bool:
        name = app.settings.get("AzureWebJobsStorage__accountName", "")
        account = f"{group_of(app.id)}/providers/Microsoft.Storage/storageAccounts/{name}"
        return self.in_force(self.identity_of(app), BLOB_DATA_OWNER, account)

    def may_send(self, app: App) -> bool:
        [rule] = [
            each
            for each in self.of_type("Microsoft.Insights/dataCollectionRules")
            if each["properties"]["immutableId"] == app.settings["LOGS_DCR_RULE_ID"]
        ]
        return self.in_force(self.identity_of(app), METRICS_PUBLISHER, rule["id"])

    def resolve(self, app: App) -> None:
        """Fetch the Key Vault references; those that cannot be fetched stay text."""
        app.resolved_at = self.now
        app.resolved = {name: self._resolved(app, value) for name, value in app.settings.items()}

    def _resolved(self, app: App, value: str) -> str:
        found = REFERENCE.fullmatch(value)
        if found is None:
            return value
        vaults = [
            each
            for each in self.of_type("Microsoft.KeyVault/vaults")
            if each["name"].lower() == found[1].lower()
        ]
        secret = self.secrets.get(f"{found[1]}/{found[2]}".lower())
        identity = self.get(app.id)["properties"].get("keyVaultReferenceIdentity")
        may = vaults and identity and self.in_force(identity, VAULT_SECRETS_USER, vaults[0]["id"])
        return secret if may and secret is not None else value

    def publish(self, app: App, package: bytes, *, build: bool) -> None:
        """Put the code where the app reads it, as the app's identity.

        Without its role: https://github.com/Azure/azure-dev/issues/8026
        """
        if not self.may_write_storage(app):
            raise Refusal(
                400,
                "BadRequest",
                "InaccessibleStorageException: Failed to access storage account for deployment:"
                " BlobUploadFailedException: status 403 (AuthorizationPermissionMismatch)",
            )
        app.publish(rebuilt(package) if build else package, self.now)

    # What each kind of resource does when it is written.

    def _write_vault(self, resource_id: str, body: Body, before: Body | None) -> None:
        """A deleted vault keeps its name: https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview"""
        deleted = self.deleted_vaults.get(body["name"].lower())
        properties = body["properties"]
        if deleted is not None and properties.get("createMode") != "recover":
            raise Refusal(
                409, "ConflictError", "A vault with the same name already exists in deleted state."
            )
        if deleted is not None:
            body["properties"] = deleted["properties"]
            del self.deleted_vaults[body["name"].lower()]
        if before and before["properties"].get("enablePurgeProtection"):
            if properties.get("enablePurgeProtection") is False:
                raise Refusal(400, "BadRequest", "enablePurgeProtection cannot be set to false.")
            body["properties"]["enablePurgeProtection"] = True
        body["properties"].setdefault("vaultUri", f"https://{body['name']}.vault.azure.net/")

    def _write_secret(self, resource_id: str, body: Body, before: Body | None) -> None:
        vault, _, name = resource_id.rpartition("/vaults/")[2].partition("/secrets/")
        self.secrets[f"{vault}/{name}".lower()] = body["properties"].pop("value")

    def _write_identity(self, resource_id: str, body: Body, before: Body | None) -> None:
        made = {
            name: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} of {key(resource_id)}"))
            for name in ("principalId", "clientId")
        }
        body["properties"] |= made | {"tenantId": TENANT}

    def _write_component(self, resource_id: str, body: Body, before: Body | None) -> None:
        named = uuid.uuid5(uuid.NAMESPACE_URL, key(resource_id))
        body["properties"] |= {
            "ConnectionString": f"InstrumentationKey={named}",
            "AppId": str(named),
        }

    def _write_table(self, resource_id: str, body: Body, before: Body | None) -> None:
        """A put is the whole schema: https://learn.microsoft.com/azure/azure-monitor/logs/create-custom-table"""
        schema = body["properties"]["schema"]
        if before is not None:
            old = before["properties"]["schema"]
            if old["tableSubType"] == "Classic":
                name = body["name"]
                raise Refusal(
                    400, "InvalidParameter", f"Changing Classic table {name} is forbidden"
                )
            types = {each["name"]: each["type"].lower() for each in old["columns"]}
            for each in schema["columns"]:
                if types.get(each["name"], each["type"].lower()) != each["type"].lower():
                    raise Refusal(400, "InvalidParameter", f"Type of {each['name']} cannot change")
        follows = body["properties"].get("retentionInDays") in {None, -1}
        body["properties"]["retentionInDaysAsDefault"] = follows
        schema["tableSubType"] = "DataCollectionRuleBased"
        schema["standardColumns"] = [{"name": "TenantId", "type": "guid"}]

    def _write_rule(self, resource_id: str, body: Body, before: Body | None) -> None:
        """https://learn.microsoft.com/azure/azure-monitor/essentials/data-collection-rule-structure"""
        properties = body["properties"]
        for workspace in properties["destinations"]["logAnalytics"]:
            there = self.get(workspace["workspaceResourceId"])
            if there["location"].replace(" ", "").lower() != body["location"]:
                raise Refusal(400, "InvalidPayload", "The rule has to be in the workspace's region")
            for flow in properties["dataFlows"]:
                self._check_flow(there["id"], flow["outputStream"].removeprefix("Custom-"))
        digest = hashlib.sha256(key(resource_id).encode()).hexdigest()
        properties["immutableId"] = f"dcr-{digest[:32]}"
        properties["endpoints"] = {"logsIngestion": self.ingestion}

    def _check_flow(self, workspace: str, name: str) -> None:
        table = self.resources.get(key(f"{workspace}/tables/{name}"))
        if table is None or table["properties"]["schema"]["tableSubType"] == "Classic":
            raise Refusal(400, "InvalidOutputTable", f"Table for output stream {name} is no target")

    def _write_assignment(self, resource_id: str, body: Body, before: Body | None) -> None:
        """https://learn.microsoft.com/azure/role-based-access-control/troubleshooting: names"""
        mine = body["properties"]
        same = ("principalId", "roleDefinitionId")
        for each in self.of_type("Microsoft.Authorization/roleAssignments"):
            theirs = each["properties"]
            if key(each["id"]) == key(resource_id):
                continue
            if key(parent_of(each["id"])) == key(parent_of(resource_id)) and all(
                theirs[name] == mine[name] for name in same
            ):
                raise Refusal(409, "RoleAssignmentExists", "The role assignment already exists.")
        when = before["properties"]["createdOn"] if before else self.now.isoformat()
        mine["createdOn"] = when

    def _write_plan(self, resource_id: str, body: Body, before: Body | None) -> None:
        regions = {each.replace(" ", "").lower() for each in FLEX_REGIONS}
        if body["sku"]["name"] == "FC1" and body["location"] not in regions:
            raise Refusal(
                409, "Conflict", f"FlexConsumption is not available in {body['location']}"
            )

    def _write_site(self, resource_id: str, body: Body, before: Body | None) -> None:
        """References are fetched when the settings change, not when the same are put again.

        https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#rotation
        """
        app = self.apps.setdefault(key(resource_id), App(resource_id))
        given = body["properties"]["siteConfig"].pop("appSettings")
        settings = {each["name"]: each["value"] for each in given}
        plan = self.get(body["properties"]["serverFarmId"])
        body["properties"]["sku"] = plan["sku"]["tier"]
        body["properties"]["hostNameSslStates"] = self.host_names(app)
        changed = settings != app.settings
        app.settings = settings
        self.resources[key(resource_id)] = body
        if changed:
            self.resolve(app)
        self._run_from_address(app)

    def _run_from_address(self, app: App) -> None:
        """https://learn.microsoft.com/azure/azure-functions/run-functions-from-deployment-package"""
        address = app.settings.get("WEBSITE_RUN_FROM_PACKAGE", "")
        if address.startswith("https://"):
            app.publish(self.fetch(address), self.now)

    def _write_extension(self, resource_id: str, body: Body, before: Body | None) -> None:
        """https://learn.microsoft.com/azure/azure-functions/functions-infrastructure-as-code#deployment-sources"""
        app = self.apps[key(parent_of(resource_id))]
        package = self.fetch(body["properties"]["packageUri"])
        self.publish(app, package, build=bool(body["properties"].get("remoteBuild", True)))

    def _write_card(self, resource_id: str, body: Body, before: Body | None) -> None:
        if key(parent_of(resource_id)) not in self.with_sentinel:
            raise Refusal(400, "BadRequest", "The workspace is not onboarded to Microsoft Sentinel")

    def _write_onboarding(self, resource_id: str, body: Body, before: Body | None) -> None:
        self.with_sentinel.add(key(parent_of(resource_id)))

    def fetch(self, address: str) -> bytes:
        if address not in self.packages:
            raise Refusal(400, "BadRequest", f"PackageUriNotAccessible: {address} answered 404")
        return self.packages[address]

    def migrate(self, table_id: str) -> None:
        """One-way, and not at once: https://learn.microsoft.com/azure/azure-monitor/logs/custom-logs-migrate"""
        table = self.get(table_id)
        table["migrated_at"] = self.now + MIGRATION

    def show_table(self, table_id: str) -> Body:
        table = self.get(table_id)
        if (at := table.get("migrated_at")) is not None and self.now >= at:
            table["properties"]["schema"]["tableSubType"] = "DataCollectionRuleBased"
            del table["migrated_at"]
        return {name: value for name, value in table.items() if name != "migrated_at"}

    # What was there before.

    def put_workspace(self, workspace_id: str, location: str, *, sentinel: bool = True) -> None:
        """A workspace that somebody made earlier, in a group of its own."""
        group, subscription = group_of(workspace_id), subscription_of(workspace_id)
        self.groups.setdefault(
            key(group), {"id": group, "name": name_of(group), "location": location}
        )
        for namespace in ("Microsoft.OperationalInsights", "Microsoft.SecurityInsights"):
            self.register(subscription, namespace)
        self.resources[key(workspace_id)] = {
            "id": workspace_id,
            "name": name_of(workspace_id),
            "type": "Microsoft.OperationalInsights/workspaces",
            "location": location,
            "properties": {"provisioningState": "Succeeded"},
        }
        if sentinel:
            self.with_sentinel.add(key(workspace_id))

    def put_old_table(self, table_id: str, subtype: str, columns: Mapping[str, str]) -> None:
        self.resources[key(table_id)] = {
            "id": table_id,
            "name": name_of(table_id),
            "type": "Microsoft.OperationalInsights/workspaces/tables",
            "properties": {
                "plan": "Analytics",
                "retentionInDays": 90,
                "retentionInDaysAsDefault": True,
                "schema": {
                    "name": name_of(table_id),
                    "tableSubType": subtype,
                    "columns": [{"name": n, "type": kind} for n, kind in columns.items()],
                    "standardColumns": [{"name": "TenantId", "type": "guid"}],
                },
            },
        }


def _made_with(parent: str) -> bool:
    """Parts of a resource that come with it, such as an account's blob service."""
    return parent.endswith("/blobservices/default")


def owner(subscription: str) -> Person:
    return Person((Holding("Owner", f"/subscriptions/{subscription}"),))


_WRITES: dict[str, Callable[[Azure, str, Body, Body | None], None]] = {
    "microsoft.authorization/roleassignments": Azure._write_assignment,
    "microsoft.insights/components": Azure._write_component,
    "microsoft.insights/datacollectionrules": Azure._write_rule,
    "microsoft.keyvault/vaults": Azure._write_vault,
    "microsoft.keyvault/vaults/secrets": Azure._write_secret,
    "microsoft.managedidentity/userassignedidentities": Azure._write_identity,
    "microsoft.operationalinsights/workspaces/tables": Azure._write_table,
    "microsoft.securityinsights/dataconnectordefinitions": Azure._write_card,
    "microsoft.securityinsights/onboardingstates": Azure._write_onboarding,
    "microsoft.web/serverfarms": Azure._write_plan,
    "microsoft.web/sites": Azure._write_site,
    "microsoft.web/sites/extensions": Azure._write_extension,
}
