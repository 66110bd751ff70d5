"""That the Functions worker library indexes, invokes and is measured, with a tiny app."""

import textwrap
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.servers.worker import AppBroken, LogLine, WorkerDied

pytestmark = pytest.mark.servers

APP = """
    import logging, os, threading
    import azure.functions as func

    app = func.FunctionApp()

    @app.timer_trigger(schedule="%POLL_SCHEDULE%", arg_name="timer", run_on_startup=False)
    def poll(timer: func.TimerRequest) -> None:
        print("printed")
        logging.getLogger("mine").info("past due: %s, %s", timer.past_due, os.environ["WORD"])
        thread = threading.Thread(target=logging.getLogger("mine").warning, args=("from a thread",))
        thread.start()
        thread.join()

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


def test_the_functions_are_indexed_with_their_bindings(
    start_worker: StartWorker, app: Path
) -> None:
    worker = start_worker(app, {})

    assert set(worker.functions) == {"poll", "fail", "die", "hang"}
    (timer,) = worker.functions["poll"]
    assert (timer["type"], timer["schedule"]) == ("timerTrigger", "%POLL_SCHEDULE%")


def test_a_tick_returns_its_log_lines_and_which_of_them_belong_to_it(
    start_worker: StartWorker, app: Path
) -> None:
    worker = start_worker(app, {"WORD": "given"})

    ticks = [worker.invoke("poll"), worker.invoke("poll", past_due=True)]

    assert [tick.ok for tick in ticks] == [True, True]
    assert [line for line in ticks[1].logs if line.logger == "mine"] == [
        LogLine("mine", "INFO", "past due: True, given", in_invocation=True),
        LogLine("mine", "WARNING", "from a thread", in_invocation=False),
    ]
    assert "printed" in worker.stderr()


def test_an_exception_is_a_failed_invocation_and_the_worker_goes_on(
    start_worker: StartWorker, app: Path
) -> None:
    worker = start_worker(app, {"WORD": "x"})

    failed = worker.invoke("fail")

    assert (failed.ok, failed.error) == (False, "ValueError: no site was reached")
    assert "function_app.py" in failed.trace
    assert worker.invoke("poll").ok


def test_the_process_has_the_given_environment_only(
    start_worker: StartWorker, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORD", "leaked")

    assert start_worker(app, {}).invoke("poll").error == "KeyError: 'WORD'"


def test_what_the_process_took_is_known(start_worker: StartWorker, app: Path) -> None:
    worker = start_worker(app, {})

    assert 10_000_000 < worker.usage.peak_rss_bytes < 500_000_000
    assert 0 < worker.usage.cpu_seconds < 60


def test_an_app_that_cannot_be_imported_does_not_start(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    tmp_path.joinpath("function_app.py").write_text("import no_such_module\n", encoding="utf-8")

    with pytest.raises(AppBroken, match="no_such_module"):
        start_worker(tmp_path, {})


def test_a_process_that_dies_is_told_from_a_failed_invocation(
    start_worker: StartWorker, app: Path
) -> None:
    with pytest.raises(WorkerDied) as died:
        start_worker(app, {}).invoke("die")

    assert (died.value.returncode, died.value.stderr.strip()) == (7, "last words")


def test_an_invocation_without_end_costs_the_process_not_the_tests(
    start_worker: StartWorker, app: Path
) -> None:
    with pytest.raises(WorkerDied) as died:
        start_worker(app, {}).invoke("hang", within=0.1)

    assert died.value.returncode == -9
