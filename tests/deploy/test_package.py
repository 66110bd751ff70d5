"""The package: the same bytes for the same commit, nothing in it but what runs, and it runs."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jira_audit import __version__
from jira_audit.simulator.records import sample_records
from tests.conftest import StartWorker, needed
from tests.deploy.package_command import PACKAGE, git, package
from tests.end_to_end.conftest import Installation, installation, now

__all__ = ["installation"]  # a fixture, at home in tests/end_to_end

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "deploy" / "package-requirements.txt"
SITE_PACKAGES = ".python_packages/lib/site-packages"

AZURE = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux"}
"""What decides conditions of requirements on the machine that Azure runs."""

LEFT_BEHIND = (".git", ".venv*", "node_modules", "build", "dist", "*.egg-info", "__pycache__")


@pytest.fixture(scope="module")
def wheels() -> Path:
    """Fetched by `make setup`; here only where that has not been run since the lock changed."""
    kept = ROOT / "build" / "wheels"
    done = subprocess.run(
        [sys.executable, PACKAGE, "--fetch", "--wheels", kept],
        capture_output=True,
        text=True,
        check=False,
    )
    needed(done.returncode == 0, f"the wheels of the package: make setup ({done.stderr[-300:]})")
    return kept


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree, committed as it is, with what is lying about in a developer's checkout."""
    needed(shutil.which("git"), "git is not installed")
    folder = tmp_path_factory.mktemp("checkout") / "connector"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_BEHIND, ".*_cache"))
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "as it is")
    (folder / "local.settings.json").write_text('{"Values": {"JIRA_API_TOKEN": "a"}}')
    (folder / "jira_audit" / "forgotten.py").write_text("")
    return folder


