"""The package for Sentinel's Content hub, in the layout that Microsoft's packaging tool makes.

https://github.com/Azure/Azure-Sentinel/tree/master/Tools/Create-Azure-Sentinel-Solution/V3
https://learn.microsoft.com/azure/sentinel/sentinel-solutions

Every id follows from a source's id or from a function's name, never from a position in a list: a
rule that is added moves no other. Sentinel offers an update of what has a new version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from content_items import (
    AUTHOR,
    CATEGORIES,
    CONNECTOR,
    DESCRIPTION,
    FIRST_PUBLISHED,
    KINDS,
    LOCATION,
    LOGO,
    NAME,
    OFFER,
    PREFIX,
    PROVIDERS,
    PUBLISHER,
    REPOSITORY,
    SCHEMA,
    SUPPORT,
    WORKBOOK,
    WORKBOOK_TEXT,
    WORKBOOK_TITLE,
    WORKSPACE,
    WORKSPACE_ID,
    Content,
    Contents,
    Resource,
    adapted,
    contents,
    parsers,
    release_notes,
    version,
    workbook,
)
from sources import FOLDER, Body
from sources import files as source_files


def files() -> dict[str, str]:
    """Every file that is made, by its path in the solution's folder."""
    everything = tuple(contents())
    return {
        f"Data/Solution_{NAME}.json": _json(data(everything)),
        "SolutionMetadata.json": _json(metadata()),
        "Package/mainTemplate.json": _json(main_template(everything)),
        "Package/createUiDefinition.json": _json(form(everything)),
    }


def checkout() -> dict[str, str]:
    """The files of a checkout of Azure/Azure-Sentinel that Microsoft's tool packages again."""
    return {
        **{f"Solutions/{NAME}/{path}": text for path, text in (files() | _sources()).items()},
        f"Solutions/{NAME}/ReleaseNotes.md": release_notes(),
    }


def _sources() -> dict[str, str]:
    found = {
        f"{folder}/{file.name}": adapted(file.read_text(encoding="utf-8"))
        for folder in ("Analytic Rules", "Hunting Queries")
        for file in source_files(folder)
    }
    for body in parsers():
        made = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=10_000)
        found[f"Parsers/{body['FunctionName']}.yaml"] = made
    connector = FOLDER / f"Data Connectors/{CONNECTOR}.json"
    found[f"Data Connectors/{CONNECTOR}.json"] = connector.read_text(encoding="utf-8")
    found[f"Workbooks/{WORKBOOK}.json"] = _json(workbook())
    return found


def data(everything: Contents) -> Body:
    """What Microsoft's tool reads: the texts and the list of sources."""

    def listed(kind: str) -> list[str]:
        return [each.listed for each in everything if each.kind == kind]

    return {
        "Name": NAME,
        "Author": AUTHOR,
        "Logo": LOGO,
        "Description": DESCRIPTION,
        "WorkbookDescription": [WORKBOOK_TEXT],
        "Data Connectors": listed("DataConnector"),
        "Parsers": listed("Parser"),
        "Hunting Queries": listed("HuntingQuery"),
        "Analytic Rules": listed("AnalyticsRule"),
        "Workbooks": listed("Workbook"),
        "BasePath": f"C:\\GitHub\\Azure-Sentinel\\Solutions\\{NAME}",
        "Version": version(),
        "Metadata": "SolutionMetadata.json",
        "TemplateSpec": True,
        "Is1PConnector": False,
    }


def metadata() -> Body:
    return {
        "publisherId": PUBLISHER,
        "offerId": OFFER,
        "firstPublishDate": FIRST_PUBLISHED,
        "providers": [AUTHOR],
        "categories": CATEGORIES,
        "support": SUPPORT,
    }


def main_template(everything: Contents) -> Body:
    def text(value: str, description: str, **more: object) -> Body:
        metadata = {"description": description}
        return {"type": "string", "defaultValue": value, **more, "metadata": metadata}

    region = "[concat('The region of the workspace, which need not be ', parameters('location'))]"
    return {
        "$schema": SCHEMA,
        "contentVersion": "1.0.0.0",
        "metadata": {"author": AUTHOR, "comments": f"Solution template for {NAME}"},
        "parameters": {
            "location": text(
                "[resourceGroup().location]",
                "Not used; the portal's form and arm-ttk ask for it.",
                minLength=1,
            ),
            "workspace-location": text("", region),
            "workspace": text("", "The name of the Log Analytics workspace of Microsoft Sentinel."),
            "workbook1-name": text(WORKBOOK_TITLE, "The workbook's name.", minLength=1),
        },
        "variables": {
            "_solutionName": NAME,
            "_solutionVersion": version(),
            "solutionId": f"{PUBLISHER}.{OFFER}",
            "_solutionId": "[variables('solutionId')]",
            "_solutioncontentProductId": (
                "[concat(take(variables('_solutionId'),50),'-','sl','-', uniqueString(concat("
                "variables('_solutionId'),'-','Solution','-',variables('_solutionId'),'-', "
                "variables('_solutionVersion'))))]"
            ),
        },
        "resources": list(resources(everything)),
        "outputs": {},
    }


