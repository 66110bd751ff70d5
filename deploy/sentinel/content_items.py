"""The content of the package for Sentinel's Content hub: each rule, hunt, parser, the workbook and
the connector's page, as Microsoft's packaging tool makes it of its source.

https://github.com/Azure/Azure-Sentinel/tree/master/Tools/Create-Azure-Sentinel-Solution/V3
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from sources import (
    APP,
    FOLDER,
    OPERATORS,
    Body,
    book,
    duration,
    function_parameters,
    serialized,
    techniques,
)
from sources import files as source_files

NAME = "JiraAuditConnector"
"""The solution's name, and its folder's among Microsoft's solutions."""

PUBLISHER = "owner"
"""The publisher's id in Partner Center; a solution's id begins with it."""

OFFER = "azure-sentinel-solution-jiraauditconnector"
AUTHOR = "The Jira audit connector developers"
REPOSITORY = "https://github.com/OWNER/REPOSITORY"
FIRST_PUBLISHED = "2026-11-27"
SUPPORT = {"name": AUTHOR, "tier": "Community", "link": f"{REPOSITORY}/issues"}
CATEGORIES = {"domains": ["DevOps", "Application"]}
LOGO = (
    '<img src="https://raw.githubusercontent.com/Azure/Azure-Sentinel/master/Logos/atlassian.svg" '
    'width="75px" height="75px">'
)
RECORDS = (
    "https://support.atlassian.com/jira-cloud-administration/docs/"
    "audit-activities-in-jira-applications/"
)
DESCRIPTION = f"""\
The [Jira audit connector]({REPOSITORY}) reads the \
[audit records]({RECORDS}) of Jira Cloud sites and sends them to Microsoft Sentinel. This solution \
has the parsers, the ASIM parsers, the detections, the hunting queries and the workbook for these \
records.

It works beside the solution *Atlassian Jira Audit* and does not need it.

**Underlying Microsoft Technologies used:**

The connector depends on these services. Some may be in \
[preview](https://azure.microsoft.com/support/legal/preview-supplemental-terms/), and all may cost \
ingestion or operation:

a. [Logs Ingestion API](https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview)

b. [Azure Functions](https://learn.microsoft.com/azure/azure-functions/functions-overview)"""

CONNECTOR = "JiraAuditConnector"
WORKBOOK = "JiraAuditConnectorWorkbook"
WORKBOOK_VERSION = "1.0.0"
CONNECTOR_VERSION = "1.0.0"
WORKBOOK_TITLE = "Jira audit"
WORKBOOK_TEXT = "What happened in Jira, who did it, and whether the connector is complete."

# Microsoft's content, which a workspace may have beside ours, has this function.
NOT_OURS = "JiraAudit"

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"
PROVIDERS = f"{WORKSPACE}/providers"
PREFIX = "concat(parameters('workspace'),'/Microsoft.SecurityInsights/'"
LOCATION = "[parameters('workspace-location')]"
WORKSPACE_ID = f"resourceId('{WORKSPACE}', parameters('workspace'))"

Resource = dict[str, Any]


@dataclass(frozen=True)
class Content:
    """One piece of content of the solution.

    `short` is what Microsoft's tool abbreviates the kind as, `parent` the expression for the id of
    what it becomes when it is installed, `listed` its source's path in the solution's folder.
    """

    kind: str
    short: str
    id: str
    version: str
    title: str
    text: str
    parent: str
    resource: Resource
    listed: str

    @property
    def product_id(self) -> str:
        """The id of this version of it, as Microsoft's tool makes it."""
        return (
            f"[concat(take(variables('_solutionId'),50),'-','{self.short}','-', "
            f"uniqueString(concat(variables('_solutionId'),'-','{self.kind}','-','{self.id}','-', "
            f"'{self.version}')))]"
        )

    @property
    def template_name(self) -> str:
        unique = f"uniqueString('{self.id}')"
        return f"[{PREFIX},concat(parameters('workspace'),'-{self.short}-',{unique}))]"


Contents = Sequence[Content]


KINDS = {
    "DataConnector": "Data Connectors",
    "Parser": "Parsers",
    "Workbook": "Workbooks",
    "AnalyticsRule": "Analytic Rules",
    "HuntingQuery": "Hunting Queries",
}


