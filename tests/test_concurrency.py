"""Many processes and threads on one study: no trial twice, no number missing, no result lost, no wait without end."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from crash.client import PATIENCE, Child, Server, limit
from crash.tasks import GOAL, NAME

import workbench as wb
from workbench.samplers.base import AskRequest, Proposal, Sampler
from workbench.storage import Storage
from workbench.study import asking, optimizing
from workbench.trial import Owner

WORKERS = 8
_MORE_BOARDS = [("grid", False), ("sobol", True), ("random", True), ("random", False)]
BOARD = wb.Space([wb.Int("row", 1, 8), wb.Int("column", 1, 8)])
LINE = wb.Space([wb.Float("x", 0, 1)])
ELSEWHERE = Owner("another-host.invalid", "boot", 1, "1")
PROMPT = 5.0  # seconds; far below every lease (30 s) and expiry (300 s), far above the work


@pytest.fixture(autouse=True)
def bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    with limit(600 if request.node.get_closest_marker("slow") else 120):
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("random", "sobol", "grid") as made:
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


def make(
    path: Path | None, space: wb.Space = LINE, sampler: str | Sampler = "sobol", goal: wb.Objective = GOAL
) -> wb.Study:
    return wb.create_study(NAME, space, [goal], sampler=sampler, seed=5, storage=path)


def together(server: Server, path: Path, count: int, task: str, **args: Any) -> list[Any]:
    """The results of so many children that begin at the same moment."""
    go = Path(f"{path}.go")
    children = [server.start(task, path=str(path), go=str(go), **args) for _ in range(count)]
    go.touch()
    return [child.result() for child in children]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work(i)` in so many threads at once; what one of them raises is raised here."""
    errors: list[BaseException] = []
    meet = threading.Barrier(count)

    def run(i: int) -> None:
        try:
            meet.wait(PATIENCE)
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)


def points(study: wb.Study) -> list[tuple[Any, ...]]:
    return [tuple(trial.params.values()) for trial in study.trials]


# -- processes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "tell"),
    [
        ("grid", True),
        ("sobol", False),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in _MORE_BOARDS),
    ],
)
def test_eight_processes_use_up_a_space_exactly(server: Server, path: Path, sampler: str, tell: bool) -> None:
    """Without a tell only the running trials of the others can keep a point from being proposed twice."""
    study = make(path, BOARD, sampler)
    results = together(server, path, WORKERS, "gather", size=65, tell=tell)
    assert sorted(number for result in results for number in result["numbers"]) == list(range(64))
    assert all("left" in result["error"] for result in results)
    assert sum(bool(result["numbers"]) for result in results) > 1
    assert sorted(points(study)) == [(row, column) for row in range(1, 9) for column in range(1, 9)]
    assert {trial.state for trial in study.trials} == {"complete" if tell else "running"}
    with pytest.raises(wb.ExhaustedSpaceError):
        study.ask()
    assert len(study.trials) == 64
    assert [t.value for t in study.trials] == ([float(n) for n in range(64)] if tell else [None] * 64)


@pytest.mark.parametrize("sampler", ["sobol", pytest.param("random", marks=pytest.mark.slow)])
def test_eight_processes_lose_nothing_in_a_continuous_space(server: Server, path: Path, sampler: str) -> None:
    study = make(path, sampler=sampler)
    results = together(server, path, WORKERS, "gather_batches", rounds=2, size=3)
    batches = [batch for result in results for batch in result]
    assert all(batch == list(range(batch[0], batch[0] + 3)) for batch in batches)
    assert sorted(number for batch in batches for number in batch) == list(range(48))
    assert [trial.number for trial in study.trials] == list(range(48))
    assert [trial.value for trial in study.trials] == [float(n) for n in range(48)]
    assert len(set(points(study))) == 48


def test_eight_processes_propose_what_one_alone_would(server: Server, path: Path, tmp_path: Path) -> None:
    """The points of a Sobol sequence go by trial number, whoever asks for it."""
    crowd = make(path)
    together(server, path, WORKERS, "gather", size=3, tell=True)
    alone = make(tmp_path / "alone.db")
    alone.ask(24)
    assert points(crowd) == points(alone)


def test_optimizing_processes_share_the_work(server: Server, path: Path) -> None:
    study = make(path)
    results = together(server, path, WORKERS, "finish", n_trials=2)
    assert sorted(map(tuple, (pair for result in results for pair in result))) == [(n, 1) for n in range(16)]
    assert [(t.state, t.value) for t in study.trials] == [("complete", float(n)) for n in range(16)]


