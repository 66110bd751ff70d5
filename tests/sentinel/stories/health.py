"""The connector's own health: silent, failing, behind."""

from tests.sentinel.stories import SITE, Record, Story, act, call, calls, forged, line, lines

DAY = 24 * 60


def rows_a_day(days: int, last: float) -> list[Record]:
    """A project is made on each of so many days, the last one `last` minutes ago."""
    return [act(last + day * DAY, "Project created", "projects") for day in range(days)]


STORIES = {
    "JiraConnectorSilent": [
        Story(
            "the last run was three hours ago",
            telemetry=lines(line(190), line(185), line(180)),
            fires=True,
            expect={"Site": SITE},
        ),
        Story(
            "the last runs failed",
            telemetry=lines(line(180), *(line(n, "failed") for n in range(0, 60, 5))),
            fires=True,
        ),
        Story(
            "without lines: rows every day, and none today",
            rows_a_day(6, last=DAY + 60),
            fires=True,
        ),
        Story(
            "three hours ago, and forged lines of a good run since",
            telemetry=lines(line(180), *forged(line(12), line(60))),
            fires=True,
            evasion=True,
        ),
        Story("forged lines alone", telemetry=lines(*forged(line(180)))),
        Story("a run an hour ago", telemetry=lines(line(180), line(60))),
        Story(
            "no run, but rows: its lines are late",
            rows_a_day(1, last=30),
            telemetry=lines(line(180)),
        ),
        Story("without lines: rows on four days only", rows_a_day(4, last=DAY + 60)),
        Story("without lines: a weekend, after five days of work", rows_a_day(5, last=42 * 60)),
        Story("told of half a day ago", telemetry=lines(line(14 * 60))),
        Story("without lines: rows every day, today too", rows_a_day(6, last=60)),
    ],
    "JiraConnectorFailing": [
        Story(
            "every run of the hour failed",
            telemetry=lines(*(line(n, "failed") for n in (5, 10, 15))),
            fires=True,
            expect={"Site": SITE, "Failed": 3},
        ),
        Story(
            "a wrong setting: invocations fail, and no line is written",
            telemetry=calls(*(call(n, success=False) for n in (5, 10, 15))),
            fires=True,
            expect={"Site": "", "Failed": 3},
        ),
        Story(
            "every run failed, and forged lines say that one was good",
            telemetry=lines(*(line(n, "failed") for n in (5, 10, 15)), *forged(line(12))),
            fires=True,
            evasion=True,
            expect={"Site": SITE, "Failed": 3},
        ),
        Story(
            "forged lines of failed runs",
            telemetry=lines(*forged(*(line(n, "failed") for n in (5, 10, 15)))),
        ),
        Story(
            "invocations of another app fail",
            telemetry=calls(
                *(call(n, success=False) | {"AppRoleName": "another-app"} for n in (5, 10, 15))
            ),
        ),
        Story(
            "a wrong setting, and invocations of another app succeed",
            telemetry=calls(
                *(call(n, success=False) for n in (5, 10, 15)),
                call(12, success=True) | {"AppRoleName": "another-app"},
            ),
            fires=True,
            expect={"Site": "", "Failed": 3},
        ),
        Story("two runs failed", telemetry=lines(line(5, "failed"), line(10, "failed"))),
        Story(
            "one came forward in between",
            telemetry=lines(*(line(n, "failed") for n in (5, 10, 15)), line(12, "partial")),
        ),
        Story(
            "they failed in the hour before",
            telemetry=lines(*(line(n, "failed") for n in (65, 70, 75))),
        ),
    ],
    "JiraConnectorBehind": [
        Story(
            "hours behind, and no nearer",
            telemetry=lines(line(50, "partial", lag=7200), line(5, "partial", lag=9000)),
            fires=True,
            expect={"Site": SITE, "Lag": 9000},
        ),
        Story(
            "hours behind, and forged lines say that it is not",
            telemetry=lines(
                line(50, "partial", lag=7200), line(5, "partial", lag=9000), *forged(line(20))
            ),
            fires=True,
            evasion=True,
            expect={"Lag": 9000},
        ),
        Story(
            "forged lines of records kept aside",
            telemetry=lines(line(5), *forged(line(20, letters=1, late_found=100))),
        ),
        Story("a record was kept aside", telemetry=lines(line(20, letters=1), line(5)), fires=True),
        Story("many turned up late", telemetry=lines(line(20, late_found=100)), fires=True),
        Story(
            "behind, and working it off",
            telemetry=lines(line(50, "partial", lag=9000), line(5, "partial", lag=1800)),
        ),
        Story(
            "far behind, and nearer than an hour ago",
            telemetry=lines(line(50, "partial", lag=36_000), line(5, "partial", lag=18_000)),
        ),
        Story(
            "far behind, no nearer, and then skipped",
            telemetry=lines(
                line(50, "partial", lag=7200),
                line(10, "partial", lag=9000),
                line(5, "skipped", lag=None),
            ),
            fires=True,
            expect={"Lag": 9000},
        ),
        Story("a little behind", telemetry=lines(line(5, lag=3000))),
        Story("ninety-nine late", telemetry=lines(line(20, late_found=99))),
    ],
}
