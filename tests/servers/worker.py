"""Runs a function app in the Functions worker library (Python 3.13), in a process of its own, as
the deployed worker does.

Indexing and invoking are the library's. The look-up of a log line's invocation follows the worker
that Azure runs around the library, which is in no package registry:
https://github.com/Azure/azure-functions-python-worker/blob/0320cd799cfa243ea037f4c931439f79d4d7fe29/workers/proxy_worker/dispatcher.py
What the host does is not here: schedules, settings in %...%, host.json. `Worker` is the tests'
side; run as a program, this file is the other process, and they speak in lines of JSON.
"""

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

STARTS_WITHIN = 60.0


def is_installed() -> bool:
    return importlib.util.find_spec("azure_functions_runtime") is not None


class LogLine(NamedTuple):
    """A line as the worker sends it to the host."""

    logger: str
    level: str
    message: str


class Usage(NamedTuple):
    """What the worker's process has taken since it began."""

    peak_rss_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class Invocation:
    """`error` is "Type: message" as the host gets it, `trace` its stack; both empty when `ok`.
    `out` is what each output binding was given.

    `logs` are the lines that reach Application Insights. `dropped` are the lines without an
    invocation: the host drops them.
    """

    ok: bool
    error: str
    trace: str
    logs: tuple[LogLine, ...]
    dropped: tuple[LogLine, ...]
    ms: int
    out: Mapping[str, Any]


class AppBroken(Exception):
    """The app could not be indexed: in Azure it would have no functions."""


class WorkerDied(Exception):
    """The process ended, or had to be ended, without an answer."""

    def __init__(self, returncode: int | None, stderr: str) -> None:
        super().__init__(f"the worker ended with {returncode}; it said last:\n{stderr}")
        self.returncode = returncode
        self.stderr = stderr


class Worker:
    """A context manager around one app in one process, with exactly the environment given and
    nothing else.

    `functions` is {name: [binding, ...]}, `usage` is as of the last answer, `stderr()` includes
    what the app printed.
    """

    def __init__(self, app: Path, environment: Mapping[str, str]) -> None:
        self.functions: dict[str, list[dict[str, Any]]] = {}
        self.usage = Usage(0, 0.0)
        self._app = app
        self._environment = dict(environment)
        self._answers: dict[int, queue.SimpleQueue[str | None]] = {}
        self._lock = threading.Lock()
        self._calls = 0
        self._ended = False
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            self._said = exits.enter_context(tempfile.TemporaryFile())
            # -P: this file's folder must not lend its modules to the app.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).resolve()), str(self._app)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=self._environment,
                text=True,
                encoding="utf-8",
            )
            ready_ = self._expect(0)
            self._reader = threading.Thread(target=self._read)
            self._reader.start()
            exits.callback(self._end)
            ready = self._answer(ready_, STARTS_WITHIN)
            if ready["error"]:
                raise AppBroken(f"{ready['error']}\n{ready['trace']}")
            self.functions = ready["functions"]
            self._exit = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def invoke(
        self,
        name: str,
        *,
        past_due: bool = False,
        message: str | None = None,
        within: float = 110.0,
    ) -> Invocation:
        """Ticks a timer function, or gives a queue function its message, and waits for its end. May
        be called from several threads. A worker that gives no answer in time is killed.
        """
        assert self._process.stdin is not None
        assert name in self.functions, f"the app has no function {name}"
        with self._lock:
            self._calls += 1
            call = self._calls
        answer = self._expect(call)
        asked = {"call": call, "function": name, "past_due": past_due, "message": message}
        # It may have died before: the answer will say so.
        with contextlib.suppress(BrokenPipeError, ValueError), self._lock:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        given = self._answer(answer, within)
        logs, dropped = (tuple(LogLine(*line) for line in given[of]) for of in ("logs", "dropped"))
        ok, out = given["ok"], given["out"]
        return Invocation(ok, given["error"], given["trace"], logs, dropped, given["ms"], out)

    def kill(self) -> None:
        """As if the machine had gone: nothing in the process gets to run any more."""
        self._process.kill()
        self._process.wait()

    def stderr(self) -> str:
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), size, 0).decode(errors="replace")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._expect(json.loads(line)["call"]).put(line)
        with self._lock:
            self._ended = True
            for waiting in self._answers.values():
                waiting.put(None)

    def _expect(self, call: int) -> queue.SimpleQueue[str | None]:
        """Where the answer to this call will be."""
        with self._lock:
            expected = self._answers.setdefault(call, queue.SimpleQueue())
            if self._ended:
                expected.put(None)
            return expected

    def _answer(self, expected: queue.SimpleQueue[str | None], within: float) -> dict[str, Any]:
        try:
            line = expected.get(timeout=within)
        except queue.Empty:
            self.kill()
            line = None
        if line is None:
            raise WorkerDied(self._process.wait(), self.stderr()[-4000:])
        answer: dict[str, Any] = json.loads(line)
        self.usage = Usage(*answer["usage"])
        return answer

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join()
        self._process.stdout.close()