def resources(everything: Contents) -> Iterator[Resource]:
    for content in everything:
        yield template(content)
        # The page of the connector and the functions are there at once; rules, hunts and the
        # workbook are templates that somebody installs.
        if content.kind in {"DataConnector", "Parser"}:
            yield content.resource
            yield {"location": LOCATION, "dependsOn": [f"[{content.parent}]"], **tracked(content)}
    yield package(everything)


def template(content: Content) -> Resource:
    """Content as Sentinel offers it, and offers updates of it."""
    properties = {
        "description": f"{content.title} {content.kind} with template version {version()}",
        "mainTemplate": {
            "$schema": SCHEMA,
            "contentVersion": content.version,
            "parameters": {},
            "variables": {},
            "resources": [content.resource, tracked(content)],
        },
        "packageKind": "Solution",
        "packageVersion": "[variables('_solutionVersion')]",
        "packageName": "[variables('_solutionName')]",
        "packageId": "[variables('_solutionId')]",
        "contentSchemaVersion": "3.0.0",
        "contentId": content.id,
        "contentKind": content.kind,
        "displayName": content.title,
        "contentProductId": content.product_id,
        "id": content.product_id,
        "version": content.version,
    }
    if content.kind == "Workbook":
        properties["description"] = f"{WORKBOOK} Workbook with template version {version()}"
    solution = "'Microsoft.SecurityInsights/contentPackages', variables('_solutionId')"
    return {
        "type": f"{PROVIDERS}/contentTemplates",
        "apiVersion": "2023-04-01-preview",
        "name": content.template_name,
        "location": LOCATION,
        "dependsOn": [f"[extensionResourceId({WORKSPACE_ID}, {solution})]"],
        "properties": properties,
    }


def tracked(content: Content) -> Resource:
    """What ties an installed piece to the solution and to its version."""
    return {
        "type": f"{PROVIDERS}/metadata",
        "apiVersion": "2022-01-01-preview",
        "name": f"[{PREFIX},concat('{content.kind}-', last(split({content.parent},'/'))))]",
        "properties": {
            "description": f"{NAME} {content.kind} {content.id}",
            "parentId": f"[{content.parent}]",
            "contentId": content.id,
            "kind": content.kind,
            "version": content.version,
            **_origin(),
        },
    }


def _origin() -> dict[str, Any]:
    return {
        "source": {
            "kind": "Solution",
            "name": NAME,
            "sourceId": "[variables('_solutionId')]",
        },
        "author": {"name": AUTHOR},
        "support": SUPPORT,
    }


def package(everything: Contents) -> Resource:
    """The solution itself, with everything that belongs to it."""
    criteria = [
        {"kind": each.kind, "contentId": each.id, "version": each.version} for each in everything
    ]
    return {
        "type": f"{PROVIDERS}/contentPackages",
        "apiVersion": "2023-04-01-preview",
        "location": LOCATION,
        "name": f"[{PREFIX}, variables('_solutionId'))]",
        "properties": {
            "version": version(),
            "kind": "Solution",
            "contentSchemaVersion": "3.0.0",
            "displayName": NAME,
            "publisherDisplayName": AUTHOR,
            "descriptionHtml": _html(f"{DESCRIPTION}\n\n{counted(everything)}"),
            "contentKind": "Solution",
            "contentProductId": "[variables('_solutioncontentProductId')]",
            "id": "[variables('_solutioncontentProductId')]",
            "icon": LOGO,
            "contentId": "[variables('_solutionId')]",
            "parentId": "[variables('_solutionId')]",
            **_origin(),
            "dependencies": {"operator": "AND", "criteria": criteria},
            "firstPublishDate": FIRST_PUBLISHED,
            "providers": [AUTHOR],
            "categories": CATEGORIES,
        },
    }


