"""A small reader of ARM templates: parses their expressions, and works out what would be deployed.

Enough of the language for our own template, and strict about it: an unknown function, parameter or
variable is an error. What only Azure knows at run time (`reference`) becomes a `Runtime`, which
remembers where it came from.
https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import Any

SUBSCRIPTION = "00000000-0000-0000-0000-00000000000a"
RESOURCE_GROUP = "connector"
LOCATION = "northeurope"
CLOUD = "AzureCloud"
FUNCTIONS_OF_ARM = {
    *("and", "array", "base64", "bool", "coalesce", "concat", "contains", "copyIndex"),
    *("createArray", "createObject", "deployment", "empty", "endsWith", "environment", "equals"),
    *("extensionResourceId", "false", "filter", "format", "greater", "guid", "if", "int", "items"),
    *("join", "json", "lambda", "lambdaVariables", "last", "length", "less", "map", "max", "min"),
    *("mul", "not", "null", "or", "parameters", "reference", "replace", "resourceGroup"),
    *("resourceId", "split", "startsWith", "string", "subscription", "subscriptionResourceId"),
    *("substring", "take", "toLower", "toUpper", "true", "union", "uniqueString", "uri"),
    "variables",
}
"""Those that a template may use here; an addition is looked up in the reference first:
https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions"""


class TemplateError(Exception):
    """The template would be refused."""


# Expressions


@dataclass(frozen=True)
class Literal:
    value: str | int


@dataclass(frozen=True)
class Call:
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Member:
    of: Node
    key: Node


Node = Literal | Call | Member

_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(-?\d+)|([A-Za-z_]\w*)|([()\[\].,]))")


def is_expression(text: object) -> bool:
    return isinstance(text, str) and text.startswith("[") and not text.startswith("[[")


@cache
def parse(text: str) -> Node:
    """The syntax tree of `[…]`. Raises TemplateError where brackets or quotes do not match."""
    if not text.endswith("]"):
        raise TemplateError(f"the expression does not end: {text}")
    tokens = list(_tokens(text[1:-1]))
    node, rest = _node(tokens, 0)
    if rest != len(tokens):
        raise TemplateError(f"there is more after the expression: {text}")
    return node


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise TemplateError(f"cannot be read: {text[at:]}")
        yield found[0].strip()
        at = found.end()


def _node(tokens: list[str], at: int) -> tuple[Node, int]:
    token = _at(tokens, at)
    node: Node
    if token.startswith("'"):
        node, at = Literal(token[1:-1].replace("''", "'")), at + 1
    elif re.fullmatch(r"-?\d+", token):
        node, at = Literal(int(token)), at + 1
    elif re.fullmatch(r"\w+", token):
        arguments, at = _arguments(tokens, at + 1)
        node = Call(token, arguments)
    else:
        raise TemplateError(f"unexpected {token}")
    while at < len(tokens) and tokens[at] in {".", "["}:
        if tokens[at] == ".":
            node, at = Member(node, Literal(_at(tokens, at + 1))), at + 2
        else:
            key, at = _node(tokens, at + 1)
            if _at(tokens, at) != "]":
                raise TemplateError("a bracket is not closed")
            node, at = Member(node, key), at + 1
    return node, at


def _arguments(tokens: list[str], at: int) -> tuple[tuple[Node, ...], int]:
    if _at(tokens, at) != "(":
        raise TemplateError(f"{tokens[at - 1]} is no call")
    arguments: list[Node] = []
    at += 1
    while _at(tokens, at) != ")":
        if arguments:
            if tokens[at] != ",":
                raise TemplateError(f"a comma is missing before {tokens[at]}")
            at += 1
        node, at = _node(tokens, at)
        arguments.append(node)
    return tuple(arguments), at + 1


def _at(tokens: list[str], at: int) -> str:
    if at >= len(tokens):
        raise TemplateError("the expression is not complete")
    return tokens[at]


def calls(node: Node) -> Iterator[Call]:
    """Every call within an expression, outermost first."""
    if isinstance(node, Call):
        yield node
        for argument in node.arguments:
            yield from calls(argument)
    elif isinstance(node, Member):
        yield from calls(node.of)
        yield from calls(node.key)


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, keys included, and where it is."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}/{key}", key
            yield from texts(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts(item, f"{path}/{index}")


def expressions(value: Any) -> Iterator[tuple[str, Node]]:
    """Every expression in a JSON value, and where it is."""
    for path, text in texts(value):
        if is_expression(text):
            yield path, parse(text)


# What would be deployed


@dataclass(frozen=True)
class Runtime:
    """A value that is there only once the resource is."""

    text: str

    def __str__(self) -> str:
        return f"<{self.text}>"


@dataclass(frozen=True)
class Resource:
    """One resource as it would be sent to Azure.

    `references` are the ids that its values are read from; `template` is the id of the nested
    deployment it stands in, or empty; `loop` the name of its copy loop.
    """

    id: str
    type: str
    name: str
    active: bool
    body: dict[str, Any]
    depends_on: tuple[str, ...]
    references: frozenset[str]
    template: str
    loop: str


@dataclass(frozen=True)
class Default:
    """A parameter's default, which may be made of other parameters."""

    value: Any


