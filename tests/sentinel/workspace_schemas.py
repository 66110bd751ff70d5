"""The workspaces that content must work in: which tables there are, and of which types."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from jira_audit.core.records import COLUMNS
from tests.deploy.data_flows import V2_COLUMNS, in_kusto
from tests.deploy.kql import Columns

CLASSIC = in_kusto(dict(COLUMNS))

OLD_CLASSIC: Columns = {
    **{name: kind for name, kind in CLASSIC.items() if name != "site_s"},
    **dict.fromkeys(("authorAccountId_g", "authorKey_g", "objectItem_id_g"), "string"),
}
"""As the old connector left it: no site, and what looked like a GUID in a column of its own."""

EARLY_V2: Columns = {
    name: "dynamic" if name.startswith("ObjectItem") else kind for name, kind in V2_COLUMNS.items()
}
"""As the newer table was made in early deployments."""

# Of a workspace-based Application Insights: https://learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces
TELEMETRY: dict[str, Columns] = {
    "AppTraces": {
        "TimeGenerated": "datetime",
        "Message": "string",
        "SeverityLevel": "int",
        "OperationName": "string",
        "AppRoleName": "string",
        "Properties": "dynamic",
    },
    "AppRequests": {
        "TimeGenerated": "datetime",
        "Name": "string",
        "Success": "bool",
        "ResultCode": "string",
        "DurationMs": "real",
        "AppRoleName": "string",
    },
    # Of Microsoft's solution Atlassian Organization Audit, 3.0.0: what is read of it.
    "AtlassianAuditEvents_CL": {
        "TimeGenerated": "datetime",
        "Action": "string",
        "ActorId": "string",
        "ActorEmail": "string",
        "EventId": "string",
        "SrcIpAddr": "string",
        "Context": "dynamic",
    },
}

WORLDS: Mapping[str, dict[str, Columns]] = {
    "classic": {"Jira_Audit_CL": CLASSIC},
    "v2": {"Jira_Audit_v2_CL": V2_COLUMNS},
    "both": {"Jira_Audit_CL": CLASSIC, "Jira_Audit_v2_CL": V2_COLUMNS},
    "both, early": {"Jira_Audit_CL": OLD_CLASSIC, "Jira_Audit_v2_CL": EARLY_V2},
}

ALL_WORLDS = [
    pytest.param(name, marks=[] if name == "classic" else pytest.mark.long) for name in WORLDS
]
"""For tests of queries that read `JiraAudit`, whose rows say the same in every world, as
`test_parser.py` shows: only the world with the classic table alone is not marked `long`.
"""