def version() -> str:
    """The newest version that the release notes tell of."""
    found = re.search(r"^\| ([0-9]+\.[0-9]+\.[0-9]+) ", release_notes(), re.MULTILINE)
    if not found:
        message = "ReleaseNotes.md has no version"
        raise ValueError(message)
    return found[1]


def release_notes() -> str:
    return (FOLDER / "solution/ReleaseNotes.md").read_text(encoding="utf-8")


def adapted(text: str) -> str:
    """A source as the solution has it. It names our connector, not that of Microsoft's solution. It
    takes the Function App's name from a watchlist, as a package has no parameter for it; without
    the watchlist the lines of every app count.
    """
    theirs = "  - connectorId: JiraAuditAPI\n    dataTypes:\n      - JiraAudit\n"
    ours = f"  - connectorId: {CONNECTOR}\n    dataTypes:\n      - Jira_Audit_CL\n"
    text = text.replace(theirs, ours)
    watchlist = "_GetWatchlist('JiraConnectorApps') | project SearchKey"
    apps = f"union isfuzzy=true (datatable(SearchKey: string) []), ({watchlist})"
    declared = re.compile(r'^( *)let App = "<app>";[^\n]*$', re.MULTILINE)
    lists = rf"\1let Apps = {apps};\n\1let AnyApp = toscalar(Apps | count) == 0;"
    text = declared.sub(lists, text)
    text = text.replace("AppRoleName =~ App ", "(AnyApp or AppRoleName in~ (Apps)) ")
    return text.replace(
        rf"AppRoleName =~ \"{APP}\"",
        f"(toscalar({apps} | count) == 0 or AppRoleName in~ (({apps})))",
    )


def parsers() -> Iterator[Body]:
    """The functions, the ASIM parsers in the same form: Microsoft's tool knows no other."""
    for file in source_files("Parsers"):
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
        name = body.get("FunctionName") or body["ParserName"]
        if name == NOT_OURS:
            continue
        yield {
            "id": body.get("id", f"{name}-Parser"),
            "Function": body.get("Function") or body["Parser"],
            "Category": body.get("Category", "ASIM"),
            "FunctionName": name,
            "FunctionAlias": name,
            "ParserParams": body.get("ParserParams", []),
            "FunctionQuery": body.get("FunctionQuery") or body["ParserQuery"],
        }


def workbook() -> Body:
    text = adapted(json.dumps(book(), ensure_ascii=False))
    return {**json.loads(text), "fromTemplateId": f"sentinel-{WORKBOOK}"}


def _bodies(folder: str) -> Iterator[tuple[str, Body]]:
    for file in source_files(folder):
        text = adapted(file.read_text(encoding="utf-8"))
        yield file.stem, yaml.safe_load(text)


def contents() -> Iterator[Content]:
    yield _workbook()
    for name, body in _bodies("Analytic Rules"):
        yield _rule(name, body)
    for name, body in _bodies("Hunting Queries"):
        yield _hunt(name, body)
    yield _connector()
    for body in parsers():
        yield _parser(body)


def _workbook() -> Content:
    properties = {
        "displayName": "[parameters('workbook1-name')]",
        "serializedData": serialized(workbook()),
        "version": "1.0",
        "sourceId": f"[{WORKSPACE_ID}]",
        "category": "sentinel",
    }
    resource = {
        "type": "Microsoft.Insights/workbooks",
        "name": WORKBOOK,
        "location": LOCATION,
        "kind": "shared",
        "apiVersion": "2021-08-01",
        "metadata": {"description": WORKBOOK_TEXT},
        "properties": properties,
    }
    parent = f"resourceId('Microsoft.Insights/workbooks', '{WORKBOOK}')"
    return Content(
        *("Workbook", "wb", WORKBOOK, WORKBOOK_VERSION, "[parameters('workbook1-name')]"),
        *(WORKBOOK_TEXT, parent, resource, f"Workbooks/{WORKBOOK}.json"),
    )


