"""That the Functions worker library indexes, invokes and is measured, with a tiny app."""

import textwrap
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.servers.worker import AppBroken, LogLine, WorkerDied

pytestmark = pytest.mark.servers

APP = """
    import asyncio, contextvars, logging, os, threading
    import azure.functions as func

    app = func.FunctionApp()

    @app.timer_trigger(schedule="%POLL_SCHEDULE%", arg_name="timer", run_on_startup=False)
    def poll(timer: func.TimerRequest, context: func.Context) -> None:
        print("printed")
        log = logging.getLogger("mine")
        log.info("past due: %s, %s", timer.past_due, os.environ["WORD"])

        def with_thread_local(text):
            context.thread_local_storage.invocation_id = context.invocation_id
            log.warning(text)

        run(log.warning, "from a thread")
        run(with_thread_local, "from a thread with the context's thread-local")
        run(contextvars.copy_context().run, log.warning, "from a thread with the context")

    def run(call, *arguments):
        thread = threading.Thread(target=call, args=arguments)
        thread.start()
        thread.join()

    @app.timer_trigger(schedule="0 0 0 * * *", arg_name="timer")
    async def wait(timer: func.TimerRequest) -> None:
        async def inner():
            logging.getLogger("mine").info("from a task")

        await asyncio.create_task(inner())

    @app.timer_trigger(schedule="0 0 0 * * *", arg_name="timer")
    def fail(timer: func.TimerRequest) -> None:
        raise ValueError("no site was reached")

    @app.timer_trigger(schedule="0 0 0 * * *", arg_name="timer")
    def die(timer: func.TimerRequest) -> None:
        print("last words", flush=True)
        os._exit(7)

    @app.timer_trigger(schedule="0 0 0 * * *", arg_name="timer")
    def hang(timer: func.TimerRequest) -> None:
        threading.Event().wait()
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    tmp_path.joinpath("function_app.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    return tmp_path


def test_functions_are_indexed_with_their_bindings(start_worker: StartWorker, app: Path) -> None:
    worker = start_worker(app, {})

    assert set(worker.functions) == {"poll", "wait", "fail", "die", "hang"}
    (timer,) = worker.functions["poll"]
    assert (timer["type"], timer["schedule"]) == ("timerTrigger", "%POLL_SCHEDULE%")


def test_log_lines_reach_the_host_as_in_the_deployed_worker(
    start_worker: StartWorker, app: Path
) -> None:
    worker = start_worker(app, {"WORD": "given"})

    ticks = [worker.invoke("poll"), worker.invoke("poll", past_due=True)]

    assert [tick.ok for tick in ticks] == [True, True]
    assert [line for line in ticks[1].logs if line.logger == "mine"] == [
        LogLine("mine", "INFO", "past due: True, given"),
        LogLine("mine", "WARNING", "from a thread with the context"),
    ]
    assert ticks[1].dropped == (
        LogLine("mine", "WARNING", "from a thread"),
        LogLine("mine", "WARNING", "from a thread with the context's thread-local"),
    )
    assert "printed" in worker.stderr()


def test_task_belongs_to_the_invocation_that_creates_it(
    start_worker: StartWorker, app: Path
) -> None:
    tick = start_worker(app, {}).invoke("wait")

    assert LogLine("mine", "INFO", "from a task") in tick.logs


def test_invocation_that_raises_fails_and_the_worker_stays(
    start_worker: StartWorker, app: Path
) -> None:
    worker = start_worker(app, {"WORD": "x"})

    failed = worker.invoke("fail")

    assert (failed.ok, failed.error) == (False, "ValueError: no site was reached")
    assert "function_app.py" in failed.trace
    assert worker.invoke("poll").ok


def test_invocation_without_end_is_killed(start_worker: StartWorker, app: Path) -> None:
    with pytest.raises(WorkerDied) as died:
        start_worker(app, {}).invoke("hang", within=0.1)

    assert died.value.returncode == -9


def test_process_that_dies_is_no_failed_invocation(start_worker: StartWorker, app: Path) -> None:
    with pytest.raises(WorkerDied) as died:
        start_worker(app, {}).invoke("die")

    assert (died.value.returncode, died.value.stderr.strip()) == (7, "last words")


def test_process_has_the_given_environment_only(
    start_worker: StartWorker, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "leaked")

    assert start_worker(app, {}).invoke("poll").error == "KeyError: 'WORD'"


def test_process_reports_its_memory_and_cpu_time(start_worker: StartWorker, app: Path) -> None:
    worker = start_worker(app, {})

    assert 10_000_000 < worker.usage.peak_rss_bytes < 500_000_000
    assert 0 < worker.usage.cpu_seconds < 60


def test_app_that_cannot_be_imported_does_not_start(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    tmp_path.joinpath("function_app.py").write_text("import no_such_module\n", encoding="utf-8")

    with pytest.raises(AppBroken, match="no_such_module"):
        start_worker(tmp_path, {})
