"""`check`: tests each part of an installation: settings, Jira, ingestion and storage.

Sends the smallest request that proves each part. Changes nothing, but creates a missing container,
as the first run would.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jira_audit import wiring
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    CredentialsRefused,
    SettingsError,
    SiteError,
)
from jira_audit.core.text import escaped, printable
from jira_audit.flow.sending import PROBE
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.settings.load import load
from jira_audit.settings.table import EVERYTHING, Needs
from jira_audit.settings.unknown import unknown_settings
from jira_audit.settings.values import Azure, Settings, Site
from jira_audit.terminal.console import (
    consoles,
    exit_on_settings_error,
    logging_to,
    print_json,
    print_message,
    progress_line,
)
from jira_audit.terminal.context import environment
from jira_audit.terminal.format import format_duration
from jira_audit.terminal.options import Place, json_flag, placed

Part = Literal["settings", "Jira", "ingestion", "storage"]


@dataclass(frozen=True)
class CheckResult:
    """The result for one part. `sentence` says what works, or what to do.

    A `warning` keeps nothing from working.
    """

    part: Part
    ok: bool
    sentence: str
    warning: bool = False

    @property
    def mark(self) -> str:
        """`ok`, `warning` or `failed`."""
        return "failed" if not self.ok else "warning" if self.warning else "ok"


@placed(folder="none")
def command(
    *,
    as_json: Annotated[bool, json_flag("one object per line and result")] = False,
    place: Place,
) -> None:
    """Check the setup: settings, Jira, ingestion and storage, each on its own.

    A part whose settings are complete is checked, whatever is missing for the others. Sends an
    empty batch, which adds no row. Creates a missing container for checkpoints, as the first run
    would. Exit code 1 if a part failed, 2 if settings are missing or wrong.
    """
    out, err = consoles()
    results = []
    problems: SettingsError | None = None
    with (
        logging_to(err, logging.CRITICAL),
        exit_on_settings_error(err),
        progress_line(out, err, lambda: "checking Jira, ingestion and storage"),
    ):
        known = environment(place, EVERYTHING)
        try:
            load(known, wiring.CLOCK.now())
        except SettingsError as error:
            problems = error
            if as_json:
                for problem in error.problems:
                    _print_json(CheckResult("settings", ok=False, sentence=problem))
        for result in check_results(known):
            if as_json:
                _print_json(result)
            else:
                _show(out, result)
            results.append(result)
        if problems:
            if as_json:
                raise typer.Exit(ExitCode.USAGE)
            raise problems
    if not all(result.ok for result in results):
        raise typer.Exit(ExitCode.FAILED)


def _print_json(result: CheckResult) -> None:
    print_json({"part": result.part, "result": result.mark, "sentence": result.sentence})


STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def _show(out: Console, result: CheckResult) -> None:
    if not out.is_terminal:
        print_message(out, f"{result.mark:<7}  {result.part:<9}  {result.sentence}")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=7)
    table.add_column(width=9)
    table.add_column()
    mark = Text(result.mark, STYLES[result.mark])
    table.add_row(mark, Text(result.part, "bold"), Text(escaped(result.sentence)))
    out.print(table)


def check_results(environment: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check each part whose settings are complete; yields each result as soon as it is there.

    Foreseen errors are results. What is wrong with the settings of other parts is not among them.
    """
    now = wiring.CLOCK.now()
    whole = _loaded(environment, now, EVERYTHING)
    if whole:
        yield from _settings_results(whole)
    for sentence in unknown_settings(environment):
        yield CheckResult("settings", ok=True, warning=True, sentence=sentence)
    # For a folder, no setting of Azure is needed; none is read or written here.
    jira = whole or _loaded(environment, now, frozenset({"sites", "jira"}), Path())
    if jira:
        for entry in jira.invalid:
            sentence = str(entry.error).removeprefix("settings: ")
            yield CheckResult("settings", ok=False, sentence=sentence)
        for site in jira.sites:
            yield _jira(site)
    sender = whole or _loaded(environment, now, frozenset({"ingestion"}))
    if sender and (to := sender.azure.ingestion):
        azure, stream = sender.azure, f"{to.stream} of {to.rule}"
        yield _result(
            "ingestion", lambda: _send_nothing(azure, to.stream), f"accepts data for {stream}"
        )
    stored = sender or _loaded(environment, now, frozenset({"storage"}))
    if stored:
        store = stored.azure
        container = f"the container {store.storage.container} exists and can be written"
        yield _result("storage", lambda: wiring.probe_storage(store), container)


