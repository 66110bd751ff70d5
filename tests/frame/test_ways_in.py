"""Every way into Jira, against a site, a gateway and a token service that refuse what theirs do."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from jira_audit import wiring
from jira_audit.core import timestamps
from jira_audit.core.clock import Deadline
from jira_audit.core.errors import (
    ConnectorError,
    CredentialsRefused,
    OutOfTime,
    SiteError,
    TransientError,
)
from jira_audit.core.pages import Page
from jira_audit.core.timestamps import HOUR
from jira_audit.core.window import Window
from jira_audit.edge.jira import JiraSource
from jira_audit.flow.ports import Pools
from jira_audit.flow.reader import Reader
from jira_audit.settings.values import ApiToken, OAuthClient, Secret, Site
from jira_audit.simulator.site import Response
from jira_audit.terminal import check_jira
from tests.fakes.atlassian import AUDIT, CLOUD_ID, Atlassian, Token
from tests.fakes.reading import pages_in, run_of
from tests.fakes.world import START, Eager, Time, record

HOST = "contoso.atlassian.net"
USER, TOKEN = "auditor@example.com", "ATATT3x-nobody-may-see"
CLIENT, SECRET = "client-id", "client-secret-nobody-may-see"
WINDOW = Window(START - HOUR, START)
OTHER_ID = "99999999-2222-4333-8444-555555555555"
GATEWAY = f"/ex/jira/{CLOUD_ID}/rest/api/3/auditing/record"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Atlassian]:
    """Every session of `requests` ends at this cloud, whatever it is asked for."""
    made = Atlassian(Time())
    made.site.add(record(10_000 + n, START - 60_000 - n) for n in range(25))
    monkeypatch.setattr(requests.Session, "get_adapter", lambda self, url: made)
    yield made
    for cached in (wiring.source, wiring.tenant, wiring.route, wiring.gateway):
        cached.cache_clear()


def classic(**more: Any) -> Site:
    return Site(HOST, f"https://{HOST}", ApiToken(USER, Secret(TOKEN)), **more)


def oauth(**more: Any) -> Site:
    known = OAuthClient(CLIENT, Secret(SECRET))
    return Site(HOST, f"https://{HOST}", known, gateway=True, **more)


def read_ids(site: Site, cloud: Atlassian, page_size: int = 1000) -> list[int]:
    source = wiring.source(site, cloud.time.clock)
    source.page_size = page_size
    return [known["id"] for page in pages_of(source, cloud) for known in page.records]


def pages_of(source: JiraSource, cloud: Atlassian) -> Iterator[Page]:
    deadline = Deadline.after(cloud.time.clock, 480)
    with Reader(run_of(source, deadline, Pools(Eager(), Eager()))) as reader:
        yield from pages_in(reader, WINDOW)


# What lets in


def test_classic_token_goes_to_the_site_only(cloud: Atlassian) -> None:
    cloud.tokens = [Token(USER, TOKEN)]

    assert len(read_ids(classic(), cloud)) == 25
    assert set(cloud.hosts()) == {HOST}


def test_scoped_token_uses_the_gateway_of_its_cloud_id(
    cloud: Atlassian,
) -> None:
    cloud.tokens = [Token(USER, TOKEN, AUDIT)]

    assert len(read_ids(classic(gateway=True, cloud_id=CLOUD_ID), cloud)) == 25
    assert {(host, path) for host, path, _ in cloud.asked} == {("api.atlassian.com", GATEWAY)}


def test_cloud_id_is_asked_for_once_without_credentials(
    cloud: Atlassian,
) -> None:
    cloud.tokens = [Token(USER, TOKEN, AUDIT)]
    site = classic(gateway=True)

    read_ids(site, cloud)
    read_ids(site, cloud)

    assert cloud.asked.count((HOST, "/_edge/tenant_info", "none")) == 1
    assert cloud.hosts().count(HOST) == 1


def test_cloud_id_needs_no_token(cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: SECRET}
    gateway = wiring.gateway(oauth(), cloud.time.clock)

    assert gateway.cloud_id() == gateway.cloud_id() == CLOUD_ID
    assert cloud.asked == [(HOST, "/_edge/tenant_info", "none")]


def test_oauth_token_is_used_until_it_expires(cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: SECRET}
    site = oauth(cloud_id=CLOUD_ID)

    assert len(read_ids(site, cloud)) == 25
    cloud.time.advance(3_000)
    read_ids(site, cloud)
    assert len(cloud.issued_tokens) == 1

    cloud.time.advance(500)  # 100 s before its end
    assert len(read_ids(site, cloud)) == 25
    assert len(cloud.issued_tokens) == 2


def test_oauth_token_that_expires_while_reading_is_renewed(
    cloud: Atlassian,
) -> None:
    cloud.clients = {CLIENT: SECRET}
    site = oauth(cloud_id=CLOUD_ID)
    source = wiring.source(site, cloud.time.clock)
    source.page_size = 10
    pages = pages_of(source, cloud)
    found = [known["id"] for known in next(pages).records]
    cloud.revoked = set(cloud.issued_tokens)
    found += [known["id"] for page in pages for known in page.records]

    assert sorted(found) == list(range(10_000, 10_025))
    assert len(cloud.issued_tokens) == 2


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        (HOST, "atlassian.com"),
        ("contoso.jira.com", "atlassian.com"),
        ("jira.example.org", "atlassian.com"),
        ("contoso.atlassian-us-gov-mod.net", "atlassian-us-gov-mod.com"),
    ],
)
def test_gateway_and_token_service_are_in_the_sites_cloud(
    host: str, domain: str, cloud: Atlassian
) -> None:
    cloud.host, cloud.domain, cloud.clients = host, domain, {CLIENT: SECRET}

    read_ids(replace(oauth(), host=host, base_url=f"https://{host}"), cloud)

    assert set(cloud.hosts()) == {host, f"api.{domain}", f"auth.{domain}"}


@pytest.mark.parametrize(
    ("said", "tokens"), [(3600.0, 1), ("soon", 1), (None, 1), (10**400, 1), (True, 1), (60, 2)]
)
def test_oauth_token_is_kept_for_its_lifetime_or_a_default(
    said: object, tokens: int, cloud: Atlassian
) -> None:
    cloud.clients = {CLIENT: SECRET}
    site = oauth(cloud_id=CLOUD_ID)
    cloud.expires_in = said

    read_ids(site, cloud)
    read_ids(site, cloud)

    assert len(cloud.issued_tokens) >= tokens
    assert (len(cloud.issued_tokens) == 1) == (tokens == 1)


def test_answer_that_is_too_long_is_refused(cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.script["auth.atlassian.com"] = [Response(200, {}, b" " * 70_000)] * 5

    with pytest.raises(TransientError, match="too long"):
        read_ids(oauth(cloud_id=CLOUD_ID), cloud)


# What does not


def test_scoped_token_on_the_sites_address_is_reported(cloud: Atlassian) -> None:
    cloud.tokens = [Token(USER, TOKEN, AUDIT)]

    with pytest.raises(CredentialsRefused, match="scoped token, which works only through") as said:
        read_ids(classic(), cloud)

    assert "JIRA_CLOUD_ID" in str(said.value)
    assert set(cloud.hosts()) == {HOST}


def test_scoped_token_without_its_scopes_is_told_which(cloud: Atlassian) -> None:
    cloud.tokens = [Token(USER, TOKEN, frozenset({"read:jira-work"}))]

    with pytest.raises(CredentialsRefused, match="scope does not match") as said:
        read_ids(classic(gateway=True, cloud_id=CLOUD_ID), cloud)

    assert "read:audit-log:jira and read:user:jira" in str(said.value)


@pytest.mark.parametrize("gateway", [False, True])
def test_expired_token_stops_the_site(cloud: Atlassian, gateway: bool) -> None:
    cloud.tokens = [Token(USER, TOKEN, AUDIT if gateway else None, expired=True)]

    with pytest.raises(CredentialsRefused, match="expired"):
        read_ids(classic(gateway=gateway, cloud_id=CLOUD_ID if gateway else None), cloud)

    assert len(cloud.asked) == 1  # no token is tried again


def test_cloud_id_that_is_wrong_stops_the_site(cloud: Atlassian) -> None:
    cloud.tokens = [Token(USER, TOKEN, AUDIT)]

    with pytest.raises(SiteError, match="HTTP 404"):
        read_ids(classic(gateway=True, cloud_id="00000000-2222-4333-8444-555555555555"), cloud)


def test_oauth_secret_that_is_wrong_stops_the_site_before_jira(cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: "another"}

    with pytest.raises(SiteError, match="does not know the OAuth client"):
        read_ids(oauth(cloud_id=CLOUD_ID), cloud)

    assert cloud.hosts() == ["auth.atlassian.com"]


def test_oauth_token_that_is_new_and_refused_is_not_renewed(cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.script["api.atlassian.com"] = [Response(401, {}, b"{}")] * 2

    with pytest.raises(CredentialsRefused):
        read_ids(oauth(cloud_id=CLOUD_ID), cloud)

    assert len(cloud.issued_tokens) == 2


@pytest.mark.parametrize("where", [HOST, "auth.atlassian.com"])
@pytest.mark.parametrize("wait", ["10000000000", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_wait_of_years_is_left_to_the_next_tick(where: str, wait: str, cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.script[where] = [Response(429, {"Retry-After": wait}, b"")]

    with pytest.raises(OutOfTime, match="wait: more than 1000 days"):
        read_ids(oauth(), cloud)


@pytest.mark.parametrize("where", [HOST, "auth.atlassian.com"])
@pytest.mark.parametrize(
    "answer",
    [
        Response(429, {"Retry-After": "3"}, b""),
        Response(503, {}, b"<html>"),
        Response(200, {}, b"<html>"),
        Response(200, {}, b"[]"),
    ],
)
def test_transient_failure_of_atlassian_is_retried(
    where: str, answer: Response, cloud: Atlassian
) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.script[where] = [answer]

    assert len(read_ids(oauth(), cloud)) == 25
    assert cloud.time.slept[-1] >= (3 if answer.status == 429 else 1)


@pytest.mark.parametrize("where", [HOST, "auth.atlassian.com"])
def test_transient_failure_that_lasts_is_left_to_the_next_tick(
    where: str, cloud: Atlassian
) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.script[where] = [Response(503, {}, b"")] * 5

    with pytest.raises(TransientError, match="HTTP 503"):
        read_ids(oauth(), cloud)


@pytest.mark.parametrize("body", [b"{}", b'{"cloudId": "../../evil"}', b'{"cloudId": 7}'])
def test_cloud_id_that_is_invalid_is_put_into_no_address(body: bytes, cloud: Atlassian) -> None:
    cloud.tokens = [Token(USER, TOKEN, AUDIT)]
    cloud.script[HOST] = [Response(200, {}, body)]

    with pytest.raises(SiteError, match="does not tell its cloud id"):
        read_ids(classic(gateway=True), cloud)

    assert set(cloud.hosts()) == {HOST}


@pytest.mark.parametrize("body", [b"{}", b'{"access_token": "a\\nb"}', b'{"access_token": 7}'])
def test_oauth_token_that_is_invalid_is_put_into_no_header(body: bytes, cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.script["auth.atlassian.com"] = [Response(200, {}, body)] * 5

    with pytest.raises(TransientError, match="has no token"):
        read_ids(oauth(cloud_id=CLOUD_ID), cloud)


# What goes astray: nothing


@pytest.mark.parametrize("where", [HOST, "api.atlassian.com", "auth.atlassian.com"])
def test_credentials_follow_no_redirect(where: str, cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.script[where] = [Response(302, {"Location": "https://evil.example/"}, b"")]

    with pytest.raises(SiteError):
        read_ids(oauth(), cloud)

    assert "evil.example" not in cloud.hosts()


def test_credentials_go_only_to_token_service_and_gateway(
    cloud: Atlassian,
) -> None:
    cloud.clients = {CLIENT: SECRET}

    read_ids(oauth(), cloud)

    assert {(host, kind) for host, _, kind in cloud.asked} == {
        (HOST, "none"),
        ("auth.atlassian.com", "none"),
        ("api.atlassian.com", "Bearer"),
    }


@pytest.mark.parametrize("where", [HOST, "api.atlassian.com", "auth.atlassian.com"])
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 500])
def test_credentials_are_in_no_error_log_or_output(
    where: str, status: int, cloud: Atlassian, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    cloud.clients = {CLIENT: SECRET}
    cloud.script[where] = [Response(status, {}, b'{"message": "no"}')] * 6
    site = oauth()

    with pytest.raises(ConnectorError) as raised:
        read_ids(site, cloud)

    source = wiring.source(site, cloud.time.clock)
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + repr(site)
    shown += repr(source) + repr(vars(source)) + repr(wiring.route(site, cloud.time.clock))
    assert SECRET not in shown
    assert "nobody-may-see" not in shown


def test_gateway_finds_nothing_for_a_time_without_offset(
    cloud: Atlassian, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.clients = {CLIENT: SECRET}
    text = timestamps.text
    monkeypatch.setattr(
        timestamps, "text", lambda timestamp_ms: text(timestamp_ms).removesuffix("Z")
    )

    assert read_ids(oauth(), cloud) == []  # so the test above that reads 25 would notice


# The check


def test_check_finds_the_gateway_for_a_token_that_the_site_refuses(cloud: Atlassian) -> None:
    cloud.tokens = [Token(USER, TOKEN, AUDIT)]
    cloud.time.now = wiring.CLOCK.now()

    answer = check_jira.jira_result(classic())

    assert not answer.ok
    assert f"{HOST} refuses it, Atlassian's gateway accepts it" in answer.sentence
    assert f"Set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {CLOUD_ID}" in answer.sentence


def test_check_reports_both_ways_if_neither_works(cloud: Atlassian) -> None:
    answer = check_jira.jira_result(classic())

    assert not answer.ok
    assert "(HTTP 401), directly and through the gateway: the token is wrong" in answer.sentence
    assert TOKEN not in answer.sentence


def test_check_says_who_is_admitted_and_which_way(cloud: Atlassian) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.time.now = wiring.CLOCK.now()

    answer = check_jira.jira_result(oauth())

    assert answer.ok
    assert answer.sentence == (
        f"the OAuth client {CLIENT} can read the audit log of {HOST} through Atlassian's gateway"
    )


def test_check_tries_the_gateway_for_credentials_only(
    cloud: Atlassian,
) -> None:
    cloud.script[HOST] = [Response(403, {}, b"")]

    assert not check_jira.jira_result(classic()).ok
    assert set(cloud.hosts()) == {HOST}


@pytest.mark.parametrize(
    ("told", "ok", "says"),
    [
        (CLOUD_ID, True, f"can read the audit log of {HOST} through Atlassian's gateway"),
        (OTHER_ID, False, "belongs to another site"),
        (None, True, "could not be compared with that of "),
    ],
)
def test_check_compares_the_cloud_id_with_the_sites(
    cloud: Atlassian, told: str | None, ok: bool, says: str
) -> None:
    cloud.clients = {CLIENT: SECRET}
    cloud.time.now = wiring.CLOCK.now()
    told_by_the_site = Response(
        503 if told is None else 200, {}, f'{{"cloudId": "{told}"}}'.encode()
    )
    cloud.script[HOST] = [told_by_the_site]

    answer = check_jira.jira_result(oauth(cloud_id=CLOUD_ID))

    assert answer.ok == ok
    assert says in answer.sentence
    if told == OTHER_ID:
        assert answer.sentence.endswith(f"to {OTHER_ID}")


def test_check_takes_a_cloud_id_in_any_case(cloud: Atlassian) -> None:
    told = "abcdef00-2222-4333-8444-555555555555"
    cloud.script[HOST] = [Response(200, {}, f'{{"cloudId": "{told}"}}'.encode())]

    assert check_jira.compare_cloud_id(oauth(cloud_id=told.upper()), "it works").ok
