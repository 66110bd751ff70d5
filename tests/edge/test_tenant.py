"""A site is asked for its cloud id: without credentials, briefly, and nowhere but at its hosts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import requests

from jira_audit.core.address import is_site_host
from jira_audit.core.errors import SiteError
from jira_audit.edge.access import BasicCredentials, Gateway
from jira_audit.edge.tenant import ANSWER_SECONDS, SiteTenant
from jira_audit.simulator.site import Response
from tests.fakes.atlassian import CLOUD_ID, Atlassian
from tests.fakes.world import Time

HOST, NEW = "contoso.atlassian.net", "fabrikam.atlassian.net"
OTHER_ID = "99999999-2222-4333-8444-555555555555"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Atlassian:
    """Every session of `requests` ends at this cloud, whatever it is asked for."""
    made = Atlassian(Time())
    monkeypatch.setattr(requests.Session, "get_adapter", lambda self, url: made)
    return made


def tenant_at(
    cloud: Atlassian,
    host: str = HOST,
    configured: str | None = None,
    suffixes: tuple[str, ...] = (),
    on_answer: Callable[[str], None] = lambda _: None,
) -> SiteTenant:
    admits = partial(is_site_host, suffixes=suffixes)
    return SiteTenant(f"https://{host}", configured, admits, cloud.time.clock, on_answer)


def test_a_site_tells_its_cloud_id_to_anybody(cloud: Atlassian) -> None:
    assert tenant_at(cloud).cloud_id() == CLOUD_ID
    assert cloud.asked == [(HOST, "/_edge/tenant_info", "none")]


def test_a_cloud_id_is_told_in_lower_case(cloud: Atlassian) -> None:
    cloud.script[HOST] = [Response(200, {}, b'{"cloudId": "%s"}' % OTHER_ID.upper().encode())]

    assert tenant_at(cloud).cloud_id() == OTHER_ID


def test_every_call_asks_anew(cloud: Atlassian) -> None:
    tenant = tenant_at(cloud)

    assert tenant.cloud_id() == tenant.cloud_id() == CLOUD_ID
    assert len(cloud.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        *(Response(status, {}, b"{}") for status in (200, 204, 400, 401, 403, 404, 429, 500, 503)),
        *(Response(200, {}, body) for body in (b"", b"<html>", b"[]", b"null", b'{"cloudId": 1}')),
        Response(200, {}, b'{"cloudId": "../../x"}'),
        Response(200, {}, b'{"cloudId": "' + b"x" * 100_000 + b'"}'),
        Response(304, {}, b""),
    ],
)
def test_any_other_answer_tells_nothing(cloud: Atlassian, answer: Response) -> None:
    cloud.script[HOST] = [answer]

    assert tenant_at(cloud).cloud_id() is None


def test_a_site_that_cannot_be_reached_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[Any] = []

    def refuse(*_: Any, timeout: Any, **__: Any) -> None:
        seconds.append(timeout)
        raise requests.ConnectionError

    monkeypatch.setattr(requests.Session, "request", refuse)
    tenant = SiteTenant(f"https://{HOST}", None, is_site_host, Time().clock)

    assert tenant.cloud_id() is None
    assert seconds[0].total == ANSWER_SECONDS


def test_a_former_address_still_tells_the_cloud_id(cloud: Atlassian) -> None:
    cloud.rename(NEW)

    assert tenant_at(cloud).cloud_id() == CLOUD_ID
    assert cloud.hosts() == [HOST, NEW]


def test_one_redirect_is_followed_and_no_more(cloud: Atlassian) -> None:
    cloud.rename(NEW)
    cloud.script[NEW] = [Response(301, {"Location": f"https://{HOST}/"}, b"")]

    assert tenant_at(cloud).cloud_id() is None
    assert cloud.hosts() == [HOST, NEW]


@pytest.mark.parametrize(
    "location",
    [
        *("https://evil.example/", "http://fabrikam.atlassian.net/", "https://localhost/"),
        *("http://127.0.0.1:8080/", "/_edge/tenant_info", "https://evilcontoso.com/"),
    ],
)
def test_a_redirect_anywhere_else_is_not_followed(cloud: Atlassian, location: str) -> None:
    cloud.script[HOST] = [Response(302, {"Location": location}, b"")]

    assert tenant_at(cloud, suffixes=("contoso.com",)).cloud_id() is None
    assert cloud.hosts() == [HOST]


def test_a_redirect_to_a_custom_domain_that_is_allowed_is_followed(cloud: Atlassian) -> None:
    cloud.rename("jira.contoso.com")

    assert tenant_at(cloud, suffixes=("contoso.com",)).cloud_id() == CLOUD_ID


def test_a_cloud_id_in_the_settings_needs_no_answer(cloud: Atlassian) -> None:
    tenant = tenant_at(cloud, configured=OTHER_ID)
    cloud.script[HOST] = [Response(404, {}, b"")]

    assert tenant.cloud_id() == tenant.configured == OTHER_ID


def test_a_cloud_id_in_the_settings_that_is_another_sites_is_an_error(cloud: Atlassian) -> None:
    tenant = tenant_at(cloud, configured=OTHER_ID)

    with pytest.raises(SiteError, match=f"{OTHER_ID}.* is another site's: .* is {CLOUD_ID}"):
        tenant.cloud_id()


def test_the_gateway_learns_what_the_address_itself_has_told(cloud: Atlassian) -> None:
    told: list[str] = []
    tenant = tenant_at(cloud, on_answer=told.append)
    tenant.cloud_id()
    cloud.rename(NEW)
    tenant.cloud_id()

    assert told == [CLOUD_ID]


def test_the_gateways_error_names_the_new_address(cloud: Atlassian) -> None:
    cloud.rename(NEW)
    credentials = BasicCredentials(requests.auth.HTTPBasicAuth("a", "b"))
    gateway = Gateway(
        "https://api.atlassian.com", f"https://{HOST}", None, credentials, cloud.time.clock
    )

    with pytest.raises(SiteError, match=f"redirect to {NEW}: .* to https://{NEW}; that is all"):
        gateway.open()
    assert cloud.hosts() == [HOST]
