"""The Function App: one timer. A wrapper; everything is in `jira_audit.app`.

Importing this reads no setting and opens no connection, so that a wrong setting is a failed
invocation with a clear message, not a host that does not start.
"""

import os

import azure.functions as func

from jira_audit.app import tick

app = func.FunctionApp()


@app.timer_trigger(
    arg_name="timer", schedule="%POLL_SCHEDULE%", run_on_startup=False, use_monitor=True
)
def poll(timer: func.TimerRequest, context: func.Context) -> None:  # noqa: ARG001
    """One tick. The checkpoint, not the schedule, says what is read: a late one reads no less."""

    def start_thread() -> None:  # else what is logged on it loses the invocation
        context.thread_local_storage.invocation_id = context.invocation_id  # type: ignore[attr-defined]

    tick(os.environ, start_thread)
