"""Deployments: a template worked out, looked at as a whole, and carried out resource by resource.

https://learn.microsoft.com/azure/azure-resource-manager/templates/deployment-tutorial-local-template
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.deploy import arm
from tests.servers.azure.cloud import Azure, Body
from tests.servers.azure.places import group_of, key, name_of, subscription_of, type_of
from tests.servers.azure.refusal import Refusal, unauthorized

NESTED = "Microsoft.Resources/deployments"
_READ = re.compile(r"<(/subscriptions/[^>]*)>")

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "securestring": str,
    "int": int,
    "bool": bool,
    "array": list,
    "object": dict,
    "secureobject": dict,
}


def validate(azure: Azure, group_id: str, properties: Body) -> list[arm.Resource]:
    """Look at a deployment as Azure does before it begins, and change nothing.

    Writes of nested deployments whose parameters are known beforehand are looked at as well.
    https://learn.microsoft.com/azure/azure-resource-manager/templates/template-test-cases
    """
    if key(group_id) not in azure.groups:
        raise Refusal(404, "ResourceGroupNotFound", f"No group {name_of(group_id)}")
    found = [each for each in _work_out(azure, group_id, properties) if each.active]
    late = {each.id for each in found if each.type == NESTED and _waits(each.body)}
    lacking = [
        unauthorized(action, scope)
        for each in found
        if each.template not in late
        for action, scope in azure.actions(each.id, each.body)
        if not azure.person.may(action, scope)
    ]
    if lacking:
        raise Refusal(
            403,
            "InvalidTemplateDeployment",
            "Deployment failed with multiple errors: " + " ".join(each.message for each in lacking),
        )
    _register(azure, found)
    return found


def _register(azure: Azure, found: list[arm.Resource]) -> None:
    """Providers of a template are registered with it, by whoever may.

    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-providers-and-types
    """
    for each in found:
        subscription, namespace = subscription_of(each.id), each.type.partition("/")[0]
        if azure.is_registered(subscription, namespace):
            continue
        if not azure.person.may(f"{namespace}/register/action", f"/subscriptions/{subscription}"):
            raise Refusal(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'.",
            )
        azure.register(subscription, namespace)


def _waits(body: Any) -> bool:
    """Whether a nested deployment's parameters are known only once something else was made."""
    if isinstance(body, arm.Runtime):
        return True
    if isinstance(body, dict):
        return any(_waits(value) for name, value in body.items() if name != "outputs")
    if isinstance(body, list):
        return any(map(_waits, body))
    return isinstance(body, str) and _READ.search(body) is not None


def _work_out(azure: Azure, group_id: str, properties: Body) -> list[arm.Resource]:
    template = properties["template"]
    try:
        given = _given(template, properties.get("parameters") or {})
        return arm.deploy(template, given, _place(azure, group_id))
    except arm.TemplateError as error:
        raise Refusal(400, "InvalidTemplate", str(error)) from error


def _place(azure: Azure, group_id: str) -> arm.Place:
    group = azure.groups[key(group_id)]
    return arm.Place(subscription_of(group_id), name_of(group_id), group["location"])


def _given(template: Body, parameters: Body) -> dict[str, Any]:
    given = {name: each["value"] for name, each in parameters.items()}
    for name, value in given.items():
        declared = template["parameters"].get(name)
        if declared is None:
            raise arm.TemplateError(f"no such parameter: {name}")
        kind = _KINDS[declared["type"].lower()]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise arm.TemplateError(f"parameter {name} is no {declared['type']}: {value!r}")
        low, high = declared.get("minValue"), declared.get("maxValue")
        if (low is not None and value < low) or (high is not None and value > high):
            raise arm.TemplateError(f"parameter {name} is not within its bounds: {value}")
    return given