def _loaded(
    environment: Mapping[str, str], now: int, needs: Needs, folder: Path | None = None
) -> Settings | None:
    """The settings that these parts need; None if some are missing or wrong."""
    try:
        return load(environment, now, folder, needs)
    except SettingsError:
        return None  # the command reports the problems of all parts together


def _settings_results(loaded: Settings) -> Iterator[CheckResult]:
    """What is set up, and which values are in force."""
    to = loaded.azure.ingestion
    if to is None:
        raise TypeError(loaded)  # all settings were loaded, and none for a folder
    sites = ", ".join(site.host for site in loaded.sites)
    where = f"complete: from {sites} to {to.stream} of {to.rule}"
    yield CheckResult("settings", ok=True, sentence=where)
    policy = loaded.policy
    values = (
        f"polls at {loaded.schedule.text}, overlap {format_duration(policy.overlap)}, sweep "
        f"{format_duration(policy.sweep)}, a first run looks back "
        f"{format_duration(policy.lookback)}, a run takes {loaded.budget_seconds} s at most"
    )
    yield CheckResult("settings", ok=True, sentence=f"in force: {values}")


def _jira(site: Site) -> CheckResult:
    """Whether the audit log can be read; tries the gateway if the site refuses the token."""
    holder = site.holder
    try:
        wiring.source(site).probe()
    except CredentialsRefused as refused:
        if site.gateway:
            return CheckResult("Jira", ok=False, sentence=str(refused))
        return _through_gateway(site)
    except ConnectorError as error:
        return CheckResult("Jira", ok=False, sentence=str(error))
    route = " through Atlassian's gateway" if site.gateway else ""
    sentence = f"{holder} can read the audit log of {site.host}{route}"
    if site.cloud_id:
        return _compare_cloud_id(site, sentence)
    return CheckResult("Jira", ok=True, sentence=sentence)


def _through_gateway(site: Site) -> CheckResult:
    """Whether a refused token is a scoped one, which only the gateway accepts."""
    gateway = replace(site, gateway=True)
    try:
        wiring.source(gateway).probe()
    except ConnectorError as error:
        both = isinstance(error, CredentialsRefused)
        sentence = (
            f"{site.host}: Jira rejected the credentials (HTTP 401)"
            f"{', directly and through the gateway' if both else ''}: the token is wrong, revoked "
            "or expired, or the e-mail address is not its owner's"
        )
        if not both:
            sentence += f". The gateway: {printable(str(error), 80)}"
        return CheckResult("Jira", ok=False, sentence=sentence)
    cloud_id = wiring.gateway(gateway).cloud_id()
    sentence = (
        f"the token of {site.holder} is scoped: {site.host} refuses it, Atlassian's "
        f"gateway accepts it. Set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {cloud_id}"
    )
    return CheckResult("Jira", ok=False, sentence=sentence)


def _compare_cloud_id(site: Site, sentence: str) -> CheckResult:
    """Whether the cloud id in the settings is the site's own."""
    try:
        cloud_id = wiring.gateway(replace(site, cloud_id=None)).cloud_id()
    except ConnectorError as error:
        unchecked = f"; its cloud id could not be compared with that of {site.host}: {error}"
        return CheckResult("Jira", ok=True, sentence=sentence + unchecked)
    if cloud_id.lower() == (site.cloud_id or "").lower():
        return CheckResult("Jira", ok=True, sentence=sentence)
    wrong = (
        f"the cloud id {site.cloud_id} belongs to another site, whose records would be delivered "
        f"as those of {site.host}: set JIRA_CLOUD_ID (cloud_id in JIRA_SITES) to {cloud_id}"
    )
    return CheckResult("Jira", ok=False, sentence=wrong)


def _result(part: Part, attempt: Callable[[], None], sentence: str) -> CheckResult:
    try:
        attempt()
    except ConnectorError as error:
        return CheckResult(part, ok=False, sentence=str(error))
    return CheckResult(part, ok=True, sentence=sentence)


def _send_nothing(azure: Azure, stream: str) -> None:
    sink = wiring.sink(azure)
    sink.prepare()
    try:
        sink.send(PROBE)
    except BatchRefused as error:
        message = (
            f"{error}, though the batch was empty: LOGS_DCR_STREAM_NAME "
            f"({stream}) must be a stream that the rule declares"
        )
        raise SiteError(message) from error