def build(checkout: Path, wheels: Path, environment: Mapping[str, str], umask: int) -> Path:
    done = subprocess.run(
        [sys.executable, checkout / "deploy" / "package", "--wheels", wheels],
        # No index: what is not among the wheels by now must not be asked for.
        env={**os.environ, "PIP_NO_INDEX": "1", **environment},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    built: Path = checkout / "dist" / "released-package.zip"
    assert done.stdout == f"{hashlib.sha256(built.read_bytes()).hexdigest()}  {built}\n"
    return built


@pytest.fixture(scope="module")
def package_file(checkout: Path, wheels: Path) -> Path:
    return build(checkout, wheels, {"TZ": "UTC"}, 0o022)


@pytest.fixture(scope="module")
def content(package_file: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(package_file) as archive:
        yield archive


# The lock.


def locked_versions() -> dict[str, str]:
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    pins = [re.fullmatch(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}", each) for each in lines]
    assert all(pins), lines
    return {pin[1]: pin[2] for pin in pins if pin}


def applies(requirement: Requirement, extra: str = "") -> bool:
    environment: dict[str, Any] = {**default_environment(), **AZURE, "extra": extra}
    return not requirement.marker or requirement.marker.evaluate(environment)


def direct_requirements() -> list[Requirement]:
    """What requirements.txt asks for on the machine that Azure runs."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    stated = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [each for each in stated if applies(each)]


def test_lock_holds_what_requirements_txt_pins() -> None:
    pinned = {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in direct_requirements()
    }

    assert len(pinned) == 7
    assert pinned.items() <= locked_versions().items()


def test_lock_holds_exactly_what_its_wheels_need(wheels: Path) -> None:
    versions, needs = locked_versions(), dict[str, list[Requirement]]()
    for wheel in package.wheels(LOCK.read_text(), wheels):
        with zipfile.ZipFile(wheel) as archive:
            [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
            metadata = Parser().parsestr(archive.read(name).decode())
        needs[canonicalize_name(metadata["Name"])] = [
            Requirement(text) for text in metadata.get_all("Requires-Dist", [])
        ]

    def needed_by(name: str, extras: set[str]) -> Iterator[Requirement]:
        for each in needs[name]:
            if any(applies(each, extra) for extra in {"", *extras}):
                yield each

    open_ends, reached, seen = direct_requirements(), set[str](), set[str]()
    while open_ends:
        each = open_ends.pop()
        name = canonicalize_name(each.name)
        assert each.specifier.contains(versions[name]), each
        reached.add(name)
        if str(each) not in seen:
            seen.add(str(each))
            open_ends += needed_by(name, each.extras)

    assert reached == set(versions) == set(needs)


# What is built.


def test_package_of_one_commit_has_the_same_bytes_anywhere(
    checkout: Path, wheels: Path, package_file: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", str(checkout), "elsewhere")
    moved = tmp_path / "wheels"
    shutil.copytree(wheels, moved, copy_function=shutil.copyfile)

    again = build(
        tmp_path / "elsewhere", moved, {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "7"}, 0o077
    )

    assert again.read_bytes() == package_file.read_bytes()
    boms = [each.with_name("released-package.cdx.json") for each in (again, package_file)]
    assert boms[0].read_bytes() == boms[1].read_bytes()


def test_package_of_a_release_is_named_in_its_template(
    checkout: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://example.com/v1.2.3/released-package.zip"

    monkeypatch.setattr(package, "ROOT", checkout)
    package.build("HEAD", tmp_path, wheels, address)

    released = json.loads((tmp_path / "azuredeploy.json").read_text(encoding="utf-8"))
    committed = json.loads((ROOT / "deploy" / "azuredeploy.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((tmp_path / "released-package.zip").read_bytes()).hexdigest()
    assert released["parameters"]["packageUri"].pop("defaultValue") == address
    assert released["metadata"].pop("packageSha256") == digest
    assert committed["parameters"]["packageUri"].pop("defaultValue") == ""
    assert released == committed


def test_package_has_a_list_of_its_parts(package_file: Path) -> None:
    """CycloneDX: https://cyclonedx.org/docs/1.6/json/"""
    bom = json.loads((package_file.parent / "released-package.cdx.json").read_text("utf-8"))

    # What GitHub's action takes for CycloneDX: https://github.com/actions/attest
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    app = bom["metadata"]["component"]
    digest = hashlib.sha256(package_file.read_bytes()).hexdigest()
    assert (app["name"], app["version"]) == ("jira-audit-connector", __version__)
    assert app["hashes"] == [{"alg": "SHA-256", "content": digest}]
    parts = {each["purl"]: each["hashes"][0]["content"] for each in bom["components"]}
    lock = re.findall(r"^(\S+)==(\S+) --hash=sha256:(\w+)$", LOCK.read_text(), re.MULTILINE)
    assert parts == {f"pkg:pypi/{name}@{version}": digest for name, version, digest in lock}


def test_package_checksum_is_its_own(package_file: Path) -> None:
    digest = hashlib.sha256(package_file.read_bytes()).hexdigest()

    assert (package_file.parent / "released-package.zip.sha256").read_text() == (
        f"{digest}  released-package.zip\n"
    )


def test_package_holds_only_the_app_and_what_it_imports(content: zipfile.ZipFile) -> None:
    names = content.namelist()

    assert {name.split("/")[0] for name in names} == {
        *("function_app.py", "host.json", "jira_audit", "requirements.txt", ".python_packages")
    }
    assert {"function_app.py", "jira_audit/app.py", f"{SITE_PACKAGES}/azure/core/__init__.py"} < {
        *names
    }
    assert "jira_audit/forgotten.py" not in names
    folders = {name.split("/")[1] for name in names if name.startswith("jira_audit/")}
    assert not folders & {"terminal", "simulator", "__main__.py"}
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]
    assert names == sorted(set(names))
    assert not [name for name in names if ".." in name.split("/") or name.startswith("/")]


def test_package_holds_no_dependency_of_the_terminal_or_tests(content: zipfile.ZipFile) -> None:
    inside = {
        canonicalize_name(name.removeprefix(f"{SITE_PACKAGES}/").split("-")[0])
        for name in content.namelist()
        if name.endswith(".dist-info/METADATA")
    }

    assert inside == set(locked_versions())
    assert not inside & {"typer", "rich", "filelock", "pytest", "azure-functions-runtime"}


def test_package_entries_have_one_time_mode_and_compression(
    content: zipfile.ZipFile,
) -> None:
    entries = content.infolist()

    assert len({each.date_time for each in entries}) == 1
    assert {each.external_attr >> 16 for each in entries} == {0o100644}
    assert {each.compress_type for each in entries} == {zipfile.ZIP_DEFLATED}
    assert {each.create_system for each in entries} == {3}


def test_package_is_smaller_than_30_megabytes(package_file: Path) -> None:
    assert package_file.stat().st_size < 30_000_000


def test_package_modules_are_compiled_for_azures_machine(content: zipfile.ZipFile) -> None:
    compiled = [name for name in content.namelist() if name.endswith(".so")]

    assert compiled
    for name in compiled:
        assert ".cpython-313-x86_64-linux-gnu.so" in name or name.endswith(".abi3.so"), name
        # An ELF file of 64 bits for x86-64: https://man7.org/linux/man-pages/man5/elf.5.html
        head = content.read(name)[:20]
        assert (head[:5], head[18]) == (b"\x7fELF\x02", 62), name


def test_lock_without_its_wheels_ends_without_a_package(checkout: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, checkout / "deploy" / "package", "--wheels", tmp_path, "--to", tmp_path],
        env={
            **os.environ,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "",
            "PIP_CONFIG_FILE": os.devnull,
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "deploy/package: pip failed" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_code_of_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, mark = tmp_path / "here", tmp_path / "mark"
    for name in ("pip/__init__.py", "pip/__main__.py", "json.py", "argparse.py"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(f"open({str(mark)!r}, 'w').write(__file__)")
    monkeypatch.chdir(here)
    python = Path(sys.executable).parent

    subprocess.run(
        [PACKAGE, "--fetch", "--wheels", tmp_path / "wheels"],
        env={"PATH": f"{python}:/usr/bin:/bin", "PYTHONPATH": ".", "PIP_NO_INDEX": "1"},
        capture_output=True,
        check=False,
    )

    assert (tmp_path / "wheels").is_dir()  # it ran, as far as it gets without an index
    assert not mark.exists(), mark.read_text()


def test_lock_refuses_a_wheel_with_another_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "orjson-3.13.0-py3-none-any.whl"
    wheel.write_bytes(b"something else")

    assert package.there(tmp_path) == {hashlib.sha256(b"something else").hexdigest(): wheel}
    assert hashlib.sha256(b"something else").hexdigest() not in LOCK.read_text()


def test_release_job_builds_what_the_publishing_job_accepts(
    checkout: Path, wheels: Path, tmp_path: Path
) -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    [build] = [each["run"] for each in jobs["build"]["steps"] if "run" in each]
    check, _ = [each["run"] for each in jobs["publish"]["steps"] if "run" in each]
    git(tmp_path, "clone", "--quiet", str(checkout), "clone")
    (tmp_path / "clone" / "build").mkdir()
    (tmp_path / "clone" / "build" / "wheels").symlink_to(wheels)
    (tmp_path / "python3.13").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python3.13").chmod(0o755)

    def run(commands: str, **environment: str) -> int:
        return subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=tmp_path / "clone",
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PIP_NO_INDEX": "1", **environment},
            check=False,
        ).returncode

    output = tmp_path / "output"
    release = {
        "REPOSITORY": "contoso/connector",
        "TAG": "v1.2.3",
        "ADDRESS": "https://github.com/contoso/connector/releases/download/v1.2.3",
        "GITHUB_OUTPUT": str(output),
    }
    assert run(build, **release) == 0
    sums = output.read_text().strip().removeprefix("sums=")
    assert run(check, SUMS=sums) == 0

    files = {path.name: path for path in (tmp_path / "clone" / "dist").iterdir()}
    listed = files["SHA256SUMS"].read_text().split()[1::2]
    assert {*listed} == files.keys() - {"SHA256SUMS"}
    assert {"released-package.zip", "azuredeploy.json", "deploy.sh"} < files.keys()
    for name in ("deploy.sh", "SHA256SUMS"):
        before = files[name].read_bytes()
        files[name].write_bytes(before + b"#\n")
        assert run(check, SUMS=sums) == 1
        files[name].write_bytes(before)


# How it is put together.


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("tests/core/test_plan.py", True),
        ("jira_audit/tests/data.json", True),
        ("deploy/azuredeploy.json", True),
        ("README.md", True),
        ("docs/guide.md", True),
        (".github/workflows/ci.yml", True),
        ("local.settings.json", True),
        ("jira_audit/terminal/cli.py", True),
        ("jira_audit/simulator/site.py", True),
        ("jira_audit/__main__.py", True),
        ("function_app.py", False),
        ("jira_audit/core/plan.py", False),
        ("tests", False),  # a file of a folder's name: the pattern ends in a slash
    ],
)
def test_funcignore_is_read_as_git_reads_its_own(name: str, ignored: bool) -> None:
    patterns = package.patterns((ROOT / ".funcignore").read_text())

    assert package.is_ignored(name, patterns) is ignored


@pytest.mark.parametrize("line", ["!keep.py", "docs/*.txt", "/tests/", "a\\ b", "**/x"])
def test_funcignore_line_that_would_be_misread_is_refused(line: str) -> None:
    with pytest.raises(package.Refused, match="not understood"):
        package.patterns(f"tests/\n{line}\n")


def test_wheel_commands_are_left_out_and_modules_relocated(
    tmp_path: Path,
) -> None:
    wheel = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("a.py", "a.pyc", "a-1.data/purelib/b.py", "a-1.data/scripts/a"):
            archive.writestr(name, b"")

    assert package.unpacked(wheel) == [("a.py", b""), ("b.py", b"")]


# That it runs.

WATCH = """
import atexit, json, os, sys

def tell(path=os.environ["MODULES_TO"]):
    files = {name: getattr(each, "__file__", None) for name, each in list(sys.modules.items())}
    with open(path, "w") as file:
        json.dump({name: path for name, path in files.items() if path}, file)

atexit.register(tell)
"""


@pytest.mark.servers
def test_package_is_indexed_and_runs_a_tick_without_other_packages(
    package_file: Path,
    installation: Installation,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = tmp_path / "wwwroot"
    with zipfile.ZipFile(io.BytesIO(package_file.read_bytes())) as archive:
        archive.extractall(app)
    # A Python with no packages at all; beside it, the worker library with what only it needs.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = tmp_path / "bare" / "bin" / "python"
    library = tmp_path / "worker"
    library.mkdir()
    for name in ("azure_functions_runtime", "azurefunctions"):
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.submodule_search_locations
        (library / name).symlink_to(next(iter(spec.submodule_search_locations)))
    (library / "sitecustomize.py").write_text(WATCH)
    modules = tmp_path / "modules.json"
    installation.site.add(sample_records(10, first_id=10_000, end_ms=now(), span_ms=60_000, seed=1))
    monkeypatch.setattr(sys, "executable", str(bare))  # with which the worker is started

    worker = start_worker(
        app,
        {
            **installation.environment,
            # As the worker does: the app's packages before its own.
            # https://github.com/Azure/azure-functions-python-worker/blob/dev/workers/proxy_worker/
            "PYTHONPATH": f"{app / SITE_PACKAGES}{os.pathsep}{library}",
            "MODULES_TO": str(modules),
        },
    )
    tick = worker.invoke("poll")

    assert tick.ok, tick.error
    assert set(worker.functions) == {"poll", "collect_site", "report_given_up", "report_unsaved"}
    assert len(installation.rows()) == 10
    worker.__exit__()
    loaded = json.loads(modules.read_text())
    strangers = {
        name: path
        for name, path in loaded.items()
        if name.split(".")[0] not in {*sys.stdlib_module_names, "__main__", "sitecustomize"}
        and not name.startswith(("azure_functions_runtime", "azurefunctions", "_sysconfigdata"))
        and not Path(path).is_relative_to(app)
    }
    assert strangers == {}
    for name in ("azure.functions", "azure.identity", "azure.monitor.ingestion", "orjson", "isal"):
        assert Path(loaded[name]).is_relative_to(app / SITE_PACKAGES), name
    for name in ("requests", "azure.storage.blob", "cryptography", "azure.core"):
        assert Path(loaded[name]).is_relative_to(app / SITE_PACKAGES), name
    assert Path(loaded["jira_audit.app"]) == app / "jira_audit" / "app.py"
    unused = ("jira_audit.operations", "jira_audit.core.completeness", "jira_audit.core.activity")
    assert not [name for name in loaded if name.startswith(unused)]