@dataclass
class Scope:
    """Where an expression is worked out: one template, its parameters, and its place in Azure."""

    parameters: dict[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict)
    subscription: str = SUBSCRIPTION
    group: str = RESOURCE_GROUP
    location: str = LOCATION
    indices: dict[str, int] = field(default_factory=dict)
    lambdas: dict[str, Any] = field(default_factory=dict)
    references: set[str] = field(default_factory=set)

    def value(self, item: Any) -> Any:
        """A JSON value with all its expressions worked out."""
        if is_expression(item):
            return self.evaluate(parse(item))
        if isinstance(item, str):
            return item.removeprefix("[") if item.startswith("[[") else item
        if isinstance(item, list):
            return [self.value(element) for element in item]
        if isinstance(item, dict):
            return {str(self.value(key)): self.value(element) for key, element in item.items()}
        return item

    def evaluate(self, node: Node) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Member):
            of, key = self.evaluate(node.of), self.evaluate(node.key)
            if isinstance(of, Runtime):
                return Runtime(f"{of.text}.{key}")
            try:
                return of[key]
            except (KeyError, IndexError, TypeError):
                raise TemplateError(f"there is no {key}") from None
        if node.name == "if":  # the other branch may not be there at all
            condition, then, otherwise = node.arguments
            return self.evaluate(then if self.evaluate(condition) is True else otherwise)
        if node.name == "lambda":
            *names, body = node.arguments
            return self._lambda([str(self.evaluate(name)) for name in names], body)
        arguments = [self.evaluate(argument) for argument in node.arguments]
        method = getattr(self, f"_{node.name}", None)
        function = _FUNCTIONS.get(node.name)
        if method is None and function is None:
            raise TemplateError(f"{node.name} is no function known here")
        try:
            return method(*arguments) if method else function(*arguments)  # type: ignore[misc]
        except TypeError as error:
            raise TemplateError(f"{node.name}: {error}") from error

    def _lambda(self, names: list[str], body: Node) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            inner = {**self.lambdas, **dict(zip(names, values, strict=True))}
            return replace(self, lambdas=inner).evaluate(body)

        return call

    def _lambdaVariables(self, name: str) -> Any:  # noqa: N802  ARM's name
        return self.lambdas[name]

    def _parameters(self, name: str) -> Any:
        if name not in self.parameters:
            raise TemplateError(f"parameter {name} is not defined")
        value = self.parameters[name]
        return self.value(value.value) if isinstance(value, Default) else value

    def _variables(self, name: str) -> Any:
        for loop in self.variables.get("copy", []):
            if loop["name"] == name:
                return [
                    replace(self, indices={**self.indices, name: index}).value(loop["input"])
                    for index in range(self.value(loop["count"]))
                ]
        if name not in self.variables or name == "copy":
            raise TemplateError(f"variable {name} is not defined")
        return self.value(self.variables[name])

    def _copyIndex(self, name: str = "") -> int:  # noqa: N802  ARM's name
        if name not in self.indices:
            raise TemplateError("copyIndex outside of its loop")
        return self.indices[name]

    def _reference(self, resource_id: str, version: str = "", full: str = "") -> Runtime:
        self.references.add(resource_id)
        return Runtime(f"{resource_id}@{version}{full and ' ' + full}")

    def _subscription(self) -> dict[str, str]:
        return {
            "id": f"/subscriptions/{self.subscription}",
            "subscriptionId": self.subscription,
            "tenantId": "00000000-0000-0000-0000-00000000000b",
        }

    def _resourceGroup(self) -> dict[str, str]:  # noqa: N802  ARM's name
        where = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return {"id": where, "name": self.group, "location": self.location}

    def _resourceId(self, *parts: str) -> str:  # noqa: N802  ARM's name
        return _id(self._resourceGroup()["id"], *parts)

    def _subscriptionResourceId(self, *parts: str) -> str:  # noqa: N802  ARM's name
        return _id(self._subscription()["id"], *parts)


def _id(where: str, kind: str, *names: str) -> str:
    provider, *kinds = kind.split("/")
    if len(kinds) != len(names):
        raise TemplateError(f"{kind} needs {len(kinds)} names, not {len(names)}")
    pairs = "/".join(f"{part}/{name}" for part, name in zip(kinds, names, strict=True))
    return f"{where}/providers/{provider}/{pairs}"


def _format(form: str, *values: Any) -> str:
    return re.sub(r"\{(\d+)\}", lambda found: _string(values[int(found[1])]), form)


def _string(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict | bool) else str(value)


def _concat(*values: Any) -> Any:
    if any(isinstance(value, list) for value in values):
        return [item for value in values for item in value]
    return "".join(map(_string, values))


