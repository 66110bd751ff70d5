"""The workflows: they run .ci/run, with the Pythons it needs, and may do nothing they need not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").iterdir())
NAMES = ["ci.yml", "release.yml"]


def load_workflow(name: str) -> dict[Any, Any]:
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    workflow["on"] = workflow.pop(True)  # YAML 1.1 takes `on` for a truth value
    return workflow


def steps(workflow: dict[Any, Any], *jobs: str) -> list[dict[str, Any]]:
    """The steps of the named jobs, or of all."""
    return [step for job in jobs or workflow["jobs"] for step in workflow["jobs"][job]["steps"]]


def runs(workflow: dict[Any, Any], *jobs: str) -> str:
    """What the jobs run in a shell."""
    return "\n".join(each["run"] for each in steps(workflow, *jobs) if "run" in each)


def uses(workflow: dict[Any, Any], *jobs: str) -> list[str]:
    """The actions that the jobs use, without their versions."""
    return [each["uses"].split("@")[0] for each in steps(workflow, *jobs) if "uses" in each]


def test_workflows_are_two() -> None:
    assert [file.name for file in FILES] == NAMES


@pytest.mark.parametrize(("name", "job"), [("ci.yml", "ci"), ("release.yml", "test")])
def test_ci_runs_with_the_pythons_that_it_looks_for(name: str, job: str) -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    [wanted] = re.findall(r"^for version in (.*); do", ci, re.MULTILINE)
    of_job = steps(load_workflow(name), job)

    [python] = [each for each in of_job if "setup-python" in each.get("uses", "")]

    assert python["with"]["python-version"].split() == wanted.split()
    assert "bash .ci/run" in [each.get("run") for each in of_job]


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_githubs_own_and_pinned_by_commit(name: str) -> None:
    used = [each["uses"] for each in steps(load_workflow(name)) if "uses" in each]

    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", each) for each in used), used


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_the_same_version_in_all_workflows(name: str) -> None:
    here = {each["uses"] for each in steps(load_workflow(name)) if "uses" in each}
    others = {
        each["uses"] for file in NAMES for each in steps(load_workflow(file)) if "uses" in each
    }

    assert len({each.split("@")[0] for each in here | others}) == len(here | others)


@pytest.mark.parametrize("name", NAMES)
def test_workflows_may_do_nothing_and_keep_no_credentials(name: str) -> None:
    workflow = load_workflow(name)
    checkouts = [each for each in steps(workflow) if "checkout" in each.get("uses", "")]

    assert workflow["permissions"] == {}
    assert checkouts
    assert all(each["with"]["persist-credentials"] is False for each in checkouts)
    for job, its in workflow["jobs"].items():
        if job not in {"publish", "portal"}:
            assert its["permissions"] == {"contents": "read"}, job


def test_ci_runs_on_pushes_to_main_and_on_pull_requests() -> None:
    workflow = load_workflow("ci.yml")

    assert workflow["on"] == {"push": {"branches": ["main"]}, "pull_request": None}


def test_ci_looks_for_known_weaknesses_in_code_and_workflows() -> None:
    """`make lint` is what .ci/run runs first."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [shipped] = re.findall(r"^SHIPPED = (.*)$", makefile, re.MULTILINE)
    lint = makefile.split("\nlint:")[1].split("\n\n")[0]

    assert "bandit --quiet --configfile pyproject.toml --recursive $(SHIPPED)" in lint
    assert "zizmor --offline --quiet .github/workflows" in lint
    scripts = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "deploy").rglob("*")
        if path.is_file() and path.read_bytes()[:80].split(b"\n")[0].endswith((b"python3", b" -I"))
    }
    assert scripts
    # A script's own modules lie beside it.
    modules = {
        f"{path.parent.relative_to(ROOT).as_posix()}/*.py"
        for path in (ROOT / "deploy").rglob("*.py")
    }
    assert {*shipped.split()} == {"function_app.py", "jira_audit"} | scripts | modules


def test_release_needs_a_version_tag_and_a_passed_ci() -> None:
    workflow = load_workflow("release.yml")
    jobs = workflow["jobs"]

    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    assert list(jobs) == ["test", "build", "publish", "portal"]
    assert jobs["build"]["needs"] == "test"
    assert jobs["publish"]["needs"] == "build"
    assert jobs["portal"]["needs"] == ["build", "publish"]
    assert "jira_audit.__version__" in runs(workflow, "test")
    assert "bash .ci/run" in runs(workflow, "test")


def test_release_is_built_where_nothing_else_ran() -> None:
    """No environment, no package but the wheels of the lock, which are unpacked and not run."""
    workflow = load_workflow("release.yml")

    assert uses(workflow, "build") == [
        *("actions/checkout", "actions/setup-python", "actions/upload-artifact")
    ]
    commands = runs(workflow, "build")
    assert re.findall("^python3.13 -I (deploy/\\w+) ", commands, re.MULTILINE) == [
        *("deploy/package", "deploy/release")
    ]
    assert not re.search(r"\b(pip|npm|make|venv)\b", commands)
    # A cache is filled by other runs.
    assert not [each for each in steps(workflow) if "cache" in each.get("with", {})]


def test_release_is_published_by_a_job_that_runs_no_code_of_ours() -> None:
    workflow = load_workflow("release.yml")
    job = workflow["jobs"]["publish"]

    assert job["environment"] == "release"
    assert job["permissions"] == {
        "contents": "write",
        "id-token": "write",
        "attestations": "write",
        "artifact-metadata": "write",
    }
    assert uses(workflow, "publish") == [
        *("actions/download-artifact", "actions/attest", "actions/attest")
    ]
    assert workflow["jobs"]["portal"]["permissions"] == {"contents": "write"}
    assert uses(workflow, "portal") == ["actions/download-artifact"]
    assert not re.search(r"python|bash|make|\./", runs(workflow, "publish", "portal"))


def test_release_is_what_was_built_and_says_where_it_comes_from() -> None:
    workflow = load_workflow("release.yml")
    publish = steps(workflow, "publish")
    order = [each.get("uses", "").split("@")[0] or each["name"] for each in publish]

    assert order == [
        "actions/download-artifact",
        "What was built is what arrived",
        *("actions/attest", "actions/attest", "Release"),
    ]
    download, check, provenance, parts, release = publish
    assert download["with"]["artifact-ids"] == "${{ needs.build.outputs.artifact }}"
    assert check["env"]["SUMS"] == "${{ needs.build.outputs.sums }}"
    assert "sha256sum --check --strict" in check["run"]
    assert provenance["with"] == {"subject-path": "dist/*"}  # the list too
    assert parts["with"]["sbom-path"] == "dist/released-package.cdx.json"
    assert parts["with"]["subject-path"] == "dist/released-package.zip"
    assert release["run"].startswith("gh release create")


def test_release_lists_a_digest_of_each_file() -> None:
    build = runs(load_workflow("release.yml"), "build")

    order = ["deploy/package --address", "deploy/release --repository", "deploy/deploy.sh dist/"]
    assert sorted(order, key=build.index) == order
    assert build.index(order[-1]) < build.index("sha256sum")
    assert 'files=(*)\nsha256sum -- "${files[@]}" >SHA256SUMS' in build


@pytest.mark.parametrize("name", NAMES)
def test_untrusted_values_reach_a_shell_as_variables_only(name: str) -> None:
    """https://docs.github.com/actions/reference/security/secure-use#use-an-intermediate-environment-variable"""
    assert not [each for each in steps(load_workflow(name)) if "${{" in each.get("run", "")]
