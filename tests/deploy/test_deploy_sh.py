"""deploy.sh against a stand-in for `az`: what it looks at, what it asks, and what it never does.

The stand-in's answers have the shapes of Microsoft's documentation; none was recorded from Azure.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from jira_audit.core.records import COLUMNS
from tests.conftest import needed
from tests.deploy import checks
from tests.deploy.classic_table import CLASSIC_COLUMNS, FOREIGN
from tests.servers.loopback import Handler, Loopback

# Not for want of servers: what a shell script does does not hang on the Python of its tests, and CI
# runs only what needs servers on one Python.
pytestmark = pytest.mark.servers

SCRIPT = checks.SCRIPT
TEMPLATE = checks.load()

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/jira-rg"
WORKSPACE = (
    f"{SUBSCRIPTION}/resourceGroups/sentinel-rg/providers/Microsoft.OperationalInsights"
    "/workspaces/sentinel"
)
INSIGHTS = f"{GROUP}/providers/Microsoft.Insights/components/jira-audit-abc"
QUERY = f"rest --method post --uri {INSIGHTS}/query[?]*"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/jira-audit-abc"
REFRESH = f"{SITE}/config/configreferences/appsettings"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/jira-vault"
TABLE = f"{WORKSPACE}/tables/Jira_Audit_CL"
PYTHON = getattr(sys, "_base_executable", sys.executable)
"""Without the environment's packages, and started with -IS: it is started a thousand times here."""

PROVIDERS = sorted({each["type"].split("/")[0] for each in TEMPLATE["resources"]})
TOKEN = 'ATATT3x-secret"\\token='

