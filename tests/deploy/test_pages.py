"""The queries that an administrator is given are valid, and say what the pages use them for."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from jira_audit.core.records import COLUMNS
from tests.conftest import needed
from tests.deploy import checks, kql
from tests.deploy.local_azure import REGION, at_a_shell, new_azure, only_app, register_all
from tests.docs import shell

ROOT = Path(__file__).parents[2]
MIGRATE = (ROOT / "docs" / "migrate.md").read_text(encoding="utf-8")
CLASSIC = {
    name: kind
    for name, kind in COLUMNS.items()
    if name not in {"site_s", "description_s", "extra_s", "truncated_b"}
}
TELEMETRY = {
    "requests": {
        "timestamp": "datetime",
        "cloud_RoleName": "string",
        "name": "string",
        "success": "string",
        "operation_Id": "string",
    },
    "exceptions": {
        "timestamp": "datetime",
        "cloud_RoleName": "string",
        "outerMessage": "string",
        "operation_Id": "string",
    },
}
"""https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete"""

pytestmark = pytest.mark.servers  # Node.js


def kusto(columns: dict[str, str]) -> dict[str, str]:
    return {name: "bool" if kind == "boolean" else kind for name, kind in columns.items()}


def queries() -> list[str]:
    blocks = re.findall(r"```kusto\n(.*?)```", MIGRATE, re.DOTALL)
    return [re.sub(r"^ +", "", each, flags=re.MULTILINE) for each in blocks]


def test_query_for_the_reset_works_on_a_classic_table() -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")

    [answer] = kql.analyse({"Jira_Audit_CL": kusto(CLASSIC)}, queries()[:1])

    assert answer.problems == []
    assert answer.columns == {"CHECKPOINT_RESET": "string"}


def test_queries_are_valid_after_the_move() -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")

    answers = kql.analyse({"Jira_Audit_CL": kusto(dict(COLUMNS))}, queries())

    assert len(answers) == 3
    assert [each.problems for each in answers] == [[], [], []]


IN_THE_WORKSPACE = {
    "Jira_Audit_CL": kusto(dict(COLUMNS)),
    # https://learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces, and so on
    "AppTraces": {
        "TimeGenerated": "datetime",
        "Message": "string",
        "SeverityLevel": "int",
        "OperationId": "string",
        "AppRoleName": "string",
        "Properties": "dynamic",
    },
    "AppExceptions": {
        "TimeGenerated": "datetime",
        "AppRoleName": "string",
        "OuterMessage": "string",
    },
    "AzureActivity": {
        "TimeGenerated": "datetime",
        "Caller": "string",
        "OperationNameValue": "string",
        "ActivityStatusValue": "string",
        "_ResourceId": "string",
    },
}


def runs_function() -> str:
    """What the template saves as JiraAuditRuns."""
    return str(checks.load()["variables"]["runsFunction"])


def test_queries_on_pages_are_valid() -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    written = [
        (f"{page}:{block.line}", block.text)
        for page in shell.pages()
        if page.startswith("docs/")
        for block in shell.blocks(page)
        if block.language == "kusto"
    ]

    answers = kql.analyse(
        IN_THE_WORKSPACE,
        [query for _, query in written],
        {"JiraAuditRuns": ("()", runs_function())},
    )

    assert len(written) > 10
    found = zip(written, answers, strict=True)
    assert [(place, each.problems) for (place, _), each in found if each.problems] == []


def test_query_for_the_first_run_is_valid() -> None:
    needed(kql.is_installed(), "Kusto's analyser is not installed: make setup")
    script = (ROOT / "deploy" / "deploy.sh").read_text(encoding="utf-8")
    [query] = re.findall(r'query="(.*?)"\n', script, re.DOTALL)
    asked = query.replace("$began", "2026-11-22T21:00:00Z").replace("$app", "jira-audit-abc")

    [answer] = kql.analyse(TELEMETRY, [asked])

    assert answer.problems == []
    assert answer.columns == {"Success": "bool", "Said": "string"}


def given(page: str, language: str) -> dict[str, set[str]]:
    """The parameters that the page's example of a language gives, and how each is written."""
    [example] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    [block] = re.findall(r"(?:params: \{|jsonencode\(\{)\n(.*?)\n  \}", example, re.DOTALL)
    found: dict[str, set[str]] = {}
    for name, value in re.findall(r"^\s+(\w+)\s*(?:: |= )(.*)$", block, re.MULTILINE):
        found.setdefault(name, set()).add(value)
    return found


@pytest.mark.parametrize("language", ["bicep", "hcl"])
def test_examples_give_the_templates_parameters(language: str) -> None:
    page = (ROOT / "docs" / "bicep-and-terraform.md").read_text(encoding="utf-8")
    parameters = checks.load()["parameters"]
    required = {name for name, each in parameters.items() if "defaultValue" not in each}

    example = given(page, language)

    assert required <= set(example) <= set(parameters)
    for name, [value] in example.items():
        inner = value.removeprefix("{ value = ").removesuffix(" }")
        literal = re.fullmatch(r"(true|false)|['\"].*['\"]", inner)
        kind = "bool" if literal and literal[1] else "string"
        assert not literal or parameters[name]["type"] == kind, name


def test_commands_of_the_script_on_the_page_deploy_one_after_another(tmp_path: Path) -> None:
    """In a subscription without the resource group, by whoever types what the section says."""
    needed(shutil.which("bash"), "bash is not installed")
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    end = text[: text.index("## Deploy in the portal")].count("\n")
    typed = [
        words
        for command in shell.commands("docs/deploy.md")
        if command.line <= end
        for words in shell.simple_commands(command.text)
        if words[:3] == ["az", "group", "create"] or words[:2] == ["bash", "deploy.sh"]
    ]
    names = {"GROUP": "jira-rg", "REGION": REGION, "WORKSPACE": "sentinel"}
    names["deploy.sh"] = str(checks.SCRIPT)
    azure = new_azure()
    register_all(azure)

    with at_a_shell(tmp_path, azure) as somebody:
        for words in typed:
            line = [names.get(word, word) for word in words]
            if "bash" in words:
                line += ["--package", str(tmp_path / "package.zip")]
            done = subprocess.run(
                line,
                env=somebody.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=280,
            )
            assert done.returncode == 0, (shlex.join(words), done.stderr)

    assert [words[-1] for words in typed] == ["REGION", "--what-if", "soc@contoso.example"]
    assert only_app(azure).runs[-1].ok
