"""Which hosts are Atlassian's or this machine, and where a redirect leads."""

from __future__ import annotations

import pytest

from jira_audit.core.address import is_site_host, redirect_sentence, redirect_target


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://New.atlassian.net", ("new.atlassian.net", "https://new.atlassian.net")),
        ("https://new.atlassian.net/a/b?c=d#e", ("new.atlassian.net", "https://new.atlassian.net")),
        (
            "https://new.atlassian.net:8443/",
            ("new.atlassian.net", "https://new.atlassian.net:8443"),
        ),
        ("https://" + "a." * 20_000 + "net", None),
        ("http://localhost:7070/x", ("localhost", "http://localhost:7070")),
        ("http://127.0.0.1:7070", ("127.0.0.1", "http://127.0.0.1:7070")),
    ],
)
def test_a_redirect_leads_to_the_host_of_its_url(location: str, target: tuple[str, str]) -> None:
    assert redirect_target(location) == target


@pytest.mark.parametrize(
    "location",
    [
        *(None, "", "/login.jsp", "//new.atlassian.net/", "new.atlassian.net", "ftp://a.b"),
        "http://new.atlassian.net/",
        "https://user:password@new.atlassian.net/",
        "https://new.atlassian.net\\@evil.example/",
        "https://new.atlassian.net\n.evil.example",
        "https://new\u202e.atlassian.net/",
        "https://new_.atlassian.net/",
        "https://intranet/",
        "https://[::1]/",
        "https://" + "a" * 64 + ".atlassian.net",
    ],
)
def test_nothing_else_is_where_a_redirect_leads(location: str | None) -> None:
    assert redirect_target(location) is None
    assert "as login pages and moved sites do" in redirect_sentence(location)


@pytest.mark.parametrize("host", ["a.atlassian.net", "a.jira.com", "localhost", "jira.contoso.com"])
def test_a_site_may_be_at_atlassian_this_machine_or_a_domain_named(host: str) -> None:
    assert is_site_host(host, ["*.contoso.com"])


@pytest.mark.parametrize("host", ["atlassian.net.evil.example", "evilcontoso.com", "10.0.0.1"])
def test_a_site_may_be_nowhere_else(host: str) -> None:
    assert not is_site_host(host, ["contoso.com"])
