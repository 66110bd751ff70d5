"""What the wrapper around the connector does by itself: threads take over the invocation."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

import function_app


@pytest.mark.parametrize("context", [None, object(), SimpleNamespace(thread_local_storage=None)])
def test_context_of_a_wrong_kind_stops_no_thread(context: Any) -> None:
    with function_app._threads_of(context).pool(1, "test") as threads:
        assert threads.submit(lambda: "ran").result() == "ran"


def test_context_and_thread_local_reach_each_thread() -> None:
    """The second is where the worker of Python 3.11 and 3.12 looks."""
    variable, local = ContextVar[str]("variable"), threading.local()
    variable.set("mine")
    context: Any = SimpleNamespace(thread_local_storage=local, invocation_id="1-2-3")

    with function_app._threads_of(context).pool(1, "test") as threads:
        assert threads.submit(variable.get).result() == "mine"
        assert threads.submit(lambda: local.invocation_id).result() == "1-2-3"
    assert not hasattr(local, "invocation_id")
