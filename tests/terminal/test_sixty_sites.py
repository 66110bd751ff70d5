"""A provider with sixty sites, six of them wrong: what each command of all sites shows of them.

The sites are at loopback addresses of their own. Each is wrong in its way: an account that does not
administer Jira, an address without Jira, another token, an unknown key, a day that is none, and a
secret that is not set.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from jira_audit.simulator.site import FakeJira, Response
from tests.servers.many_sites import ServedSite, address_of, cloud_id_of, serve_sites
from tests.terminal.conftest import TOKEN, USERNAME, Ended, Run, records
from tests.terminal.test_demo import on_a_terminal

SITES = 60
HOSTS = [address_of(number) for number in range(SITES)]
REFUSING, NO_JIRA, INVALID_DAY, CHANGED_TOKEN, UNKNOWN_KEY, NO_SECRET = (
    HOSTS[number] for number in (10, 20, 25, 30, 44, 50)
)
WRONG = {
    REFUSING: "lacks the global permission Administer Jira",
    NO_JIRA: "there is no Jira at this address",
    INVALID_DAY: "token_expires",
    CHANGED_TOKEN: "credentials",
    UNKNOWN_KEY: "user_name is not known",
    NO_SECRET: "TOKEN_THAT_IS_NOT_SET is missing",
}
"""What is said of each wrong site."""


def html(status: int) -> Callable[[], Response]:
    return lambda: Response(status, {"Content-Type": "text/html"}, b"<html>no</html>")


@pytest.fixture
def provider() -> Iterator[None]:
    """The sixty sites, and the setting that lists them."""
    sites = {}
    for number, host in enumerate(HOSTS):
        site = FakeJira(USERNAME, TOKEN)
        site.add(records(3))
        sites[host] = ServedSite(site, cloud_id=cloud_id_of(number))
    sites[REFUSING].instead = html(403)
    sites[NO_JIRA].instead = html(404)
    with serve_sites(sites) as port:
        entries = {
            host: {
                "url": f"http://{host}:{port}",
                "username": USERNAME,
                "api_token_setting": "A_TOKEN",
            }
            for host in HOSTS
        }
        entries[CHANGED_TOKEN]["api_token_setting"] = "ANOTHER_TOKEN"
        entries[INVALID_DAY]["token_expires"] = "soon"
        entries[UNKNOWN_KEY]["user_name"] = "auditor"
        entries[NO_SECRET]["api_token_setting"] = "TOKEN_THAT_IS_NOT_SET"
        os.environ |= {
            "JIRA_SITES": json.dumps([*entries.values()]),
            "A_TOKEN": TOKEN,
            "ANOTHER_TOKEN": "a token of last year",
            "NO_PROXY": ",".join(HOSTS),
        }
        yield


def hosts_of(ended: Ended) -> Sequence[str]:
    return [line.split("\t")[0] for line in ended.out.splitlines()]


def assert_each_wrong_site_is_explained(text: str) -> None:
    by_line = text.splitlines()
    for host, words in WRONG.items():
        assert any(host in line and words in line for line in by_line), (host, words)


def table_on_a_terminal(*arguments: str | Path) -> Sequence[str]:
    """The lines of the sites in the table that a terminal of 80 columns shows."""
    os.environ |= {"TERM": "xterm-256color", "COLUMNS": "80"}
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", on_a_terminal(*arguments)).splitlines()
    return [line for line in lines if line.split()[:1] and line.split()[0] in HOSTS]


@pytest.mark.long
def test_provider_sees_what_is_wrong_first_and_nothing_of_it_stops_the_others(
    provider: None, run: Run, tmp_path: Path
) -> None:
    folder = ("--folder", tmp_path)
    well = sorted(set(HOSTS) - WRONG.keys())

    checked = run("check")
    assert checked.code == 2  # for Azure is not set up, which stops no check of Jira
    assert f"60 sites: 54 ok, 6 failed: {', '.join(sorted(WRONG))}" in checked.err
    assert_each_wrong_site_is_explained(checked.out)

    collected = run("collect", *folder, "--quiet")
    assert collected.code == 1
    assert_each_wrong_site_is_explained(collected.err)

    judged = run("status", *folder)
    seen = hosts_of(judged)
    assert judged.code == 1
    assert sorted(seen) == sorted(HOSTS)
    assert set(seen[:6]) == WRONG.keys()
    assert judged.err.splitlines()[-1] == "60 sites: 5 failed, 1 new, 54 ok"
    assert set(hosts_of(run("status", *folder, "--failing"))) == WRONG.keys()

    verified = run("verify", "--from", "2d", *folder)
    assert verified.code == 1
    assert set(hosts_of(verified)[:6]) == WRONG.keys()
    assert sorted(hosts_of(verified)[6:]) == well
    assert_each_wrong_site_is_explained(verified.err)
    assert verified.err.splitlines()[-1] == "60 sites: 6 failed, 54 complete"

    listed = run("dead-letters", "list", *folder)
    assert listed.code == 1
    assert f"{UNKNOWN_KEY}: " in listed.err
    assert listed.err.splitlines()[-1] == "60 sites: no dead letters."

    for command in (("status",), ("verify", "--from", "2d")):
        lines = table_on_a_terminal(*command, *folder)
        assert len({line.split()[0] for line in lines[:60]} - set(HOSTS)) == 0
        assert {line.split()[0] for line in lines[:6]} == WRONG.keys()
        assert max(map(len, lines[:60])) <= 80
