"""The workflows: they run .ci/run, with the Pythons it needs, and may do nothing they need not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").iterdir())


def load_workflow(name: str) -> dict[Any, Any]:
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    workflow["on"] = workflow.pop(True)  # YAML 1.1 takes `on` for a truth value
    return workflow


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    [job] = workflow["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


def test_workflows_are_two() -> None:
    assert [file.name for file in FILES] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_ci_runs_with_the_pythons_that_it_looks_for(name: str) -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    [wanted] = re.findall(r"^for version in (.*); do", ci, re.MULTILINE)
    workflow = load_workflow(name)

    [python] = [each for each in steps(workflow) if "setup-python" in each.get("uses", "")]

    assert python["with"]["python-version"].split() == wanted.split()
    assert "bash .ci/run" in [each.get("run") for each in steps(workflow)]


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_actions_are_pinned_by_their_commit(name: str) -> None:
    used = [each["uses"] for each in steps(load_workflow(name)) if "uses" in each]

    assert len(used) == 2
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", each) for each in used), used


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_workflows_may_only_read_and_keep_no_credentials(name: str) -> None:
    workflow = load_workflow(name)
    [checkout] = [each for each in steps(workflow) if "checkout" in each.get("uses", "")]

    assert workflow["permissions"] == {"contents": "read"}
    assert checkout["with"]["persist-credentials"] is False


def test_ci_runs_on_pushes_to_main_and_on_pull_requests() -> None:
    workflow = load_workflow("ci.yml")

    assert workflow["on"] == {"push": {"branches": ["main"]}, "pull_request": None}
    assert "permissions" not in workflow["jobs"]["ci"]


def test_release_needs_a_version_tag_and_a_passed_ci() -> None:
    workflow = load_workflow("release.yml")
    runs = [each["run"] for each in steps(workflow) if "run" in each]

    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    assert workflow["jobs"]["release"]["permissions"] == {"contents": "write"}
    assert "jira_audit.__version__" in runs[0]
    assert runs[1] == "bash .ci/run"
    assert "make package" in runs[2]
    assert runs[3].startswith("gh release create")
    for name in ("released-package.zip", "azuredeploy.json", "createUiDefinition.json"):
        assert name in runs[2].split("sha256sum")[1]


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_untrusted_values_reach_a_shell_as_variables_only(name: str) -> None:
    """https://docs.github.com/actions/reference/security/secure-use#use-an-intermediate-environment-variable"""
    assert not [each for each in steps(load_workflow(name)) if "${{" in each.get("run", "")]
