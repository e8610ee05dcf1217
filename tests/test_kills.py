"""A run may be killed at any moment: nothing told is lost, and the run goes on as if nothing had happened."""

from __future__ import annotations

import io
import itertools
import json
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from crash import tasks
from crash.client import PATIENCE, Server, limit
from crash.tasks import GOAL, NAME, Log

import workbench as wb
from workbench.errors import ExecutorError
from workbench.executor import Channel, Done, Event, Executor
from workbench.storage import Storage
from workbench.study import optimizing

# Every write of a run, and the objective around it. The order leaves a running trial behind just
# before the points of a takeover, which are reached only then.
_WRITES = ["create_study", "acquire_lease", "ask", "takeover", "release_lease", "report", "annotate", "tell"]
_INSIDE = ["objective:begin", "objective:end", "objective:told"]
_TIMED = ["heartbeat", "renew_lease"]
POINTS = [
    *(f"{label}:{moment}" for label in _WRITES for moment in ("begin", "before_commit", "after_commit")),
    *_INSIDE,
    *(f"{label}:{moment}" for label in _TIMED for moment in ("begin", "before_commit", "after_commit")),
]
_ONCE = ("create_study", "takeover")  # reached at most once in a child, at its start

# What may differ between a killed run and an uninterrupted one.
_FREE = {"created", "started", "finished", "owner", "expires", "attempt", "revision"}


@pytest.fixture(autouse=True)
def bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    with limit(600 if request.node.get_closest_marker("slow") else 120):
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("random", "sobol") as made:
        yield made


def record(path: Path) -> dict[str, Any]:
    """Everything that must be equal, column by column as it is stored."""
    storage = Storage(path)
    study = storage.study(NAME)
    rows = [{k: v for k, v in row._asdict().items() if k not in _FREE} for row in storage.rows(study.id)]
    reports = storage.reports(study.id)
    # What dead attempts reported is kept there, and nowhere else.
    audit = [(entry.action, entry.number) for entry in storage.audit(study.id) if entry.action != "take over"]
    storage.close()
    return {"rows": rows, "reports": reports, "audit": audit, "seed": study.seed, "sampler": study.sampler}


