"""The simulated site keeps Jira's manners. Nothing of the connector is tested here."""

from __future__ import annotations

import json
import threading
import time

import pytest

from jira_audit.simulator.records import Record
from jira_audit.simulator.site import (
    PERMISSIONS_PATH,
    RECORDS_PATH,
    TENANT_PATH,
    FakeJira,
)
from tests.simulator.small_sites import (
    TOKEN,
    USERNAME,
    ask,
    basic,
    created,
    ids,
    page,
    record,
    site_with,
    some_records,
    status_and_errors,
)

# Records


def test_records_come_newest_first_and_then_by_higher_id() -> None:
    site = site_with(record(3, 5), record(1, 9), record(2, 5), record(4, 0))
    assert ids(site) == [1, 3, 2, 4]
    assert [found["id"] for found in site.records] == [1, 3, 2, 4]


def test_records_are_compared_by_moment_whatever_their_offset() -> None:
    site = site_with(
        {"id": 1, "created": "2024-03-01T12:00:00.000+0000"},
        {"id": 2, "created": "2024-03-01T13:30:00.000+0200"},
    )
    assert ids(site) == [1, 2]


def test_records_are_answered_with_exactly_their_fields() -> None:
    given = record(7, 0, summary="Größe \ud83d", big=2**70, eventSource="", nested={"a": [None]})
    assert page(site_with(given))["records"] == [given]


def test_window_includes_both_ends_to_the_millisecond() -> None:
    site = site_with(*(record(n, n) for n in range(10)))
    assert ids(site, from_=created(3), to=created(5)) == [5, 4, 3]
    assert ids(site, from_=created(8)) == [9, 8]
    assert ids(site, to=created(1)) == [1, 0]
    assert ids(site, from_=created(4), to=created(4)) == [4]


def test_window_has_all_records_of_its_first_and_last_millisecond() -> None:
    site = site_with(*(record(n, 5) for n in range(30)), record(30, 6), record(99, 4))
    assert ids(site, to=created(5)) == [*range(29, -1, -1), 99]
    assert ids(site, from_=created(5)) == [30, *range(29, -1, -1)]


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
def test_time_with_an_offset_is_understood(noon: str) -> None:
    site = site_with(record(1, -1), record(2, 0), record(3, 1))
    assert ids(site, from_=noon, to=noon) == [2]


def test_time_without_an_offset_finds_nothing_but_keeps_total() -> None:
    site = site_with(record(1, 0), record(2, 1))
    nothing = {"offset": 0, "limit": 1000, "total": 2, "records": []}
    assert page(site, from_="2020-01-01T00:00:00.000") == nothing
    assert page(site, to="2030-01-01T00:00:00.000") == nothing
    assert page(site, from_=created(0), to="2030-01-01T00:00:00") == nothing


def test_time_with_a_space_for_its_plus_is_invalid() -> None:
    answer = ask(site_with(), query={"from": "2024-03-01T12:00:00.000 0000"})
    assert status_and_errors(answer) == (400, ['Invalid date "2024-03-01T12:00:00.000 0000"'])


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
def test_time_that_is_malformed_is_invalid(name: str, text: str) -> None:
    assert status_and_errors(ask(site_with(), query={name: text})) == (
        400,
        [f'Invalid date "{text}"'],
    )


def test_time_may_be_the_first_or_the_last_that_can_be_written() -> None:
    site = site_with(record(1, 0))
    first, last = "0001-01-01T00:00:00.000+2359", "9999-12-31T23:59:59.999-2359"
    assert ids(site, from_=first, to=last) == [1]


def test_window_whose_from_is_after_its_to_is_empty() -> None:
    site = site_with(*(record(n, n) for n in range(5)))
    assert page(site, from_=created(3), to=created(1))["records"] == []


def test_total_counts_the_whole_site_and_not_the_window() -> None:
    site = site_with(*(record(n, n) for n in range(5)))
    assert page(site, from_=created(4), offset="1", limit="2")["total"] == 5


def test_offset_and_limit_count_from_the_windows_newer_end() -> None:
    site = site_with(*(record(n, n) for n in range(10)))
    window = {"from_": created(2), "to": created(8)}
    assert ids(site, **window, limit="3") == [8, 7, 6]
    assert ids(site, **window, offset="3", limit="3") == [5, 4, 3]
    assert ids(site, **window, offset="6", limit="3") == [2]
    assert ids(site, **window, offset="7", limit="3") == []
    assert ids(site, **window, offset="2147483647") == []


def test_limit_above_the_cap_is_lowered_but_echoed() -> None:
    site = site_with(*(record(n, n) for n in range(7)), page_cap=3)
    asked = page(site, offset="2", limit="5000")
    assert (asked["offset"], asked["limit"], len(asked["records"])) == (2, 5000, 3)


def test_limit_is_a_thousand_by_default() -> None:
    unasked = page(site_with(*(record(n, n) for n in range(1001))))
    assert (unasked["offset"], unasked["limit"], len(unasked["records"])) == (0, 1000, 1000)


