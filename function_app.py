"""The Function App: a timer, and a queue for more sites than one run may have. A wrapper;
everything is in `jira_audit.app`.

Importing this reads no setting and opens no connection, so that a wrong setting is a failed
invocation with a clear message, not a host that does not start.
"""

import contextlib
import contextvars
import os
from typing import List  # noqa: UP035  the worker takes no list[str] in an Out

import azure.functions as func

from jira_audit.app import collect_queued, given_up, tick
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
    """One tick. The checkpoint, not the schedule, says what is read: a late one reads no less."""
    if queued := tick(os.environ, _threads_of(context)):
        sites.set(queued)


@app.queue_trigger(arg_name="message", queue_name=QUEUE, connection="AzureWebJobsStorage")
def collect_site(message: func.QueueMessage, context: func.Context) -> None:
    """One site's share of a tick; the message is its host."""
    collect_queued(os.environ, message.get_body().decode(), _threads_of(context))


@app.queue_trigger(
    arg_name="message", queue_name=f"{QUEUE}-poison", connection="AzureWebJobsStorage"
)
def report_given_up(message: func.QueueMessage) -> None:
    """A site of which every try failed."""
    given_up(message.get_body().decode())


def _threads_of(context: func.Context) -> Threads:
    """Threads that take over the invocation, so that the host keeps what is logged on them.

    On Python 3.13 the worker finds a line's invocation in a context variable, which a new thread
    does not inherit; on 3.11 and 3.12, in a thread-local that it hands to the function. A context
    that has neither costs log lines, and never a run.
    https://github.com/Azure/azure-functions-python-worker/blob/0320cd799cfa243ea037f4c931439f79d4d7fe29/workers/proxy_worker/dispatcher.py
    """
    variables = contextvars.copy_context()

    def start() -> None:
        for variable, value in variables.items():
            variable.set(value)
        with contextlib.suppress(AttributeError):
            context.thread_local_storage.invocation_id = context.invocation_id  # type: ignore[attr-defined]

    return Threads(start)
