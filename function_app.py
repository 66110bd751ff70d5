"""The Function App: a timer, and a queue for many sites.

Importing it reads no setting and opens no connection, so that a wrong setting fails an invocation
with a clear message instead of stopping the host.
"""

import contextlib
import contextvars
import os
from typing import List  # noqa: UP035  the worker does not accept list[str] in Out

import azure.functions as func

from jira_audit import app as connector
from jira_audit.wiring import Threads

QUEUE = "jira-audit-sites"

app = func.FunctionApp()


@app.timer_trigger(
    arg_name="timer", schedule="%POLL_SCHEDULE%", run_on_startup=False, use_monitor=True
)
@app.queue_output(arg_name="sites", queue_name=QUEUE, connection="AzureWebJobsStorage")
def poll(
    timer: func.TimerRequest,  # noqa: ARG001
    sites: func.Out[List[str]],  # noqa: UP006
    context: func.Context,
) -> None:
    """Run one tick. The checkpoint, not the schedule, decides what is read."""
    if queued := connector.tick(os.environ, _threads_of(context)):
        sites.set(queued)


@app.queue_trigger(arg_name="message", queue_name=QUEUE, connection="AzureWebJobsStorage")
def collect_site(message: func.QueueMessage, context: func.Context) -> None:
    """Collect the site whose host is the message."""
    connector.collect_queued(os.environ, _text_of(message), _threads_of(context))


@app.queue_trigger(
    arg_name="message", queue_name=f"{QUEUE}-poison", connection="AzureWebJobsStorage"
)
def report_given_up(message: func.QueueMessage) -> None:
    connector.given_up(_text_of(message))


@app.timer_trigger(
    arg_name="timer", schedule="%POLL_SCHEDULE%", run_on_startup=False, use_monitor=True
)
def report_unsaved(timer: func.TimerRequest) -> None:  # noqa: ARG001
    """Fail if the queue has left a site unsaved for a day; `poll` would lose its messages."""
    connector.report_unsaved(os.environ)


def _text_of(message: func.QueueMessage) -> str:
    """A message's text. One that is not UTF-8 names no site, and must not fail for ever."""
    return message.get_body().decode(errors="replace")


def _threads_of(context: func.Context) -> Threads:
    """Threads that carry the invocation's id, so that the host keeps what they log.

    The worker reads the id from a context variable on Python 3.13, from a thread-local on 3.11 and
    3.12; a new thread inherits neither. Without both, log lines are lost, but no run fails.
    https://github.com/Azure/azure-functions-python-worker/blob/0320cd799cfa243ea037f4c931439f79d4d7fe29/workers/proxy_worker/dispatcher.py
    """
    variables = contextvars.copy_context()

    def start() -> None:
        for variable, value in variables.items():
            variable.set(value)
        with contextlib.suppress(AttributeError):
            context.thread_local_storage.invocation_id = context.invocation_id  # type: ignore[attr-defined]

    return Threads(start)