def test_processes_that_create_a_study_at_once_find_the_same(server: Server, path: Path) -> None:
    ids = together(server, path, WORKERS, "make", sampler="sobol")
    assert len(set(ids)) == 1
    assert [study.name for study in wb.list_studies(path)] == [NAME]


# -- dead workers -----------------------------------------------------------------------------


def stuck(server: Server, path: Path) -> Child:
    """A child in the middle of an evaluation that will not end."""
    child = server.start("evaluate_forever", path=str(path), ready=f"{path}.ready")
    wait_for(Path(f"{path}.ready"))
    return child


def attempts(study: wb.Study) -> list[tuple[str, int]]:
    return [(str(trial.state), trial.attempt) for trial in study.trials]


def evaluate(trial: wb.Trial) -> float:
    return float(trial["x"])


def test_the_trial_of_a_killed_worker_is_taken_over_at_once(server: Server, path: Path) -> None:
    study = make(path)
    child = stuck(server, path)
    study.optimize(evaluate, n_trials=1, progress=False)
    assert attempts(study) == [("running", 1), ("complete", 1)]  # its owner is alive
    child.kill()
    began = time.monotonic()
    study.optimize(evaluate, n_trials=0, progress=False)
    assert attempts(study) == [("complete", 2), ("complete", 1)]
    assert time.monotonic() - began < PROMPT


def test_an_ask_never_takes_a_trial_over(server: Server, path: Path) -> None:
    study = make(path)
    stuck(server, path).kill()
    assert study.ask().number == 1
    assert attempts(study) == [("running", 1), ("running", 1)]


def test_one_of_many_takes_a_trial_over(server: Server, path: Path) -> None:
    study = make(path)
    stuck(server, path).kill()
    results = together(server, path, WORKERS, "finish", n_trials=1)
    done = sorted(tuple(pair) for result in results for pair in result)
    assert done == [(0, 2)] + [(number, 1) for number in range(1, 9)]
    assert attempts(study) == [("complete", 2)] + [("complete", 1)] * 8


def test_the_trial_of_another_host_is_taken_over_when_its_lease_is_over(server: Server, path: Path) -> None:
    """Nobody can know from here whether a process of another machine is alive."""
    study = make(path)
    stuck(server, path).kill()
    over = time.time() + 0.6
    with study._record.transaction("move") as tx:
        tx.update(0, owner=ELSEWHERE.to_json(), expires=over)
    study.optimize(evaluate, n_trials=0, progress=False)
    assert time.time() < over, "the machine was too slow for this test"
    assert attempts(study) == [("running", 1)]
    time.sleep(max(0.0, over - time.time()))
    study.optimize(evaluate, n_trials=0, progress=False)
    assert attempts(study) == [("complete", 2)]


def test_a_process_of_an_earlier_boot_or_of_the_same_number_is_dead(server: Server, path: Path) -> None:
    study = make(path)
    me = Owner.current()
    for owner in (Owner(me.host, "earlier", me.pid, me.started), Owner(me.host, me.boot, me.pid, "1")):
        trial = study.ask()
        with study._record.transaction("move") as tx:
            tx.update(trial.number, owner=owner.to_json(), expires=time.time() + optimizing.EXPIRY)
    study.optimize(evaluate, n_trials=0, progress=False)
    assert attempts(study) == [("complete", 2)] * 2


# -- the ask lease ----------------------------------------------------------------------------


@contextmanager
def held(server: Server, path: Path, seconds: float = 30.0) -> Iterator[Child]:
    """Another process holds the ask lease."""
    ready, go = Path(f"{path}.held"), Path(f"{path}.let-go")
    child = server.start("hold_lease", path=str(path), ready=str(ready), go=str(go), seconds=seconds)
    wait_for(ready)
    try:
        yield child
    finally:
        go.touch()
        child.wait()


def test_a_killed_holder_of_the_lease_blocks_nobody(server: Server, path: Path) -> None:
    study = make(path)
    with held(server, path) as child:
        child.kill()
        began = time.monotonic()
        trial = study.ask()
        assert time.monotonic() - began < PROMPT
    assert (trial.number, trial.warnings) == (0, [])
    assert "deadline_hit" not in trial.meta


