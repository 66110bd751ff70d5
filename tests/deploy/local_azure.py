"""Who deploys on the local Azure: with deploy.sh, with a template, or with the portal's form."""

from __future__ import annotations

import copy
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.deploy import checks
from tests.deploy.classic_table import CLASSIC_COLUMNS, FOREIGN
from tests.deploy.portal import FORM, fill
from tests.servers.azure.api import NAMESPACES, Api
from tests.servers.azure.app import App
from tests.servers.azure.cloud import Azure, Body, owner
from tests.servers.azure.commands import Commands
from tests.servers.azure.programs import Programs
from tests.servers.azure.refusal import Refusal
from tests.servers.azure.roles import Person
from tests.servers.azure.runs import expected_run
from tests.servers.azure.templates import create

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/jira-rg"
SENTINEL = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/sentinel-rg"
WORKSPACE = f"{SENTINEL}/providers/Microsoft.OperationalInsights/workspaces/sentinel"
TABLE = f"{WORKSPACE}/tables/Jira_Audit_CL"
REGION = "westeurope"
TOKEN = "a-token"
JIRA = {"jiraSiteUrl": "https://contoso.atlassian.net", "jiraUsername": "auditor@example.com"}


def zip_of(name: str, text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, text)
    return out.getvalue()


PACKAGE = zip_of("orjson.cpython-313-x86_64-linux-gnu.so", "a binary")
"""What stands for the package where no run of it is looked at."""


def new_azure(delay: int = 0, person: Person | None = None) -> Azure:
    """A subscription with nothing in it but the workspace of Microsoft Sentinel."""
    azure = Azure(
        SUBSCRIPTION,
        person or owner(SUBSCRIPTION),
        role_delay=timedelta(minutes=delay),
        packages={checks.PACKAGE: PACKAGE},
        runner=expected_run,
    )
    azure.put_workspace(WORKSPACE, REGION)
    return azure


def only_app(azure: Azure) -> App:
    [app] = azure.apps.values()
    return app


def everything(azure: Azure) -> dict[str, Any]:
    """All that a deployment could change, without the times."""
    kept = copy.deepcopy((azure.resources, azure.groups, azure.secrets))
    for each in kept[0].values():
        each.get("properties", {}).pop("createdOn", None)
    apps = {name: (app.resolved, app.package) for name, app in azure.apps.items()}
    return {"resources": kept[0], "groups": kept[1], "secrets": kept[2], "apps": apps}


@dataclass
class Installer:
    """Somebody at a shell with deploy.sh and a package; `script` is run by bash."""

    folder: Path
    azure: Azure
    programs: Programs
    environment: dict[str, str]
    script: Path = field(default=checks.SCRIPT)
    jira_url: str = JIRA["jiraSiteUrl"]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("bash", str(self.script), "--resource-group", "jira-rg"),
                *("--workspace", "sentinel", "--jira-url", self.jira_url),
                *("--username", JIRA["jiraUsername"]),
                *("--package", str(self.folder / "package.zip"), *arguments),
            ],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
            start_new_session=True,  # to be killed as a whole, and nothing else
        )


@contextmanager
def at_a_shell(folder: Path, azure: Azure, package: bytes = PACKAGE) -> Iterator[Installer]:
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "package.zip").write_bytes(package)
    programs = Programs(Commands(Api(azure)))
    with programs.installed(folder) as variables:
        environment = {
            "PATH": f"{folder}:/usr/bin:/bin",
            "TMPDIR": str(folder / "tmp"),
            "JIRA_API_TOKEN": TOKEN,
            **variables,
        }
        yield Installer(folder, azure, programs, environment)


def release_template() -> Body:
    """The template as a release has it: it names its package."""
    template = json.loads(json.dumps(checks.load()))
    template["parameters"]["packageUri"]["defaultValue"] = checks.PACKAGE
    return template


def answers_of_the_template(jira_url: str = JIRA["jiraSiteUrl"]) -> dict[str, Any]:
    return {
        "workspaceResourceId": WORKSPACE,
        "jiraSiteUrl": jira_url,
        "jiraUsername": JIRA["jiraUsername"],
        "jiraApiToken": TOKEN,
    }


def answers_of_the_form(jira_url: str = JIRA["jiraSiteUrl"]) -> dict[str, Any]:
    portal = fill(
        jiraSiteUrl=jira_url,
        jiraUsername=JIRA["jiraUsername"],
        jiraApiToken=TOKEN,
        packageUri=checks.PACKAGE,
    )
    answers = portal.value(FORM["outputs"])
    return {**answers, "workspaceResourceId": WORKSPACE, "location": REGION}


def deploy_template(azure: Azure, template: Body, answers: dict[str, Any]) -> Body:
    parameters = {name: {"value": value} for name, value in answers.items()}
    deployment = f"{GROUP}/providers/Microsoft.Resources/deployments/portal"
    return create(azure, deployment, {"template": template, "parameters": parameters})


def deploy_until_it_works(azure: Azure, template: Body, answers: dict[str, Any]) -> None:
    """As deploy/README.md says: if it ends with 403 at onedeploy, deploy again."""
    azure.put_group(GROUP, REGION)
    for _ in range(8):
        try:
            deploy_template(azure, template, answers)
        except Refusal as refused:
            [detail] = refused.details
            assert "status 403" in detail["message"], detail
            azure.advance(timedelta(minutes=5))
        else:
            return
    raise AssertionError("onedeploy was never allowed to write the package")


def wait_for_a_run(azure: Azure) -> None:
    """Look at the app's runs, and do once what its message says: have the reference resolved."""
    for _ in range(12):
        azure.advance(timedelta(minutes=5))
        runs = only_app(azure).runs
        if runs and runs[-1].ok:
            return
        if runs and "have Azure resolve it again" in runs[-1].message:
            azure.resolve(only_app(azure))
    raise AssertionError(f"no run succeeded: {only_app(azure).runs}")


def put_classic_table(azure: Azure) -> None:
    azure.put_old_table(TABLE, "Classic", CLASSIC_COLUMNS | FOREIGN)


def register_all(azure: Azure) -> None:
    for namespace in NAMESPACES:
        azure.register(SUBSCRIPTION, namespace)
