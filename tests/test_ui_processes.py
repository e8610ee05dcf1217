"""Work beside the pages: jobs and the resident model, with processes that are slow, raise and crash."""

from __future__ import annotations

import functools
import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from ui import work
from ui.jobs import Job, Jobs, Progress
from ui.model_process import ModelProcess
from ui.server import Kept
from workbench.executor import Channel

SOON = 60.0  # seconds; a worker starts in one or two


class SlowModel:
    """A fake of a heavy model: it says in which process it lives, sleeps, raises and crashes as ordered."""

    def render(self, order: Any) -> Any:
        kind, value = order
        if kind == "sleep":
            time.sleep(value)
        if kind == "raise":
            raise ValueError(value)
        if kind == "crash":
            os._exit(value)
        return os.getpid(), value


def load_slowly() -> SlowModel:
    time.sleep(0.2)
    return SlowModel()


def load_never(noted: Path) -> SlowModel:
    with noted.open("a") as file:
        file.write("tried\n")
    raise OSError("the weights are not there")


@pytest.fixture
def model() -> Iterator[ModelProcess]:
    made = ModelProcess(load_slowly)
    yield made
    made.close()


def test_the_model_is_loaded_once_and_serves_in_order(model: ModelProcess) -> None:
    numbers = [model.submit(("sleep", 0.05 * i)) for i in range(4)]
    assert model.position(numbers[3]) in (3, 4)
    done = [model.wait(number, SOON) for number in numbers]
    assert [one.state for one in done] == ["done"] * 4
    assert len({one.result[0] for one in done}) == 1
    assert [one.result[1] for one in done] == [0.05 * i for i in range(4)]
    assert model.loaded
    assert model.position(numbers[3]) == 0


def test_an_order_that_raises_leaves_the_model_loaded(model: ModelProcess) -> None:
    bad, good = model.submit(("raise", "no such prompt")), model.submit(("sleep", 0))
    assert model.wait(bad, SOON).error == "ValueError: no such prompt"
    assert model.wait(good, SOON).state == "done"


@pytest.mark.slow
def test_after_a_crash_the_queue_goes_on_in_a_new_process(model: ModelProcess) -> None:
    first, bad, last = (model.submit(order) for order in [("sleep", 0), ("crash", 7), ("sleep", 0)])
    pid = model.wait(first, SOON).result[0]
    failed = model.wait(bad, SOON)
    assert failed.state == "failed"
    assert "exit code 7" in failed.error
    after = model.wait(last, SOON)
    assert after.state == "done"
    assert after.result[0] != pid


@pytest.mark.slow
def test_queued_and_running_orders_can_be_cancelled(model: ModelProcess) -> None:
    long, queued, last = (model.submit(order) for order in [("sleep", 600), ("sleep", 600), ("sleep", 0)])
    model.cancel(queued)
    assert model.get(queued).state == "cancelled"
    end = time.monotonic() + SOON
    while model.get(long).state != "rendering" and time.monotonic() < end:
        time.sleep(0.02)
    model.cancel(long)
    assert model.wait(long, SOON).state == "cancelled"
    assert model.wait(last, SOON).state == "done"


def test_a_model_that_cannot_be_loaded_fails_its_orders_and_is_tried_again_for_new_ones(tmp_path: Path) -> None:
    model = ModelProcess(functools.partial(load_never, tmp_path / "tries"))
    try:
        for tries in (1, 2):
            failed = model.wait(model.submit(("sleep", 0)), SOON)
            assert failed.state == "failed"
            assert "the weights are not there" in failed.error
            assert (tmp_path / "tries").read_text().count("tried") == tries
    finally:
        model.close()


# -- jobs ------------------------------------------------------------------------------


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


def counting(n: int, channel: Channel) -> int:
    for i in range(n):
        channel.send(Progress(i / n, f"step {i}"))
        time.sleep(0.01)
    return n


def crashing(code: int, channel: Channel) -> None:
    os._exit(code)


def raising(text: str, channel: Channel) -> None:
    raise RuntimeError(text)


def sleeping(seconds: float, channel: Channel) -> None:
    channel.send(Progress(0.5, "asleep"))
    time.sleep(seconds)


def test_a_job_reports_and_returns(jobs: Jobs) -> None:
    job = jobs.wait(jobs.submit("run", "s", "Counting", counting, 5).id, SOON)
    assert job is not None
    assert (job.state, job.result, job.progress) == ("done", 5, Progress(0.8, "step 4"))


