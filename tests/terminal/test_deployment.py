"""The terminal at a deployed connector: its settings by az, its secrets from the vault, or its
storage account alone.

`az` is the stand-in of tests/deploy, in another process. Its answers have the shape that
`_build_app_settings_output` in
https://github.com/Azure/azure-cli/blob/dev/src/azure-cli/azure/cli/command_modules/appservice/custom.py
and a secret bundle in
https://learn.microsoft.com/cli/azure/keyvault/secret#az-keyvault-secret-show
have.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from jira_audit import wiring
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.errors import SettingsError
from jira_audit.terminal import deployment
from tests.terminal.conftest import ROOT, TOKEN, USERNAME, Ended, Run, Site, now_ms
from tests.terminal.test_needs import LOOKING, set_only
from tests.terminal.test_operate import HOST, PATH, Place, blobs

APP = "func-jira-audit"
VAULT, SECRET, VERSION = "kv-jira", "jira-api-token", 32 * "a"
URI = f"https://{VAULT}.vault.azure.net/secrets/{SECRET}"
REFERENCE = f"@Microsoft.KeyVault(SecretUri={URI})"
SETTINGS_LINE = f"functionapp config appsettings list --name {APP}*"
SECRET_LINE = f"keyvault secret show --vault-name {VAULT} --name {SECRET}*"
NOT_FOUND = (
    f"ERROR: (ResourceNotFound) The Resource 'Microsoft.Web/sites/{APP}' under resource group 'rg' "
    "was not found.\nCode: ResourceNotFound\n"
)
FORBIDDEN = (
    "ERROR: (Forbidden) Caller is not authorized to perform action on resource.\nCaller: a\n"
)


class Az:
    """The stand-in, first on the path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "calls.jsonl").touch()
        program = folder / "az"
        script = ROOT / "tests" / "deploy" / "stand_in_az.py"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
        program.chmod(0o755)
        os.environ |= {"PATH": f"{folder}:{os.environ['PATH']}", "STAND_IN_AZ": str(folder)}

    def answer(self, **answers: object) -> None:
        lines = {"settings": SETTINGS_LINE, "secret": SECRET_LINE}
        known = [[lines[name], [answer]] for name, answer in answers.items()]
        (self._folder / "answers.json").write_text(json.dumps(known))

    def set_up(self, settings: Mapping[str, str | None], secret: object = None) -> None:
        """An app with these settings, and a vault with the secret, or that answers so."""
        listed = [
            {"name": name, "slotSetting": False, "value": value} for name, value in settings.items()
        ]
        bundle = {"id": f"{URI}/{VERSION}", "name": SECRET, "value": TOKEN, "tags": None}
        self.answer(settings={"out": listed}, secret=secret or {"out": bundle})

    @property
    def calls(self) -> list[str]:
        lines = (self._folder / "calls.jsonl").read_text().splitlines()
        return [json.loads(line)["line"] for line in lines]


@pytest.fixture
def az(tmp_path_factory: pytest.TempPathFactory) -> Az:
    return Az(tmp_path_factory.mktemp("az"))


@pytest.fixture
def place(request: pytest.FixtureRequest, site: Site) -> Place:
    made = blobs(request)
    made.put(PATH, Checkpoint(HOST, 0, now_ms()).encode(now_ms()))
    return made


@pytest.fixture
def app(place: Place, az: Az) -> dict[str, str | None]:
    """The app's settings, which this machine does not have."""
    names = ("JIRA_SITE_URL", "JIRA_USERNAME", "DATA_COLLECTION_ENDPOINT", "LOGS_DCR_RULE_ID")
    settings: dict[str, str | None] = {
        name: os.environ[name] for name in (*names, "AzureWebJobsStorage", "CHECKPOINT_CONTAINER")
    }
    settings |= {
        "JIRA_API_TOKEN": REFERENCE,
        "DOCKER_REGISTRY_SERVER_PASSWORD": None,  # az shows no value of this one
        "FUNCTIONS_EXTENSION_VERSION": "~4",
    }
    set_only()
    az.set_up(settings)
    return settings


def at_app(run: Run, *command: str) -> Ended:
    ended = run(*command, "--app", APP, "--resource-group", "rg")
    assert TOKEN not in ended.out + ended.err
    return ended


@pytest.mark.servers
@pytest.mark.parametrize("command", LOOKING)
def test_command_that_looks_works_on_an_app_and_reads_no_secret(
    command: tuple[str, ...], app: Mapping[str, str], run: Run, az: Az, site: Site
) -> None:
    ended = at_app(run, *command)

    assert ended.code in ({0, 1} if command[0] == "status" else {0})
    assert ended.out
    list_settings = f"functionapp config appsettings list --name {APP} --resource-group rg"
    assert az.calls == [f"{list_settings} --output json"]
    assert site.asked == 0


