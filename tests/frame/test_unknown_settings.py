"""Names that look like settings, and are none."""

from __future__ import annotations

import json

import pytest

from jira_audit.settings.table import SETTINGS
from jira_audit.settings.unknown import unknown_settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("INITIAL_LOOKBACK_HOUR", "INITIAL_LOOKBACK_HOURS"),
        ("jira_site_url", "JIRA_SITE_URL"),
        ("JIRA_APITOKEN", "JIRA_API_TOKEN"),
        ("JiraUserName", "JiraUsername"),
    ],
)
def test_near_miss_names_the_setting_that_is_meant(name: str, meant: str) -> None:
    assert list(unknown_settings({name: "x"})) == [f"{name} is not read: did you mean {meant}?"]


def test_every_setting_and_every_secret_is_known() -> None:
    names = [name for row in SETTINGS for name in (row.name, *row.aliases)]
    sites = json.dumps([{"api_token_setting": "JIRA_API_TOKEN_2"}])

    assert not list(
        unknown_settings(
            dict.fromkeys(names, "x") | {"JIRA_SITES": sites, "JIRA_API_TOKEN_2": "secret"}
        )
    )


@pytest.mark.parametrize(
    "name",
    ["PATH", "AzureWebJobsStorage__queueServiceUri", "AZURE_CLIENT_SECRET", "WEBSITE_HOSTNAME"],
)
def test_names_of_other_programs_are_left_alone(name: str) -> None:
    assert not list(unknown_settings({name: "x"}))
