"""The files by which a public project meets its users and its tools."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import shell

ROOT = shell.ROOT
FORMS = sorted(
    path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"
)
MANIFESTS = {
    "github-actions": ".github/workflows/ci.yml",
    "pip": "pyproject.toml",
    "npm": "package.json",
}
"""What tells that a folder has dependencies of a kind."""


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_github_asks_for(form: Path) -> None:
    """https://docs.github.com/communities/using-templates-to-encourage-useful-issues-and-pull-requests/syntax-for-githubs-form-schema"""
    content = load(form)
    inputs = [each for each in content["body"] if each["type"] != "markdown"]
    ids = [each["id"] for each in inputs]

    assert content["name"]
    assert content["description"]
    assert len(ids) == len({*ids}) > 0
    assert all(re.fullmatch(r"[a-z-]+", each) for each in ids)
    assert all(each["attributes"]["label"] for each in inputs)
    assert {each["type"] for each in inputs} <= {"input", "textarea", "dropdown", "checkboxes"}


def test_issue_forms_for_bugs_warn_of_secrets() -> None:
    texts = [path.read_text(encoding="utf-8") for path in FORMS if path.stem in {"bug", "azure"}]

    assert len(texts) == 2
    assert all("not paste tokens or records" in text for text in texts)


def test_updates_of_dependencies_cover_every_kind_there_is() -> None:
    updates = load(ROOT / ".github" / "dependabot.yml")["updates"]

    assert {each["package-ecosystem"] for each in updates} == MANIFESTS.keys()
    for each in updates:
        manifest = ROOT / each["directory"].lstrip("/") / MANIFESTS[each["package-ecosystem"]]
        assert manifest.is_file()
        assert each["cooldown"]["default-days"] >= 7


def test_dev_container_runs_the_demo_on_the_deployed_python() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    [version] = re.findall(r"python:(3\.\d+)-", container["image"])
    assert f"run {version} test" in ci
    make, target = container["postCreateCommand"].split()
    assert make == "make"
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    # What `func start` and Azurite need: CONTRIBUTING.md starts both.
    started = {command.text.split()[0] for command in shell.commands("CONTRIBUTING.md")}
    assert {"npx", "func"} < started
    assert "azure-functions-core-tools@4" in container["onCreateCommand"]
    assert any("/node:" in feature for feature in container["features"])