def test_what_follows_a_job_is_called_once_however_it_ended(jobs: Jobs) -> None:
    ended: queue.Queue[Job] = queue.Queue()

    def after(job: Job) -> None:
        ended.put(job)
        if job.study == "a":
            raise wb.WorkbenchError("what follows fails too")

    jobs.submit("run", "a", "A", raising, "no pump", after=after)
    jobs.submit("run", "b", "B", counting, 1, after=after)
    asleep = jobs.submit("run", "c", "C", sleeping, 60.0, after=after)
    found = {job.study: job.state for job in (ended.get(timeout=SOON) for _ in range(2))}
    jobs.cancel(asleep.id)
    found |= {job.study: job.state for job in (ended.get(timeout=SOON),)}
    assert found == {"a": "failed", "b": "done", "c": "cancelled"}
    assert ended.empty()


def test_what_a_server_keeps_is_made_once_by_whoever_comes_first() -> None:
    kept: Kept[int] = Kept(2)
    made: list[str] = []
    ready = threading.Barrier(4)

    def make(name: str, number: int) -> int:
        made.append(name)
        time.sleep(0.02)
        return number

    def get() -> None:
        ready.wait()
        assert kept.get("a", lambda: make("a", 1)) == 1

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["a"]
    with pytest.raises(ZeroDivisionError):
        kept.get("b", lambda: 1 // 0)
    assert kept.get("b", lambda: make("b", 2)) == 2  # what failed was not kept
    kept.get("a", lambda: make("a", 1))
    kept.get("c", lambda: make("c", 3))  # b was not used for longest
    kept.get("b", lambda: make("b", 2))
    assert made == ["a", "b", "c", "b"]


def test_what_raises_and_what_crashes_fails_with_words(jobs: Jobs) -> None:
    raised = jobs.wait(jobs.submit("run", "a", "A", raising, "no pump").id, SOON)
    crashed = jobs.wait(jobs.submit("run", "b", "B", crashing, 9).id, SOON)
    assert raised is not None
    assert (raised.state, raised.error) == ("failed", "no pump")
    assert crashed is not None
    assert crashed.state == "failed"
    assert "exit code 9" in crashed.error
    again = jobs.wait(jobs.submit("run", "b", "B", counting, 1).id, SOON)
    assert again is not None
    assert again.state == "done"


def test_a_second_job_of_the_same_kind_joins_the_first(jobs: Jobs) -> None:
    first = jobs.submit("ask", "s", "Asking", sleeping, 600.0)
    assert jobs.submit("ask", "s", "Asking", sleeping, 600.0).id == first.id
    assert jobs.submit("ask", "other", "Asking", sleeping, 600.0).id != first.id


def test_stopping_a_job_kills_it_within_seconds(jobs: Jobs) -> None:
    job = jobs.submit("run", "s", "Sleeping", sleeping, 600.0)
    end = time.monotonic() + SOON
    while (now := jobs.get(job.id)) is not None and now.progress.share is None and time.monotonic() < end:
        time.sleep(0.02)
    assert now is not None
    assert now.left(now.started + 10.0) == pytest.approx(10.0)
    began = time.monotonic()
    jobs.cancel(job.id)
    ended = jobs.wait(job.id, 5)
    assert ended is not None
    assert ended.state == "cancelled"
    assert time.monotonic() - began < 5


@pytest.mark.slow
def test_suggestions_and_runs_of_a_problem_end_in_the_database(jobs: Jobs, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'work.db'}"
    study = wb.create_study("s", wb.Space([wb.Float("x1", -5, 10), wb.Float("x2", 0, 15)]), [wb.Objective("y")],
                            storage=url, sampler="sobol", seed=0)  # fmt: skip
    asked = jobs.wait(jobs.submit("ask", "s", "Asking", work.ask, work.Ask(url, "s", 2, {"x1": 1.0})).id, SOON)
    assert asked is not None
    assert asked.result == [0, 1], asked
    assert [(t["x1"], str(t.state)) for t in study.trials] == [(1.0, "running")] * 2
    order = work.RunProblem(url, "s", "problems.synthetic:branin", 4)
    ran = jobs.wait(jobs.submit("run", "s", "Running", work.run_problem, order).id, SOON)
    assert ran is not None
    assert (ran.state, ran.result) == ("done", 4), ran
    assert int(study.history().complete.sum()) == 4
