"""An error of a site's run says which site it is, once, and stays the same error."""

from __future__ import annotations

import pytest

from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    CredentialsRefused,
    OutOfTime,
    PageUnreadable,
    SettingsError,
    TransientError,
)

SITE = "contoso.atlassian.net"


@pytest.mark.parametrize(
    "error",
    [
        TransientError("it is away", retry_after=7.0, pause=True),
        PageUnreadable("it is away", record=b"{"),
        OutOfTime("it is away"),
        CredentialsRefused("it is away"),
        BatchRefused("it is away", status=413),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_with_its_site_keeps_what_it_says(error: ConnectorError) -> None:
    named = error.with_site(SITE)

    assert type(named) is type(error)
    assert str(named) == f"{SITE}: it is away"
    assert vars(named) == vars(error)
    assert str(error) == "it is away"


def test_error_with_its_site_keeps_its_problems() -> None:
    named = SettingsError(["url is missing"]).with_site(SITE)

    assert named.problems == ("url is missing",)
    assert str(named) == f"{SITE}: settings: url is missing"


@pytest.mark.parametrize("text", [f"{SITE}: it is away", f"{SITE} has no checkpoint"])
def test_error_that_names_its_site_is_left_alone(text: str) -> None:
    error = TransientError(text)

    assert error.with_site(SITE) is error
    assert str(TransientError(f"{SITE}.au: x").with_site(SITE)) == f"{SITE}: {SITE}.au: x"
