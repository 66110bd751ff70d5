"""The package for Sentinel's Content hub: what Microsoft's packaging tool makes, of our sources.

https://github.com/Azure/Azure-Sentinel/blob/master/Tools/Create-Azure-Sentinel-Solution/V3/README.md
https://github.com/Azure/Azure-Sentinel/blob/master/Solutions/AtlassianJiraAudit/Package/mainTemplate.json
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import needed
from tests.deploy import arm, checks, kql
from tests.sentinel.content import APP, FOLDER, FUNCTIONS, HUNTS, RULES, Source, saved_functions
from tests.sentinel.content import workbook_queries as queries_of
from tests.sentinel.stories import health
from tests.sentinel.workspace_fixtures import workspace
from tests.sentinel.workspace_schemas import TELEMETRY, WORLDS

SOLUTION = FOLDER / "solution"
NAME = "JiraAuditConnector"


def read(path: str) -> Any:
    return json.loads((SOLUTION / path).read_text(encoding="utf-8"))


TEMPLATE = read("Package/mainTemplate.json")
FORM = read("Package/createUiDefinition.json")
DATA = read(f"Data/Solution_{NAME}.json")
METADATA = read("SolutionMetadata.json")
PARSERS = sorted(set(FUNCTIONS) - {"JiraAudit"})
WORKSPACE = (
    f"/subscriptions/{arm.SUBSCRIPTION}/resourceGroups/{arm.RESOURCE_GROUP}"
    "/providers/Microsoft.OperationalInsights/workspaces/soc"
)
PROVIDERS = "Microsoft.OperationalInsights/workspaces/providers"


@cache
def deployed() -> list[Mapping[str, Any]]:
    given = {"workspace": "soc", "workspace-location": "northeurope"}
    return [each.body for each in arm.deploy(TEMPLATE, given)]


def of_type(kind: str) -> list[Mapping[str, Any]]:
    return [each for each in deployed() if each["type"] == f"{PROVIDERS}/{kind}"]


def offered() -> list[Mapping[str, Any]]:
    """The properties of everything that the Content hub offers of the solution."""
    return [each["properties"] for each in of_type("contentTemplates")]


def packaged(kind: str) -> dict[str, Mapping[str, Any]]:
    """The content of a kind by its id, as it is installed."""
    return {
        each["contentId"]: each["mainTemplate"]["resources"][0]
        for each in offered()
        if each["contentKind"] == kind
    }


RULES_OF_IT = packaged("AnalyticsRule")
HUNTS_OF_IT = packaged("HuntingQuery")
FUNCTIONS_OF_IT = packaged("Parser")
BOOK_OF_IT = json.loads(
    packaged("Workbook")["JiraAuditConnectorWorkbook"]["properties"]["serializedData"]
)
QUERIES = {
    **{name: each["properties"]["query"] for name, each in RULES_OF_IT.items()},
    **{name: each["properties"]["query"] for name, each in HUNTS_OF_IT.items()},
    **{name: each["properties"]["query"] for name, each in FUNCTIONS_OF_IT.items()},
    **{f"workbook: {name}": query for name, query in queries_of(BOOK_OF_IT).items()},
}


@pytest.mark.parametrize(
    "check",
    [checks.expressions_can_be_read, checks.parameters_and_variables_are_defined_and_used],
)
def test_package_can_be_read_by_arm(check: checks.Check) -> None:
    assert check(TEMPLATE) == []


def test_package_has_every_rule_hunt_and_parser_and_the_workbook_with_its_version() -> None:
    versions = {each["contentId"]: each["version"] for each in offered()}

    for source in [*RULES, *HUNTS]:
        assert versions.pop(source.body["id"]) == source.body["version"], source.name
    assert sorted(versions) == sorted(
        [NAME, "JiraAuditConnectorWorkbook", *(f"{name}-Parser" for name in PARSERS)]
    )


def test_package_lists_exactly_what_it_has_as_its_dependencies() -> None:
    (package,) = of_type("contentPackages")

    assert package["properties"]["dependencies"]["criteria"] == [
        {"kind": each["contentKind"], "contentId": each["contentId"], "version": each["version"]}
        for each in offered()
    ]


def test_content_carries_what_the_packaging_tool_gives_it() -> None:
    (package,) = of_type("contentPackages")
    solution = f"{METADATA['publisherId']}.{METADATA['offerId']}"
    of_package = package["properties"]
    assert of_package["contentId"] == of_package["parentId"] == solution
    assert package["name"] == f"soc/Microsoft.SecurityInsights/{solution}"
    assert of_package["version"] == DATA["Version"]
    for field in ("firstPublishDate", "providers", "categories", "support"):
        assert of_package[field] == METADATA[field]

    for template in of_type("contentTemplates"):
        properties = template["properties"]
        content, metadata = properties["mainTemplate"]["resources"]
        assert template["apiVersion"] == "2023-04-01-preview"
        assert template["dependsOn"] == [
            f"{WORKSPACE}/providers/Microsoft.SecurityInsights/contentPackages/{solution}"
        ]
        assert properties["packageId"] == solution
        assert properties["packageKind"] == "Solution"
        assert properties["packageVersion"] == DATA["Version"]
        assert properties["contentSchemaVersion"] == "3.0.0"
        assert properties["id"] == properties["contentProductId"]
        assert properties["mainTemplate"]["contentVersion"] == properties["version"]
        assert content["location"] == "northeurope"
        tracked = metadata["properties"]
        assert metadata["type"] == f"{PROVIDERS}/metadata"
        assert metadata["name"].startswith(
            f"soc/Microsoft.SecurityInsights/{properties['contentKind']}-"
        )
        assert tracked["parentId"].endswith(metadata["name"].split("-", 1)[1])
        assert tracked["source"]["sourceId"] == solution
        for field in ("contentId", "version"):
            assert tracked[field] == properties[field]
        assert tracked["kind"] == properties["contentKind"]


def test_ids_are_unique_and_short_enough() -> None:
    for field in ("contentId", "contentProductId"):
        values = [each[field] for each in offered()]
        assert len(values) == len(set(values)), field
    names = [each["name"] for each in of_type("contentTemplates")]
    assert len(names) == len(set(names))
    # https://learn.microsoft.com/partner-center/marketplace-offers/azure-app-offer-setup
    assert re.fullmatch("[a-z0-9-]{1,50}", METADATA["offerId"])


def test_rules_and_hunts_say_what_their_sources_say() -> None:
    for rule in RULES:
        properties = RULES_OF_IT[rule.body["id"]]["properties"]
        assert properties["enabled"] is False
        for field in ("severity", "tactics", "entityMappings", "customDetails"):
            assert properties[field] == rule.body[field], rule.name
        assert properties["displayName"] == rule.body["name"]
        if "<app>" not in rule.body["query"]:
            assert properties["query"] == rule.body["query"], rule.name
    for hunt in HUNTS:
        properties = HUNTS_OF_IT[hunt.body["id"]]["properties"]
        assert properties["query"] == hunt.body["query"], hunt.name
        assert properties["displayName"] == hunt.body["name"]


def test_functions_are_saved_under_the_names_that_our_own_template_gives_them() -> None:
    # Of two functions of one alias neither can be called.
    own = json.loads((FOLDER / "azuredeploy.json").read_text(encoding="utf-8"))
    named = {
        each.body["properties"]["functionAlias"]: each.body["name"]
        for each in arm.deploy(own, {"workspace": "soc", "functionAppName": "app"})
        if "functionAlias" in each.body.get("properties", {})
    }
    saved = [each for each in deployed() if each["type"].endswith("workspaces/savedSearches")]

    assert {each["properties"]["functionAlias"]: each["name"] for each in saved} == named
    for each in saved:
        alias = each["properties"]["functionAlias"]
        assert each["properties"] == FUNCTIONS_OF_IT[f"{alias}-Parser"]["properties"]
        assert each["properties"]["query"] == FUNCTIONS[alias].query


def test_solution_needs_nothing_of_microsofts_solution() -> None:
    text = json.dumps(TEMPLATE)

    assert "JiraAuditAPI" not in text
    assert "<app>" not in text
    for name, query in QUERIES.items():
        assert not re.search(r"\bJiraAudit\b", query), name
    assert "JiraAudit-Parser" not in FUNCTIONS_OF_IT


@pytest.fixture(scope="module")
def into(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is put into a checkout of Azure/Azure-Sentinel."""
    folder = tmp_path_factory.mktemp("azure-sentinel")
    subprocess.run([sys.executable, str(FOLDER / "build"), "--into", str(folder)], check=True)
    return folder


