"""The az commands that deploy.sh and rehearse give, in this process, on the local Azure.

It is az without its start-up of a second. Which requests a command makes, and what it prints, is
read from azure-cli 2.91.0; a command, an option or a query that is not known is refused. The real
az is run against the same local Azure in tests/deploy/test_azure_cli.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.servers.azure.api import Api
from tests.servers.azure.cloud import Azure
from tests.servers.azure.places import key
from tests.servers.azure.refusal import Refusal

VERSION = "2.91.0"
RETRIES = 3
"""What azure-core does on 429 and 5xx; `az rest` and the package's upload do not."""
DEPLOYMENT = timedelta(minutes=6)
_AGAIN = {429, 500, 502, 503, 504}

Out = tuple[int, str, str]
"""Exit code, standard output, standard error."""


class Unknown(Exception):
    """The stand-in does not know this."""


class Failed(Exception):
    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Line:
    """A command line taken apart."""

    words: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    def need(self, name: str) -> str:
        return self.options[name]


def parse(argv: Sequence[str]) -> Line:
    line, rest = Line(), list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            line.words.append(word)
        elif rest and not rest[0].startswith("--") and word not in _FLAGS:
            line.options[word] = rest.pop(0)
        else:
            line.options[word] = ""
    return line


_FLAGS = {"--only-show-errors", "--yes", "--no-wait"}


@dataclass
class Commands:
    api: Api
    signed_in: bool = True
    version: str = VERSION

    @property
    def azure(self) -> Azure:
        return self.api.azure

    def run(self, argv: Sequence[str]) -> Out:
        line = parse(argv)
        try:
            return 0, shown(_command(line)(self, line), line.options), ""
        except Unknown as error:
            return 64, "", f"the stand-in for az does not know: {error}\n"
        except Failed as error:
            return error.code, "", f"ERROR: {error}\n"
        except Refusal as error:
            return 1, "", f"ERROR: {error}\n"

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        """A request as azure-core makes it: tried again on 429 and 5xx."""
        status, answer = self.api.respond(method, target, body)
        for attempt in range(RETRIES):
            if status not in _AGAIN:
                break
            self.azure.advance(timedelta(seconds=2**attempt))
            status, answer = self.api.respond(method, target, body)
        if status >= 400:
            raise refused(status, answer)
        return answer

    def subscription(self) -> str:
        return f"/subscriptions/{self.azure.subscription}"

    def group(self, line: Line, option: str = "--resource-group") -> str:
        return f"{self.subscription()}/resourceGroups/{line.need(option)}"


_EVERYWHERE = {"--only-show-errors", "--query", "--output"}


def refused(status: int, answer: Any) -> Failed:
    """azure.cli.core.azclierror: a missing resource is 3, everything else 1."""
    error = (answer or {}).get("error", {})
    text = f"({error.get('code')}) {error.get('message')}"
    inner = "".join(f"\n{each['target']}: {each['message']}" for each in error.get("details", []))
    return Failed(text + inner, 3 if status == 404 else 1)


# What is printed.


def shown(value: Any, options: dict[str, str]) -> str:
    if "--query" in options:
        value = find(value, options["--query"])
    kind = options.get("--output", "json")
    if kind == "none" or value is None:
        return ""
    if kind == "json":
        return json.dumps(value) + "\n"
    if kind != "tsv":
        raise Unknown(f"--output {kind}")
    rows = value if isinstance(value, list) else [value]
    return "".join(f"{_cell(each)}\n" for each in rows)


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_STEP = re.compile(r"\[\?([\w.]+)=='([^']*)'\]|\[\]|\.?\"([^\"]+)\"|\.?([\w-]+)")


def find(value: Any, query: str) -> Any:
    """JMESPath, as far as our scripts use it: names, `[]`, and `[?name=='text']`."""
    at, many = 0, False
    while at < len(query):
        step = _STEP.match(query, at)
        if step is None:
            raise Unknown(f"--query {query}")
        at = step.end()
        if step[0] == "[]" or step[1]:
            value = [each for part in value for each in part or []] if many else value or []
            many = True
            if step[1]:
                value = [each for each in value if _name(each, step[1]) == step[2]]
        else:
            name = step[3] or step[4]
            value = [_name(each, name) for each in value] if many else _name(value, name)
            value = [each for each in value if each is not None] if many else value
    return value


