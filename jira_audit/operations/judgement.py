"""Whether a site needs someone, judged from its status. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from jira_audit.core import expiry, timestamps
from jira_audit.core.checkpoint import Checkpoint
from jira_audit.core.queueing import UNSAVED_AFTER, stuck_lease
from jira_audit.core.schedule import EVERY_5_MINUTES, PollSchedule
from jira_audit.core.timestamps import MINUTE
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.operations.status import Status, lag

Verdict = Literal[
    "failed",
    "unknown",
    "token expired",
    "late",
    "missing",
    "dead letters",
    "unproven",
    "new",
    "token expires",
    "ok",
]

VERDICTS: tuple[Verdict, ...] = (
    "failed",  # the last run, or the next one for certain
    "unknown",  # storage does not answer
    "token expired",
    "late",  # nothing was saved for three polls, or the lag is too long
    "missing",  # the daily audit misses records in the table, or has found duplicates
    "dead letters",  # some wait
    "unproven",  # the daily audit has not succeeded for three days
    "new",  # no run has ended yet
    "token expires",
    "ok",
)
"""Every verdict, the worst first."""

POLLS = 3
"""Polls without a save after which a site is late."""

LONGEST_RUN = 10 * MINUTE
"""host.json's `functionTimeout`: a poll may save nothing for so long."""


@dataclass(frozen=True)
class Limits:
    """What counts as late: `max_lag` is the longest lag (milliseconds), if it is limited."""

    schedule: PollSchedule = EVERY_5_MINUTES
    max_lag: int | None = None


