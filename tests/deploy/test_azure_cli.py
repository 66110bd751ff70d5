"""The real az on the local Azure: deploy.sh as a whole, and that the stand-in for az says the same.

Every command that deploy.sh gives runs so. `az login` is `--identity`: a person's own sign-in needs
a browser.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.conftest import needed
from tests.deploy import checks
from tests.deploy.local_azure import (
    GROUP,
    REGION,
    WORKSPACE,
    Installer,
    answers_of_the_template,
    at_a_shell,
    deploy_template,
    everything,
    new_azure,
    only_app,
)
from tests.servers.azure import real_cli
from tests.servers.azure.api import Api
from tests.servers.azure.cloud import Azure
from tests.servers.azure.commands import Commands
from tests.servers.azure.programs import Programs
from tests.servers.azure.roles import Holding, Person
from tests.servers.azure.server import Server, identity_endpoint

pytestmark = [pytest.mark.servers, pytest.mark.long]


@dataclass
class Signed:
    """The real az, and the local Azure that it is signed in to."""

    azure: Azure
    programs: Programs
    server: Server
    cli: real_cli.RealCli
    installer: Installer


@pytest.fixture
def signed(tmp_path: Path, authority: tuple[trustme.CA, Path]) -> Iterator[Signed]:
    needed(real_cli.is_installed(), "azure-cli is not installed: make setup")
    azure = new_azure(delay=2)
    with ExitStack() as exits:
        installer = exits.enter_context(at_a_shell(tmp_path, azure))
        programs = installer.programs
        server = Server(programs.commands.api, programs.lock)
        address = exits.enter_context(server.serve(authority[0]))
        variables = exits.enter_context(identity_endpoint())
        variables |= {"LOCAL_AZURE": installer.environment["LOCAL_AZURE"]}
        cli = real_cli.install(tmp_path, address, authority[1], variables)
        installer.environment = installer.environment | dict(cli.environment)
        yield Signed(azure, programs, server, cli, installer)


def without_hosts(azure: Azure) -> dict[str, Any]:
    found = everything(azure)
    for each in found["resources"].values():
        each["properties"].pop("hostNameSslStates", None)
    return found


@pytest.mark.timeout(300)
def test_script_deploys_with_the_real_az(signed: Signed, tmp_path: Path) -> None:
    done = signed.installer.run("--no-wait")

    assert done.returncode == 0, done.stderr
    assert "its first run was not waited for" in done.stdout
    assert "The app may not write its package yet" in done.stdout
    assert set(signed.server.builds) == {"false"}
    same = new_azure(delay=2)
    (tmp_path / "stand-in").mkdir()
    with at_a_shell(tmp_path / "stand-in", same) as installer:
        assert installer.run("--no-wait").returncode == 0
    assert without_hosts(signed.azure) == without_hosts(same)


WORKSPACES = "Microsoft.OperationalInsights/workspaces"
TABLES = f"{WORKSPACE}/tables?api-version=2022-10-01"
PERMISSIONS = f"{GROUP}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
QUESTIONS = (
    "account show --query id --output tsv",
    f"resource list --resource-type {WORKSPACES} --name sentinel --query [].id --output tsv",
    f"resource show --ids {WORKSPACE} --query location --output tsv",
    "group exists --name another",
    "group show --name jira-rg --query location --output tsv",
    """provider list --query "[?registrationState=='Registered'].namespace" --output tsv""",
    "functionapp list-flexconsumption-locations --query [].name --output tsv",
    f"rest --method get --uri {TABLES} --query value[].name --output tsv",
    f"rest --method get --uri {PERMISSIONS}",
)
"""What deploy.sh asks before anything is changed."""


def test_stand_in_prints_what_az_prints(signed: Signed) -> None:
    signed.azure.put_group(GROUP, REGION)
    deploy_template(signed.azure, checks.load(), answers_of_the_template())
    stand_in = Commands(Api(signed.azure))

    for question in QUESTIONS:
        arguments = shlex.split(question)
        real = signed.cli.run(*arguments, "--only-show-errors")
        code, out, _ = stand_in.run(arguments)

        assert (real.returncode, code) == (0, 0), (question, real.stderr)
        if out.startswith("{"):
            assert json.loads(real.stdout) == json.loads(out), question
        else:
            assert real.stdout == out, question


def test_stand_in_fails_as_az_fails(signed: Signed) -> None:
    signed.azure.put_group(GROUP, REGION)
    signed.azure.person = Person((Holding("Log Analytics Contributor", WORKSPACE),))
    stand_in = Commands(Api(signed.azure))
    lines = (
        f"rest --method get --uri {PERMISSIONS}",
        "functionapp list-flexconsumption-locations --query [].name --output tsv",
        "group create --name jira-rg --location westeurope --output none",
    )

    for line in lines:
        arguments = shlex.split(line)
        real = signed.cli.run(*arguments, "--only-show-errors")
        code, _, err = stand_in.run(arguments)

        assert real.returncode == code == 1, line
        assert "AuthorizationFailed" in real.stderr.splitlines()[0]
        assert real.stderr.split("(")[0] == err.split("(")[0], line


def test_package_is_rebuilt_unless_az_is_told_not_to(signed: Signed) -> None:
    """The fault that deploy.sh avoids: `--build-remote` is yes for Python by default."""
    signed.azure.put_group(GROUP, REGION)
    deploy_template(signed.azure, checks.load(), answers_of_the_template())
    signed.azure.advance(signed.azure.role_delay)
    app = only_app(signed.azure)

    done = signed.cli.run(
        *("functionapp", "deployment", "source", "config-zip", "--resource-group", "jira-rg"),
        *("--name", app.id.rpartition("/")[2]),
        *("--src", str(signed.installer.folder / "package.zip")),
    )

    assert done.returncode == 0, done.stderr
    assert signed.server.builds == ["True"]
    assert b"cpython-313" not in app.package


def test_rehearsal_is_looked_at_and_removed_with_the_real_az(signed: Signed) -> None:
    """What deploy/rehearse gives beside the commands of deploy.sh."""
    azure = signed.azure
    azure.put_group(GROUP, REGION)
    answers = answers_of_the_template() | {"purgeProtection": False}
    outputs = deploy_template(azure, checks.load(), answers)["properties"]["outputs"]
    site = f"{GROUP}/providers/Microsoft.Web/sites/{outputs['functionAppName']['value']}"
    references = f"{site}/config/configreferences/appsettings?api-version=2022-03-01"
    vault = outputs["keyVaultName"]["value"]
    lines = (
        "provider show --namespace Microsoft.Web --query registrationState --output tsv",
        "deployment group show --resource-group jira-rg --name portal --query properties.outputs",
        f"rest --method get --uri {references} --query value[].properties.status --output tsv",
        "group delete --name jira-rg --yes",
        f"keyvault purge --name {vault} --location {REGION}",
    )

    said = [signed.cli.run(*shlex.split(each), "--only-show-errors") for each in lines]

    assert [each.stderr for each in said] == [""] * len(lines)
    assert said[0].stdout == "Registered\n"
    assert json.loads(said[1].stdout) == outputs
    assert said[2].stdout == "AccessToKeyVaultDenied\n"  # the roles are two minutes away
    assert (only_group(azure), azure.deleted_vaults) == (True, {})


def only_group(azure: Azure) -> bool:
    """Whether nothing is in the connector's group."""
    return not [each for each in azure.resources if each.startswith(f"{GROUP}/".lower())]


def test_what_if_of_the_real_az_runs(signed: Signed) -> None:
    signed.azure.put_group(GROUP, REGION)
    before = everything(signed.azure)
    file = signed.installer.folder / "parameters.json"
    given = {name: {"value": value} for name, value in answers_of_the_template().items()}
    file.write_text(json.dumps({"parameters": given}), encoding="utf-8")

    done = signed.cli.run(
        *("deployment", "group", "what-if", "--resource-group", "jira-rg", "--name", "jira-audit"),
        *("--template-file", str(checks.TEMPLATE), "--parameters", f"@{file}"),
    )

    assert done.returncode == 0, done.stderr
    assert "Resource changes: " in done.stdout
    assert "Microsoft.Web/sites/jira-audit-" in done.stdout
    assert everything(signed.azure) == before