@dataclass
class Deployment:
    """One deployment under way."""

    azure: Azure
    resources: list[arm.Resource]
    done: set[str]

    def carry_out(self) -> None:
        for each in self.resources:
            self._reach(each)

    def _reach(self, resource: arm.Resource) -> None:
        """Write what this one needs, and then itself; of a nested one, all that is in it."""
        if resource.id in self.done or not resource.active:
            return
        self.done.add(resource.id)
        if resource.template:
            [outer] = [each for each in self.resources if each.id == resource.template]
            self._reach_needs(outer)
        self._reach_needs(resource)
        self._write(resource)
        for inner in self.resources:
            if inner.template == resource.id:
                self._reach(inner)

    def _reach_needs(self, resource: arm.Resource) -> None:
        needed = {key(each) for each in (*resource.depends_on, *resource.references)}
        for each in self.resources:
            # A parent is written before its parts only if that is said; Azure is not kinder.
            if key(each.id) in needed or (each.loop and each.loop in resource.depends_on):
                self._reach(each)

    def _write(self, resource: arm.Resource) -> None:
        if resource.type == NESTED:
            self.azure.demand(f"{NESTED}/write", group_of(resource.id))
            # Outputs are worked out when somebody reads them.
            outputs = resource.body["properties"].get("outputs", {})
            named = {name: {"value": value} for name, value in outputs.items()}
            self.azure.deployments[key(resource.id)] = {
                "id": resource.id,
                "properties": {"outputs": named},
            }
            return
        plain = {n: each for n, each in resource.body.items() if n not in _ONLY_IN_TEMPLATES}
        body = _resolve(self.azure, plain)
        try:
            self.azure.put(resource.id, body)
        except Refusal as refused:
            detail = {"code": refused.code, "message": refused.message, "target": resource.id}
            raise Refusal(
                409,
                "DeploymentFailed",
                "At least one resource deployment operation failed.",
                [detail],
            ) from refused


_ONLY_IN_TEMPLATES = {"apiVersion", "dependsOn", "scope", "type", "name"}


def _resolve(azure: Azure, value: Any) -> Any:
    """A value with what it reads from other resources, which by now are there."""
    if isinstance(value, arm.Runtime):
        return _read(azure, value.text)
    if isinstance(value, str):
        return _READ.sub(lambda found: str(_read(azure, found[1])), value)
    if isinstance(value, list):
        return [_resolve(azure, each) for each in value]
    if isinstance(value, dict):
        return {name: _resolve(azure, each) for name, each in value.items()}
    return value


def _read(azure: Azure, text: str) -> Any:
    """`id@version.a.b`, or `id@version Full.a.b`, as arm.Runtime writes it."""
    resource_id, _, rest = text.partition("@")
    full = " Full" in rest
    version_and_path = rest.replace(" Full", "")
    path = re.sub(r"^\d{4}-\d{2}-\d{2}(-preview)?", "", version_and_path)
    if type_of(resource_id).lower() == NESTED.lower():
        found: Any = azure.deployments[key(resource_id)]
    else:
        found = azure.get(resource_id)
    found = found if full else found["properties"]
    for name in filter(None, path.split(".")):
        found = found[name]
    return _resolve(azure, found)


def create(azure: Azure, deployment_id: str, properties: Body) -> Body:
    """Carry a deployment out, or refuse it; what was made before something failed stays."""
    group_id = group_of(deployment_id)
    azure.demand(f"{NESTED}/write", group_id)
    record = azure.deployments.get(key(deployment_id), {})
    if (until := record.get("active_until")) is not None and azure.now < until:
        raise Refusal(409, "DeploymentActive", f"{name_of(deployment_id)} is being carried out.")
    found = validate(azure, group_id, properties)
    Deployment(azure, found, set()).carry_out()
    given = _given(properties["template"], properties.get("parameters") or {})
    place = _place(azure, group_id)
    outputs = arm.outputs(properties["template"], given, place)
    body = {
        "id": deployment_id,
        "name": name_of(deployment_id),
        "type": NESTED,
        "properties": {
            "provisioningState": "Succeeded",
            "mode": "Incremental",
            "outputs": {
                name: {"type": "String", "value": value}
                for name, value in _resolve(azure, outputs).items()
            },
        },
    }
    azure.deployments[key(deployment_id)] = body
    return body


def ids(found: list[arm.Resource]) -> Iterator[str]:
    """The ids that a validation shows: not those of nested deployments' parts that wait."""
    for each in found:
        if each.type != NESTED:
            yield each.id