OWNER = {"value": [{"actions": ["*"], "notActions": []}]}
CONTRIBUTOR = {
    "value": [{"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}],
    "nextLink": None,
}
OUTPUTS = {
    "functionAppName": {"type": "String", "value": "jira-audit-abc"},
    "storageAccountName": {"type": "String", "value": "jiraabc"},
    "dataCollectionEndpoint": {
        "type": "String",
        "value": "https://rule-abc.westeurope-1.ingest.monitor.azure.com",
    },
    "dataCollectionRuleId": {"type": "String", "value": "dcr-0123"},
    "applicationInsightsId": {"type": "String", "value": INSIGHTS},
}
RAN = {"tables": [{"rows": [[True, None]]}]}
NOT_YET: dict[str, Any] = {"tables": [{"rows": []}]}


def failed_run(message: str) -> dict[str, Any]:
    return {"tables": [{"rows": [[False, message]]}]}


def table(subtype: str, columns: Mapping[str, str], **properties: object) -> dict[str, Any]:
    """A table as the API shows it, with its own columns and those every table has."""
    return {
        "properties": {
            "plan": "Analytics",
            "retentionInDays": 90,
            "retentionInDaysAsDefault": True,
            "schema": {
                "name": "Jira_Audit_CL",
                "tableType": "CustomLog",
                "tableSubType": subtype,
                "columns": [
                    {"name": name, "type": kind, "isHidden": False}
                    for name, kind in columns.items()
                ],
                "standardColumns": [{"name": "TenantId", "type": "guid"}],
            },
            **properties,
        }
    }


@dataclass
class Cloud:
    """What the stand-in answers, what it was asked, and how the script is run against it."""

    folder: Path
    answers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    script: Path = SCRIPT
    shell: Sequence[str] = ("bash",)
    more: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the environment; they win."""

    def set_answers(self, pattern: str, *out: object) -> None:
        self.answers[pattern] = [{"out": each} for each in out]

    def set_failure(self, pattern: str, err: str, *then: object) -> None:
        self.answers[pattern] = [{"exit": 1, "err": err}, *({"out": each} for each in then)]

    def run(
        self, *arguments: str, token: str | None = TOKEN, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.prepare(arguments),
            env=self.environment(token),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
            **options,
        )

    def run_at_terminal(
        self, prompt: str, answer: str, *arguments: str, token: str | None = TOKEN
    ) -> tuple[int, str]:
        """Somebody at a terminal answers a prompt; exit code, and all that the terminal showed."""
        terminal, end = pty.openpty()
        with subprocess.Popen(
            self.prepare(arguments),
            env=self.environment(token),
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
        ) as process:
            os.close(end)
            shown, waiting = b"", True
            with contextlib.suppress(OSError):  # Linux, when the other end is closed
                while part := os.read(terminal, 4096):
                    shown += part
                    if waiting and prompt.encode() in shown:
                        os.write(terminal, answer.encode())
                        waiting = False
            os.close(terminal)
            return process.wait(60), shown.decode()

    def prepare(self, arguments: Sequence[str]) -> list[str]:
        (self.folder / "answers.json").write_text(json.dumps(list(self.answers.items())))
        (self.folder / "calls.jsonl").write_text("")
        usual = ["--resource-group", "jira-rg", "--workspace", "sentinel"]
        usual += ["--jira-url", "https://contoso.atlassian.net", "--username", "a@contoso.example"]
        return [*self.shell, str(self.script), *usual, *arguments]

    def environment(self, token: str | None) -> dict[str, str]:
        given = {"JIRA_API_TOKEN": token} if token else {}
        return {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "STAND_IN_AZ": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            **given,
            **self.more,
        }

    def calls(self, starting: str = "") -> list[dict[str, Any]]:
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [call for each in lines if (call := json.loads(each))["line"].startswith(starting)]

    def changes(self) -> list[str]:
        """The calls that change something in Azure, in order, in short."""
        short = {
            "rest --method put": "put table",
            "rest --method post --uri " + TABLE: "migrate",
            "rest --method post --uri " + REFRESH: "refresh",
            "group create": "make group",
            "deployment group create": "deploy",
            "functionapp deployment source config-zip": "publish",
        }
        lines = [each["line"] for each in self.calls()]
        return [does for line in lines for start, does in short.items() if line.startswith(start)]

    def parameters(self, command: str = "deployment group create") -> dict[str, Any]:
        [call] = self.calls(command)
        [text] = call["files"].values()
        return {name: each["value"] for name, each in json.loads(text)["parameters"].items()}


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    """An owner, a workspace without the table, an empty resource group; every run succeeds."""
    needed(shutil.which("bash"), "bash is not installed")
    (tmp_path / "tmp").mkdir()
    az = Path(__file__).with_name("stand_in_az.py").read_text()
    for name, text in (
        ("az", f"#!{PYTHON} -IS\n{az}\n"),
        ("sleep", '#!/bin/sh\nprintf %s "$1" >>"$0s"\n'),
        # The Python that is first on the path, so that none of the machine's is asked.
        ("python3", f'#!/bin/sh\nexec {PYTHON} -IS "$@"\n'),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    package = tmp_path / "package.zip"
    package.write_bytes(b"a package")
    cloud = Cloud(tmp_path)
    cloud.set_answers("version *", "2.91.0")
    cloud.set_answers("functionapp list-flexconsumption-locations *", "East US\nwesteurope")
    cloud.set_answers("provider list *", "\n".join(PROVIDERS))
    cloud.set_answers("group show *", "westeurope")
    cloud.set_answers("account show *", SUBSCRIPTION.rpartition("/")[2])
    cloud.set_answers("resource list * --name sentinel *", WORKSPACE)
    cloud.set_answers("resource show *", "westeurope")
    cloud.set_answers("rest --method get --uri */permissions[?]*", OWNER)
    cloud.set_answers(f"rest --method get --uri {WORKSPACE}/tables[?]*", "Heartbeat\nSyslog")
    cloud.set_answers("group exists *", "true")
    cloud.set_answers("deployment group validate *", f"{GROUP}/providers/Microsoft.Web/sites/app")
    cloud.set_answers("deployment group create *", OUTPUTS)
    cloud.set_answers("functionapp deployment source config-zip *", "")
    cloud.set_answers(QUERY, NOT_YET, RAN)
    return cloud


def set_table(cloud: Cloud, *answers: Mapping[str, Any]) -> None:
    cloud.set_answers(f"rest --method get --uri {WORKSPACE}/tables[?]*", "Heartbeat\nJira_Audit_CL")
    cloud.set_answers(f"rest --method get --uri {TABLE}[?]*", *answers)


def package_arguments(cloud: Cloud) -> list[str]:
    return ["--package", str(cloud.folder / "package.zip")]


def test_script_passes_shellcheck() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    needed(shellcheck.exists(), "shellcheck is not installed: make setup")

    done = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_help_needs_nothing_and_names_every_option(cloud: Cloud) -> None:
    cloud.answers.clear()

    done = cloud.run("--help")

    assert done.returncode == 0
    assert cloud.calls() == []
    text = SCRIPT.read_text(encoding="utf-8")
    options = {line.split(")")[0].strip() for line in text.splitlines() if ") group=" in line}
    assert options == {"--resource-group"}
    for option in ("--what-if", "--token-fd", "--keep-token", "--migrate-table", "--no-wait"):
        assert f"  {option}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nonsense"], "there is no --nonsense"),
        (["--package"], "--package needs a value"),
        (["--token", "x"], "there is no --token"),
        (["--token-fd", "x"], "needs a number"),
        (["--package", "a", "--package-uri", "b"], "exclude each other"),
        (["--jira-url", ""], "--jira-url is missing"),
    ],
)
def test_arguments_that_are_wrong_exit_with_2_before_any_call(
    cloud: Cloud, arguments: list[str], says: str
) -> None:
    done = cloud.run(*arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert cloud.calls() == []


def test_workspace_without_a_table_gets_it_and_the_app_runs(
    cloud: Cloud,
) -> None:
    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy", "publish"]
    assert cloud.parameters() == {
        "workspaceResourceId": WORKSPACE,
        "jiraSiteUrl": "https://contoso.atlassian.net",
        "jiraUsername": "a@contoso.example",
        "jiraApiToken": TOKEN,
        "createTable": True,
        "createV2Table": True,
        "packageUri": "",
    }
    assert "jira-audit-abc has run, and collects from now on" in done.stdout
    assert "export DATA_COLLECTION_ENDPOINT=https://rule-abc" in done.stdout


def test_parameters_given_are_all_the_templates(cloud: Cloud) -> None:
    cloud.run(*package_arguments(cloud))

    given = cloud.parameters()
    assert given.keys() <= TEMPLATE["parameters"].keys()
    required = {name for name, each in TEMPLATE["parameters"].items() if "defaultValue" not in each}
    assert required <= given.keys()
    assert TEMPLATE["parameters"]["jiraApiToken"]["type"] == "securestring"


def test_outputs_read_are_all_the_templates() -> None:
    assert OUTPUTS.keys() <= TEMPLATE["outputs"].keys()


def test_table_with_other_columns_gets_ours_and_keeps_them(cloud: Cloud) -> None:
    before = table("DataCollectionRuleBased", CLASSIC_COLUMNS | FOREIGN)
    after = table("DataCollectionRuleBased", {**COLUMNS} | FOREIGN)
    set_table(cloud, before, before, after)
    cloud.set_answers(f"rest --method put --uri {TABLE}[?]*", "")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["put table", "deploy", "publish"]
    [put] = cloud.calls("rest --method put")
    [body] = map(json.loads, put["files"].values())
    columns = {each["name"]: each["type"] for each in body["properties"]["schema"]["columns"]}
    assert columns == {**COLUMNS} | FOREIGN
    assert body["properties"]["plan"] == "Analytics"
    assert "retentionInDays" not in body["properties"]  # the workspace's, and to stay so
    assert cloud.parameters()["createTable"] is False
    assert "site_s description_s extra_s truncated_b" in done.stdout


def test_table_keeps_its_own_retention(cloud: Cloud) -> None:
    own: dict[str, Any] = {"retentionInDays": 180, "retentionInDaysAsDefault": False}
    set_table(
        cloud,
        table("DataCollectionRuleBased", CLASSIC_COLUMNS, **own),
        table("DataCollectionRuleBased", COLUMNS, **own),
    )
    cloud.set_answers(f"rest --method put --uri {TABLE}[?]*", "")

    cloud.run(*package_arguments(cloud))

    [put] = cloud.calls("rest --method put")
    [body] = map(json.loads, put["files"].values())
    assert body["properties"]["retentionInDays"] == 180


def test_table_with_all_our_columns_is_left_alone(cloud: Cloud) -> None:
    spelled = {name: "dateTime" if kind == "datetime" else kind for name, kind in COLUMNS.items()}
    set_table(cloud, table("DataCollectionRuleBased", spelled | FOREIGN))

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy", "publish"]
    assert cloud.parameters()["createTable"] is False


def test_table_without_the_new_columns_after_the_put_stops_it(cloud: Cloud) -> None:
    set_table(cloud, table("DataCollectionRuleBased", CLASSIC_COLUMNS))
    cloud.set_answers(f"rest --method put --uri {TABLE}[?]*", "")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == ["put table"]
    assert "still lacks site_s description_s extra_s truncated_b" in done.stderr


@pytest.mark.parametrize("subtype", ["Classic", "DataCollectionRuleBased"])
def test_table_with_a_column_of_another_type_stops_it(cloud: Cloud, subtype: str) -> None:
    set_table(cloud, table(subtype, CLASSIC_COLUMNS | {"id_d": "string"}))

    done = cloud.run("--migrate-table", *package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "id_d is string, and has to be real" in done.stderr


def test_table_that_is_classic_is_migrated_only_if_asked(cloud: Cloud) -> None:
    set_table(cloud, table("Classic", CLASSIC_COLUMNS | FOREIGN))

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "one-way" in done.stdout
    assert "--migrate-table says yes" in done.stderr


def test_table_that_is_migrated_gets_our_columns(cloud: Cloud) -> None:
    set_table(
        cloud,
        table("Classic", CLASSIC_COLUMNS | FOREIGN),
        table("Classic", CLASSIC_COLUMNS | FOREIGN),
        table("DataCollectionRuleBased", CLASSIC_COLUMNS | FOREIGN),
        table("DataCollectionRuleBased", {**COLUMNS} | FOREIGN),
    )
    cloud.set_answers(f"rest --method post --uri {TABLE}/migrate[?]*", "")
    cloud.set_answers(f"rest --method put --uri {TABLE}[?]*", "")

    done = cloud.run("--migrate-table", *package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["migrate", "put table", "deploy", "publish"]


def set_classic_table(cloud: Cloud) -> None:
    """A classic table that would be migrated, and would then get our columns."""
    set_table(
        cloud,
        table("Classic", CLASSIC_COLUMNS),
        table("DataCollectionRuleBased", CLASSIC_COLUMNS),
        table("DataCollectionRuleBased", {**COLUMNS}),
    )
    cloud.set_answers(f"rest --method post --uri {TABLE}/migrate[?]*", "")
    cloud.set_answers(f"rest --method put --uri {TABLE}[?]*", "")


def lack_token(cloud: Cloud) -> list[str]:
    cloud.more = {"JIRA_API_TOKEN": ""}
    return package_arguments(cloud)


def lack_package(cloud: Cloud) -> list[str]:
    return ["--package", str(cloud.folder / "missing.zip")]


def lack_role_to_assign(cloud: Cloud) -> list[str]:
    scope = "rest --method get --uri */resourcegroups/jira-rg/*/permissions[?]*"
    cloud.answers = {scope: [{"out": CONTRIBUTOR}], **cloud.answers}
    return package_arguments(cloud)


def lack_group(cloud: Cloud) -> list[str]:
    cloud.set_answers("group exists *", "false")
    cloud.set_failure("group create *", "AuthorizationFailed")
    return package_arguments(cloud)


def lack_validity(cloud: Cloud) -> list[str]:
    cloud.set_failure("deployment group validate *", "InvalidTemplateDeployment")
    return package_arguments(cloud)


LACKS = (lack_token, lack_package, lack_role_to_assign, lack_group, lack_validity)
"""What makes the script refuse, apart from the table."""


@pytest.mark.parametrize("lack", LACKS)
def test_table_is_migrated_after_all_that_can_refuse(
    cloud: Cloud, lack: Callable[[Cloud], list[str]]
) -> None:
    set_classic_table(cloud)

    done = cloud.run("--migrate-table", *lack(cloud))

    assert done.returncode == 1
    assert set(cloud.changes()) <= {"make group"}
    assert (lack is lack_group) is bool(cloud.changes())


def test_table_is_migrated_right_before_the_deployment(cloud: Cloud) -> None:
    set_classic_table(cloud)

    done = cloud.run("--migrate-table", *package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    lines = [each["line"] for each in cloud.calls()]
    migrated = next(n for n, line in enumerate(lines) if "/migrate?" in line)
    table_calls = ("rest --method get --uri " + TABLE, "rest --method put --uri " + TABLE)
    after = [each for each in lines[migrated + 1 :] if not each.startswith(table_calls)]
    assert after[0].startswith("deployment group create")


def test_dry_run_needs_no_package(cloud: Cloud) -> None:
    cloud.set_answers("deployment group what-if *", "Resource changes: 23 to create.")

    done = cloud.run("--what-if", "--package", "missing.zip")

    assert done.returncode == 0, done.stderr
    assert "23 to create" in done.stdout


@pytest.mark.parametrize(("answer", "migrated"), [("Jira_Audit_CL", True), ("y", False)])
def test_table_name_must_be_typed_at_a_terminal(cloud: Cloud, answer: str, migrated: bool) -> None:
    set_table(
        cloud,
        table("Classic", CLASSIC_COLUMNS),
        table("DataCollectionRuleBased", {**COLUMNS}),
    )
    cloud.set_answers(f"rest --method post --uri {TABLE}/migrate[?]*", "")

    code, shown = cloud.run_at_terminal("for yes: ", f"{answer}\n", *package_arguments(cloud))

    assert (code == 0) is migrated, shown
    assert ("migrate" in cloud.changes()) is migrated


def test_role_to_write_the_table_is_named_if_it_is_missing(cloud: Cloud) -> None:
    reader = {"value": [{"actions": ["*/read"], "notActions": []}]}
    cloud.set_answers("rest --method get --uri */permissions[?]*", reader)

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "Microsoft.OperationalInsights/workspaces/tables/write" in done.stderr


def test_role_to_assign_roles_is_named_before_the_deployment(
    cloud: Cloud,
) -> None:
    cloud.set_answers("rest --method get --uri */permissions[?]*", CONTRIBUTOR)

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "Microsoft.Authorization/roleAssignments/write" in done.stderr
    assert "Role Based Access Control Administrator" in done.stderr


def test_sign_in_that_is_missing_is_reported(cloud: Cloud) -> None:
    cloud.set_failure("account show *", "Please run 'az login'")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert "az login" in done.stderr


@pytest.mark.parametrize(
    ("found", "says"),
    [("", "there is no workspace sentinel"), (f"{WORKSPACE}\n{WORKSPACE}2", "several workspaces")],
)
def test_workspace_must_be_the_only_one_of_its_name(cloud: Cloud, found: str, says: str) -> None:
    cloud.set_answers("resource list * --name sentinel *", found)

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert says in done.stderr


def test_workspaces_are_listed_if_none_is_given(cloud: Cloud) -> None:
    cloud.set_answers("resource list *", "one\nsentinel")

    done = cloud.run("--workspace", "")

    assert done.returncode == 2
    assert "one\nsentinel" in done.stderr


def test_dry_run_changes_nothing_and_asks_for_no_token(cloud: Cloud) -> None:
    set_table(cloud, table("Classic", CLASSIC_COLUMNS))
    cloud.set_answers("deployment group what-if *", "Resource changes: 23 to create.")

    done = cloud.run("--what-if", "--migrate-table", *package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == []
    assert "Would migrate Jira_Audit_CL" in done.stdout
    assert "Would add to Jira_Audit_CL, every other column staying: site_s" in done.stdout
    assert "23 to create" in done.stdout
    assert cloud.parameters("deployment group what-if")["jiraApiToken"] == ""


def test_dry_run_makes_no_resource_group(cloud: Cloud) -> None:
    cloud.set_answers("group exists *", "false")

    done = cloud.run("--what-if", *package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "az group create --name jira-rg --location westeurope" in done.stderr


def test_resource_group_is_made_in_the_workspaces_region(cloud: Cloud) -> None:
    cloud.set_answers("group exists *", "false")
    cloud.set_answers("group create --name jira-rg --location westeurope *", "")

    assert cloud.run(*package_arguments(cloud)).returncode == 0
    assert cloud.changes() == ["make group", "deploy", "publish"]


def assert_token_is_not_exposed(cloud: Cloud, shown: str) -> None:
    """The token is in nothing but the parameters file, which only its owner could read."""
    assert TOKEN[:14] not in shown  # the rest may be quoted
    for call in cloud.calls():
        assert not [each for each in call["argv"] if TOKEN in each]
        assert not [name for name, value in call["environment"].items() if TOKEN in value]
        assert call["stdin"] == ""
    [deployed] = cloud.calls("deployment group create")
    assert cloud.parameters()["jiraApiToken"] == TOKEN
    assert deployed["modes"] == ["0o600"]
    assert deployed["folder_modes"] == ["0o700"]
    assert list((cloud.folder / "tmp").iterdir()) == []


def give_in_environment(cloud: Cloud) -> str:
    done = cloud.run(*package_arguments(cloud))
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def give_typed(cloud: Cloud) -> str:
    code, shown = cloud.run_at_terminal(
        "a@contoso.example (not shown): ", f"{TOKEN}\n", *package_arguments(cloud), token=None
    )
    assert code == 0, shown
    assert "API token of a@contoso.example (not shown)" in shown
    return shown


def give_in_file(cloud: Cloud) -> str:
    file = cloud.folder / "mine.json"
    tokens = {"value": {"JIRA_API_TOKEN_CONTOSO": TOKEN}}
    values = {name: {"value": TOKEN} for name in ("jiraApiToken", "jiraOauthClientSecret")}
    file.write_text(json.dumps({"parameters": values | {"jiraSiteTokens": tokens}}))
    done = cloud.run("--parameters", str(file), *package_arguments(cloud), token=None)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def give_on_standard_input(cloud: Cloud) -> str:
    file = cloud.folder / "token"
    file.write_text(TOKEN)
    with file.open() as stdin:
        done = cloud.run(*("--token-fd", "0"), *package_arguments(cloud), token=None, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def give_by_descriptor(cloud: Cloud) -> str:
    reading, writing = os.pipe()
    os.write(writing, f"{TOKEN}\n".encode())
    os.close(writing)
    number = ("--token-fd", str(reading))
    done = cloud.run(*number, *package_arguments(cloud), token=None, pass_fds=(reading,))
    os.close(reading)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


WAYS = (
    *(give_in_environment, give_typed, give_in_file),
    *(give_on_standard_input, give_by_descriptor),
)
"""Every way to hand the script the token."""


@pytest.mark.parametrize("give", WAYS)
def test_token_is_in_no_argument_or_output(cloud: Cloud, give: Callable[[Cloud], str]) -> None:
    assert_token_is_not_exposed(cloud, give(cloud))


@pytest.mark.parametrize(
    ("give", "shell", "more"),
    [
        *((way, ("bash", "-x"), {}) for way in WAYS),
        (give_typed, ("bash", "-xv"), {}),
        (give_in_environment, ("bash",), {"SHELLOPTS": "xtrace"}),
    ],
)
def test_token_is_not_in_the_shells_trace(
    cloud: Cloud, give: Callable[[Cloud], str], shell: Sequence[str], more: Mapping[str, str]
) -> None:
    cloud.shell, cloud.more = shell, more

    shown = give(cloud)

    assert "+ " in shown  # it was traced, up to where the token is touched
    assert_token_is_not_exposed(cloud, shown)


def test_token_that_is_missing_stops_the_deployment(cloud: Cloud) -> None:
    done = cloud.run(*package_arguments(cloud), token=None)

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "set JIRA_API_TOKEN" in done.stderr


def test_token_stays_in_the_vault_on_an_upgrade(cloud: Cloud) -> None:
    done = cloud.run("--keep-token", *package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.parameters()["jiraApiToken"] == ""


def test_temporary_folder_is_deleted_if_the_deployment_fails(cloud: Cloud) -> None:
    cloud.set_failure("deployment group create *", "InvalidTemplateDeployment")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert "InvalidTemplateDeployment" in done.stderr
    assert list((cloud.folder / "tmp").iterdir()) == []


def test_parameters_from_a_file_decide_too(cloud: Cloud, tmp_path: Path) -> None:
    set_table(cloud, table("Classic", {"id_d": "string"}))
    file = tmp_path / "mine.json"
    values = {"tables": {"value": "v2"}, "pollSchedule": {"value": "0 */10 * * * *"}}
    file.write_text(json.dumps({"parameters": values}))

    done = cloud.run("--parameters", str(file), *package_arguments(cloud))

    assert done.returncode == 0, done.stderr  # the classic table is none of its business
    given = cloud.parameters()
    assert (given["tables"], given["pollSchedule"]) == ("v2", "0 */10 * * * *")
    assert given["createTable"] is False


def test_package_is_published_once_the_app_may_write_it(cloud: Cloud) -> None:
    cloud.set_failure("functionapp deployment *", "BlobUploadFailedException: status 403", "")
    del cloud.answers["functionapp deployment source config-zip *"]

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy", "publish", "publish"]
    assert (cloud.folder / "sleeps").read_text().startswith("60")


# azure-cli 2.91.0, appservice/custom.py, show_deployment_log: in the place of the cause.
LOG_IS_AWAY = (
    "ERROR: Failed to connect to 'https://jira.scm/api/deployments/' with status code '401'"
)


def test_package_is_published_again_if_its_log_cannot_be_read(cloud: Cloud) -> None:
    cloud.set_failure("functionapp deployment source config-zip *", LOG_IS_AWAY, "")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy", "publish", "publish"]


def test_package_of_a_release_waits_for_the_role(
    cloud: Cloud, tmp_path: Path, address: str
) -> None:
    """The template is told of no address, so nothing in the deployment can meet the 403."""
    release(cloud, tmp_path, address, DIGEST)
    cloud.set_failure(
        "functionapp deployment source config-zip *",
        "InaccessibleStorageException: Failed to access storage account: 403",
        "",
    )

    done = cloud.run()

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy", "publish", "publish"]
    assert cloud.parameters()["packageUri"] == ""
    assert "The app may not write its package yet; trying again in a minute." in done.stdout


def test_package_that_fails_to_publish_ends_the_script(cloud: Cloud) -> None:
    cloud.set_failure("functionapp deployment source config-zip *", "the package is no zip")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert "the package is no zip" in done.stderr
    assert cloud.changes() == ["deploy", "publish"]


def test_package_with_another_checksum_is_not_deployed(cloud: Cloud) -> None:
    (cloud.folder / "package.zip.sha256").write_text(f"{'0' * 64}  package.zip\n")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "is not the package that it should be" in done.stderr


PACKAGE = b"a released package"
DIGEST = hashlib.sha256(PACKAGE).hexdigest()


@pytest.fixture
def address(cloud: Cloud, authority: tuple[trustme.CA, Path]) -> Iterator[str]:
    """Where a release's package is."""

    class Release(Handler):
        def do_GET(self) -> None:
            self.answer(200, PACKAGE) if self.path == "/package.zip" else self.answer(404)

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("localhost").configure_cert(tls)
    cloud.more = {"SSL_CERT_FILE": str(authority[1])}
    with Loopback(Release, tls) as server:
        yield f"https://localhost:{server.port}/package.zip"


def release(cloud: Cloud, tmp_path: Path, address: str, digest: str) -> None:
    """Run the script of a release, whose template names its package."""
    folder = tmp_path / "release"
    folder.mkdir()
    template = json.loads(json.dumps(TEMPLATE))
    template["parameters"]["packageUri"]["defaultValue"] = address
    template["metadata"]["packageSha256"] = digest
    (folder / "azuredeploy.json").write_text(json.dumps(template))
    shutil.copy(SCRIPT, folder / "deploy.sh")
    cloud.script = folder / "deploy.sh"


def published(cloud: Cloud) -> bytes:
    [call] = cloud.calls("functionapp deployment source config-zip")
    [content] = [bytes.fromhex(each) for each in call["sources"].values()]
    return content


def test_package_is_published_as_it_is(cloud: Cloud) -> None:
    """Unless told otherwise, az has Azure build it anew, from other packages."""
    cloud.run(*package_arguments(cloud))

    [call] = cloud.calls("functionapp deployment source config-zip")
    assert "--build-remote false" in call["line"]
    assert published(cloud) == b"a package"


def test_package_of_a_release_is_fetched_checked_and_published(
    cloud: Cloud, tmp_path: Path, address: str
) -> None:
    release(cloud, tmp_path, address, DIGEST)

    done = cloud.run()

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy", "publish"]
    assert published(cloud) == PACKAGE
    assert cloud.parameters()["packageUri"] == ""  # the template fetches nothing


def test_package_of_a_release_that_was_replaced_is_refused(
    cloud: Cloud, tmp_path: Path, address: str
) -> None:
    set_table(cloud, table("Classic", CLASSIC_COLUMNS))
    release(cloud, tmp_path, address, hashlib.sha256(b"another").hexdigest())

    done = cloud.run("--migrate-table")

    assert done.returncode == 1
    assert f"{address} is not the package that it should be" in done.stderr
    assert DIGEST in done.stderr
    assert cloud.changes() == []


def test_package_of_a_release_is_not_what_vouches_for_another(
    cloud: Cloud, tmp_path: Path, address: str
) -> None:
    release(cloud, tmp_path, address, DIGEST)

    done = cloud.run("--package-uri", address.replace("package.zip", "other.zip"))

    assert done.returncode == 2
    assert "--package-sha256 is missing" in done.stderr
    assert cloud.changes() == []


def test_package_at_an_address_is_checked_by_its_digest(cloud: Cloud, address: str) -> None:
    right = ("--package-uri", address, "--package-sha256", DIGEST.upper())

    done = cloud.run(*right)

    assert done.returncode == 0, done.stderr
    assert published(cloud) == PACKAGE
    assert cloud.run(*right[:3], "0" * 64).returncode == 1
    assert cloud.run(*right[:3], "0").returncode == 2
    assert cloud.changes() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [(("package.zip", "gone.zip"), "HTTP Error 404"), (("https", "http"), "no https address")],
)
def test_package_that_cannot_be_fetched_stops_it(
    cloud: Cloud, address: str, change: tuple[str, str], says: str
) -> None:
    done = cloud.run("--package-uri", address.replace(*change), "--package-sha256", DIGEST)

    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert cloud.changes() == []


def test_package_file_is_checked_by_a_digest_that_is_given(cloud: Cloud) -> None:
    digest = hashlib.sha256(b"a package").hexdigest()

    assert cloud.run(*package_arguments(cloud), "--package-sha256", digest).returncode == 0
    assert cloud.run(*package_arguments(cloud), "--package-sha256", DIGEST).returncode == 1
    assert cloud.changes() == []


@pytest.mark.parametrize("digest", [DIGEST, None, "0" * 64])
def test_package_of_a_premium_plan_stays_at_its_address(
    cloud: Cloud, tmp_path: Path, address: str, digest: str | None
) -> None:
    plan = tmp_path / "mine.json"
    plan.write_text(json.dumps({"parameters": {"hostingPlan": {"value": "premium"}}}))
    check = ("--package-sha256", digest) if digest else ()

    done = cloud.run("--parameters", str(plan), "--package-uri", address, *check)

    if digest == "0" * 64:
        assert (done.returncode, cloud.changes()) == (1, [])
        return
    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy"]
    assert cloud.parameters()["packageUri"] == address
    assert ("Not checked: the app will run whatever is at" in done.stdout) is (digest is None)


def test_first_run_may_fail_until_the_roles_are_there(cloud: Cloud) -> None:
    refused = failed_run("403: the identity lacks Monitoring Metrics Publisher")
    cloud.set_answers(QUERY, NOT_YET, refused, refused, RAN)

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The app says: 403: the identity lacks") == 1
    assert len(cloud.calls("rest --method post")) == 4


def test_first_run_that_keeps_failing_fails_the_script(cloud: Cloud) -> None:
    cloud.set_answers(QUERY, failed_run("contoso: the token is wrong, revoked or expired"))

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert "the token is wrong, revoked or expired" in done.stderr


def test_first_run_that_is_never_seen_is_reported(cloud: Cloud) -> None:
    cloud.set_failure(QUERY, "no such table")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert "no run of it was seen" in done.stderr


@pytest.mark.parametrize(
    ("version", "right"),
    [("2.45.0", False), ("2.59.9", False), ("2.60.0", True), ("3.0.0", True)],
)
def test_az_must_know_flex_consumption(cloud: Cloud, version: str, right: bool) -> None:
    cloud.set_answers("version *", version)

    done = cloud.run(*package_arguments(cloud))

    assert (done.returncode == 0) is right
    if not right:
        assert cloud.changes() == []
        assert f"az is {version}, and 2.60 or newer is needed" in done.stderr


@pytest.mark.parametrize(
    ("existing", "arguments", "given", "right"),
    [
        ("westeurope", (), None, True),
        ("North Europe", (), None, False),
        ("northeurope", ("--location", "westeurope"), None, False),  # the group stays where it is
        ("", (), None, True),
        ("", ("--location", "northeurope"), None, False),
        ("northeurope", (), "East US", True),
        ("westeurope", (), "northeurope", False),
    ],
)
def test_region_must_offer_flex_consumption(
    cloud: Cloud, existing: str, arguments: tuple[str, ...], given: str | None, right: bool
) -> None:
    set_classic_table(cloud)
    cloud.set_answers("group exists *", "true" if existing else "false")
    cloud.set_answers("group show *", existing)
    cloud.set_answers("group create *", "")
    file = cloud.folder / "mine.json"
    file.write_text(json.dumps({"parameters": {"location": {"value": given}} if given else {}}))

    done = cloud.run(
        *("--migrate-table", "--parameters", str(file)), *arguments, *package_arguments(cloud)
    )

    assert (done.returncode == 0) is right, done.stderr
    if not right:
        assert cloud.changes() == []
        assert "Flex Consumption is not offered in northeurope" in done.stderr
        assert "East US\nwesteurope" in done.stderr


@pytest.mark.parametrize("state", ["NotRegistered", "Registered"])
def test_subnet_needs_its_provider(cloud: Cloud, state: str) -> None:
    file = cloud.folder / "mine.json"
    file.write_text(json.dumps({"parameters": {"outboundSubnetResourceId": {"value": "/s"}}}))
    cloud.set_answers("provider show --namespace Microsoft.App *", state)

    done = cloud.run("--parameters", str(file), *package_arguments(cloud))

    assert (done.returncode == 0) is (state == "Registered")
    if state != "Registered":
        assert cloud.changes() == []
        assert "az provider register --namespace Microsoft.App --wait" in done.stderr


def test_vault_that_was_deleted_is_recovered_first(cloud: Cloud) -> None:
    set_classic_table(cloud)
    cloud.set_answers("deployment group validate *", f"{SITE}\n{VAULT}\n{VAULT}/secrets/jira-api")
    cloud.set_answers("keyvault list-deleted *'jira-vault'*", "westeurope")

    done = cloud.run("--migrate-table", *package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes() == []
    assert "az keyvault recover --name jira-vault --location westeurope" in done.stderr


def test_vault_list_that_may_not_be_read_stops_nothing(cloud: Cloud) -> None:
    cloud.set_answers("deployment group validate *", VAULT)
    cloud.set_failure("keyvault list-deleted *", "ERROR: AuthorizationFailed")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert "cannot be looked at: ERROR: AuthorizationFailed" in done.stdout


def test_alerts_that_tell_nobody_are_mentioned(cloud: Cloud) -> None:
    nobody = cloud.run(*package_arguments(cloud))
    told = cloud.run("--alert-email", "soc@contoso.example", *package_arguments(cloud))

    assert "The alerts tell nobody" in nobody.stdout
    assert "The alerts tell nobody" not in told.stdout
    assert cloud.parameters()["alertEmail"] == "soc@contoso.example"


SERVICE = {"jiraOauthClientId": "client", "jiraOauthClientSecret": "secret"}
SEVERAL = {"jiraSites": [{"url": "https://a.atlassian.net", "username": "a"}]}


@pytest.mark.parametrize(
    ("given", "arguments", "says"),
    [
        (SERVICE, ("--username", ""), ""),
        (SERVICE, (), "--username excludes jiraOauthClientId"),
        (SEVERAL, ("--username", "", "--jira-url", ""), ""),
        (SEVERAL, ("--username", ""), "--jira-url and --username exclude jiraSites"),
    ],
)
def test_ways_into_jira_exclude_each_other(
    cloud: Cloud, given: Mapping[str, object], arguments: tuple[str, ...], says: str
) -> None:
    file = cloud.folder / "mine.json"
    file.write_text(json.dumps({"parameters": {n: {"value": v} for n, v in given.items()}}))

    done = cloud.run(
        *("--parameters", str(file)), *arguments, *package_arguments(cloud), token=None
    )

    assert done.returncode == (2 if says else 0), done.stderr
    assert says in done.stderr
    if not says:
        assert cloud.parameters()["jiraApiToken"] == cloud.parameters()["jiraUsername"] == ""


UNRESOLVED = "SettingsError: JIRA_API_TOKEN is a Key Vault reference that did not resolve: check"


def test_reference_that_did_not_resolve_is_refreshed(cloud: Cloud) -> None:
    """Unasked, Azure tries again after 24 hours only."""
    cloud.set_answers(QUERY, NOT_YET, failed_run(UNRESOLVED), failed_run(UNRESOLVED), RAN)
    cloud.set_answers(f"rest --method post --uri {REFRESH}/refresh[?]api-version=2022-03-01", "")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy", "publish", "refresh"]


def test_reference_is_refreshed_now_and_then_not_each_minute(cloud: Cloud) -> None:
    cloud.set_answers(QUERY, failed_run(UNRESOLVED))
    cloud.set_failure(f"rest --method post --uri {REFRESH}/refresh[?]*", "Forbidden: no such right")

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.changes().count("refresh") == 9  # in 45 minutes
    assert "Azure did not: Forbidden: no such right" in done.stdout
    assert "did not resolve" in done.stderr


def test_first_run_counts_once_the_code_is_there(cloud: Cloud) -> None:
    """The version before may run, and well, while the new one is deployed."""
    slow = '#!/bin/sh\nexec date "$@" -d "@$(grep -c config-zip "$STAND_IN_AZ/calls.jsonl")"\n'
    (cloud.folder / "date").write_text(slow.replace("exec date", "exec /bin/date"))
    (cloud.folder / "date").chmod(0o755)

    cloud.run("--keep-token", *package_arguments(cloud))

    [text] = cloud.calls(f"rest --method post --uri {INSIGHTS}/query")[0]["files"].values()
    assert "datetime(1970-01-01T00:00:01Z)" in text


@pytest.mark.parametrize(
    "error",
    [
        "ERROR: Bad Request({'error': {'message': 'Semantic error', 'code': 'BadArgumentError'}})",
        "ERROR: Forbidden({'error': {'code': 'InsufficientAccessError'}})",
        "ERROR: (AuthorizationFailed) The client does not have authorization",
    ],
)
def test_first_run_that_cannot_be_seen_is_not_waited_for(cloud: Cloud, error: str) -> None:
    cloud.set_failure(QUERY, error)

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 3
    assert len(cloud.calls(f"rest --method post --uri {INSIGHTS}/query")) == 1
    assert "is deployed; whether it runs cannot be seen" in done.stderr
    assert error in done.stderr


# azure-cli 2.91.0, appservice/custom.py: said once the package is there.
@pytest.mark.parametrize(
    "error",
    [
        "ERROR: Deployment was successful but the app appears to be unhealthy, please check it.",
        "ERROR: Failed to fetch host key to check for function app status.",
    ],
)
def test_package_is_published_if_only_the_host_is_not_up(cloud: Cloud, error: str) -> None:
    cloud.set_failure("functionapp deployment source config-zip *", error)

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert cloud.changes() == ["deploy", "publish"]
    assert "has run, and collects" in done.stdout


HOSTILE = """\
import os
open({mark!r}, "w").write(f"{{__file__}} was run with {{os.environ}}")
"""


def put_hostile_programs(folder: Path, mark: Path) -> None:
    """What the script might run if it looked for code there: each leaves a mark."""
    for name in ("json.py", "hashlib.py", "fnmatch.py", "urllib/__init__.py", "ssl.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(HOSTILE.format(mark=str(mark)))
    for name in ("__init__", "__main__", "cli", "terminal/__init__", "terminal/cli"):
        file = folder / "jira_audit" / f"{name}.py"
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(HOSTILE.format(mark=str(mark)))
    for name in ("az", "python3", "mktemp", "dirname", "date", "cut", "awk", "grep", "rm", "cat"):
        (folder / name).write_text(f'#!/bin/sh\necho "$0 was run" >{mark}\n')
        (folder / name).chmod(0o755)


@pytest.fixture
def unguarded(cloud: Cloud) -> Cloud:
    """A machine whose Python looks for modules where it usually does, and az in Python's own way.

    `python -m azure.cli`, as in pip's azure-cli, looks for modules in the current folder first.
    """
    modules = cloud.folder / "modules"
    modules.mkdir()
    shutil.copy(Path(__file__).with_name("stand_in_az.py"), modules / "stand_in_az.py")
    az = f'#!/bin/sh\nPYTHONPATH={modules} exec {PYTHON} -m stand_in_az "$@"\n'
    (cloud.folder / "az").write_text(az)
    (cloud.folder / "python3").write_text(f'#!/bin/sh\nexec {PYTHON} "$@"\n')
    return cloud


@pytest.mark.parametrize("path", ["{}:/usr/bin:/bin", ".:{}:/usr/bin:/bin", ":{}:/usr/bin:/bin"])
def test_code_of_the_current_folder_is_not_run(
    unguarded: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    here, mark = tmp_path / "here", tmp_path / "mark"
    here.mkdir()
    put_hostile_programs(here, mark)
    monkeypatch.chdir(here)
    unguarded.more = {
        "PATH": path.format(unguarded.folder),
        "CDPATH": str(here),
        "PYTHONPATH": ".",
        "PYTHONSTARTUP": "json.py",
    }

    done = unguarded.run(*package_arguments(unguarded))

    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stderr
    assert unguarded.changes() == ["deploy", "publish"]


def test_code_of_the_folder_above_the_script_is_not_run(unguarded: Cloud, tmp_path: Path) -> None:
    release, mark = tmp_path / "downloads" / "release", tmp_path / "mark"
    release.mkdir(parents=True)
    put_hostile_programs(release.parent, mark)
    for name in ("deploy.sh", "azuredeploy.json"):
        shutil.copy(SCRIPT.with_name(name), release / name)
    unguarded.script = release / "deploy.sh"

    done = unguarded.run(*package_arguments(unguarded))

    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stderr
    assert "jira-audit check" in done.stdout


@pytest.mark.parametrize("script", ["deploy.sh", "./deploy.sh", "../deploy/deploy.sh"])
def test_files_are_named_from_where_the_script_is_started(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    (cloud.folder / "mine.json").write_text('{"parameters": {"tables": {"value": "v2"}}}')
    (cloud.folder / "package.zip.sha256").write_text(f"{'0' * 64}  package.zip\n")
    up = os.path.relpath(cloud.folder, SCRIPT.parent)
    monkeypatch.chdir(SCRIPT.parent)
    cloud.script = Path(script)
    files = ("--parameters", f"{up}/mine.json", "--package", f"{up}/package.zip")

    refused = cloud.run(*files)
    (cloud.folder / "package.zip.sha256").unlink()
    done = cloud.run(*files)

    assert "is not the package that it should be" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert cloud.parameters()["tables"] == "v2"
    [publish] = cloud.calls("functionapp deployment source config-zip")
    source = Path(publish["argv"][publish["argv"].index("--src") + 1])
    assert source.is_absolute()
    assert source.samefile(cloud.folder / "package.zip")


def test_first_run_that_is_not_waited_for_is_mentioned(cloud: Cloud) -> None:
    done = cloud.run("--no-wait", *package_arguments(cloud))

    assert done.returncode == 0, done.stderr
    assert "its first run was not waited for" in done.stdout


@pytest.mark.parametrize("system", ["msys", "cygwin"])
def test_git_bash_is_sent_to_the_cloud_shell(cloud: Cloud, system: str) -> None:
    cloud.more = {"OSTYPE": system}

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.calls() == []
    assert "https://shell.azure.com" in done.stderr


# What came with bash 4 and 5: https://git.savannah.gnu.org/cgit/bash.git/tree/NEWS. macOS has 3.2.
NEWER_BASH = (
    r"\b(declare|local|typeset) -[a-zA-Z]*[AnNgIlu]|\b(mapfile|readarray|coproc)\b"
    r"|&>>|\|&|;;?&(?!&)"
    r"|\$\{\w+(\[[^]]*\])?(,|\^|@[A-Za-z])|\bEPOCH|BASHPID|printf [^|;]*%\(|\[\[? -v |wait -n"
)


@pytest.mark.parametrize("newer", ["declare -A x", "${x,,}", "mapfile -t x", "a |& b", "a &>> b"])
def test_search_for_newer_bash_finds_it(newer: str) -> None:
    assert re.search(NEWER_BASH, newer)


@pytest.mark.parametrize("name", ["deploy.sh", "rehearse"])
def test_script_runs_on_the_bash_of_macos(name: str) -> None:
    text = SCRIPT.with_name(name).read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if not line.lstrip().startswith("#")]

    assert [line for line in code if re.search(NEWER_BASH, line)] == []


def test_call_that_the_stand_in_does_not_know_fails_the_script(cloud: Cloud) -> None:
    del cloud.answers["resource show *"]

    done = cloud.run(*package_arguments(cloud))

    assert done.returncode == 1
    assert cloud.calls()[-1]["pattern"] is None
