"""That what the developer's shell has set changes no test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# It counts every answer of `check`, which has one for a name that is no setting.
SENSITIVE = "tests/frame/test_sites.py::test_check_asks_every_site_and_names_wrong_entries"


def test_no_setting_of_the_shell_reaches_a_test() -> None:
    shell = {
        **os.environ,
        "JIRA_ANYTHING": "1",
        "JIRA_CLOUD_ID": "1",
        "AZURE_CLIENT_ID": "1",
        "RUN_BUDGET_SECONDS": "none",
        "JiraAccessToken": "wrong",
    }

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SENSITIVE],
        cwd=ROOT,
        env=shell,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