class Victim:
    """One study that is killed again and again until its run is complete.

    Args:
        task: Function of `crash.tasks` that runs it.
        until: Finished trials of the complete run.
        options: Further arguments of the task.
    """

    def __init__(self, server: Server, folder: Path, task: str, sampler: str, until: int, **options: Any) -> None:
        folder.mkdir()
        self.path, self.log = folder / "run.db", folder / "log"
        self.kills = 0
        self.done = False
        self._server, self._task = server, task
        self._args = {"path": str(self.path), "sampler": sampler, "until": until, "log": str(self.log), **options}

    def die_at(self, point: str, count: int = 1) -> bool:
        """One child that dies at a point; False if it reached its end before."""
        child = self._server.start(self._task, **self._args, point=point, count=count)
        return self._buried(child.wait())

    def die_after(self, seconds: float) -> bool:
        """One child that is killed from outside after a while; False if it reached its end before."""
        child = self._server.start(self._task, **self._args)
        time.sleep(seconds)
        return self._buried(child.kill())

    def finish(self) -> None:
        """One child that nobody kills."""
        self._server.start(self._task, **self._args).result()
        self.done = True

    def _buried(self, status: int) -> bool:
        assert status in (0, -signal.SIGKILL)
        self.done = status == 0
        self.kills += status != 0
        self._check_file()
        return not self.done

    def _check_file(self) -> None:
        """Look at a copy, so that it is the workbench that recovers the write-ahead log of the original."""
        copy = self.path.parent / "copy.db"
        for end in ("", "-wal"):
            if Path(f"{self.path}{end}").exists():
                shutil.copyfile(f"{self.path}{end}", f"{copy}{end}")
            else:
                Path(f"{copy}{end}").unlink(missing_ok=True)
        if not copy.exists():
            return
        with closing(sqlite3.connect(copy)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'trials'").fetchone():
                found = database.execute("SELECT number, state, outcomes FROM trials ORDER BY number").fetchall()
                self._check_rows(found)

    def _check_rows(self, rows: list[tuple[int, str, str | None]]) -> None:
        assert [number for number, _, _ in rows] == list(range(len(rows)))
        assert sum(state == "running" for _, state, _ in rows) <= 1
        for word, *said in Log.read(self.log):
            if word == "told":
                number, state, values = said
                assert rows[number][1] == state
                assert json.loads(rows[number][2] or "{}") == values

    def check(self, expected: dict[str, Any]) -> None:
        """The complete run equals the uninterrupted one, and nothing was evaluated without being counted."""
        assert self.done
        assert record(self.path) == expected
        storage = Storage(self.path)
        rows = storage.rows(storage.study(NAME).id)
        storage.close()
        assert {row.state for row in rows} <= {"complete", "failed"}
        begun = [(number, attempt) for word, number, attempt in map(_head, Log.read(self.log)) if word == "evaluate"]
        if self._task == "optimize":  # a loop of one's own has no attempts
            assert max(Counter(begun).values()) == 1
            evaluations = Counter(number for number, _ in begun)
            assert all(1 <= evaluations[row.number] <= row.attempt for row in rows)
            assert all(attempt <= rows[number].attempt for number, attempt in begun)
            assert sum(row.attempt - 1 for row in rows) <= self.kills


def _head(line: list[Any]) -> tuple[Any, Any, Any]:
    return line[0], line[1], line[2]


class Runs:
    """Studies of one sampler, one after the other, until so many kills were made."""

    def __init__(self, server: Server, folder: Path, sampler: str, until: int, **options: Any) -> None:
        self._make: Callable[[Path], Victim] = lambda where: Victim(
            server, where, "optimize", sampler, until, **options
        )
        self._folder = folder
        self._whole = folder / "whole"
        self._whole.mkdir()
        # In this process, without a kill: another interpreter, with other threads and other things loaded.
        tasks.optimize(str(self._whole / "run.db"), sampler, until, str(self._whole / "log"), **options)
        self._expected = record(self._whole / "run.db")
        assert len(self._expected["rows"]) == until
        self.victims: list[Victim] = []

    @property
    def kills(self) -> int:
        return sum(victim.kills for victim in self.victims)

    def victim(self) -> Victim:
        """The run in progress, or a new one."""
        if not self.victims or self.victims[-1].done:
            self._end()
            self.victims.append(self._make(self._folder / f"run{len(self.victims)}"))
        return self.victims[-1]

    def at_points(self, kills: int, points: Iterator[tuple[str, int]]) -> None:
        """Kill at named points in turn."""
        target = self.kills + kills
        while self.kills < target:
            point, count = next(points)
            if point.startswith("create_study") and self.victims and self.victims[-1].path.exists():
                self.finish()
            self.victim().die_at(point, count)

    def at_random(self, kills: int, longest: float, moments: random.Random) -> None:
        """Kill at random moments."""
        target = self.kills + kills
        while self.kills < target:
            self.victim().die_after(moments.uniform(0, longest))

    def finish(self) -> None:
        """Complete the run in progress, and compare it."""
        if self.victims and not self.victims[-1].done:
            self.victims[-1].finish()
        self._end()

    def _end(self) -> None:
        if self.victims:
            self.victims[-1].check(self._expected)


def rounds(moments: random.Random, points: list[str] = POINTS) -> Iterator[tuple[str, int]]:
    """The points in turn, for ever, each with the time at which it kills."""
    for point in itertools.cycle(points):
        yield point, 1 if point.startswith(_ONCE) else moments.randint(1, 2)


# -- kills ----------------------------------------------------------------------------------


def test_a_run_that_is_killed_goes_on_as_if_nothing_had_happened(server: Server, tmp_path: Path) -> None:
    moments = random.Random(1)
    points = [
        "create_study:before_commit", "ask:before_commit", "ask:after_commit", "takeover:after_commit",
        "objective:end", "tell:before_commit", "tell:after_commit", "release_lease:begin",
    ]  # fmt: skip
    kills = 0
    for sampler, named, timed in (("random", points[:4], 2), ("sobol", points[4:], 2)):
        folder = tmp_path / sampler
        folder.mkdir()
        runs = Runs(server, folder, sampler, 16)
        runs.at_points(len(named), rounds(moments, named))
        runs.at_random(timed, 0.1, moments)
        runs.finish()
        kills += runs.kills
    assert kills == 12


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    moments = random.Random(2)
    # sampler: trials of a run, kills at named points, at random moments, longest life of a child in seconds
    plan = {
        "random": (30, 30, 30, 0.25), "sobol": (30, 30, 30, 0.25), "grid": (30, 30, 30, 0.25),
        "gp": (14, 10, 10, 1.0),
    }  # fmt: skip
    points = rounds(moments)  # goes on from sampler to sampler, so that every point has its turn
    kills: Counter[str] = Counter()
    with Server(*plan) as server:
        for sampler, (until, named, timed, longest) in plan.items():
            folder = tmp_path / sampler
            folder.mkdir()
            options = {"budget": 16} if sampler == "gp" else {}  # the model takes over after 4 trials
            runs = Runs(server, folder, sampler, until, **options)
            runs.at_points(named, points)
            runs.at_random(timed, longest, moments)
            runs.finish()
            kills[sampler] = runs.kills
    assert kills == {"random": 60, "sobol": 60, "grid": 60, "gp": 20}


@pytest.mark.slow
def test_every_named_point_is_reached(server: Server, tmp_path: Path) -> None:
    victim = Victim(server, tmp_path / "v", "optimize", "random", 30)
    for point in POINTS:
        assert victim.die_at(point), point
    victim.finish()
    assert victim.kills == len(POINTS) == 33
    assert len(record(victim.path)["rows"]) == 30


def _loops(server: Server, folder: Path, sampler: str, until: int, kills: int) -> None:
    whole = folder / "whole.db"
    tasks.ask_and_tell(str(whole), sampler, until, str(folder / "whole.log"))
    victim = Victim(server, folder / "v", "ask_and_tell", sampler, until)
    points = ["ask:after_commit", "objective:begin", "tell:before_commit", "tell:after_commit", "ask:before_commit"]
    for point in itertools.islice(itertools.cycle(points), kills):
        assert victim.die_at(point, 2)
    victim.finish()
    victim.check(record(whole))


def test_a_loop_of_ones_own_resumes_exactly_when_it_first_tells_the_running_trials(
    server: Server, tmp_path: Path
) -> None:
    _loops(server, tmp_path, "sobol", 12, kills=5)


@pytest.mark.slow
def test_a_loop_of_ones_own_resumes_exactly_under_the_gp(tmp_path: Path) -> None:
    with Server("gp") as server:
        _loops(server, tmp_path, "gp", 12, kills=5)


@pytest.mark.slow
def test_a_swarm_that_is_killed_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """`cbo` under `optimize`, and in a loop of one's own."""
    with Server("cbo") as server:
        folder = tmp_path / "runs"
        folder.mkdir()
        runs = Runs(server, folder, "cbo", 30)
        points = [
            "ask:before_commit",
            "ask:after_commit",
            "takeover:after_commit",
            "objective:end",
            "tell:after_commit",
        ]
        runs.at_points(8, rounds(random.Random(3), points))
        runs.at_random(3, 0.4, random.Random(4))
        runs.finish()
        assert runs.kills == 11
        _loops(server, tmp_path, "cbo", 20, kills=5)


def _arrays(path: Path) -> dict[str, Any]:
    """What a vectorised run has left: its state, the way that its swarm went, and the trials."""
    s = wb.load_study(NAME, storage=path)
    found: dict[str, Any] = {}
    for name in ("run-cbo.npz", "trace-cbo.npz"):
        with np.load(io.BytesIO(s.files.get(name)), allow_pickle=False) as held:
            found |= {f"{name}/{part}": held[part] for part in held.files}
    return found | {"trials": [(s.space.key(t.params), t.values, t.attrs) for t in s.trials]}


@pytest.mark.slow
def test_a_vectorised_run_that_is_killed_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """SIGKILL in the function, around the commit of a checkpoint and at its beginning, and from outside."""
    with Server("cbo") as server:
        _vectorised(server, tmp_path)


def _vectorised(server: Server, tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    tasks.study(whole, "cbo")
    server.start("vectorized", path=str(whole), sampler="cbo", until=2_500, log=str(tmp_path / "whole.log")).result()
    path, log = tmp_path / "killed.db", tmp_path / "killed.log"
    args = {"path": str(path), "sampler": "cbo", "until": 2_500, "log": str(log)}
    for point, count in (
        ("objective:begin", 9), ("attach:before_commit", 2), ("attach:after_commit", 2), ("objective:end", 14),
        ("attach:begin", 1),
    ):  # fmt: skip
        assert server.start("vectorized", **args, point=point, count=count).wait() == -signal.SIGKILL
    child = server.start("vectorized", **args)
    deadline, seen = time.monotonic() + PATIENCE, len(Log.read(log))
    while len(Log.read(log)) < seen + 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert child.kill() in (0, -signal.SIGKILL)
    server.start("vectorized", **args).result()
    expected, found = _arrays(whole), _arrays(path)
    assert found.keys() == expected.keys()
    assert found.pop("trials") == expected.pop("trials")
    for name, array in expected.items():
        assert np.array_equal(found[name], array, equal_nan=array.dtype.kind == "f"), name
    # what came after a checkpoint was done again: the same batches, and more of them in all
    once, again = ([line[1:] for line in Log.read(one)] for one in (tmp_path / "whole.log", log))
    assert len(again) > len(once)
    assert {tuple(line) for line in again} == {tuple(line) for line in once}


# -- what is left running ---------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


def x(trial: wb.Trial) -> float:
    return float(trial["x"])


def make(path: Path | None) -> wb.Study:
    return wb.create_study(
        NAME, wb.Space([wb.Float("x", 0, 1)]), [GOAL], sampler="sobol", seed=3, storage=path, load_if_exists=True
    )


class Press:
    """An objective in which Ctrl-C is pressed in one trial, and which notes what it evaluates."""

    def __init__(self, at: int, look: bool = False) -> None:
        self.seen: list[tuple[int, int]] = []
        self._at, self._look = at, look

    def bind(self, study: wb.Study) -> Callable[[wb.Trial], float]:
        def objective(trial: wb.Trial) -> float:
            self.seen.append((trial.number, trial.attempt))
            if self._look:
                assert len(study.trials) == trial.number + 1
            if trial.number == self._at and trial.attempt == 1:
                raise KeyboardInterrupt
            return x(trial)

        return objective


@pytest.mark.parametrize("look", [False, True], ids=["blind", "reads the record"])
@pytest.mark.parametrize("again", ["same study", "other study", "study that has looked"])
def test_ctrl_c_leaves_the_trial_to_the_next_run_at_once(path: Path, look: bool, again: str) -> None:
    study, press = make(path), Press(at=2, look=look)
    other = make(path)

    def watched(trial: wb.Trial) -> float:
        assert len(other.trials) == trial.number + 1
        return press.bind(study)(trial)

    with pytest.raises(KeyboardInterrupt):
        study.optimize(watched if again == "study that has looked" else press.bind(study), until=4, progress=False)
    left = make(path).trials[-1]
    assert (left.number, left.state, left.attempt) == (2, "running", 1)
    storage = Storage(path)
    row = storage.rows(storage.study(NAME).id)[2]
    assert row.expires is not None
    assert row.expires <= time.time()
    storage.close()
    next_study = {"same study": study, "other study": make(path), "study that has looked": other}[again]
    next_study.optimize(press.bind(next_study), until=4, progress=False)
    assert press.seen == [(0, 1), (1, 1), (2, 1), (2, 2), (3, 1)]
    assert [t.state for t in study.trials] == ["complete"] * 4
    assert study.trials[2].attempt == 2
    assert study.trials[2].value == study.trials[2]["x"]


def test_ctrl_c_in_memory_too() -> None:
    study, press = make(None), Press(at=1)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(press.bind(study), until=3, progress=False)
    study.optimize(press.bind(study), until=3, progress=False)
    assert press.seen == [(0, 1), (1, 1), (1, 2), (2, 1)]


@pytest.mark.parametrize("point", ["ask:after_commit", "tell:begin", "tell:before_commit"])
def test_ctrl_c_between_ask_and_tell_leaves_the_trial_to_the_next_run(path: Path, point: str) -> None:
    study = make(path)
    fuse = {"left": 2}

    def press(reached: str) -> None:
        if reached == point:
            fuse["left"] -= 1
            if fuse["left"] == 0:
                raise KeyboardInterrupt

    study._record.storage.on_point = press
    with pytest.raises(KeyboardInterrupt):
        study.optimize(x, until=4, progress=False)
    assert [t.state for t in study.trials] == ["complete", "running"]
    study.optimize(x, until=4, progress=False)
    assert [(t.state, t.attempt) for t in study.trials] == [("complete", a) for a in (1, 2, 1, 1)]


def test_a_takeover_does_not_count_in_n_trials(server: Server, path: Path) -> None:
    study = make(path)
    child = server.start("evaluate_forever", path=str(path), ready=f"{path}.ready")
    wait_for(Path(f"{path}.ready"))
    child.kill()
    seen: list[tuple[int, int]] = []

    def objective(trial: wb.Trial) -> float:
        seen.append((trial.number, trial.attempt))
        return x(trial)

    began = time.monotonic()
    study.optimize(objective, n_trials=2, progress=False)
    assert seen == [(0, 2), (1, 1), (2, 1)]
    assert time.monotonic() - began < optimizing.EXPIRY / 10  # its owner is known dead: no wait for the lease


def test_a_plain_ask_is_never_taken_over(server: Server, path: Path) -> None:
    study = make(path)
    Path(f"{path}.go").touch()
    asked = server.start("ask_in_time", path=str(path), go=f"{path}.go", timeout=10.0).result()
    assert asked["number"] == 0
    study.optimize(x, n_trials=2, progress=False)
    assert [(t.number, t.state) for t in study.trials] == [(0, "running"), (1, "complete"), (2, "complete")]


def wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline
        time.sleep(0.002)


# -- heartbeats -------------------------------------------------------------------------------


def begin_slowly(server: Server, path: Path, heartbeat: float, expiry: float) -> tuple[Any, Path]:
    """A child in the middle of a trial that ends when the file appears."""
    go = Path(f"{path}.go")
    child = server.start(
        "evaluate_slowly", path=str(path), ready=f"{path}.ready", go=str(go), heartbeat=heartbeat, expiry=expiry
    )
    wait_for(Path(f"{path}.ready"))
    return child, go


def test_heartbeats_keep_a_slow_trial(server: Server, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make(path)
    child, go = begin_slowly(server, path, heartbeat=0.05, expiry=1.0)
    monkeypatch.setattr(optimizing, "EXPIRY", 1.0)
    began = time.monotonic()
    while time.monotonic() - began < 1.3:  # longer than a trial lives that nobody keeps alive
        study.optimize(x, n_trials=0, progress=False)
        time.sleep(0.05)
    go.touch()
    assert child.result() == []
    assert [(t.state, t.attempt, t.value) for t in study.trials] == [("complete", 1, -1.0)]


def test_without_heartbeats_the_first_tell_wins(server: Server, path: Path) -> None:
    study = make(path)
    child, go = begin_slowly(server, path, heartbeat=100.0, expiry=0.1)
    time.sleep(0.11)
    study.optimize(x, n_trials=0, progress=False)
    taken = study.trials[0]
    assert (taken.state, taken.attempt, taken.value) == ("complete", 2, taken["x"])
    go.touch()
    (warning,) = child.result()
    assert "late result went to the audit log" in warning
    assert study.trials[0].value == taken.value
    (late,) = study._record.storage.audit(study._record.id)
    assert (late.action, late.number) == ("late result", 0)
    assert json.loads(late.after or "") == {"attempt": 1, "state": "complete", "values": {"v": -1.0}, "error": None}


class Lazy(Executor):
    """Two places for tasks, which begin and end in `wait`, one at a time."""

    def __init__(self) -> None:
        self._queue: list[tuple[int, Callable[[], Any]]] = []
        self._count = 0
        self.closed = False

    @property
    def free(self) -> int:
        return 0 if self.closed else 2 - len(self._queue)

    def start(self, fn: Callable[[Any, Channel], Any], argument: Any) -> int:
        if not self.free:
            raise ExecutorError("no place is free")
        self._count += 1
        self._queue.append((self._count, lambda: fn(argument, cast(Channel, None))))
        return self._count

    def wait(self, timeout: float | None = None) -> list[Event]:
        task, work = self._queue.pop(0)
        return [Done(task, work())]

    def reply(self, task: int, answer: Any) -> None:
        raise NotImplementedError

    def kill(self, task: int) -> None:
        self._queue = [entry for entry in self._queue if entry[0] != task]

    def close(self) -> None:
        self.closed = True


def test_a_run_does_not_take_its_own_trials_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a suspended machine wakes up: the expiry is over before the first heartbeat."""
    monkeypatch.setattr(optimizing, "EXPIRY", 0.0)
    study = make(path)
    study.optimize(x, n_trials=4, executor=Lazy(), progress=False)
    assert [(t.state, t.attempt) for t in study.trials] == [("complete", 1)] * 4


def test_an_executor_that_takes_nothing_ends_the_run(path: Path) -> None:
    study, pool = make(path), Lazy()
    pool.close()
    with pytest.raises(ExecutorError):
        study.optimize(x, n_trials=1, executor=pool, progress=False)
    study.optimize(x, n_trials=1, progress=False)
    assert [(t.state, t.attempt) for t in study.trials] == [("complete", 2), ("complete", 1)]


def slow_x(trial: wb.Trial) -> float:
    time.sleep(0.05)
    return x(trial)


def test_heartbeats_stop_with_the_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizing, "HEARTBEAT", 0.01)
    before = threading.active_count()
    study = make(path)
    study.optimize(slow_x, n_trials=2, progress=False)
    assert threading.active_count() == before