def _rule(name: str, body: Body) -> Content:
    grouping = body["incidentConfiguration"]["groupingConfiguration"]
    properties = {
        "description": body["description"].strip(),
        "displayName": body["name"],
        "enabled": False,
        "query": body["query"],
        "queryFrequency": duration(body["queryFrequency"]),
        "queryPeriod": duration(body["queryPeriod"]),
        "severity": body["severity"],
        "suppressionDuration": "PT1H",
        "suppressionEnabled": False,
        "triggerOperator": OPERATORS[body["triggerOperator"]],
        "triggerThreshold": body["triggerThreshold"],
        "status": body["status"],
        "requiredDataConnectors": body["requiredDataConnectors"],
        "tactics": body["tactics"],
        "techniques": techniques(body),
        "entityMappings": body["entityMappings"],
        "eventGroupingSettings": body["eventGroupingSettings"],
        "customDetails": body["customDetails"],
        "alertDetailsOverride": body["alertDetailsOverride"],
        "incidentConfiguration": {
            "createIncident": body["incidentConfiguration"]["createIncident"],
            "groupingConfiguration": grouping,
        },
    }
    resource = {
        "type": "Microsoft.SecurityInsights/AlertRuleTemplates",
        "name": body["id"],
        "apiVersion": "2023-02-01-preview",
        "kind": body["kind"],
        "location": LOCATION,
        "properties": properties,
    }
    parent = f"resourceId('Microsoft.SecurityInsights/AlertRuleTemplates', '{body['id']}')"
    return Content(
        *("AnalyticsRule", "ar", body["id"], body["version"], body["name"]),
        *(properties["description"], parent, resource, f"Analytic Rules/{name}.yaml"),
    )


def _hunt(name: str, body: Body) -> Content:
    text = body["description"].strip()
    tags = {
        "description": text,
        "tactics": ",".join(body["tactics"]),
        "techniques": ",".join(techniques(body)),
    }
    resource = {
        "type": "Microsoft.OperationalInsights/savedSearches",
        "apiVersion": "2022-10-01",
        "name": f"{NAME}_Hunting_{name}",
        "location": LOCATION,
        "properties": {
            "eTag": "*",
            "displayName": body["name"],
            "category": "Hunting Queries",
            "query": body["query"],
            "version": 2,
            "tags": [{"name": tag, "value": value} for tag, value in tags.items()],
        },
    }
    parent = f"resourceId('Microsoft.OperationalInsights/savedSearches', '{body['id']}')"
    return Content(
        *("HuntingQuery", "hq", body["id"], body["version"], body["name"]),
        *(text, parent, resource, f"Hunting Queries/{name}.yaml"),
    )


def _connector() -> Content:
    text = (FOLDER / f"Data Connectors/{CONNECTOR}.json").read_text(encoding="utf-8")
    config = json.loads(text)
    resource = {
        "name": f"[{PREFIX},'{CONNECTOR}')]",
        "apiVersion": "2021-03-01-preview",
        "type": f"{PROVIDERS}/dataConnectors",
        "location": LOCATION,
        "kind": "GenericUI",
        "properties": {"connectorUiConfig": config},
    }
    parent = (
        f"extensionResourceId({WORKSPACE_ID}, "
        f"'Microsoft.SecurityInsights/dataConnectors', '{CONNECTOR}')"
    )
    return Content(
        *("DataConnector", "dc", CONNECTOR, CONNECTOR_VERSION, config["title"]),
        *(config["descriptionMarkdown"], parent, resource, f"Data Connectors/{CONNECTOR}.json"),
    )


def _parser(body: Body) -> Content:
    name, title = body["FunctionName"], body["Function"]["Title"]
    # Saved under the name that azuredeploy.json gives it: of two functions of one alias neither can
    # be called, https://github.com/Azure/Azure-Sentinel/issues/6844
    resource = {
        "name": f"[concat(parameters('workspace'),'/{name}')]",
        "apiVersion": "2022-10-01",
        "type": f"{WORKSPACE}/savedSearches",
        "location": LOCATION,
        "properties": {
            "eTag": "*",
            "displayName": title,
            "category": body["Category"],
            "functionAlias": name,
            "query": body["FunctionQuery"],
            "functionParameters": function_parameters(body),
            "version": 2,
            "tags": [{"name": "description", "value": title}],
        },
    }
    parent = f"resourceId('{WORKSPACE}/savedSearches', parameters('workspace'), '{name}')"
    return Content(
        *("Parser", "pr", f"{name}-Parser", str(body["Function"]["Version"]), title),
        *(title, parent, resource, f"Parsers/{name}.yaml"),
    )