@dataclass(frozen=True)
class Finding:
    """One reason for a verdict. The sentence names the site, and what to do."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Judgement:
    """A site's status with its verdict: that of the worst of its `findings`, which come first."""

    status: Status
    findings: tuple[Finding, ...]
    expires: date | None
    now: int

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; `ok` without a finding."""
        return self.findings[0].verdict if self.findings else "ok"

    @property
    def rank(self) -> int:
        """0 for the worst verdict."""
        return VERDICTS.index(self.verdict)

    @property
    def exit_code(self) -> ExitCode:
        """Whether the site is ok, needs someone, or cannot be known."""
        if not self.findings:
            return ExitCode.OK
        return ExitCode.UNKNOWN if self.verdict == "unknown" else ExitCode.FAILED

    @property
    def running_since(self) -> int | None:
        """When the run that has the site now began to send, or last saved; None: no run has it."""
        if not self.status.leased or self.status.checkpoint is None:
            return None
        began = self.status.checkpoint.began
        return self.status.saved if began is None else began

    def payload(self) -> dict[str, Any]:
        """The judgement and the status as JSON."""
        status, since = self.status.payload(self.now, self.expires), self.running_since
        return {
            "site": self.status.site,
            "verdict": self.verdict,
            "findings": [
                {"verdict": each.verdict, "sentence": each.sentence} for each in self.findings
            ],
            "running_since": None if since is None else timestamps.text(since),
            **status,
        }


SECRET_SETTING = "JIRA_API_TOKEN"  # noqa: S105  its name, not its value


def judge(
    status: Status,
    now: int,
    expires: date | None = None,
    limits: Limits = Limits(),
    secret_setting: str = SECRET_SETTING,
) -> Judgement:
    """Judge a site's status at the moment `now`.

    `expires` is the last day of the token, which `secret_setting` holds.
    """
    found = [*_of_status(status, now, limits), *_of_token(status, now, expires, secret_setting)]
    found.sort(key=lambda each: VERDICTS.index(each.verdict))
    return Judgement(status, tuple(found), expires, now)


def _of_status(status: Status, now: int, limits: Limits) -> Iterator[Finding]:
    site = status.site
    if status.state in {"unreadable", "broken"}:
        yield Finding("failed", _named(site, status.problem))
    elif status.state == "unreachable":
        yield Finding("unknown", _named(site, status.problem))
    elif status.checkpoint is None or status.state == "new":
        message = "no run has saved a checkpoint yet: wait for a poll, or run jira-audit collect"
        yield Finding("new", f"{site}: {message}")
    else:
        yield from _of_runs(status, status.checkpoint, now)
        yield from _lateness(status, status.checkpoint, now, limits)
        yield from _of_audit(status.site, status.checkpoint, now)
    if status.letters:
        one = status.letters == 1
        waiting = "1 dead letter waits" if one else f"{status.letters:,} dead letters wait"
        sentence = f"{site}: {waiting}: run jira-audit dead-letters list --site {site}"
        yield Finding("dead letters", sentence)


def _of_runs(status: Status, checkpoint: Checkpoint, now: int) -> Iterator[Finding]:
    """What the last run has left, or the run that has the site now."""
    site, began, saved = status.site, checkpoint.began, status.saved
    if checkpoint.halted is not None:
        yield Finding("failed", checkpoint.halt_sentence)
    elif status.state == "failed":
        yield Finding("failed", _named(site, status.problem))
    elif began is not None and not status.leased:
        message = (
            f"{site}: the run that began to send at {timestamps.text(began)} was killed, or does "
            "not know what became of a batch. The next run continues carefully; if this lasts, "
            "look for the end of its process in the log"
        )
        yield Finding("failed", message)
    elif status.state == "unknown":
        message = (
            "the first run has not ended" if status.leased else "no run has ended since it began"
        )
        yield Finding("new", f"{site}: {message}: run jira-audit status again after the next poll")
    if status.leased and saved is not None and now - saved > UNSAVED_AFTER:
        yield Finding("failed", stuck_lease(site, saved))


def _lateness(
    status: Status, checkpoint: Checkpoint, now: int, limits: Limits
) -> Iterator[Finding]:
    site, saved, max_lag = status.site, status.saved, limits.max_lag
    if saved is not None and now - saved > LONGEST_RUN:
        third = limits.schedule.following(saved, POLLS)
        if third is not None and third <= now:
            message = (
                f"{site}: nothing was saved since {timestamps.text(saved)}, though at least "
                f"{POLLS} polls were due: check that the Function App runs, or run jira-audit "
                "collect"
            )
            yield Finding("late", message)
    if max_lag is not None and lag(checkpoint, now) > max_lag:
        message = (
            f"{site}: complete up to {timestamps.text(checkpoint.through)} only, which is longer "
            "ago than --max-lag: see what its runs log"
        )
        yield Finding("late", message)


def _of_audit(site: str, checkpoint: Checkpoint, now: int) -> Iterator[Finding]:
    audit = checkpoint.audit
    if audit is None:
        return
    proof = audit.proof
    if proof and (proof.missing or proof.duplicated):
        found = (f"{proof.missing:,} missing", f"{proof.duplicated:,} duplicated")
        counts = " and ".join(text for text in found if not text.startswith("0 "))
        first = min([proof.start, *(day.start for day in audit.days)])
        message = (
            f"{site}: the daily audit has found records of the table {counts}: run jira-audit "
            f"verify --site {site} --from {timestamps.text(first)} --workspace ID"
        )
        yield Finding("missing", message)
    if audit.is_unproven(now):
        message = (
            f"{site}: the table has not been compared with the ledger since "
            f"{timestamps.text(audit.since)}: see what the runs log; the app's identity needs the "
            "role Log Analytics Reader on the workspace"
        )
        yield Finding("unproven", message)


def _of_token(
    status: Status, now: int, expires: date | None, secret_setting: str
) -> Iterator[Finding]:
    if expires is None:
        return
    days = expiry.days_left(expires, now)
    if days <= expiry.WARNING_DAYS:
        sentence = expiry.advice(status.site, expires, now, secret_setting)
        yield Finding("token expired" if days < 0 else "token expires", sentence)


def _named(site: str, problem: str | None) -> str:
    """The sentence, which begins with the site."""
    text = problem or "the last run failed: see its log"
    return text if text.startswith(f"{site}: ") else f"{site}: {text}"
