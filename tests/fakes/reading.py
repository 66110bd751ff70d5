"""Reading a source alone: a run with only what a reader needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jira_audit.core.clock import Deadline
from jira_audit.core.outcome import Tally
from jira_audit.core.pages import Page
from jira_audit.core.policy import Policy
from jira_audit.core.window import ReadRange, Window
from jira_audit.flow.ports import Pools, Ports, Run, Source
from jira_audit.flow.reader import Reader


def run_of(source: Source, deadline: Deadline, pools: Pools) -> Run:
    """A run that only reads: it has no sink and no store."""
    nothing: Any = None
    ports = Ports(source, nothing, nothing, nothing, nothing, nothing)
    return Run("contoso.atlassian.net", ports, Policy(), deadline, pools, Tally())


def pages_in(reader: Reader, window: Window) -> Iterator[Page]:
    """The pages of one window, read once even if its list moved."""
    for reading in reader.windows(ReadRange.of(window)):
        yield from reading
    if reader.error:
        raise reader.error
