"""The reader of templates reads as Azure does, as far as it goes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy import arm

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("[[not one]", "[not one]"),
        ("[concat('it''s', ' [one]')]", "it's [one]"),
        ("[format('{0}/{1}/{0}', 'a', 2)]", "a/2/a"),
        ("[split('/a/b', '/')[2]]", "b"),
        ("[createObject('a', createArray(1, 2)).a[1]]", 2),
        ("[if(empty(''), 'yes', split('x', '/')[9])]", "yes"),
        ("[union(createObject('a', 1), createObject('a', 2, 'b', 3))]", {"a": 2, "b": 3}),
        (
            "[map(items(createObject('b', 1, 'a', 2)), lambda('i', lambdaVariables('i').key))]",
            ["a", "b"],
        ),
        (
            "[filter(createArray(1, 2), lambda('i', equals(lambdaVariables('i'), 2)))]",
            [2],
        ),
    ],
)
def test_expression_is_evaluated(text: str, value: object) -> None:
    assert arm.Scope({}).value(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "[concat('a'",
        "[concat('a']",
        "[concat('a') 'b']",
        "[concat('a' 'b')]",
        "[concat('a)]",
        "[name]",
        "[]",
        "[concat('a').]",
        "[createArray(1)[0]",
        "[a-b()]",
    ],
)
def test_expression_with_a_syntax_error_is_refused(text: str) -> None:
    with pytest.raises(arm.TemplateError):
        arm.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "[parameters('none')]",
        "[variables('none')]",
        "[nothing()]",
        "[copyIndex()]",
        "[createObject('a', 1).b]",
        "[resourceId('A/b/c', 'one')]",
        "[toLower()]",
    ],
)
def test_expression_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(arm.TemplateError):
        arm.Scope({}).value(text)


def template(**more: Any) -> dict[str, Any]:
    return {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": [], **more}


def test_parameter_is_given_or_has_a_default() -> None:
    asked = template(
        parameters={
            "name": {"type": "string"},
            "longer": {"type": "string", "defaultValue": "[concat(parameters('name'), '!')]"},
        },
        outputs={"out": {"type": "string", "value": "[parameters('longer')]"}},
    )

    assert arm.outputs(asked, {"name": "a"}) == {"out": "a!"}
    assert arm.outputs(asked, {"name": "a", "longer": "[as it is]"}) == {"out": "[as it is]"}
    with pytest.raises(arm.TemplateError, match="has no value"):
        arm.outputs(asked, {})
    with pytest.raises(arm.TemplateError, match="no such"):
        arm.outputs(asked, {"name": "a", "other": "b"})


def test_resources_come_from_loops_conditions_and_nesting() -> None:
    inner = template(
        parameters={"name": {"type": "string"}},
        resources=[
            {
                "type": "A/things",
                "name": "[parameters('name')]",
                "apiVersion": "1",
                "scope": "B/others/x",
            }
        ],
    )
    outer = template(
        variables={
            "copy": [{"name": "names", "count": 2, "input": "[string(copyIndex('names'))]"}]
        },
        resources=[
            {
                "type": "A/things",
                "apiVersion": "1",
                "copy": {"name": "each", "count": "[length(variables('names'))]"},
                "name": "[variables('names')[copyIndex()]]",
                "condition": "[equals(copyIndex(), 0)]",
                "dependsOn": ["far"],
            },
            {
                "type": "Microsoft.Resources/deployments",
                "apiVersion": "1",
                "name": "far",
                "subscriptionId": "s",
                "resourceGroup": "g",
                "properties": {
                    "parameters": {"name": {"value": "[reference('id', '1').name]"}},
                    "template": inner,
                },
            },
        ],
    )

    zero, one, far, thing = arm.deploy(outer, {})

    here = f"/subscriptions/{arm.SUBSCRIPTION}/resourceGroups/{arm.RESOURCE_GROUP}/providers"
    assert (zero.id, zero.active, zero.loop) == (f"{here}/A/things/0", True, "each")
    assert (one.active, one.depends_on) == (False, ("far",))
    assert far.references == {"id"}
    assert thing.template == far.id
    assert thing.id == (
        "/subscriptions/s/resourceGroups/g/providers/B/others/x/providers/A/things/<id@1.name>"
    )
