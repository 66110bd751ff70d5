"""The template: what the sources make, and nothing less; each part can be left out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.deploy import arm
from tests.deploy.checks import of_type
from tests.sentinel.content import FOLDER, FUNCTIONS, HUNTS, RULES, WORKBOOK

TEMPLATE = json.loads((FOLDER / "azuredeploy.json").read_text(encoding="utf-8"))
ANSWERS = {"workspace": "soc"}
SEARCHES = "Microsoft.OperationalInsights/workspaces/savedSearches"
ALERT_RULES = "Microsoft.SecurityInsights/alertRules"
WORKBOOKS = "Microsoft.Insights/workbooks"
ASIM = len(FUNCTIONS) - 1


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "build"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def deployed(**given: Any) -> list[arm.Resource]:
    return arm.deployed(TEMPLATE, ANSWERS | given)


def test_the_committed_template_is_what_the_sources_make() -> None:
    checked = build("--check")

    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_template_that_differs_is_told_of(tmp_path: Any) -> None:
    copied = tmp_path / "sentinel"
    subprocess.run(["cp", "-r", str(FOLDER), str(copied)], check=True)
    (copied / "azuredeploy.json").write_text("{}")
    command = [sys.executable, str(copied / "build"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert checked.returncode == 1
    assert "azuredeploy.json is not what its sources make" in checked.stderr


def test_every_source_is_deployed() -> None:
    resources = deployed()

    functions = {
        each.body["properties"]["functionAlias"]: each.body["properties"]
        for each in of_type(resources, SEARCHES)
        if "functionAlias" in each.body["properties"]
    }
    assert {name: body["query"] for name, body in functions.items()} == {
        function.name: function.query for function in FUNCTIONS.values()
    }
    assert {each.body["name"] for each in of_type(resources, ALERT_RULES)} == {
        rule.body["id"] for rule in RULES
    }
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
def test_a_part_can_be_left_out_and_nothing_else_goes_with_it(
    part: str, missing: dict[str, int]
) -> None:
    whole, less = deployed(), deployed(**{part: False})

    for kind in (SEARCHES, ALERT_RULES, WORKBOOKS):
        gone = len(of_type(whole, kind)) - len(of_type(less, kind))
        assert gone == missing.get(kind, 0), kind


def test_rules_wait_for_the_parser_and_may_be_there_without_running() -> None:
    for rule in of_type(deployed(enableRules=False), ALERT_RULES):
        assert rule.body["properties"]["enabled"] is False
        assert "savedSearches" in json.dumps(rule.body["dependsOn"])


def test_a_rule_is_deployed_as_its_source_says() -> None:
    (body,) = (
        each.body
        for each in of_type(deployed(), ALERT_RULES)
        if each.body["properties"]["displayName"]
        == "Jira - Administration at hours odd for the account"
    )
    properties = body["properties"]

    assert body["kind"] == "Scheduled"
    assert (properties["queryFrequency"], properties["queryPeriod"]) == ("PT1H", "P14D")
    assert (properties["triggerOperator"], properties["triggerThreshold"]) == ("GreaterThan", 0)
    assert properties["techniques"] == ["T1078"]


def test_the_filtering_parser_is_saved_with_its_parameters() -> None:
    (found,) = (
        each.body["properties"]["functionParameters"]
        for each in of_type(deployed(), SEARCHES)
        if each.body["properties"].get("functionAlias") == "vimAuditEventAtlassianJira"
    )

    assert found.startswith("starttime:datetime=datetime(null), endtime:datetime=datetime(null)")
    assert "eventresult:string='*'" in found
    assert found.endswith("disabled:bool=false")


def test_deployed_again_everything_has_the_same_name() -> None:
    first, second = deployed(), deployed()

    assert [each.name for each in first] == [each.name for each in second]