def test_offset_that_advances_by_what_came_shows_all_records_once() -> None:
    site = site_with(*(record(n, n // 4) for n in range(100)), page_cap=7)
    seen: list[int] = []
    while found := ids(site, offset=str(len(seen)), limit="1000"):
        seen += found
    assert seen == list(range(99, -1, -1))


def test_offset_in_an_open_window_shifts_as_records_arrive() -> None:
    site = site_with(record(1, 1), record(2, 2))
    assert ids(site, offset="1") == [1]
    site.add([record(3, 3)])
    assert ids(site, offset="1") == [2, 1]


@pytest.mark.parametrize("text", ["-1", "", "1.0", "ten", "+1", " 1", "٣", "2147483648"])
@pytest.mark.parametrize("name", ["offset", "limit"])
def test_offset_or_limit_that_is_no_count_is_refused(name: str, text: str) -> None:
    assert ask(site_with(), query={name: text}).status == 400


def test_limit_of_zero_is_refused() -> None:
    assert ask(site_with(), query={"limit": "0"}).status == 400


@pytest.mark.parametrize("name", ["filter", "sort", "From", "startAt"])
def test_parameter_without_a_known_effect_is_refused(name: str) -> None:
    assert ask(site_with(), query={name: "x"}).status == 400


# Adding


def test_records_added_again_replace_the_earlier_ones() -> None:
    site = site_with(record(1, 0), record(2, 1))
    fuller = record(1, 0, associatedItems=[{"name": "late"}])
    site.add([fuller])
    assert page(site)["records"] == [record(2, 1), fuller]
    assert page(site)["total"] == 2


def test_records_that_are_late_appear_among_the_older_ones() -> None:
    site = site_with(record(1, 1), record(3, 3))
    site.add([record(2, 2)])
    assert ids(site) == [3, 2, 1]


@pytest.mark.parametrize(
    "broken",
    [
        {"created": created(0)},
        {"id": 2},
        {"id": "2", "created": created(0)},
        {"id": True, "created": created(0)},
        {"id": 2, "created": None},
        {"id": 2, "created": "soon"},
        {"id": 2, "created": "2024-03-01T12:00:00.000"},
    ],
)
def test_records_that_cannot_be_placed_are_refused_with_the_others(
    broken: Record,
) -> None:
    site = site_with(record(1, 0))
    with pytest.raises((KeyError, TypeError, ValueError)):
        site.add([record(5, 5), broken])
    assert ids(site) == [1]


def test_records_may_be_added_and_read_by_several_threads() -> None:
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
def test_credentials_that_are_missing_or_wrong_are_unauthorized(
    path: str, headers: dict[str, str]
) -> None:
    answer = ask(site_with(record(1, 0)), path, {"permissions": "ADMINISTER"}, headers)
    assert answer.status == 401
    assert "records" not in json.loads(answer.body)


def test_credentials_header_may_be_in_any_case() -> None:
    lower = {name.lower(): value for name, value in basic().items()}
    assert ask(site_with(), headers=lower).status == 200


@pytest.mark.parametrize("path", ["", "/", RECORDS_PATH + "/", "/rest/api/2/auditing/record"])
def test_path_that_is_unknown_is_not_found(path: str) -> None:
    assert ask(site_with(), path).status == 404


def test_permission_to_administer_is_answered_as_jira_does() -> None:
    answer = ask(site_with(), PERMISSIONS_PATH, {"permissions": "ADMINISTER"})
    told = json.loads(answer.body)["permissions"]["ADMINISTER"]
    assert answer.status == 200
    assert told["havePermission"] is True
    assert (told["key"], told["type"]) == ("ADMINISTER", "GLOBAL")


@pytest.mark.parametrize(
    "query", [{}, {"permissions": "BROWSE_PROJECTS"}, {"permissions": "ADMINISTER", "issueId": "1"}]
)
def test_permission_of_another_name_is_not_answered(query: dict[str, str]) -> None:
    assert ask(site_with(), PERMISSIONS_PATH, query).status == 400


def test_cloud_id_is_told_to_anyone() -> None:
    site = FakeJira(USERNAME, TOKEN, cloud_id="some-cloud")
    answer = ask(site, TENANT_PATH, headers={})
    assert (answer.status, json.loads(answer.body)) == (200, {"cloudId": "some-cloud"})
    assert ask(site, TENANT_PATH, {"x": "1"}).status == 400


def test_answers_are_json_and_carry_the_sites_own_clock() -> None:
    for path in (RECORDS_PATH, PERMISSIONS_PATH, TENANT_PATH, "/nowhere"):
        answer = ask(site_with(), path)
        json.loads(answer.body)
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["Date"] == "Tue, 05 Mar 2024 14:20:45 GMT"


def test_requests_stay_fast_with_a_hundred_thousand_records() -> None:
    site = FakeJira(USERNAME, TOKEN)
    site.add(some_records(100_000))
    begun = time.perf_counter()
    for _ in range(100):
        assert ids(site, offset="99999") == [10_000]
        assert ids(site, from_="2024-03-05T14:20:45.679Z") == []
    # Some 10 ms are usual; a pass over all records for each request would take seconds.
    assert time.perf_counter() - begun < 0.7
