"""The portal's form, deploy/createUiDefinition.json, and what it makes of the answers in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.deploy import arm, checks

FORM = json.loads(checks.FORM.read_text(encoding="utf-8"))["parameters"]


def elements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every element, and how an expression names it."""
    for element in FORM["basics"]:
        yield f"basics('{element['name']}')", element
    for step in FORM["steps"]:
        for element in step["elements"]:
            yield f"steps('{step['name']}').{element['name']}", element


def reference_to(name: str) -> str:
    (found,) = [reference for reference, each in elements() if each["name"] == name]
    return found


ELEMENTS = {element["name"]: element for _, element in elements()}


class Portal(arm.Scope):
    """The form as somebody filled it in; what is hidden keeps what was typed before."""

    answers: dict[str, Any]

    def _answer(self, name: str) -> Any:
        if name == "workspace":
            return {"id": checks.WORKSPACE}
        if name == "workspaceTables":
            return {"value": [{"name": "Heartbeat"}]}
        if name in {"connectors", "flexRegions"}:
            return {"value": self.answers.get(name, [])}
        element = ELEMENTS[name]
        default = element.get("defaultValue", "")
        if element["type"] == "Microsoft.Common.DropDown":
            options = element["constraints"]["allowedValues"]
            default = {each["label"]: each["value"] for each in options}[default]
        return self.answers.get(name, default)

    def _basics(self, name: str) -> Any:
        return self._answer(name)

    def _steps(self, name: str) -> dict[str, Any]:
        [step] = [each for each in FORM["steps"] if each["name"] == name]
        return {each["name"]: self._answer(each["name"]) for each in step["elements"]}

    def _location(self) -> str:
        return "northeurope"

    def _parse(self, text: str) -> Any:
        return json.loads(text)

    def _int(self, text: str) -> int:
        return int(text)


def fill(**answers: Any) -> Portal:
    portal = Portal({})
    portal.answers = answers
    return portal
