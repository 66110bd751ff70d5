"""deploy/createUiDefinition.json, the portal's form, asks for what the template takes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from jira_audit.settings.table import SETTINGS
from tests.deploy import arm, checks
from tests.deploy.portal import ELEMENTS, FORM, elements, reference_to
from tests.deploy.test_template import parameter_of

PARAMETERS = checks.load()["parameters"]

# https://learn.microsoft.com/azure/azure-resource-manager/managed-applications/create-uidefinition-functions
FUNCTIONS = {
    *("and", "basics", "concat", "contains", "empty", "equals", "greaterOrEquals", "if", "int"),
    *("lessOrEquals", "location", "not", "or", "parse", "replace", "resourceGroup", "steps"),
    *("string", "subscription", "toLower"),
}
ANSWERED_BY_THE_FORM = {"workspaceResourceId", "location", "createTable", "createV2Table"}
"""Parameters that no element is named after: picked from a list, or found out."""


def test_form_answers_exactly_the_templates_parameters() -> None:
    assert set(FORM["outputs"]) == set(PARAMETERS)


def test_elements_are_unique_and_used() -> None:
    names = [element["name"] for _, element in elements()]
    used = "\n".join(
        text for part in ("outputs", "basics", "steps") for _, text in arm.texts(FORM[part])
    )

    assert len(set(names)) == len(names)
    silent = {"Microsoft.Common.InfoBox"}
    assert [
        reference
        for reference, each in elements()
        if reference not in used and each["type"] not in silent
    ] == []


def test_parameters_are_answered_by_the_element_of_their_name() -> None:
    for reference, element in elements():
        if element["name"] in PARAMETERS:
            assert reference in FORM["outputs"][element["name"]]
    assert set(PARAMETERS) - set(ELEMENTS) == ANSWERED_BY_THE_FORM


def test_expressions_name_only_what_exists() -> None:
    known = {reference for reference, _ in elements()}
    for path, node in arm.expressions(FORM):
        for call in arm.calls(node):
            assert call.name in FUNCTIONS, path
    for path, text in arm.texts(FORM):
        for named in re.findall(r"steps\('\w+'\)\.\w+|basics\('\w+'\)", text):
            assert named in known, path


@pytest.mark.parametrize("name", sorted(set(PARAMETERS) & set(ELEMENTS)))
def test_element_matches_its_parameter(name: str) -> None:
    element, parameter = ELEMENTS[name], PARAMETERS[name]
    kind = parameter["type"].lower()

    assert element["toolTip"] == parameter["metadata"]["description"]
    assert (element["type"] == "Microsoft.Common.PasswordBox") == kind.startswith("secure")
    assert (element["type"] == "Microsoft.Common.CheckBox") == (kind == "bool")
    if "defaultValue" not in parameter:
        assert element["constraints"]["required"]
    elif kind == "bool":
        assert element["defaultValue"] == parameter["defaultValue"]
    elif "allowedValues" in parameter:
        options = element["constraints"]["allowedValues"]
        values = [str(value) for value in parameter["allowedValues"]]
        assert [option["value"] for option in options] == values
        offered = {option["label"]: option["value"] for option in options}
        assert offered[element["defaultValue"]] == str(parameter["defaultValue"])
    elif kind == "int":
        assert int(element["defaultValue"]) == parameter["defaultValue"]
    elif kind in {"array", "object"}:
        assert element["defaultValue"] == ""
        empty = json.dumps(parameter["defaultValue"])
        assert f"parse(if(empty({reference_to(name)}), '{empty}'" in FORM["outputs"][name]
    elif kind == "string" and not arm.is_expression(parameter["defaultValue"]):
        assert element["defaultValue"] == parameter["defaultValue"]


WITHIN_BOUNDS = [
    name for name, each in PARAMETERS.items() if each["type"] == "int" and "minValue" in each
]


@pytest.mark.parametrize("name", WITHIN_BOUNDS)
def test_element_of_a_number_has_the_parameters_bounds(name: str) -> None:
    parameter = PARAMETERS[name]
    rules = [rule.get("isValid", "") for rule in ELEMENTS[name]["constraints"]["validations"]]

    bounds = [int(number) for number in re.findall(r", (-?\d+)\)", rules[1])]

    assert bounds == [parameter["minValue"], parameter["maxValue"]]


ASKED = {parameter_of(row): row for row in SETTINGS if parameter_of(row) in ELEMENTS}


@pytest.mark.parametrize("name", ASKED)
def test_element_has_the_default_and_bounds_of_its_setting(name: str) -> None:
    row, element = ASKED[name], ELEMENTS[name]

    if row.secret:
        assert element["type"] == "Microsoft.Common.PasswordBox"
        assert "defaultValue" not in element
    elif row.choices:
        options = element["constraints"]["allowedValues"]
        values = {option["label"]: option["value"] for option in options}
        assert tuple(values.values()) == row.choices
        assert values[element["defaultValue"]] == row.default
    else:
        assert element["defaultValue"] == ("" if row.default is None else str(row.default))
    if row.kind == "number":
        rules = [rule.get("isValid", "") for rule in element["constraints"]["validations"]]
        bounds = re.findall(r", (-?\d+)\)", rules[1])
        assert [int(bound) for bound in bounds] == [row.at_least, row.at_most]


def test_elements_exist_for_every_number_and_choice() -> None:
    names = {row.name for row in SETTINGS if row.kind in {"number", "choice"}}

    assert names <= {row.name for row in ASKED.values()}


@pytest.mark.parametrize(
    "name", [n for n, each in ELEMENTS.items() if "regex" in each.get("constraints", {})]
)
def test_element_accepts_its_own_default(name: str) -> None:
    element = ELEMENTS[name]
    default = element.get("defaultValue", "")

    if not arm.is_expression(default) and not element["constraints"]["required"]:
        assert re.search(element["constraints"]["regex"], default)


def test_workspace_is_chosen_from_all_subscriptions() -> None:
    workspace = ELEMENTS["workspace"]

    assert workspace["type"] == "Microsoft.Solutions.ResourceSelector"
    assert workspace["resourceType"] == "Microsoft.OperationalInsights/workspaces"
    assert workspace["options"]["filter"] == {"subscription": "all", "location": "all"}
    assert FORM["outputs"]["workspaceResourceId"] == "[basics('workspace').id]"


@pytest.mark.parametrize(
    ("parameter", "table"),
    [("createTable", "Jira_Audit_CL"), ("createV2Table", "Jira_Audit_v2_CL")],
)
@pytest.mark.parametrize(
    ("found", "made"),
    [(["Jira_Audit_CL", "Jira_Audit_v2_CL", "Other_CL"], False), (["Other_CL"], True), ([], False)],
)
def test_table_is_made_only_if_the_workspace_has_none(
    parameter: str, table: str, found: list[str], made: bool
) -> None:
    class Portal(arm.Scope):
        def _basics(self, name: str) -> Any:
            assert name == "workspaceTables"
            return {"value": [{"name": each} for each in found]}

    assert Portal({}).value(FORM["outputs"][parameter]) is made
    assert f'"{table}"' in FORM["outputs"][parameter]