# From here on: the other process. The host speaks protobuf over gRPC; the library takes whatever
# has the attributes.
# https://github.com/Azure/azure-functions-language-worker-protobuf/blob/dev/src/proto/FunctionRpc.proto


class _TypedData(SimpleNamespace):
    def WhichOneof(self, _: str) -> Any:
        return self.kind


class _Status(SimpleNamespace):
    Failure, Success, Cancelled = 0, 1, 2


class _Binding(SimpleNamespace):
    undefined = 0
    out, inout = 1, 2


class _Messages:
    StatusResult = _Status
    BindingInfo = _Binding

    def __getattr__(self, name: str) -> type[SimpleNamespace]:
        return SimpleNamespace


class _Request(SimpleNamespace):
    def __init__(self, **content: Any) -> None:
        super().__init__(
            request=SimpleNamespace(**content),
            properties={"protos": _Messages(), "host": "127.0.0.1"},
        )


INVOCATION = "__azure_function_invocation_id__"
"""The attribute of a task that `ContextEnabledTask` of dispatcher.py sets."""


class _Task(asyncio.Task[Any]):
    """A task that hands its invocation on to the tasks it makes: `ContextEnabledTask`."""

    def __init__(self, coro: Any, **options: Any) -> None:
        super().__init__(coro, **options)
        with contextlib.suppress(RuntimeError):
            parent = asyncio.current_task()
            if parent is not None and hasattr(parent, INVOCATION):
                setattr(self, INVOCATION, getattr(parent, INVOCATION))


class _Dispatcher:
    """How the deployed worker finds the invocation of a line: `get_current_invocation_id`.

    The library has `invocation_id_cv`, so the worker asks the asyncio task, then that variable,
    then a registry of thread ids, then a thread-local of its own, which nothing sets. It never
    looks at the `thread_local_storage` of the function's context.
    """

    def __init__(self) -> None:
        self.threads: dict[int, str] = {}
        self._local = threading.local()

    def begin(self, invocation: str) -> None:
        """As `_handle__invocation_request` does before it calls the library."""
        task = asyncio.current_task()
        assert task is not None
        setattr(task, INVOCATION, invocation)
        self.threads[threading.get_ident()] = invocation

    def current(self) -> str | None:
        import azure_functions_runtime as library

        with contextlib.suppress(RuntimeError):  # no event loop runs on this thread
            task = asyncio.current_task()
            if task is not None and hasattr(task, INVOCATION):
                return str(getattr(task, INVOCATION))
        if (of_context := library.invocation_id_cv.get()) is not None:
            return str(of_context)
        of_thread = self.threads.get(threading.get_ident())
        return of_thread or getattr(self._local, "invocation_id", None)


class _Host(logging.Handler):
    """What the host does with lines: it drops each that belongs to no invocation under way."""

    def __init__(self, dispatcher: _Dispatcher) -> None:
        super().__init__()
        self._dispatcher = dispatcher
        self._lines: dict[str, list[LogLine]] = {}
        self._dropped: list[LogLine] = []

    def ready(self) -> None:
        """The lines so far are of no invocation, as the functions were only indexed."""
        self._dropped = []

    def begin(self, invocation: str) -> None:
        self._lines[invocation] = []
        self._dispatcher.begin(invocation)

    def end(self, invocation: str) -> tuple[list[LogLine], list[LogLine]]:
        """The lines of an invocation that ends, and those dropped since another ended."""
        dropped, self._dropped = self._dropped, []
        return self._lines.pop(invocation), dropped

    def emit(self, record: logging.LogRecord) -> None:
        line = LogLine(record.name, record.levelname, record.getMessage())
        self._lines.get(self._dispatcher.current() or "", self._dropped).append(line)