def _name(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


# The commands.


def _version(commands: Commands, line: Line) -> Any:
    return {"azure-cli": commands.version}


def _account(commands: Commands, line: Line) -> Any:
    if not commands.signed_in:
        raise Failed("Please run 'az login' to setup account.")
    subscription = commands.ask("GET", commands.subscription())
    return {**subscription, "id": subscription["subscriptionId"], "environmentName": "AzureCloud"}


def _resource_list(commands: Commands, line: Line) -> Any:
    wanted = [f"resourceType eq '{line.need('--resource-type')}'"]
    if "--name" in line.options:
        wanted.append(f"name eq '{line.need('--name')}'")
    target = f"{commands.subscription()}/resources?$filter={' and '.join(wanted)}"
    return commands.ask("GET", target)["value"]


def _resource_show(commands: Commands, line: Line) -> Any:
    return commands.ask("GET", line.need("--ids"))


def _group_exists(commands: Commands, line: Line) -> Any:
    status, answer = commands.api.respond("HEAD", commands.group(line, "--name"))
    if status not in {204, 404}:
        raise refused(status, answer)
    return status == 204


def _group_show(commands: Commands, line: Line) -> Any:
    return commands.ask("GET", commands.group(line, "--name"))


def _group_create(commands: Commands, line: Line) -> Any:
    body = {"location": line.need("--location")}
    return commands.ask("PUT", commands.group(line, "--name"), body)


def _group_delete(commands: Commands, line: Line) -> Any:
    if "--yes" not in line.options:
        raise Failed("Unable to prompt for confirmation as no tty available. Use --yes.")
    return commands.ask("DELETE", commands.group(line, "--name"))


def _provider_show(commands: Commands, line: Line) -> Any:
    return commands.ask("GET", f"{commands.subscription()}/providers/{line.need('--namespace')}")


def _provider_list(commands: Commands, line: Line) -> Any:
    return commands.ask("GET", f"{commands.subscription()}/providers")["value"]


def _regions(commands: Commands, line: Line) -> Any:
    target = f"{commands.subscription()}/providers/Microsoft.Web/geoRegions?sku=FlexConsumption"
    found = commands.ask("GET", target)["value"]
    # azure-cli 2.91.0, appservice/custom.py, list_flexconsumption_locations: without blanks
    return [{"name": each["name"].lower().replace(" ", "")} for each in found]


def _deleted_vaults(commands: Commands, line: Line) -> Any:
    if line.options.get("--resource-type") != "vault":
        raise Unknown("keyvault list-deleted without --resource-type vault")
    target = f"{commands.subscription()}/providers/Microsoft.KeyVault/deletedVaults"
    return commands.ask("GET", target)["value"]


def _purge_vault(commands: Commands, line: Line) -> Any:
    where = f"{commands.subscription()}/providers/Microsoft.KeyVault/locations"
    name, location = line.need("--name"), line.need("--location")
    return commands.ask("POST", f"{where}/{location}/deletedVaults/{name}/purge")


def _recover_vault(commands: Commands, line: Line) -> Any:
    name = line.need("--name")
    vault = commands.azure.deleted_vaults.get(name.lower())
    if vault is None:
        raise Failed(f"No deleted Vault or HSM was found with name '{name}'.")
    properties = {"createMode": "recover"}
    return commands.ask(
        "PUT", vault["id"], {"location": vault["location"], "properties": properties}
    )


def _content(line: Line) -> Any:
    given = line.need("--parameters")
    if not given.startswith("@"):
        raise Unknown("--parameters without a file")
    template = json.loads(Path(line.need("--template-file")).read_text(encoding="utf-8"))
    parameters = json.loads(Path(given[1:]).read_text(encoding="utf-8"))["parameters"]
    return {"properties": {"mode": "Incremental", "template": template, "parameters": parameters}}


def _deployment(commands: Commands, line: Line) -> str:
    where = f"{commands.group(line)}/providers/Microsoft.Resources/deployments"
    return f"{where}/{line.need('--name')}"


def _validate(commands: Commands, line: Line) -> Any:
    return commands.ask("POST", f"{_deployment(commands, line)}/validate", _content(line))


def _what_if(commands: Commands, line: Line) -> Any:
    return commands.ask("POST", f"{_deployment(commands, line)}/whatIf", _content(line))


def _create(commands: Commands, line: Line) -> Any:
    # azure-cli 2.91.0, resource/custom.py, _deploy_arm_template_core_unmodified: validated first
    _validate(commands, line)
    commands.azure.advance(DEPLOYMENT)
    return commands.ask("PUT", _deployment(commands, line), _content(line))


def _deployment_show(commands: Commands, line: Line) -> Any:
    return commands.ask("GET", _deployment(commands, line))


def _publish(commands: Commands, line: Line) -> Any:
    """azure-cli 2.91.0, appservice/custom.py, enable_zip_deploy_functionapp, for a Flex app."""
    site = f"{commands.group(line)}/providers/Microsoft.Web/sites/{line.need('--name')}"
    commands.ask("GET", site)
    azure = commands.azure
    azure.demand("Microsoft.Web/sites/publish/action", site)
    # Any text is true, and python is built unless one is given; the service reads it as a word.
    build = line.options.get("--build-remote", "true") != "false"
    package = Path(line.need("--src")).read_bytes()
    try:
        azure.publish(azure.apps[key(site)], package, build=build)
    except Refusal as error:
        text = f"An error occured during deployment. Status Code: 403, Details: {error.message}"
        raise Failed(text) from error
    azure.advance(timedelta(seconds=60))
    status, _ = commands.api.respond("POST", f"{site}/host/default/listkeys")
    if status != 200:
        raise Failed("Failed to fetch host key to check for function app status", 3)


def _rest(commands: Commands, line: Line) -> Any:
    """azure-cli 2.91.0, core/util.py, send_raw_request: one try, and the answer's text as error."""
    uri, given = line.need("--uri"), line.options.get("--body")
    if given is None:
        body = None
    else:
        text = Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given
        body = json.loads(text)
    status, answer = commands.api.respond(line.need("--method"), uri, body)
    if status >= 400:
        raise Failed(f"{HTTPStatus(status).phrase}({json.dumps(answer)})")
    return answer


Command = Callable[[Commands, Line], Any]


def _command(line: Line) -> Command:
    words = " ".join(line.words)
    if words not in _COMMANDS:
        raise Unknown(f"az {words}")
    function, allowed = _COMMANDS[words]
    if strange := set(line.options) - set(allowed.split()) - _EVERYWHERE:
        raise Unknown(f"az {words} with {sorted(strange)}")
    return function


_DEPLOY = "--resource-group --name --template-file --parameters"

_COMMANDS: dict[str, tuple[Command, str]] = {
    "version": (_version, ""),
    "account show": (_account, ""),
    "resource list": (_resource_list, "--resource-type --name"),
    "resource show": (_resource_show, "--ids"),
    "group exists": (_group_exists, "--name"),
    "group show": (_group_show, "--name"),
    "group create": (_group_create, "--name --location"),
    "group delete": (_group_delete, "--name --yes"),
    "provider show": (_provider_show, "--namespace"),
    "provider list": (_provider_list, ""),
    "functionapp list-flexconsumption-locations": (_regions, ""),
    "keyvault list-deleted": (_deleted_vaults, "--resource-type"),
    "keyvault purge": (_purge_vault, "--name --location"),
    "keyvault recover": (_recover_vault, "--name --location"),
    "deployment group validate": (_validate, _DEPLOY),
    "deployment group what-if": (_what_if, _DEPLOY),
    "deployment group create": (_create, _DEPLOY),
    "deployment group show": (_deployment_show, "--resource-group --name"),
    "functionapp deployment source config-zip": (
        _publish,
        "--resource-group --name --src --build-remote",
    ),
    "rest": (_rest, "--method --uri --headers --body"),
}