def counted(everything: Contents) -> str:
    """The line that tells how many of each kind there are."""
    kinds = [each.kind for each in everything]
    return ", ".join(f"**{title}:** {kinds.count(kind)}" for kind, title in KINDS.items())


def _html(markdown: str) -> str:
    text = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r'<a href="\2">\1</a>', markdown)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    text = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)
    return "".join(f"<p>{each}</p>\n" for each in text.split("\n\n"))


def form(everything: Contents) -> Body:
    """The page that the portal shows before it installs the solution."""
    request = "providers/Microsoft.OperationalInsights/workspaces?api-version=2020-08-01"
    inside = "contains(toLower(filter.id), toLower(resourceGroup().name))"
    workspaces = "basics('getLAWorkspace').value"
    found = f"filter({workspaces}, (filter) => {inside})"
    item = """parse(concat('{"label":"', item.name, '","value":"', item.name, '"}'))"""
    chosen = f"and({inside},equals(filter.name,basics('workspace')))"
    return {
        "$schema": "https://schema.management.azure.com/schemas/0.1.2-preview/CreateUIDefinition.MultiVm.json#",
        "handler": "Microsoft.Azure.CreateUIDef",
        "version": "0.1.2-preview",
        "parameters": {
            "config": {
                "isWizard": False,
                "basics": {
                    "description": _introduction(everything),
                    "subscription": {
                        "resourceProviders": [
                            "Microsoft.OperationsManagement/solutions",
                            f"{WORKSPACE}/providers/alertRules",
                            "Microsoft.Insights/workbooks",
                        ]
                    },
                    "location": {
                        "metadata": {"hidden": "The workspace's location is taken."},
                        "visible": False,
                    },
                    "resourceGroup": {"allowExisting": True},
                },
            },
            "basics": [
                {
                    "name": "getLAWorkspace",
                    "type": "Microsoft.Solutions.ArmApiControl",
                    "toolTip": "Workspaces in the resource group that is selected",
                    "condition": "[greater(length(resourceGroup().name),0)]",
                    "request": {
                        "method": "GET",
                        "path": f"[concat(subscription().id,'/{request}')]",
                    },
                },
                {
                    "name": "workspace",
                    "type": "Microsoft.Common.DropDown",
                    "label": "Workspace",
                    "placeholder": "Select a workspace",
                    "toolTip": "Workspaces in the resource group that is selected",
                    "constraints": {
                        "allowedValues": f"[map({found}, (item) => {item})]",
                        "required": True,
                    },
                    "visible": True,
                },
            ],
            "steps": list(_steps(everything)),
            "outputs": {
                "workspace-location": (
                    f"[first(map(filter({workspaces}, (filter) => {chosen}), "
                    "(item) => item.location))]"
                ),
                "location": "[location()]",
                "workspace": "[basics('workspace')]",
            },
        },
    }


def _introduction(everything: Contents) -> str:
    notes = f"{REPOSITORY}/blob/main/deploy/sentinel/solution/ReleaseNotes.md"
    return "\n\n".join(
        [
            LOGO,
            f"**Note:** Review the solution's [Release Notes]({notes}) before you install it.",
            DESCRIPTION,
            counted(everything),
            "[Learn more about solutions](https://aka.ms/azuresentinelsolutionsdoc)",
        ]
    )


STEPS = {
    "DataConnector": "This solution installs the page of the data connector and the parsers. After "
    "the installation, follow the page to deploy the connector.",
    "Workbook": "This solution installs a workbook. After the installation, save it in the Manage "
    "view.",
    "AnalyticsRule": "This solution installs the following analytics rule templates. After the "
    "installation, create and enable rules in the Manage view.",
    "HuntingQuery": "This solution installs the following hunting queries. After the installation, "
    "run them in the Manage view.",
}


def _steps(everything: Contents) -> Iterator[Body]:
    for kind, text in STEPS.items():
        title = KINDS[kind]
        name = title.replace(" ", "").lower()
        elements = [_block(f"{name}-text", text)]
        elements += [
            {
                "name": f"{each.short}-{each.id}",
                "type": "Microsoft.Common.Section",
                "label": WORKBOOK_TITLE if kind == "Workbook" else each.title,
                "elements": [_block(f"{each.short}-{each.id}-text", each.text)],
            }
            for each in everything
            if each.kind == kind
        ]
        yield {"name": name, "label": title, "bladeTitle": title, "elements": elements}


def _block(name: str, text: str) -> Body:
    return {"name": name, "type": "Microsoft.Common.TextBlock", "options": {"text": text}}


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