def _union(*values: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for value in values:
        merged |= value
    return merged


def _object(*pairs: Any) -> dict[str, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _items(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value[key]} for key in sorted(value)]


def guid(*values: str) -> str:
    """What it is made of, to be seen; slashes would be taken for those of names."""
    return "guid of " + " ".join(values).replace("/", ":")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: all(values),
    "concat": _concat,
    "contains": lambda of, what: what in of,
    "createArray": lambda *values: list(values),
    "createObject": _object,
    "empty": lambda value: not isinstance(value, Runtime) and not value,
    "environment": lambda: {
        "name": CLOUD,
        "suffixes": {"storage": "<storage suffix>", "keyvaultDns": ".<vault suffix>"},
    },
    "equals": lambda one, other: one == other,
    "extensionResourceId": _id,
    "filter": lambda values, keep: [value for value in values if keep(value)],
    "format": _format,
    "guid": lambda *values: guid(*map(_string, values)),
    "greater": lambda one, other: one > other,
    "items": _items,
    "last": lambda values: values[-1],
    "length": len,
    "map": lambda values, change: [change(value) for value in values],
    "mul": lambda one, other: one * other,
    "not": lambda value: not value,
    "null": lambda: None,
    "or": lambda *values: any(values),
    "replace": lambda text, old, new: text.replace(old, new),
    "split": lambda text, by: text.split(by),
    "startsWith": lambda text, start: text.lower().startswith(start.lower()),
    "string": _string,
    "take": lambda of, count: of[:count],
    "toLower": str.lower,
    "true": lambda: True,
    "union": _union,
    "uniqueString": lambda *values: sha256("|".join(values).encode()).hexdigest()[:13],
}


@dataclass(frozen=True)
class Place:
    """The resource group that a template is deployed into."""

    subscription: str = SUBSCRIPTION
    group: str = RESOURCE_GROUP
    location: str = LOCATION


HERE = Place()


def deploy(
    template: Mapping[str, Any], given: Mapping[str, Any], place: Place = HERE
) -> list[Resource]:
    """Every resource of a template, those of nested ones and inactive ones too."""
    return list(_resources(template, _scope(template, given, place), ""))


def outputs(
    template: Mapping[str, Any], given: Mapping[str, Any], place: Place = HERE
) -> dict[str, Any]:
    return _outputs(template, _scope(template, given, place))


def _scope(template: Mapping[str, Any], given: Mapping[str, Any], place: Place) -> Scope:
    parameters, variables = _parameters(template, given), _of(template)
    return Scope(parameters, variables, place.subscription, place.group, place.location)


def _outputs(template: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    return {name: scope.value(out["value"]) for name, out in template.get("outputs", {}).items()}


def _of(template: Mapping[str, Any]) -> Mapping[str, Any]:
    return template.get("variables", {})


def _parameters(template: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    declared = template.get("parameters", {})
    if unknown := set(given) - set(declared):
        raise TemplateError(f"no such parameters: {sorted(unknown)}")
    values = {}
    for name, parameter in declared.items():
        if name not in given and "defaultValue" not in parameter:
            raise TemplateError(f"parameter {name} has no value")
        values[name] = given[name] if name in given else Default(parameter["defaultValue"])
        allowed = parameter.get("allowedValues")
        if allowed and given.get(name, parameter.get("defaultValue")) not in allowed:
            raise TemplateError(f"parameter {name} may not have that value")
    return values


def _resources(template: Mapping[str, Any], scope: Scope, inside: str) -> Iterator[Resource]:
    for raw in template["resources"]:
        loop = raw.get("copy", {})
        for index in range(scope.value(loop["count"])) if loop else [None]:
            indices = {} if index is None else {"": index, loop["name"]: index}
            one = replace(scope, indices=indices, references=set())
            yield from _resource(raw, one, inside, loop.get("name", ""))


def _resource(raw: Mapping[str, Any], scope: Scope, inside: str, loop: str) -> Iterator[Resource]:
    active = scope.value(raw.get("condition", True))
    nested = raw["properties"].get("template") if raw["type"].endswith("/deployments") else None
    plain = {key: item for key, item in raw.items() if key not in {"condition", "copy"}}
    if nested:
        plain["properties"] = {k: v for k, v in raw["properties"].items() if k != "template"}
    elif not active:  # what its values are read from need not be there
        plain.pop("properties", None)
    body = scope.value(plain)
    where = replace(
        scope,
        subscription=body.get("subscriptionId", scope.subscription),
        group=body.get("resourceGroup", scope.group),
    )
    base = where._resourceGroup()["id"]
    if (on := body.get("scope")) is not None:
        base = on if on.startswith("/") else f"{base}/providers/{on}"
    own = _id(base, body["type"], *str(body["name"]).split("/"))
    inner: list[Resource] = []
    if nested and active:
        given = {name: each["value"] for name, each in body["properties"]["parameters"].items()}
        inside_it = Scope(_parameters(nested, given), _of(nested), where.subscription, where.group)
        inner = list(_resources(nested, inside_it, own))
        body["properties"]["outputs"] = _outputs(nested, inside_it)
    yield Resource(
        own,
        body["type"],
        str(body["name"]),
        active,
        body,
        tuple(body.get("dependsOn", [])),
        frozenset(scope.references),
        inside,
        loop,
    )
    yield from inner