def _usage() -> Usage:
    used = resource.getrusage(resource.RUSAGE_SELF)
    # On Linux ru_maxrss counts the process that forked this one as well; VmHWM does not.
    with contextlib.suppress(FileNotFoundError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return Usage(int(peak.split()[1]) * 1024, used.ru_utime + used.ru_stime)
    return Usage(used.ru_maxrss, used.ru_utime + used.ru_stime)


def _requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _invocation(function: Any, past_due: bool, message: str | None) -> Any:
    bindings = [json.loads(binding) for binding in function.raw_bindings]
    trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
    if trigger["type"] == "timerTrigger":
        tick = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": past_due}
        given = _TypedData(kind="json", json=json.dumps(tick))
    else:
        given = _TypedData(kind="string", string=message)
    return SimpleNamespace(
        invocation_id=str(uuid.uuid4()),
        function_id=function.function_id,
        trigger_metadata={},
        trace_context=SimpleNamespace(trace_parent="", trace_state="", attributes={}),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
        input_data=[_TypedData(name=trigger["name"], kind="data", data=given)],
    )


async def _serve(app: str, answer: Any) -> None:
    os.environ["AzureWebJobsScriptRoot"] = app
    os.chdir(app)
    sys.path.insert(0, app)
    host = _Host(_Dispatcher())
    # The real worker takes the root logger's lines from INFO up.
    logging.getLogger().addHandler(host)
    logging.getLogger().setLevel(logging.INFO)

    import azure_functions_runtime as library

    library.start_threadpool_executor()
    init = SimpleNamespace(capabilities={}, function_app_directory=app)
    begun = await library.worker_init_request(_Request(worker_init_request=init))
    if begun.result.status != _Status.Success:
        problem = begun.result.exception
        answer(call=0, error=problem.message, trace=problem.stack_trace, functions={})
        return
    metadata = await library.functions_metadata_request(_Request())
    functions = {each.name: each for each in metadata.function_metadata_results or []}
    for each in functions.values():
        load = SimpleNamespace(function_id=each.function_id, metadata=each)
        await library.function_load_request(_Request(function_load_request=load))
    bindings = {n: [json.loads(b) for b in each.raw_bindings] for n, each in functions.items()}
    host.ready()
    answer(call=0, error="", trace="", functions=bindings)

    async def invoke(asked: dict[str, Any]) -> None:
        start = time.perf_counter()
        function = functions[asked["function"]]
        invocation = _invocation(function, asked["past_due"], asked["message"])
        host.begin(invocation.invocation_id)
        ended = await library.invocation_request(_Request(invocation_request=invocation))
        problem = getattr(ended.result, "exception", None)
        logs, dropped = host.end(invocation.invocation_id)
        answer(
            call=asked["call"],
            ok=ended.result.status == _Status.Success,
            error=problem.message if problem else "",
            trace=problem.stack_trace if problem else "",
            logs=logs,
            dropped=dropped,
            ms=round((time.perf_counter() - start) * 1000),
            out={
                each.name: _output_value(each.data)
                for each in getattr(ended, "output_data", None) or []
            },
        )

    requests, under_way = _requests(), set[asyncio.Task[None]]()
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: _Task(coro, loop=loop, **options))
    while asked := await loop.run_in_executor(None, next, requests, None):
        task = asyncio.create_task(invoke(asked))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    library.stop_threadpool_executor()


def _output_value(data: Any) -> Any:
    """What an output binding was given, as the host reads it."""
    return json.loads(data.json) if hasattr(data, "json") else getattr(data, "string", None)


def main() -> None:
    # Answers keep standard output to themselves: what the app prints goes to standard error.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)

        def answer(**content: Any) -> None:
            print(json.dumps({**content, "usage": _usage()}), file=out, flush=True)

        asyncio.run(_serve(str(Path(sys.argv[1]).resolve()), answer))


if __name__ == "__main__":
    main()
