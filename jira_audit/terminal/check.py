"""`check`: tests each part of an installation: settings, Jira, ingestion and storage.

Sends the smallest request that proves each part. Changes nothing, but creates a missing container,
as the first run would.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jira_audit import wiring
from jira_audit.core.errors import (
    BatchRefused,
    ConnectorError,
    SettingsError,
    SiteError,
)
from jira_audit.core.text import escaped
from jira_audit.flow.sending import PROBE
from jira_audit.operations.exit_codes import ExitCode
from jira_audit.settings.load import load
from jira_audit.settings.table import EVERYTHING, Needs
from jira_audit.settings.unknown import unknown_settings
from jira_audit.settings.values import Azure, Settings
from jira_audit.terminal.check_jira import jira_results
from jira_audit.terminal.check_result import CheckResult, Part
from jira_audit.terminal.console import (
    consoles,
    exit_on_settings_error,
    logging_to,
    print_json,
    print_message,
    progress_line,
)
from jira_audit.terminal.context import environment, only
from jira_audit.terminal.format import format_duration
from jira_audit.terminal.options import Place, SiteHosts, json_flag, placed


@placed(folder="none")
def command(
    *,
    hosts: SiteHosts = None,
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
                    print_json(CheckResult("settings", ok=False, sentence=problem).payload())
        for result in check_results(known, hosts or ()):
            if as_json:
                print_json(result.payload())
            else:
                _show(out, result)
            results.append(result)
        if not as_json and (counts := _counts(results)):
            print_message(err, counts)
        if problems:
            if as_json:
                raise typer.Exit(ExitCode.USAGE)
            raise problems
    if not all(result.ok for result in results):
        raise typer.Exit(ExitCode.FAILED)


def _counts(results: Sequence[CheckResult]) -> str:
    """How many of several sites failed, and which; empty for one site."""
    sites = {result.site for result in results if result.site}
    failed = sorted({result.site for result in results if result.site and not result.ok})
    if len(sites) <= 1:
        return ""
    names = f": {', '.join(failed)}" if failed else ""
    return f"{len(sites):,} sites: {len(sites) - len(failed):,} ok, {len(failed):,} failed{names}"


NAMED_SITES = 3
"""With more sites, the first line has their number."""

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


def check_results(
    environment: Mapping[str, str], hosts: Collection[str] = ()
) -> Iterator[CheckResult]:
    """Check each part whose settings are complete; yields each result as soon as it is there.

    Of the sites, all are checked, or only those of `hosts`, side by side. Foreseen errors are
    results. What is wrong with the settings of other parts is not among them.
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
        yield from _sites_results(only(jira, hosts), now)
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


def _sites_results(loaded: Settings, now: int) -> Iterator[CheckResult]:
    """The results of every site, each as soon as it is there: one that hangs holds up no other."""
    for entry in loaded.invalid:
        sentence = str(entry.error).removeprefix("settings: ")
        named = sentence if sentence.startswith(entry.site) else f"{entry.site}: {sentence}"
        yield CheckResult("settings", ok=False, sentence=named, site=entry.site)
    with ThreadPoolExecutor(wiring.MAX_CONCURRENT_SITES) as executor:
        checks = [
            executor.submit(lambda its: list(jira_results(its, now)), site) for site in loaded.sites
        ]
        for check in as_completed(checks):
            yield from check.result()


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
    hosts = [site.host for site in loaded.sites]
    sites = ", ".join(hosts) if len(hosts) <= NAMED_SITES else f"{len(hosts):,} sites"
    where = f"complete: from {sites} to {to.stream} of {to.rule}"
    yield CheckResult("settings", ok=True, sentence=where)
    policy = loaded.policy
    values = (
        f"polls at {loaded.schedule.text}, overlap {format_duration(policy.overlap)}, sweep "
        f"{format_duration(policy.sweep)}, a first run looks back "
        f"{format_duration(policy.lookback)}, a run takes {loaded.budget_seconds} s at most"
    )
    yield CheckResult("settings", ok=True, sentence=f"in force: {values}")


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
