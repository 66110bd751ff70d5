"""A checkout of one's own, and an environment in which it is installed, without the network.

The stand-in for `pip install -e '.[terminal]'` follows what pip does for an editable project: its
folder is on the path, and each of `[project.scripts]` is a program beside the Python.
https://packaging.python.org/specifications/entry-points/#use-for-scripts
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

from tests.deploy.package_command import package

ROOT = Path(__file__).parents[2]
IGNORED = package.patterns((ROOT / ".gitignore").read_text(encoding="utf-8"))

# A path with a space in it is no #! line: https://github.com/pypa/distlib/blob/master/distlib/scripts.py
SCRIPT = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys
from {module} import {function}
if __name__ == "__main__":
    sys.exit({function}())
"""


def base_python() -> str:
    """The Python that this one's virtual environment was made with."""
    return str(getattr(sys, "_base_executable", sys.executable))


def copy(to: Path) -> Path:
    """This tree as it is, without what `.gitignore` names: environments, settings, builds."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        paths = [Path(folder, name) for name in names]
        return {path.name for path in paths if path.name == ".git" or _is_ignored(path)}

    return Path(shutil.copytree(ROOT, to, ignore=ignore))


def _is_ignored(path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    # What ends in a slash is a folder to the patterns; a link to one is one here.
    return bool(package.is_ignored(f"{name}/x" if path.is_dir() else name, IGNORED))


def install(checkout: Path, environment: Path, *, terminal: bool = True) -> Path:
    """Make a virtual environment that has the checkout; without `terminal`, nothing else.

    Returns its folder of programs. The extra's packages are those of this very Python.
    """
    subprocess.run([base_python(), "-m", "venv", "--without-pip", environment], check=True)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    paths = [str(checkout)]
    if terminal:
        # Their own .pth files are not read from there: an installed checkout stays out of the way.
        paths += [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (site_packages / "checkout.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    programs = environment / "bin"
    scripts = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    for name, target in scripts["project"]["scripts"].items():
        module, _, function = target.partition(":")
        script = programs / name
        text = SCRIPT.format(python=programs / "python", module=module, function=function)
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
    return programs