def test_the_lease_of_another_host_ends_by_the_clock(path: Path) -> None:
    study = make(path)
    storage, study_id = study._record.storage, study._record.id
    began = time.monotonic()
    fence = storage.acquire_lease(study_id, ELSEWHERE, 0.4)
    assert fence is not None
    assert study.ask().number == 0
    assert 0.35 < time.monotonic() - began < PROMPT
    assert not storage.renew_lease(study_id, fence, 10.0)  # its former holder learns of it


def test_a_timeout_holds_while_another_process_has_the_lease(server: Server, path: Path) -> None:
    """Slack: 10 % of the timeout, at least 0.25 s."""
    study = make(path)
    study.tell(study.ask(), 0.0)
    with held(server, path):
        began = time.monotonic()
        with pytest.warns(wb.WorkbenchWarning, match="quasi-random point instead"):
            mine = study.ask(timeout=0.5)
        assert 0.4 < time.monotonic() - began < 0.5 + 0.25
        (other,) = together(server, path, 1, "ask_in_time", timeout=0.5)
    assert other["seconds"] < 0.5 + 0.25
    assert (mine.number, other["number"]) == (1, 2)
    assert len(set(points(study))) == 3
    for trial in study.trials[1:]:
        assert trial.meta["deadline_hit"] is True
        assert len(trial.warnings) == 1
        assert "the time given to this ask was over" in trial.warnings[0]
    assert other["warnings"] == study.trials[2].warnings


def _ask_late(study: wb.Study) -> None:
    study.ask(timeout=0.3)


def test_late_asks_of_many_processes_and_threads_differ(server: Server, path: Path) -> None:
    study = make(path)
    with held(server, path), warnings.catch_warnings():
        warnings.simplefilter("ignore", wb.WorkbenchWarning)
        go = Path(f"{path}.go")
        children = [server.start("ask_in_time", path=str(path), go=str(go), timeout=0.3) for _ in range(8)]
        go.touch()
        in_threads(24, lambda i: _ask_late(study))
        results = [child.result() for child in children]
    assert [trial.number for trial in study.trials] == list(range(32))
    assert len(set(points(study))) == 32
    assert {result["x"] for result in results} < {x for (x,) in points(study)}


def test_late_asks_take_what_is_left_of_a_finite_space(server: Server, path: Path) -> None:
    """Not even in a hurry is a point proposed twice, or one that failed."""
    study = make(path, BOARD)
    for trial in study.ask(56):
        study.tell(trial, state="failed", error="broken")
    with held(server, path):
        late = together(server, path, WORKERS, "ask_in_time", timeout=0.2)
        with pytest.raises(wb.ExhaustedSpaceError):
            study.ask(timeout=0.05)
    assert sorted(result["number"] for result in late) == list(range(56, 64))
    assert len(set(points(study))) == len(study.trials) == 64