def test_checkout_has_every_source_that_the_data_file_names(into: Path) -> None:
    base = into / "Solutions" / NAME
    kinds = ("Analytic Rules", "Hunting Queries", "Parsers", "Workbooks", "Data Connectors")
    named = [each for kind in kinds for each in DATA[kind]]
    there = [str(each.relative_to(base)) for kind in kinds for each in (base / kind).iterdir()]

    assert sorted(named) == sorted(there)
    assert DATA["BasePath"].endswith(f"\\Solutions\\{NAME}")
    assert json.loads((base / DATA["Metadata"]).read_text(encoding="utf-8")) == METADATA
    assert (base / "ReleaseNotes.md").exists()


def test_sources_of_the_checkout_are_those_that_are_packaged(into: Path) -> None:
    base = into / "Solutions" / NAME
    for path in [*DATA["Analytic Rules"], *DATA["Hunting Queries"]]:
        body = yaml.safe_load((base / path).read_text(encoding="utf-8"))
        assert QUERIES[body["id"]] == body["query"], path
        assert body["requiredDataConnectors"] == [
            {"connectorId": NAME, "dataTypes": ["Jira_Audit_CL"]}
        ]
    for path in DATA["Parsers"]:
        body = yaml.safe_load((base / path).read_text(encoding="utf-8"))
        packaged_one = FUNCTIONS_OF_IT[f"{body['FunctionName']}-Parser"]["properties"]
        assert packaged_one["query"] == body["FunctionQuery"]
    (path,) = DATA["Workbooks"]
    assert json.loads((base / path).read_text(encoding="utf-8")) == BOOK_OF_IT


