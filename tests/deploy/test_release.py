"""A release's template and form, on the branch from which the portal opens them."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest

import jira_audit
from tests.conftest import needed
from tests.deploy import arm, checks
from tests.deploy.package_command import git
from tests.deploy.test_workflows import load_workflow, steps

RELEASE = checks.ROOT / "deploy" / "release"
REPOSITORY = "contoso/jira-audit"
TAG = f"v{jira_audit.__version__}"
DIGEST = "0" * 64


def package_of(tag: str) -> str:
    return f"https://github.com/{REPOSITORY}/releases/download/{tag}/released-package.zip"


def load() -> ModuleType:
    """The command as a module."""
    loader = SourceFileLoader("deploy_release", str(RELEASE))
    spec = spec_from_loader("deploy_release", loader)
    assert spec
    module = module_from_spec(spec)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = kept
    return module


release = load()


def built(folder: Path, tag: str = TAG) -> Path:
    """What `deploy/package --address` leaves of the template, and what `deploy/release` makes."""
    template = copy.deepcopy(checks.load())
    template["parameters"]["packageUri"]["defaultValue"] = package_of(tag)
    template["metadata"]["packageSha256"] = DIGEST
    folder.mkdir()
    (folder / "azuredeploy.json").write_text(json.dumps(template), encoding="utf-8")
    release.main(["--repository", REPOSITORY, "--tag", tag, str(folder)])
    return folder


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def test_template_of_a_release_names_its_package_and_pages(tmp_path: Path) -> None:
    template = read(built(tmp_path / "dist") / "azuredeploy.json")

    resources = arm.deploy(template, checks.ANSWERS)
    [code] = checks.of_type(resources, "Microsoft.Web/sites/extensions")
    assert code.body["properties"]["packageUri"] == package_of(TAG)
    assert template["metadata"]["packageSha256"] == DIGEST
    pages = f"https://github.com/{REPOSITORY}/blob/{TAG}/docs/alerts.md#"
    for alert in checks.of_type(resources, "Microsoft.Insights/scheduledQueryRules"):
        description = alert.body["properties"]["description"]
        assert description.endswith(f" {pages}{alert.name.rsplit('-', 1)[1]}")


def test_template_of_a_release_differs_in_nothing_else(tmp_path: Path) -> None:
    template, ours = read(built(tmp_path / "dist") / "azuredeploy.json"), checks.load()

    del template["metadata"]["packageSha256"]
    for each in (template, ours):
        each["parameters"]["packageUri"].pop("defaultValue")
        each["variables"].pop("pages")
    assert template == ours


def test_form_of_a_release_has_its_package(tmp_path: Path) -> None:
    form, ours = read(built(tmp_path / "dist") / "createUiDefinition.json"), read(checks.FORM)

    [element] = [
        each
        for step in form["parameters"]["steps"]
        for each in step["elements"]
        if each["name"] == "packageUri"
    ]
    assert element["defaultValue"] == package_of(TAG)
    assert re.search(element["constraints"]["validations"][0]["regex"], element["defaultValue"])
    element["defaultValue"] = ""
    assert form == ours


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--repository", "contoso/another", "--tag", TAG], "names another package"),
        (["--repository", REPOSITORY, "--tag", "v9.9.9"], "names another package"),
        (["--repository", REPOSITORY, "--tag", "main"], "no tag"),
        (["--repository", "contoso", "--tag", TAG], "not OWNER/NAME"),
    ],
)
def test_release_of_something_else_is_refused(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    folder = built(tmp_path / "dist")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    with pytest.raises(release.Refused, match=says):
        release.main([*arguments, str(folder)])

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


# The branch.


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    needed(shutil.which("git"), "git is not installed")
    needed(shutil.which("bash"), "bash is not installed")
    folder = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(folder))
    return folder


def publish(folder: Path, remote: Path, tag: str, run: str = "") -> None:
    """The workflow's own step, on a machine of its own, with a `gh` that signs nobody in."""
    machine = folder / f"machine {tag}{run}"
    machine.mkdir()
    built(machine / "dist", tag)
    programs = machine / "programs"
    programs.mkdir()
    (programs / "gh").write_text('#!/bin/sh\n[ "$*" = "auth setup-git" ]\n')
    (programs / "gh").chmod(0o755)
    [step] = [
        each
        for each in steps(load_workflow("release.yml"), "portal")
        if each.get("name") == "Branch"
    ]
    subprocess.run(
        # As GitHub runs it: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=machine,
        env={
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(machine),
            "REMOTE": str(remote),
            "TAG": tag,
        },
        check=True,
        capture_output=True,
        timeout=60,
    )


def on_branch(remote: Path, *arguments: str) -> str:
    command = ["git", "--git-dir", str(remote), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_branch_has_the_latest_release_and_each_by_its_tag(remote: Path, tmp_path: Path) -> None:
    publish(tmp_path, remote, "v0.9.0")
    publish(tmp_path, remote, TAG)

    files = on_branch(remote, "ls-tree", "-r", "--name-only", release.BRANCH).split()
    pair = ["azuredeploy.json", "createUiDefinition.json"]
    assert files == sorted(
        ["README.md", *pair, *(f"{tag}/{name}" for tag in ("v0.9.0", TAG) for name in pair)]
    )
    for name in pair:
        latest = on_branch(remote, "show", f"{release.BRANCH}:{name}")
        assert latest == on_branch(remote, "show", f"{release.BRANCH}:{TAG}/{name}")
        assert package_of(TAG) in latest
        older = on_branch(remote, "show", f"{release.BRANCH}:v0.9.0/{name}")
        assert package_of("v0.9.0") in older
    assert on_branch(remote, "log", "--format=%s", release.BRANCH).split() == [TAG, "v0.9.0"]


def test_branch_is_the_same_if_the_job_runs_again(remote: Path, tmp_path: Path) -> None:
    publish(tmp_path, remote, TAG)
    publish(tmp_path, remote, TAG, " again")

    assert on_branch(remote, "log", "--format=%s", release.BRANCH).split() == [TAG]


def test_buttons_open_template_and_form_of_the_branch(remote: Path, tmp_path: Path) -> None:
    publish(tmp_path, remote, TAG)
    page = on_branch(remote, "show", f"{release.BRANCH}:README.md")

    addresses = re.findall(r"\((https://portal\.\S+?)\)", page)
    portals = [each.partition("/#create/Microsoft.Template/uri/")[0] for each in addresses]
    assert portals == ["https://portal.azure.com", "https://portal.azure.us"]
    raw = f"https://raw.githubusercontent.com/{REPOSITORY}/{release.BRANCH}/"
    for address in addresses:
        pair = address.split("/uri/")[1].split("/createUIDefinitionUri/")
        assert "/" not in "".join(pair)
        for each in pair:
            assert unquote(each).startswith(raw)
            on_branch(remote, "show", f"{release.BRANCH}:{unquote(each).removeprefix(raw)}")


def test_pages_lead_to_the_branch() -> None:
    """Relative to the page on GitHub: nobody's name has to be filled in."""
    button = r"\[!\[Deploy to Azure\]\(https://aka\.ms/deploytoazurebutton\)\]\(([^)]*)\)"
    found = {}
    for folder in ("", "deploy", "docs"):
        for page in (checks.ROOT / folder).glob("*.md"):
            for address in re.findall(button, page.read_text(encoding="utf-8")):
                found[page.relative_to(checks.ROOT).as_posix()] = address

    assert "README.md" in found
    for name, address in found.items():
        assert address == "../" * (name.count("/") + 2) + f"tree/{release.BRANCH}", name