@pytest.mark.servers
@pytest.mark.usefixtures("app")
def test_command_that_asks_jira_reads_the_secret_from_the_vault(
    run: Run, az: Az, site: Site
) -> None:
    ended = at_app(run, "verify", "--from", "1d", "--json")

    assert ended.code in {0, 3}
    assert json.loads(ended.out)["sites"][0]["in_jira"]["count"] == 200
    show = f"keyvault secret show --vault-name {VAULT} --name {SECRET} --output json"
    assert az.calls[1:] == [show]


@pytest.mark.servers
def test_settings_of_this_machine_are_not_mixed_with_the_apps(
    app: dict[str, str | None], run: Run, az: Az
) -> None:
    os.environ |= {"JIRA_SITE_URL": "https://mine.atlassian.net", "CHECKPOINT_CONTAINER": "mine"}

    ended = at_app(run, "status")

    assert ended.out.startswith(f"{HOST}\t")
    assert os.environ["CHECKPOINT_CONTAINER"] == "mine"


@pytest.mark.servers
@pytest.mark.usefixtures("app")
def test_resource_group_may_be_that_of_az_configure(run: Run, az: Az) -> None:
    assert run("checkpoint", "show", "--app", APP).code == 0
    assert "--resource-group" not in az.calls[0]


@pytest.mark.servers
def test_secret_that_may_not_be_read_is_named_with_the_reason_and_the_role(
    app: dict[str, str | None], run: Run, az: Az
) -> None:
    az.set_up(app, {"err": FORBIDDEN, "exit": 1})

    ended = at_app(run, "verify", "--from", "1d")

    assert ended.code == 2
    warning, problem = ended.err.splitlines()
    reason = "(Forbidden) Caller is not authorized to perform action on resource."
    assert warning == f"WARNING JIRA_API_TOKEN: its secret could not be read: {reason}"
    assert problem.startswith("JIRA_API_TOKEN is a Key Vault reference that did not resolve")
    assert "Key Vault Secrets User" in problem


@pytest.mark.servers
def test_one_secret_that_may_not_be_read_stops_no_other_site(
    app: dict[str, str | None], run: Run, az: Az
) -> None:
    entries = [
        {"url": app.pop("JIRA_SITE_URL"), "username": USERNAME, "api_token_setting": "A"},
        {"url": "https://b.atlassian.net", "username": USERNAME, "api_token_setting": "B"},
    ]
    del app["JIRA_USERNAME"], app["JIRA_API_TOKEN"]
    other = f"@Microsoft.KeyVault(VaultName={VAULT};SecretName=of-b;SecretVersion={VERSION})"
    az.set_up({**app, "JIRA_SITES": json.dumps(entries), "A": REFERENCE, "B": other})

    ended = at_app(run, "check")

    assert f"ok       Jira       {USERNAME} can read the audit log of {HOST}" in ended.out
    assert "WARNING B: its secret could not be read: the stand-in for az does not know" in ended.err
    assert "B is a Key Vault reference that did not resolve" in ended.out
    of_b = f"keyvault secret show --vault-name {VAULT} --name of-b --version {VERSION}"
    assert f"{of_b} --output json" in az.calls


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"err": NOT_FOUND, "exit": 3}, "(ResourceNotFound) The Resource 'Microsoft.Web/sites/"),
        ({"err": "Please run 'az login' to setup account.", "exit": 1}, "Please run 'az login'"),
        ({"exit": 7}, "az ended with exit code 7"),
        ({"out": "not JSON"}, "is not JSON"),
        ({"out": {"error": 1}}, "cannot be read"),
        ({"out": "null"}, "cannot be read"),
    ],
)
def test_app_whose_settings_cannot_be_read_is_named_with_what_az_says(
    answer: object, said: str, run: Run, az: Az
) -> None:
    az.answer(settings=answer)

    ended = at_app(run, "status")

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"--app {APP}: ")
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1


def test_az_that_is_not_installed_is_named(run: Run, tmp_path: Path) -> None:
    os.environ["PATH"] = str(tmp_path)

    ended = at_app(run, "status")

    assert ended.code == 2
    assert "the Azure CLI (az) is not installed here: https://learn.microsoft.com" in ended.err