def test_rule_that_is_taken_out_changes_no_other_id(tmp_path: Path) -> None:
    copied = tmp_path / "sentinel"
    shutil.copytree(FOLDER, copied)
    first = min((copied / "Analytic Rules").iterdir())
    gone = yaml.safe_load(first.read_text(encoding="utf-8"))["id"]
    first.unlink()
    subprocess.run([sys.executable, str(copied / "build")], check=True)
    made = json.loads((copied / "solution/Package/mainTemplate.json").read_text(encoding="utf-8"))

    def templates(template: Any) -> list[Any]:
        return [each for each in template["resources"] if each["type"].endswith("Templates")]

    assert templates(made) == [
        each for each in templates(TEMPLATE) if each["properties"]["contentId"] != gone
    ]


def test_file_of_the_solution_that_differs_is_reported(tmp_path: Path) -> None:
    copied = tmp_path / "sentinel"
    shutil.copytree(FOLDER, copied)
    (copied / "solution/SolutionMetadata.json").write_text("{}")
    shutil.rmtree(copied / "contribution/Sample Data/Custom")
    checked = subprocess.run(
        [sys.executable, str(copied / "build"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 1
    assert [line.partition(" is not")[0] for line in checked.stderr.splitlines()] == [
        "solution/SolutionMetadata.json",
        "contribution/Sample Data/Custom/Jira_Audit_CL.json",
    ]


CHANGED = {name: query for name, query in QUERIES.items() if "JiraConnectorApps" in query}
"""Those that the package has otherwise than the sources; of the others tests/sentinel tells."""


def test_queries_of_the_workbook_are_its_sources_but_for_the_apps_name() -> None:
    source = (FOLDER / "Workbooks/JiraAudit.json").read_text(encoding="utf-8")
    changed = [each for each in CHANGED if each.startswith("workbook: ")]

    for name, query in queries_of(json.loads(source)).items():
        if "<app>" in query:
            changed.remove(f"workbook: {name}")
        else:
            assert QUERIES[f"workbook: {name}"] == query, name
    assert changed == []


@pytest.mark.parametrize("world", WORLDS)
def test_changed_queries_are_valid_with_telemetry(world: str) -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    tables = WORLDS[world] | TELEMETRY
    found = kql.analyse(tables, list(CHANGED.values()), saved_functions())

    for name, analysis in zip(CHANGED, found, strict=True):
        assert not [each for each in analysis.problems if each.startswith("Error")], name


def test_changed_queries_are_valid_without_telemetry() -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    found = kql.analyse(WORLDS["both"], list(CHANGED.values()), saved_functions())

    for name, analysis in zip(CHANGED, found, strict=True):
        assert not [each for each in analysis.problems if each.startswith("Error")], name


HEALTH = [rule for rule in RULES if "<app>" in rule.body["query"]]


def health_results(rule: Source, listed: str | None) -> list[list[dict[str, Any]]]:
    """What a rule on the connector gives for each story, with this app in the watchlist."""
    given = {"JiraConnectorApps": [listed]} if listed else {}
    return [
        workspace("classic", story.records, story.telemetry, watchlists=given).run(
            QUERIES[rule.body["id"]]
        )
        for story in health.STORIES[rule.name]
    ]


@pytest.mark.parametrize("rule", HEALTH, ids=lambda rule: rule.name)
def test_health_rules_match_their_stories_with_the_app_in_the_watchlist(rule: Source) -> None:
    for story, found in zip(health.STORIES[rule.name], health_results(rule, APP), strict=True):
        assert len(found) == (story.rows if story.fires else 0), story.title


@pytest.mark.parametrize("name", ["JiraConnectorBehind", "JiraConnectorFailing"])
def test_health_rules_read_every_app_without_a_watchlist_and_no_app_that_is_not_in_it(
    name: str,
) -> None:
    (rule,) = (each for each in HEALTH if each.name == name)

    # Some stories are of another app that hides a failure: that is what the watchlist is for.
    assert any(health_results(rule, None))
    assert not any(health_results(rule, "an-app-of-no-story"))


def test_form_shows_every_rule_and_hunt_and_asks_for_what_the_template_takes() -> None:
    config = FORM["parameters"]
    labels = [
        element["label"]
        for step in config["steps"]
        for element in step["elements"]
        if element["type"] == "Microsoft.Common.Section"
    ]
    for source in [*RULES, *HUNTS]:
        assert source.body["name"] in labels
    assert set(config["outputs"]) <= set(TEMPLATE["parameters"])
    required = {n for n, each in TEMPLATE["parameters"].items() if not each["defaultValue"]}
    assert required <= set(config["outputs"])
    names = [element["name"] for step in config["steps"] for element in step["elements"]]
    assert len(names) == len(set(names))
    assert f"**Analytic Rules:** {len(RULES)}" in config["config"]["basics"]["description"]


def test_texts_of_the_solution_use_the_name_microsoft_sentinel() -> None:
    # Microsoft's reviewers ask for it: https://aka.ms/sentinelsolutionsbuildguide
    texts = [DATA["Description"], FORM["parameters"]["config"]["basics"]["description"]]
    texts += [each["properties"]["description"] for each in RULES_OF_IT.values()]
    texts += [item["content"].get("json", "") for item in BOOK_OF_IT["items"]]
    config = packaged("DataConnector")[NAME]["properties"]["connectorUiConfig"]
    texts += [
        config["descriptionMarkdown"],
        *(s["description"] for s in config["instructionSteps"]),
    ]

    for text in texts:
        assert not re.search(r"(?<!Microsoft )(?<![/-])\bSentinel\b", text), text


def test_release_notes_begin_with_the_version_of_the_package() -> None:
    notes = (SOLUTION / "ReleaseNotes.md").read_text(encoding="utf-8").splitlines()[2:]

    assert notes[0].split("|")[1:4] == [
        " **Version** ",
        " **Date Modified (DD-MM-YYYY)** ",
        " **Change History** ",
    ]
    assert notes[2].split("|")[1].strip() == DATA["Version"]
    assert re.fullmatch(r"\d\d-\d\d-\d{4}", notes[2].split("|")[2].strip())
