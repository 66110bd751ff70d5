"""The data collection rule's flows, and the columns of what they read and write."""

from __future__ import annotations

from typing import Any

from tests.deploy import arm, checks

KUSTO = {"boolean": "bool"}
"""Kusto's name of a type where a stream declaration has another."""

V2_COLUMNS = {
    "AssociatedItems": "dynamic",
    "ChangedValues": "dynamic",
    "EventCategoryType": "string",
    "EventCreationTime": "datetime",
    "EventId": "int",
    "EventMessage": "string",
    "EventProduct": "string",
    "EventSource": "string",
    "EventVendor": "string",
    "ObjectItemId": "string",
    "ObjectItemName": "string",
    "ObjectItemParentId": "string",
    "ObjectItemParentName": "string",
    "ObjectItemTypeName": "string",
    "SrcIpAddr": "string",
    "TimeGenerated": "datetime",
    "UserName": "string",
    "UserSid": "string",
    "objectItem": "dynamic",
}
"""As Microsoft's codeless connector makes the table:
https://github.com/Azure/Azure-Sentinel/tree/master/Solutions/AtlassianJiraAudit"""


def flows(template: checks.Template) -> list[tuple[dict[str, Any], dict[str, str], dict[str, str]]]:
    """Every data flow with the columns of its stream and of the table it writes."""
    resources = arm.deploy(template, {**checks.ANSWERS, "tables": "both"})
    (rule,) = checks.of_type(resources, "Microsoft.Insights/dataCollectionRules")
    properties = rule.body["properties"]
    tables = {}
    for each in checks.of_type(resources, "Microsoft.OperationalInsights/workspaces/tables"):
        schema = each.body["properties"]["schema"]
        tables[f"Custom-{schema['name']}"] = checks.columns_of(schema)
    streams = {
        name: checks.columns_of(stream) for name, stream in properties["streamDeclarations"].items()
    }
    return [
        (flow, streams[flow["streams"][0]], tables[flow["outputStream"]])
        for flow in properties["dataFlows"]
    ]


def in_kusto(columns: dict[str, str]) -> dict[str, str]:
    return {name: KUSTO.get(kind, kind) for name, kind in columns.items()}
