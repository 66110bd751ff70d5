"""Built-in roles, and who may do what because of them.

Names, actions and notActions: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Actions = tuple[list[str], list[str]]
"""actions and notActions."""

ROLES: dict[str, Actions] = {
    "Owner": (["*"], []),
    "Contributor": (
        ["*"],
        [
            *("Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"),
            "Microsoft.Authorization/elevateAccess/Action",
        ],
    ),
    "Reader": (["*/read"], []),
    "Role Based Access Control Administrator": (
        [
            *("Microsoft.Authorization/roleAssignments/write", "*/read"),
            *("Microsoft.Authorization/roleAssignments/delete", "Microsoft.Support/*"),
        ],
        [],
    ),
    "Log Analytics Contributor": (
        [
            *("*/read", "Microsoft.Insights/alertRules/*", "Microsoft.Support/*"),
            *("Microsoft.Insights/diagnosticSettings/*", "Microsoft.OperationalInsights/*"),
            *("Microsoft.OperationsManagement/*", "Microsoft.Resources/deployments/*"),
            "Microsoft.Resources/subscriptions/resourcegroups/deployments/*",
        ],
        [],
    ),
    "Network Contributor": (
        [
            *("Microsoft.Authorization/*/read", "Microsoft.Network/*", "Microsoft.Support/*"),
            "Microsoft.Resources/deployments/*",
        ],
        [],
    ),
    "Microsoft Sentinel Contributor": (
        [
            *("Microsoft.SecurityInsights/*", "Microsoft.Insights/workbooks/*"),
            *("Microsoft.OperationalInsights/workspaces/*/read", "Microsoft.Support/*"),
            *("Microsoft.OperationalInsights/workspaces/savedSearches/*", "*/read"),
            "Microsoft.Resources/deployments/*",
        ],
        [],
    ),
}

BLOB_DATA_OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"


@dataclass(frozen=True)
class Holding:
    """A role that a person has on a scope: a subscription, a resource group or a resource."""

    role: str
    scope: str


@dataclass(frozen=True)
class Person:
    holdings: tuple[Holding, ...]

    def roles_on(self, scope: str) -> list[str]:
        """The roles that count on a scope: those on it, and those on what it is in."""
        return [each.role for each in self.holdings if is_within(scope, each.scope)]

    def may(self, action: str, scope: str) -> bool:
        """Each role by itself: what one leaves out, another may give.

        https://learn.microsoft.com/azure/role-based-access-control/role-definitions#notactions
        """
        return grants(self.roles_on(scope), action)

    def permissions(self, scope: str) -> list[dict[str, Any]]:
        """What the permissions API answers: https://learn.microsoft.com/rest/api/authorization/permissions"""
        return [
            {"actions": actions, "notActions": without}
            for actions, without in map(ROLES.__getitem__, self.roles_on(scope))
        ]


def is_within(scope: str, other: str) -> bool:
    inner, outer = scope.lower().rstrip("/"), other.lower().rstrip("/")
    return inner == outer or inner.startswith(f"{outer}/")


def grants(roles: Iterable[str], action: str) -> bool:
    return any(
        _fits(action, actions) and not _fits(action, without)
        for actions, without in map(ROLES.__getitem__, roles)
    )


def _fits(action: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), each.lower()) for each in patterns)
