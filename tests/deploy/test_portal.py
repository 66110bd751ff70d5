"""Whoever fills in the portal's form gets a connector that runs, and the same one the next time."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest

from jira_audit.settings.load import load
from tests.deploy import arm, checks
from tests.deploy.portal import ELEMENTS, FORM, Portal, elements, fill
from tests.deploy.test_template import NOW, in_azure

SITES = [
    {
        "url": f"https://{name}.atlassian.net",
        "username": "auditor@contoso.example",
        "api_token_setting": f"JIRA_API_TOKEN_{name.upper()}",
    }
    for name in ("one", "two")
]
FILLED: dict[str, dict[str, str]] = {
    "token": {},
    "scoped": {"scopedCloudId": "9a1f5b0e-7c56-4f5e-9d0e-2f4b8c6d7e8f"},
    "serviceToken": {"scopedCloudId": "9a1f5b0e-7c56-4f5e-9d0e-2f4b8c6d7e8f"},
    "service": {"jiraOauthClientId": "client", "jiraOauthClientSecret": "a secret"},
    "several": {
        "jiraSites": json.dumps(SITES),
        "jiraSiteTokens": json.dumps({each["api_token_setting"]: "a secret" for each in SITES}),
    },
}
"""What is typed for each way into Jira; everything that another way asks for is typed as well."""

ALL = {
    "jiraSiteUrl": "https://contoso.atlassian.net",
    "jiraUsername": "auditor@contoso.example",
    "jiraApiToken": "a secret token",
    "jiraTokenExpires": "2027-03-31",
    "packageUri": checks.PACKAGE,
}
for _filled in FILLED.values():
    ALL |= _filled


def deploy(portal: Portal) -> list[arm.Resource]:
    return arm.deploy(checks.load(), portal.value(FORM["outputs"]))


def test_first_question_is_the_way_into_jira() -> None:
    asked = [element for _, element in elements() if "label" in element]

    assert asked[0]["name"] == "wayIn"


def connector(group: str) -> dict[str, str]:
    """As a list of resources has a Function App."""
    where = f"/subscriptions/{arm.SUBSCRIPTION}/resourceGroups/{group}"
    return {"id": f"{where}/providers/Microsoft.Web/sites/jira-audit-abc"}


@pytest.mark.parametrize(
    ("connectors", "shown"),
    [
        ([], set()),
        ([connector(arm.RESOURCE_GROUP.upper())], {"connectorIsHere"}),
        ([connector("other")], {"connectorIsElsewhere"}),
        ([connector(f"{arm.RESOURCE_GROUP}-2")], {"connectorIsElsewhere"}),
        ([connector("other"), connector(arm.RESOURCE_GROUP)], {"connectorIsHere"}),
    ],
)
def test_form_says_that_a_connector_is_there(
    connectors: list[dict[str, str]], shown: set[str]
) -> None:
    portal = fill(connectors=connectors)
    boxes = ("connectorIsHere", "connectorIsElsewhere")

    assert {name for name in boxes if portal.value(ELEMENTS[name]["visible"]) is True} == shown


def test_form_looks_for_the_tag_that_the_template_writes() -> None:
    path = fill().value(ELEMENTS["connectors"]["request"]["path"])
    [tag] = re.findall("tagName eq '([^']*)'", unquote(path))

    assert path.startswith(f"/subscriptions/{arm.SUBSCRIPTION}/resources?")
    assert tag in checks.site(deploy(fill(**ALL))).body["tags"]


def test_form_takes_a_resource_group_that_has_the_connector() -> None:
    """By default a solution's form takes a new or an empty one."""
    assert FORM["config"]["basics"]["resourceGroup"]["allowExisting"] is True


REGIONS = [{"name": "North Europe"}, {"name": "East US 2"}]


@pytest.mark.parametrize(
    ("answers", "right"),
    [
        ({"flexRegions": REGIONS}, True),
        ({"flexRegions": REGIONS[1:]}, False),
        ({"flexRegions": REGIONS[1:], "hostingPlan": "premium"}, True),
        ({"flexRegions": [{"name": "North Europe 2"}]}, False),
        ({"flexRegions": []}, True),  # nobody knows: Azure says so at the deployment
    ],
)
def test_region_without_flex_consumption_ends_the_form(
    answers: dict[str, Any], right: bool
) -> None:
    [rule] = [
        each["isValid"]
        for each in ELEMENTS["packageUri"]["constraints"]["validations"]
        if "isValid" in each
    ]

    assert fill(**answers).value(rule) is right


