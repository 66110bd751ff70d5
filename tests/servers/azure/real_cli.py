"""The real az, signed in to the local Azure.

What is registered is a cloud of its own, as `az cloud register` would write it; the identity
endpoint signs it in. Its waiting moves the local Azure's clock instead of the wall's: Python reads
`sitecustomize` at its start, https://docs.python.org/3/library/site.html.
"""

from __future__ import annotations

import configparser
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers.azure.server import APP_SERVICE_AUDIENCE, AUDIENCE

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / "build" / "azure-cli" / "bin" / "python"

_SLEEP = """\
import json, os, socket, time

def sleep(seconds):
    asked = {"program": "sleep", "argv": [str(seconds)]}
    with socket.create_connection(("127.0.0.1", int(os.environ["LOCAL_AZURE"]))) as connection:
        connection.sendall(json.dumps(asked).encode() + b"\\n")
        connection.makefile("r").readline()

time.sleep = sleep
"""


def is_installed() -> bool:
    return PYTHON.exists()


@dataclass(frozen=True)
class RealCli:
    """`folder` is where `az` is, and all that it keeps."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "az"), *arguments],
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )


def install(folder: Path, address: str, authority: Path, variables: Mapping[str, str]) -> RealCli:
    """Put az into a folder that is first on the path, and sign it in."""
    home = folder / "azure-config"
    modules = folder / "az-modules"
    home.mkdir()
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(_SLEEP, encoding="utf-8")
    clouds = configparser.ConfigParser(interpolation=None)
    clouds["LocalAzure"] = {
        "endpoint_management": address,
        "endpoint_resource_manager": address,
        "endpoint_active_directory": address,
        "endpoint_active_directory_resource_id": AUDIENCE,
        "endpoint_app_service_resource_id": APP_SERVICE_AUDIENCE,
        "endpoint_log_analytics_resource_id": AUDIENCE,
        "suffix_keyvault_dns": ".vault.azure.net",
        "suffix_storage_endpoint": "core.windows.net",
    }
    with (home / "clouds.config").open("w", encoding="utf-8") as file:
        clouds.write(file)
    settings = configparser.ConfigParser()
    settings["cloud"] = {"name": "LocalAzure"}
    settings["core"] = {"collect_telemetry": "false", "survey_message": "false"}
    settings["auto-upgrade"] = {"enable": "no"}
    with (home / "config").open("w", encoding="utf-8") as file:
        settings.write(file)
    program = folder / "az"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={modules} exec {PYTHON} -m azure.cli "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "HOME": str(folder),
        "AZURE_CONFIG_DIR": str(home),
        "REQUESTS_CA_BUNDLE": str(authority),
        "NO_PROXY": "localhost,127.0.0.1",
        **variables,
    }
    cli = RealCli(folder, environment)
    done = cli.run("login", "--identity", "--output", "none")
    if done.returncode:
        raise RuntimeError(f"az did not sign in: {done.stderr}")
    return cli
