"""`deploy/build` makes deploy/azuredeploy.json of all that is in deploy/template."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.deploy import arm, checks

BUILD = checks.ROOT / "deploy" / "build"
PARTS = BUILD.parent / "template"


def load(path: Path = BUILD) -> ModuleType:
    """The command as a module."""
    loader = SourceFileLoader("deploy_build", str(path))
    spec = spec_from_loader("deploy_build", loader)
    assert spec
    module = module_from_spec(spec)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = kept
    return module


build = load()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The parts, the command and the template in another folder."""
    shutil.copytree(PARTS, tmp_path / "template")
    for file in (BUILD, checks.TEMPLATE):
        shutil.copy(file, tmp_path / file.name)
    return tmp_path


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(folder / "build"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_template_is_what_its_parts_make(copied: Path) -> None:
    done = check(copied)

    assert (done.returncode, done.stderr) == (0, "")


def test_template_that_differs_is_reported(copied: Path) -> None:
    query = copied / "template" / "alerts" / "letters.kql"
    query.write_text(query.read_text().replace("letters > 0", "letters > 1"))

    done = check(copied)

    assert done.returncode == 1
    assert "azuredeploy.json is not what its parts make" in done.stderr
    assert (copied / "azuredeploy.json").read_bytes() == checks.TEMPLATE.read_bytes()


def test_every_part_is_in_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    read = build.read

    def listed(name: str) -> Any:
        names.append(name)
        return read(name)

    monkeypatch.setattr(build, "read", listed)

    assert build.text() == checks.TEMPLATE.read_text(encoding="utf-8")
    assert set(names) == {each.relative_to(PARTS).as_posix() for each in PARTS.rglob("*.*")}


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("plain", "plain"),
        ({"$null": []}, "[null()]"),
        ({"$if": ["[variables('v2')]", {"a": True, "b": 3}, None]},
         "[if(variables('v2'), createObject('a', true(), 'b', 3), null())]"),
        ({"$concat": [["it's"], [{"$format": ["{0}", "[parameters('tags')]"]}]]},
         "[concat(createArray('it''s'), createArray(format('{0}', parameters('tags'))))]"),
        ({"kept": [{"$true": []}], "price": "$"}, {"kept": ["[true()]"], "price": "$"}),
    ],
)  # fmt: skip
def test_expression_is_made_of_json(written: Any, made: Any) -> None:
    assert build.written_out(written) == made
    for _, node in arm.expressions(made):
        assert {call.name for call in arm.calls(node)} <= arm.FUNCTIONS_OF_ARM


def test_queries_stand_in_files_of_their_own() -> None:
    """KQL in a JSON string is one line that nobody can read."""
    for file in PARTS.rglob("*.json"):
        if file.name != "card.json":  # its queries are put together at the deployment
            texts = [text for _, text in arm.texts(json.loads(file.read_text(encoding="utf-8")))]
            assert not [text for text in texts if "\n" in text or " | " in text], file.name