def test_private_endpoints_need_a_way_to_them() -> None:
    [rule] = [
        each["isValid"]
        for each in ELEMENTS["privateEndpointSubnetResourceId"]["constraints"]["validations"]
        if "isValid" in each
    ]
    subnets = {name: value for name, value in checks.CLOSED.items() if "Subnet" in name}

    assert fill().value(rule) is True
    assert fill(**subnets).value(rule) is True
    assert fill(**subnets | {"outboundSubnetResourceId": ""}).value(rule) is False


def test_every_way_into_jira_is_offered() -> None:
    options = ELEMENTS["wayIn"]["constraints"]["allowedValues"]

    assert [each["value"] for each in options] == list(FILLED)


@pytest.mark.parametrize("before", [{}, ALL], ids=["at once", "after other ways"])
@pytest.mark.parametrize("way", FILLED)
def test_connector_takes_the_settings_of_every_way(way: str, before: dict[str, str]) -> None:
    first = {name: ALL[name] for name in ("jiraSiteUrl", "jiraUsername", "jiraApiToken")}
    portal = fill(**(before or first) | {"wayIn": way} | FILLED[way])

    settings = load(in_azure(checks.app_settings(deploy(portal))), NOW)

    assert settings.invalid == ()
    assert len(settings.sites) == (2 if way == "several" else 1)


@pytest.mark.parametrize("way", FILLED)
def test_fields_of_a_way_are_shown_and_required(way: str) -> None:
    portal = fill(wayIn=way)
    shown = {
        element["name"]
        for _, element in elements()
        if element["name"] in {*ALL, "jiraCloudId"} and portal.value(element["visible"]) is True
    }

    own = set(FILLED[way]) | {"packageUri"}
    if way != "several":
        own |= {"jiraSiteUrl", "jiraTokenExpires"}
    if way in {"token", "scoped", "serviceToken"}:
        own |= {"jiraUsername", "jiraApiToken"}
    if way == "service":
        own |= {"jiraCloudId"}
    assert shown == own
    optional = {name for name in own if not ELEMENTS[name]["constraints"]["required"]}
    assert optional <= {"jiraTokenExpires", "jiraCloudId"}


def test_form_deploys_the_code() -> None:
    [code] = checks.of_type(deploy(fill(**ALL)), "Microsoft.Web/sites/extensions")

    assert code.body["properties"]["packageUri"] == checks.PACKAGE
    assert ELEMENTS["packageUri"]["constraints"]["required"]
    form_of_address = ELEMENTS["packageUri"]["constraints"]["validations"][0]["regex"]
    assert re.search(form_of_address, checks.PACKAGE)
    assert not re.search(form_of_address, "")


@pytest.mark.parametrize(("uri", "says"), [("", "no code in the app"), (checks.PACKAGE, "403")])
def test_outputs_say_what_comes_next(uri: str, says: str) -> None:
    outputs = arm.outputs(checks.load(), checks.ANSWERS | {"packageUri": uri})

    assert says in outputs["nextStep"]


def test_form_and_script_name_the_same_connector() -> None:
    script = {"createTable": False, "jiraApiToken": "", "packageUri": ""}
    answers = {name: value for name, value in checks.ANSWERS.items() if name != "tags"}
    by_script = arm.deploy(checks.load(), answers | script)
    by_form = deploy(fill(**ALL))

    for kind in (
        "Microsoft.Web/sites",
        "Microsoft.Storage/storageAccounts",
        "Microsoft.KeyVault/vaults",
        "Microsoft.Insights/dataCollectionRules",
        "Microsoft.ManagedIdentity/userAssignedIdentities",
    ):
        assert [each.id for each in checks.of_type(by_form, kind)] == [
            each.id for each in checks.of_type(by_script, kind)
        ]
    assert checks.site(by_form).name.startswith("jira-audit-")


@pytest.mark.parametrize(
    ("subtype", "tables", "right"),
    [
        ("Classic", "classic", False),
        ("Classic", "both", False),
        ("Classic", "v2", True),
        ("DataCollectionRuleBased", "classic", True),
    ],
)
def test_classic_table_ends_the_form(subtype: str, tables: str, right: bool) -> None:
    table = {"properties": {"schema": {"name": "Jira_Audit_CL", "tableSubType": subtype}}}
    [rule] = [
        each["isValid"]
        for each in ELEMENTS["tableRetentionDays"]["constraints"]["validations"]
        if "classic table" in each["message"]
    ]

    assert fill(classicTable=table, tables=tables).value(rule) is right
    assert fill(classicTable="", tables=tables).value(rule) is True  # there is none


@pytest.mark.parametrize("email", ["", "soc@contoso.example"])
def test_form_warns_of_alerts_that_tell_nobody(email: str) -> None:
    assert fill(alertEmail=email).value(ELEMENTS["nobodyIsTold"]["visible"]) is (not email)
