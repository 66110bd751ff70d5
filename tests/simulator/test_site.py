"""The imaginary site keeps Jira's manners, and its records look like Jira's.

Nothing here needs a network beyond loopback, and nothing of the connector is tested here.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from jira_audit.simulator.site import (
    PERMISSIONS_PATH,
    RECORDS_PATH,
    TENANT_PATH,
    Answer,
    ImaginarySite,
    Record,
    believable_records,
    serve,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

USERNAME, TOKEN = "auditor@example.com", "a-token"
NOW_MS = 1_709_648_445_678  # 2024-03-05T14:20:45.678Z
DAY_MS = 86_400_000


def basic(username: str = USERNAME, token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{token}".encode()).decode()}


def moment(ms: int) -> str:
    """`ms` milliseconds after noon of one day, as Jira writes `created`."""
    at = datetime(2024, 3, 1, 12, tzinfo=UTC) + timedelta(milliseconds=ms)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


def record(identity: int, ms: int, **more: Any) -> Record:
    return {"id": identity, "created": moment(ms), **more}


def site_with(*records: Record, page_cap: int = 1000) -> ImaginarySite:
    site = ImaginarySite(USERNAME, TOKEN, page_cap)
    site.add(records)
    return site


def ask(
    site: ImaginarySite,
    path: str = RECORDS_PATH,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    return site.answer(path, query or {}, basic() if headers is None else headers, NOW_MS)


def page(site: ImaginarySite, **query: str) -> Any:
    answer = ask(site, query={name.strip("_"): value for name, value in query.items()})
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def ids(site: ImaginarySite, **query: str) -> list[int]:
    return [found["id"] for found in page(site, **query)["records"]]


def refused_with(answer: Answer) -> tuple[int, list[str]]:
    return answer.status, json.loads(answer.body)["errorMessages"]


# Records


def test_records_come_newest_first_and_the_higher_id_first_within_one_millisecond() -> None:
    site = site_with(record(3, 5), record(1, 9), record(2, 5), record(4, 0))
    assert ids(site) == [1, 3, 2, 4]
    assert [found["id"] for found in site.records] == [1, 3, 2, 4]


def test_created_is_compared_as_a_moment_whatever_its_offset() -> None:
    site = site_with(
        {"id": 1, "created": "2024-03-01T12:00:00.000+0000"},
        {"id": 2, "created": "2024-03-01T13:30:00.000+0200"},
    )
    assert ids(site) == [1, 2]


def test_a_record_is_answered_with_exactly_the_fields_it_was_given() -> None:
    given = record(7, 0, summary="Größe \ud83d", big=2**70, eventSource="", nested={"a": [None]})
    assert page(site_with(given))["records"] == [given]


def test_from_and_to_are_inclusive_to_the_millisecond() -> None:
    site = site_with(*(record(n, n) for n in range(10)))
    assert ids(site, from_=moment(3), to=moment(5)) == [5, 4, 3]
    assert ids(site, from_=moment(8)) == [9, 8]
    assert ids(site, to=moment(1)) == [1, 0]
    assert ids(site, from_=moment(4), to=moment(4)) == [4]


def test_all_records_of_one_millisecond_are_in_a_window_that_ends_or_begins_there() -> None:
    site = site_with(*(record(n, 5) for n in range(30)), record(30, 6), record(99, 4))
    assert ids(site, to=moment(5)) == [*range(29, -1, -1), 99]
    assert ids(site, from_=moment(5)) == [30, *range(29, -1, -1)]


@pytest.mark.parametrize(
    "noon",
    [
        "2024-03-01T12:00:00.000Z",
        "2024-03-01T12:00:00Z",
        "2024-03-01T12:00:00.000+0000",
        "2024-03-01T14:00:00.000+02:00",
        "2024-03-01T07:00:00.000-0500",
    ],
)
def test_a_time_with_an_explicit_offset_is_understood(noon: str) -> None:
    site = site_with(record(1, -1), record(2, 0), record(3, 1))
    assert ids(site, from_=noon, to=noon) == [2]


def test_a_time_without_an_offset_finds_nothing_while_total_is_unchanged() -> None:
    site = site_with(record(1, 0), record(2, 1))
    nothing = {"offset": 0, "limit": 1000, "total": 2, "records": []}
    assert page(site, from_="2020-01-01T00:00:00.000") == nothing
    assert page(site, to="2030-01-01T00:00:00.000") == nothing
    assert page(site, from_=moment(0), to="2030-01-01T00:00:00") == nothing


def test_a_plus_that_arrived_as_a_space_is_an_invalid_date() -> None:
    answer = ask(site_with(), query={"from": "2024-03-01T12:00:00.000 0000"})
    assert refused_with(answer) == (400, ['Invalid date "2024-03-01T12:00:00.000 0000"'])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-03-01",
        "1709294400000",
        "2024-13-01T12:00:00.000Z",
        "2024-13-01T12:00:00.000",
        "0000-01-01T00:00:00.000Z",
        "2024-03-01T12:00:00.000+9900",
        "2024-03-01T12:00:00.000000Z",
        "2024-03-01T12:00:00.000Z\n",
    ],
)
@pytest.mark.parametrize("name", ["from", "to"])
def test_what_is_no_time_is_an_invalid_date(name: str, text: str) -> None:
    assert refused_with(ask(site_with(), query={name: text})) == (400, [f'Invalid date "{text}"'])


def test_the_first_and_the_last_moment_that_can_be_written_are_understood() -> None:
    site = site_with(record(1, 0))
    first, last = "0001-01-01T00:00:00.000+2359", "9999-12-31T23:59:59.999-2359"
    assert ids(site, from_=first, to=last) == [1]


def test_from_after_to_finds_nothing() -> None:
    site = site_with(*(record(n, n) for n in range(5)))
    assert page(site, from_=moment(3), to=moment(1))["records"] == []


def test_total_is_the_count_of_the_whole_site_not_of_the_window() -> None:
    site = site_with(*(record(n, n) for n in range(5)))
    assert page(site, from_=moment(4), offset="1", limit="2")["total"] == 5


def test_offset_and_limit_cut_the_window_from_its_newer_end() -> None:
    site = site_with(*(record(n, n) for n in range(10)))
    window = {"from_": moment(2), "to": moment(8)}
    assert ids(site, **window, limit="3") == [8, 7, 6]
    assert ids(site, **window, offset="3", limit="3") == [5, 4, 3]
    assert ids(site, **window, offset="6", limit="3") == [2]
    assert ids(site, **window, offset="7", limit="3") == []
    assert ids(site, **window, offset="2147483647") == []


def test_a_limit_above_the_cap_is_silently_held_to_it_but_echoed_as_asked() -> None:
    site = site_with(*(record(n, n) for n in range(7)), page_cap=3)
    asked = page(site, offset="2", limit="5000")
    assert (asked["offset"], asked["limit"], len(asked["records"])) == (2, 5000, 3)


def test_a_page_holds_a_thousand_records_unless_told_otherwise() -> None:
    unasked = page(site_with(*(record(n, n) for n in range(1001))))
    assert (unasked["offset"], unasked["limit"], len(unasked["records"])) == (0, 1000, 1000)


def test_a_reader_that_advances_by_what_it_got_sees_every_record_once() -> None:
    site = site_with(*(record(n, n // 4) for n in range(100)), page_cap=7)
    seen: list[int] = []
    while found := ids(site, offset=str(len(seen)), limit="1000"):
        seen += found
    assert seen == list(range(99, -1, -1))


def test_offsets_of_an_open_window_shift_when_records_arrive() -> None:
    site = site_with(record(1, 1), record(2, 2))
    assert ids(site, offset="1") == [1]
    site.add([record(3, 3)])
    assert ids(site, offset="1") == [2, 1]


@pytest.mark.parametrize("text", ["-1", "", "1.0", "ten", "+1", " 1", "٣", "2147483648"])
@pytest.mark.parametrize("name", ["offset", "limit"])
def test_an_offset_or_limit_that_is_no_count_is_refused(name: str, text: str) -> None:
    assert ask(site_with(), query={name: text}).status == 400


def test_a_limit_of_zero_is_refused_as_its_empty_page_would_pass_for_the_end() -> None:
    assert ask(site_with(), query={"limit": "0"}).status == 400


@pytest.mark.parametrize("name", ["filter", "sort", "From", "startAt"])
def test_a_parameter_whose_effect_is_not_known_is_refused(name: str) -> None:
    assert ask(site_with(), query={name: "x"}).status == 400


# Adding


def test_a_record_added_again_under_its_id_takes_the_earlier_ones_place() -> None:
    site = site_with(record(1, 0), record(2, 1))
    fuller = record(1, 0, associatedItems=[{"name": "late"}])
    site.add([fuller])
    assert page(site)["records"] == [record(2, 1), fuller]
    assert page(site)["total"] == 2


def test_a_late_record_appears_among_the_older_ones() -> None:
    site = site_with(record(1, 1), record(3, 3))
    site.add([record(2, 2)])
    assert ids(site) == [3, 2, 1]


@pytest.mark.parametrize(
    "broken",
    [
        {"created": moment(0)},
        {"id": 2},
        {"id": "2", "created": moment(0)},
        {"id": True, "created": moment(0)},
        {"id": 2, "created": None},
        {"id": 2, "created": "soon"},
        {"id": 2, "created": "2024-03-01T12:00:00.000"},
    ],
)
def test_a_record_that_cannot_be_placed_is_refused_together_with_its_companions(
    broken: Record,
) -> None:
    site = site_with(record(1, 0))
    with pytest.raises((KeyError, TypeError, ValueError)):
        site.add([record(5, 5), broken])
    assert ids(site) == [1]


def test_records_may_be_added_and_read_from_several_threads() -> None:
    site = site_with()
    pages: list[list[int]] = []

    def add(first: int) -> None:
        for identity in range(first, first + 50):
            site.add([record(identity, identity)])
            pages.append(ids(site))

    threads = [threading.Thread(target=add, args=(n * 50,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids(site) == list(range(199, -1, -1))
    assert len(pages) == 200
    assert all(seen == sorted(seen, reverse=True) for seen in pages)


# Who is asking, and what else is answered


@pytest.mark.parametrize("path", [RECORDS_PATH, PERMISSIONS_PATH])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic(token="another"),
        basic(username="somebody@example.com"),
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": "Basic %%%"},
        {"Authorization": ""},
    ],
    ids=["none", "wrong token", "wrong name", "bearer", "not base64", "empty"],
)
def test_missing_or_wrong_credentials_are_unauthorized(path: str, headers: dict[str, str]) -> None:
    answer = ask(site_with(record(1, 0)), path, {"permissions": "ADMINISTER"}, headers)
    assert answer.status == 401
    assert "records" not in json.loads(answer.body)


def test_the_name_of_the_authorization_header_may_be_in_any_case() -> None:
    lower = {name.lower(): value for name, value in basic().items()}
    assert ask(site_with(), headers=lower).status == 200


@pytest.mark.parametrize("path", ["", "/", RECORDS_PATH + "/", "/rest/api/2/auditing/record"])
def test_a_path_that_is_not_known_is_not_found(path: str) -> None:
    assert ask(site_with(), path).status == 404


def test_the_administer_permission_is_told_as_jira_tells_it() -> None:
    answer = ask(site_with(), PERMISSIONS_PATH, {"permissions": "ADMINISTER"})
    told = json.loads(answer.body)["permissions"]["ADMINISTER"]
    assert answer.status == 200
    assert told["havePermission"] is True
    assert (told["key"], told["type"]) == ("ADMINISTER", "GLOBAL")


@pytest.mark.parametrize(
    "query", [{}, {"permissions": "BROWSE_PROJECTS"}, {"permissions": "ADMINISTER", "issueId": "1"}]
)
def test_no_other_question_about_permissions_is_answered(query: dict[str, str]) -> None:
    assert ask(site_with(), PERMISSIONS_PATH, query).status == 400


def test_the_cloud_id_is_told_to_anyone() -> None:
    site = ImaginarySite(USERNAME, TOKEN, cloud_id="some-cloud")
    answer = ask(site, TENANT_PATH, headers={})
    assert (answer.status, json.loads(answer.body)) == (200, {"cloudId": "some-cloud"})
    assert ask(site, TENANT_PATH, {"x": "1"}).status == 400


def test_every_answer_is_json_and_carries_the_sites_own_clock() -> None:
    for path in (RECORDS_PATH, PERMISSIONS_PATH, TENANT_PATH, "/nowhere"):
        answer = ask(site_with(), path)
        json.loads(answer.body)
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["Date"] == "Tue, 05 Mar 2024 14:20:45 GMT"


# Believable records


def some_records(count: int = 2000, seed: int = 1) -> list[Record]:
    return believable_records(count, first_id=10_000, end_ms=NOW_MS, span_ms=30 * DAY_MS, seed=seed)


def created_ms(found: Record) -> int:
    at = datetime.strptime(found["created"], "%Y-%m-%dT%H:%M:%S.%f%z")
    return round(at.timestamp() * 1000)


def test_the_same_seed_tells_the_same_records_and_another_seed_tells_others() -> None:
    assert some_records(300, seed=4) == some_records(300, seed=4)
    assert some_records(300, seed=4) != some_records(300, seed=5)


@pytest.mark.parametrize("count", [0, 1, 2, 299])
def test_as_many_records_come_as_were_wanted(count: int) -> None:
    assert len(some_records(count)) == count


def test_ids_rise_without_a_gap_together_with_created() -> None:
    made = some_records()
    assert [found["id"] for found in made] == list(range(10_000, 12_000))
    moments = [created_ms(found) for found in made]
    assert moments == sorted(moments)


def test_records_stay_within_their_span_and_fill_it() -> None:
    moments = [created_ms(found) for found in some_records()]
    assert NOW_MS - 30 * DAY_MS <= moments[0] < NOW_MS - 25 * DAY_MS
    assert NOW_MS - 5 * DAY_MS < moments[-1] <= NOW_MS


def test_a_span_of_nothing_puts_all_records_into_its_one_millisecond() -> None:
    made = believable_records(50, first_id=1, end_ms=NOW_MS, span_ms=0, seed=1)
    assert {found["created"] for found in made} == {"2024-03-05T14:20:45.678+0000"}


@pytest.mark.parametrize("seed", range(5))
def test_authors_and_addresses_are_absent_as_often_as_on_a_real_site(seed: int) -> None:
    made = some_records(500, seed)
    authorless = sum("authorKey" not in found for found in made) / len(made)
    addressless = sum("remoteAddress" not in found for found in made) / len(made)
    assert 0.22 < authorless < 0.34
    assert authorless < addressless < authorless + 0.07
    assert all(("authorKey" in found) == ("authorAccountId" in found) for found in made)


def test_groups_and_permissions_have_no_id_and_everything_else_has_one() -> None:
    items = [found["objectItem"] for found in some_records()]
    assert {"GROUP", "PERMISSIONS", "USER", "PROJECT"} <= {item["typeName"] for item in items}
    assert all(("id" in item) != (item["typeName"] in {"GROUP", "PERMISSIONS"}) for item in items)


def test_changed_from_is_often_absent_and_nothing_is_ever_null() -> None:
    made = some_records()
    changes = [change for found in made for change in found.get("changedValues", ())]
    absent = sum("changedFrom" not in change for change in changes) / len(changes)
    assert 0.2 < absent < 0.6
    assert "null" not in json.dumps(made)
    assert not any(found.get(name) == [] for found in made for name in found)


def test_the_event_source_is_always_empty() -> None:
    assert {found["eventSource"] for found in some_records()} == {""}


def test_account_ids_come_in_several_forms() -> None:
    forms = Counter(
        found["authorAccountId"].count(":") for found in some_records() if "authorKey" in found
    )
    assert set(forms) == {0, 1, 2}


def test_bursts_share_one_millisecond() -> None:
    _, most = Counter(found["created"] for found in some_records()).most_common(1)[0]
    assert 10 <= most <= 60


def test_the_usual_categories_are_there() -> None:
    assert {found["category"] for found in some_records()} == {
        "auditing",
        "fields",
        "group management",
        "issue types",
        "notifications",
        "permissions",
        "projects",
        "status",
        "system",
        "user management",
        "workflows",
    }


def test_addresses_are_from_the_ranges_kept_for_documentation() -> None:
    ranges = [
        ipaddress.ip_network(text)
        for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    ]
    lists = {found["remoteAddress"] for found in some_records() if "remoteAddress" in found}
    for text in (part for addresses in lists for part in addresses.split(", ")):
        assert any(ipaddress.ip_address(text) in kept for kept in ranges), text


def test_records_are_about_as_long_as_real_ones() -> None:
    made = some_records()
    assert 450 < len(json.dumps(made)) / len(made) < 810


def test_a_hundred_thousand_records_do_not_slow_a_request_down() -> None:
    site = ImaginarySite(USERNAME, TOKEN)
    site.add(some_records(100_000))
    begun = time.perf_counter()
    for _ in range(100):
        assert ids(site, offset="99999") == [10_000]
        assert ids(site, from_="2024-03-05T14:20:45.679Z") == []
    # Some 10 ms are usual; a pass over all records for each request would take seconds.
    assert time.perf_counter() - begun < 0.7


# The server


def test_the_site_can_be_asked_over_http_on_one_kept_connection() -> None:
    site = site_with(record(1, 0), record(2, 1))
    with serve(site, clock_ms=lambda: NOW_MS) as base_url:
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)
        connection.connect()
        used = connection.sock
        older = f"{RECORDS_PATH}?{urlencode({'to': moment(0)})}"
        for path, status, seen in (
            (older, 200, [1]),
            ("/nowhere", 404, []),
            (RECORDS_PATH, 200, [2, 1]),
        ):
            connection.request("GET", path, headers=basic())
            response = connection.getresponse()
            said = json.loads(response.read())
            assert (response.version, response.status) == (11, status)
            assert response.headers.get_all("Date") == ["Tue, 05 Mar 2024 14:20:45 GMT"]
            assert [found["id"] for found in said.get("records", [])] == seen
        assert connection.sock is used
        connection.close()


def test_a_plus_that_was_not_escaped_arrives_as_a_space() -> None:
    with serve(site_with(), clock_ms=lambda: NOW_MS) as base_url:
        bare = get(base_url, f"{RECORDS_PATH}?from=2024-03-01T12:00:00.000+0000")
        escaped = get(base_url, f"{RECORDS_PATH}?from={quote('2024-03-01T12:00:00.000+0000')}")
    assert (bare[0], escaped[0]) == (400, 200)
    assert json.loads(bare[1])["errorMessages"] == ['Invalid date "2024-03-01T12:00:00.000 0000"']


def test_what_the_server_does_not_know_is_refused() -> None:
    with serve(site_with(), clock_ms=lambda: NOW_MS) as base_url:
        assert get(base_url, RECORDS_PATH + "?limit=1&limit=2")[0] == 400
        assert get(base_url, RECORDS_PATH + "?limit=")[0] == 400
        assert get(base_url, RECORDS_PATH, body=b"{}")[0] == 400
        assert get(base_url, RECORDS_PATH, method="POST", body=b"{}")[0] == 501
        assert get(base_url, RECORDS_PATH, method="HEAD")[0] == 501


def test_a_request_costs_no_more_than_a_few_milliseconds() -> None:
    with serve(site_with(record(1, 0)), clock_ms=lambda: NOW_MS) as base_url:
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)
        begun = time.perf_counter()
        for _ in range(100):
            connection.request("GET", RECORDS_PATH, headers=basic())
            connection.getresponse().read()
        # A delayed acknowledgement would cost some 40 ms each.
        assert time.perf_counter() - begun < 1.5
        connection.close()


def test_after_the_block_not_even_an_open_connection_is_answered() -> None:
    with serve(site_with(), clock_ms=lambda: NOW_MS) as base_url:
        address = urlsplit(base_url)
        kept = socket.create_connection((address.hostname, address.port), timeout=5)
        kept.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert kept.recv(12) == b"HTTP/1.1 404"
    with kept:
        while kept.recv(65_536):
            pass
    with pytest.raises(OSError):  # noqa: PT011 - each system refuses in its own words
        socket.create_connection((address.hostname, address.port), timeout=5)


def test_the_server_is_quiet_even_when_a_client_hangs_up(capfd: pytest.CaptureFixture[str]) -> None:
    site = ImaginarySite(USERNAME, TOKEN)
    site.add(some_records(1000))
    with serve(site, clock_ms=lambda: NOW_MS) as base_url:
        get(base_url, "/nowhere")
        get(base_url, RECORDS_PATH, method="POST")
        address = urlsplit(base_url)
        impatient = socket.create_connection((address.hostname, address.port), timeout=5)
        lines = [f"GET {RECORDS_PATH} HTTP/1.1", f"Authorization: {basic()['Authorization']}"]
        impatient.sendall(("\r\n".join([*lines, "", ""]) * 20).encode())
        impatient.recv(1)
        impatient.close()
        get(base_url, "/nowhere")
    assert capfd.readouterr() == ("", "")


def test_importing_the_module_has_no_effect() -> None:
    script = "import threading, jira_audit.simulator.site; print(threading.active_count())"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == ("1\n", "")


def get(
    base_url: str, target: str, method: str = "GET", body: bytes | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)
    connection.request(method, target, body, basic())
    response = connection.getresponse()
    got = response.status, response.read()
    connection.close()
    return got