@pytest.mark.parametrize("name", ["a b", "a;b", "$(id)", "a&b", "-n", "", "ä" * 3])
def test_name_that_azure_does_not_allow_reaches_no_program(name: str, run: Run, az: Az) -> None:
    for arguments in ["--app", name], ["--app", APP, "-g", name]:
        if name:
            assert run("status", *arguments).code == 2
    assert az.calls == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["-g", "rg"],
        ["--app", APP, "--settings", "FILE"],
        ["--storage-account", "contoso", "--folder", "."],
    ],
)
def test_options_that_exclude_each_other_are_refused(
    arguments: list[str], run: Run, az: Az, tmp_path: Path
) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text("{}")

    ended = run("status", *[str(file) if each == "FILE" else each for each in arguments])

    assert ended.code == 2
    assert az.calls == []


@pytest.mark.parametrize(
    ("reference", "secret"),
    [
        (REFERENCE, (VAULT, SECRET, None)),
        (f"@Microsoft.KeyVault(SecretUri={URI}/)", (VAULT, SECRET, None)),
        (f"@Microsoft.KeyVault(SecretUri={URI}/{VERSION})", (VAULT, SECRET, VERSION)),
        (f"@Microsoft.KeyVault(VaultName={VAULT};SecretName={SECRET})", (VAULT, SECRET, None)),
        (
            f"@Microsoft.KeyVault(SecretUri=https://{VAULT}.vault.usgovcloudapi.net/secrets/a)",
            (VAULT, "a", None),
        ),
    ],
)
def test_reference_names_its_secret_in_every_form(
    reference: str, secret: tuple[str, str, str | None], az: Az
) -> None:
    az.answer(secret={"out": {"value": "x"}}, settings={})

    deployment.resolve({"A": reference, "B": reference}, ["A", "C"])

    vault, name, version = secret
    end = f" --version {version}" if version else ""
    show = f"keyvault secret show --vault-name {vault} --name {name}{end} --output json"
    assert az.calls == [show]


@pytest.mark.parametrize(
    "parts",
    ["", "SecretUri=https://evil.example/x", f"VaultName={VAULT};SecretName=a b", "VaultName=--x"],
)
def test_reference_of_another_form_reaches_no_program(parts: str, az: Az) -> None:
    reference = f"@Microsoft.KeyVault({parts})"

    known, failures = deployment.resolve({"A": reference}, ["A"])

    assert known == {"A": reference}
    assert failures == {"A": "the reference names no vault and secret"}
    assert az.calls == []


def test_az_that_hangs_is_given_up(az: Az, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "AZ_SECONDS", 0.0)

    with pytest.raises(SettingsError, match="az did not answer within 0 s"):
        deployment.app_settings(APP, None)


# A storage account alone


@pytest.fixture
def account(
    place: Place, blob_container: ContainerClient, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[Any]]:
    """The container, at the address of the account `contoso`; returns what was opened."""
    opened = []

    def container(azure: Any, *_: object) -> ContainerClient:
        opened.append(azure.storage)
        return blob_container

    monkeypatch.setattr(wiring, "container", container)
    return lambda: opened


@pytest.mark.servers
@pytest.mark.parametrize("command", LOOKING)
def test_storage_account_alone_is_enough_to_look(
    command: tuple[str, ...], account: Callable[[], list[Any]], run: Run, site: Site
) -> None:
    os.environ["CHECKPOINT_CONTAINER"] = "of-contoso"
    set_only("CHECKPOINT_CONTAINER")

    ended = run(*command, "--storage-account", "contoso")

    assert ended.code in ({0, 1} if command[0] == "status" else {0})
    assert ended.out
    assert site.asked == 0
    for storage in account():
        assert storage.account == "https://contoso.blob.core.windows.net"
        assert storage.container == "of-contoso"


@pytest.mark.servers
def test_storage_account_replaces_that_of_the_settings(
    account: Callable[[], list[Any]], run: Run
) -> None:
    assert run("status", "--storage-account", "contoso").out.startswith(f"{HOST}\t")
    assert account()[0].account == "https://contoso.blob.core.windows.net"


@pytest.mark.servers
def test_storage_account_without_a_checkpoint_is_reported(
    account: object, place: Place, run: Run, blob_container: ContainerClient
) -> None:
    blob_container.delete_blob(PATH)
    set_only()

    ended = run("status", "--storage-account", "contoso")

    assert ended.code == 2
    words = " ".join(ended.err.replace("│", " ").split())
    assert "no site has a checkpoint in the container jira-audit of contoso" in words


def test_storage_account_of_another_form_is_refused(run: Run) -> None:
    ended = run("status", "--storage-account", "Contoso")

    assert ended.code == 2
    assert "AzureWebJobsStorage__accountName must be 3 to 24 lower-case letters" in ended.err