def test_a_late_ask_serves_a_waiting_trial_only_once(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, rival = make(path), wb.load_study(NAME, storage=path)
    study.enqueue({"x": 0.25})
    waiting = asking._waiting

    def slowly(history: wb.History, wish: asking.Wish) -> list[int]:
        found = waiting(history, wish)
        if found:
            monkeypatch.setattr(asking, "_waiting", waiting)
            assert rival.ask(timeout=0.05)["x"] == 0.25
        return found

    monkeypatch.setattr(asking, "_waiting", slowly)
    with held(server, path), pytest.warns(wb.WorkbenchWarning, match="quasi-random point instead"):
        late = study.ask(timeout=0.1)
    assert late["x"] != 0.25
    assert [(t.number, t.state) for t in study.trials] == [(0, "running"), (1, "running")]


def test_tells_never_wait_for_the_lease(server: Server, path: Path) -> None:
    study = make(path)
    trials = study.ask(4)
    with held(server, path):
        began = time.monotonic()
        for trial in trials[:3]:
            study.tell(trial, 1.0)
        study.tell(trials[3], state="failed", error="broken")
        study.feedback.rank([[trials[0]], [trials[1]]])
        study.enqueue({"x": 0.5})
        assert time.monotonic() - began < PROMPT
    assert [str(t.state) for t in study.trials] == ["complete"] * 3 + ["failed", "waiting"]


class Scripted(Sampler):
    """Proposes i / 8 for trial i, after a visit."""

    name = "scripted"
    serves = frozenset({"float"})

    def __init__(self, visit: Callable[[AskRequest], None]) -> None:
        self.visit = visit

    def ask(self, request: AskRequest) -> list[Proposal]:
        self.visit(request)
        x = request.history.space.encode([{"x": (request.first + i) / 8} for i in range(request.n)])
        return [Proposal(row) for row in x]


def test_a_tell_does_not_wait_for_an_ask_of_the_same_study(path: Path) -> None:
    thinking, told = threading.Event(), threading.Event()

    def think(request: AskRequest) -> None:
        if request.first:
            thinking.set()
            assert told.wait(PATIENCE)

    study = make(path, sampler=Scripted(think))
    first = study.ask()

    def work(i: int) -> None:
        if i == 0:
            study.ask()
        else:
            assert thinking.wait(PATIENCE)
            study.tell(first, 1.0)
            told.set()

    in_threads(2, work)
    assert [str(t.state) for t in study.trials] == ["complete", "running"]


def test_an_ask_that_lost_its_lease_drops_its_proposals_and_asks_anew(path: Path) -> None:
    seen: list[int] = []

    def lose(request: AskRequest) -> None:
        seen.append(request.first)
        if len(seen) == 1:  # as if this process had been suspended for longer than the lease
            storage, study_id = study._record.storage, study._record.id
            storage.release_lease(study_id, _fence(storage, study_id))
            fence = storage.acquire_lease(study_id, ELSEWHERE, 30.0)
            assert fence is not None
            with storage.transaction(study_id, "ask") as tx:
                tx.check_fence(fence)
                tx.insert([{"params": json.dumps({"x": 0.0})}])
            storage.release_lease(study_id, fence)

    study = make(path, sampler=Scripted(lose))
    assert study.ask()["x"] == 1 / 8
    assert seen == [0, 1]
    assert points(study) == [(0.0,), (1 / 8,)]


def _fence(storage: Storage, study_id: int) -> int:
    """The present fencing number: the only one that can be renewed."""
    return next(fence for fence in range(1, 100) if storage.renew_lease(study_id, fence, 30.0))


def test_the_lease_is_renewed_while_a_sampler_thinks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LEASE", 0.3)
    rivals: list[int | None] = []

    def think(_: AskRequest) -> None:
        assert not any(rivals)
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            rivals.append(storage.acquire_lease(study._record.id, ELSEWHERE, 30.0))
            time.sleep(0.02)

    study = make(path, sampler=Scripted(think))
    storage = Storage(path)
    study.ask()
    storage.close()
    assert set(rivals) == {None}


# -- threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "sampler", "each"),
    [
        ("memory", "random", 25),
        ("memory", "sobol", 25),
        ("file", "sobol", 8),
        pytest.param("file", "random", 25, marks=pytest.mark.slow),
        pytest.param("file", "sobol", 25, marks=pytest.mark.slow),
    ],
)
def test_threads_share_a_study(path: Path, where: str, sampler: str, each: int) -> None:
    study = make(path if where == "file" else None, sampler=sampler)
    asked: list[int] = []

    def work(i: int) -> None:
        for _ in range(each):
            trial = study.ask()
            asked.append(trial.number)
            study.tell(trial, float(trial.number))
            assert study.trials[trial.number].value == trial.number

    in_threads(8, work)
    assert sorted(asked) == list(range(8 * each))
    assert [(t.number, t.value) for t in study.trials] == [(n, float(n)) for n in range(8 * each)]
    assert len(set(points(study))) == 8 * each
    assert Counter(t.state for t in study.trials) == {"complete": 8 * each}


@pytest.mark.parametrize("where", ["memory", "file"])
def test_threads_use_up_a_space_exactly(path: Path, where: str) -> None:
    study = make(path if where == "file" else None, BOARD, "grid")
    ends: list[str] = []

    def work(i: int) -> None:
        try:
            for _ in range(65):
                study.ask()
        except wb.ExhaustedSpaceError as error:
            ends.append(str(error))

    in_threads(8, work)
    assert len(ends) == 8
    assert len(study.trials) == len(set(points(study))) == 64


def test_threads_may_optimize_a_study_together(path: Path) -> None:
    study = make(path)
    in_threads(4, lambda i: study.optimize(evaluate, n_trials=5, progress=False))
    assert attempts(study) == [("complete", 1)] * 20
    assert len(set(points(study))) == 20


def test_two_threads_that_tell_the_same_trial_differently(path: Path) -> None:
    study = make(path)
    trial = study.ask().number
    refused: list[float] = []

    def work(i: int) -> None:
        try:
            study.tell(trial, float(i))
        except wb.AlreadyTold:
            refused.append(float(i))

    in_threads(8, work)
    assert len(refused) == 7
    assert {study.trials[0].value, *refused} == {float(i) for i in range(8)}
