"""The template: what the sources make, and nothing less; each part can be left out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.deploy import arm, checks
from tests.deploy.checks import of_type
from tests.sentinel.content import APP, FOLDER, FUNCTIONS, HUNTS, RULES, WORKBOOK

TEMPLATE = json.loads((FOLDER / "azuredeploy.json").read_text(encoding="utf-8"))
ANSWERS = {"workspace": "soc", "functionAppName": APP}
SEARCHES = "Microsoft.OperationalInsights/workspaces/savedSearches"
ALERT_RULES = "Microsoft.SecurityInsights/alertRules"
WORKBOOKS = "Microsoft.Insights/workbooks"
ASIM = len([name for name in FUNCTIONS if name.startswith(("ASim", "vim"))])


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "build"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def deploy(**given: Any) -> list[arm.Resource]:
    return arm.deploy(TEMPLATE, ANSWERS | given)


def test_template_is_what_the_sources_build() -> None:
    checked = build("--check")

    assert (checked.returncode, checked.stderr) == (0, "")


def test_template_that_differs_is_reported(tmp_path: Any) -> None:
    copied = tmp_path / "sentinel"
    subprocess.run(["cp", "-r", str(FOLDER), str(copied)], check=True)
    (copied / "azuredeploy.json").write_text("{}")
    command = [sys.executable, str(copied / "build"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert checked.returncode == 1
    assert "azuredeploy.json is not what its sources make" in checked.stderr


@pytest.mark.parametrize(
    "check",
    [
        checks.expressions_can_be_read,
        checks.parameters_and_variables_are_defined_and_used,
    ],
)
def test_template_can_be_read_by_arm(check: checks.Check) -> None:
    assert check(TEMPLATE) == []


def test_resources_have_an_api_version_that_exists() -> None:
    # https://learn.microsoft.com/azure/templates/
    versions = {
        SEARCHES: checks.API_VERSIONS[SEARCHES],
        ALERT_RULES: "2025-09-01",
        WORKBOOKS: "2022-04-01",
    }

    assert {each["type"]: each["apiVersion"] for each in TEMPLATE["resources"]} == versions


def test_resources_have_only_elements_that_arm_knows() -> None:
    # https://learn.microsoft.com/azure/azure-resource-manager/templates/resource-declaration
    known = {"condition", "type", "apiVersion", "name", "scope", "dependsOn", "location", "kind"}

    for resource in TEMPLATE["resources"]:
        assert set(resource) <= known | {"properties"}, resource["name"]


def test_sources_are_all_deployed() -> None:
    resources = deploy(microsoftAlias=True)

    functions = {
        each.body["properties"]["functionAlias"]: each.body["properties"]
        for each in of_type(resources, SEARCHES)
        if "functionAlias" in each.body["properties"]
    }
    assert {name: body["query"] for name, body in functions.items()} == {
        function.name: function.query for function in FUNCTIONS.values()
    }
    assert {
        each.body["name"]: each.body["properties"]["query"]
        for each in of_type(resources, ALERT_RULES)
    } == {rule.body["id"]: rule.query for rule in RULES}
    hunting = [
        each.body["properties"]
        for each in of_type(resources, SEARCHES)
        if each.body["properties"]["category"] == "Hunting Queries"
    ]
    assert {body["query"] for body in hunting} == {hunt.query for hunt in HUNTS}
    (workbook,) = of_type(resources, WORKBOOKS)
    assert json.loads(workbook.body["properties"]["serializedData"]) == WORKBOOK


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        ("parser", {SEARCHES: 1}),
        ("asim", {SEARCHES: ASIM}),
        ("analyticRules", {ALERT_RULES: len(RULES)}),
        ("huntingQueries", {SEARCHES: len(HUNTS)}),
        ("workbook", {WORKBOOKS: 1}),
    ],
)
def test_parts_can_be_left_out_one_by_one(part: str, missing: dict[str, int]) -> None:
    whole, less = deploy(), deploy(**{part: False})

    for kind in (SEARCHES, ALERT_RULES, WORKBOOKS):
        gone = len(of_type(whole, kind)) - len(of_type(less, kind))
        assert gone == missing.get(kind, 0), kind


def test_function_of_microsofts_name_is_deployed_only_when_asked_for() -> None:
    def aliases(resources: list[arm.Resource]) -> set[str]:
        found = (each.body["properties"] for each in of_type(resources, SEARCHES))
        return {body["functionAlias"] for body in found if "functionAlias" in body}

    assert aliases(deploy(microsoftAlias=True)) - aliases(deploy()) == {"JiraAudit"}
    assert aliases(deploy()) == set(FUNCTIONS) - {"JiraAudit"}


def test_rules_are_left_out_where_sentinel_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm, "CLOUD", "AzureChinaCloud")

    made = deploy()

    assert of_type(made, ALERT_RULES) == []
    assert of_type(made, SEARCHES)


def queries(**given: Any) -> dict[str, str]:
    return {
        each.name: each.body["properties"]["query"]
        for each in of_type(deploy(**given), ALERT_RULES)
    }


def test_thresholds_are_set_by_the_deployment() -> None:
    (rule,) = (rule for rule in RULES if rule.name == "JiraMassDeletion")

    tuned = queries(thresholds={"JiraMassDeletion_ManyThings": 25})

    assert tuned.pop(rule.body["id"]) == rule.query.replace("ManyThings = 10;", "ManyThings = 25;")
    assert tuned.items() < queries().items()


def test_page_lists_exactly_the_thresholds() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    told = {name: int(number) for name, number in re.findall(r"`(Jira\w+_\w+)` ([0-9]+)", page)}

    assert told == TEMPLATE["variables"]["defaults"]
    assert len(told) >= 15


def test_rules_wait_for_the_parser_and_may_be_disabled() -> None:
    for rule in of_type(deploy(enableRules=False), ALERT_RULES):
        assert rule.body["properties"]["enabled"] is False
        assert "savedSearches" in json.dumps(rule.body["dependsOn"])


def test_rule_is_deployed_as_its_source_says() -> None:
    (body,) = (
        each.body
        for each in of_type(deploy(), ALERT_RULES)
        if each.body["properties"]["displayName"]
        == "Jira - Administration at hours odd for the account"
    )
    properties = body["properties"]

    assert body["kind"] == "Scheduled"
    assert (properties["queryFrequency"], properties["queryPeriod"]) == ("PT1H", "P14D")
    assert (properties["triggerOperator"], properties["triggerThreshold"]) == ("GreaterThan", 0)
    assert properties["techniques"] == ["T1078"]


def test_parser_with_filters_is_saved_with_its_parameters() -> None:
    (found,) = (
        each.body["properties"]["functionParameters"]
        for each in of_type(deploy(), SEARCHES)
        if each.body["properties"].get("functionAlias") == "vimAuditEventAtlassianJira"
    )

    assert found.startswith("starttime:datetime=datetime(null), endtime:datetime=datetime(null)")
    assert "eventresult:string='*'" in found
    assert found.endswith("disabled:bool=false")


def test_resources_can_be_deployed_again() -> None:
    for saved in of_type(deploy(), SEARCHES):
        assert saved.body["properties"]["etag"] == "*", saved.name


def test_resources_have_stable_names() -> None:
    functions = ["JiraAudit Data Parser" if name == "JiraAudit" else name for name in FUNCTIONS]
    saved = [*functions, *(hunt.body["id"] for hunt in HUNTS)]
    resources = deploy(microsoftAlias=True)

    assert [each.name for each in of_type(resources, SEARCHES)] == [f"soc/{name}" for name in saved]
    assert [each.name for each in of_type(resources, ALERT_RULES)] == [
        rule.body["id"] for rule in RULES
    ]
    (workbook,) = (each for each in TEMPLATE["resources"] if each["type"] == WORKBOOKS)
    assert workbook["name"].startswith("[guid(resourceGroup().id, parameters('workspace'), '")


def test_resources_depend_only_on_the_templates_own() -> None:
    resources = deploy()
    there = {each.id for each in resources}

    for each in resources:
        assert set(each.depends_on) <= there, each.name
