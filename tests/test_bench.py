"""The benchmark harness: the pipe, the driver, the records, the figures."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from problems import multiobjective, synthetic
from workbench import bench
from workbench.bench import Case, Contestant, ContestantError, Order, Result, Run, figures
from workbench.bench.contestant import Line
from workbench.bench.driver import Limits
from workbench.bench.records import append, check_same_start

FAKE = """
import json, os, random, sys, time

mode, log = sys.argv[1], sys.argv[2]
rng = None
for line in sys.stdin:
    message = json.loads(line)
    with open(log, "a") as file:
        file.write(json.dumps({"mode": mode, "pid": os.getpid(), **message}) + "\\n")
    answer = {}
    if message["do"] == "hello":
        spent = 0.5
        rng = random.Random(f"{mode} {message['seed']}")
        answer = {"versions": {"fake": "1.2.3"}}
        space = message["space"]["parameters"]
    if message["do"] == "ask":
        if mode == "crash":
            print("I am about to die", file=sys.stderr)
            sys.exit(3)
        if mode == "garbage":
            print("not JSON at all", flush=True)
            continue
        if mode == "list":
            print("[1, 2]", flush=True)
            continue
        if mode == "endless":
            sys.stdout.write("x" * 2**25)
            sys.stdout.flush()
        if mode == "hang":
            time.sleep(60)
        if mode == "error":
            answer = {"error": "cannot serve this"}
        if mode == "slow":
            time.sleep(0.05)
        if mode == "busy":
            spent += 0.05
        if mode == "stuck" and (asks := globals().get("asks", 0) + 1) == 3:
            while True:
                pass
        if mode == "glutton" and (asks := globals().get("asks", 0) + 1) == 3:
            held = bytearray(os.urandom(2**20) * 200)
            time.sleep(60)
        params = {p["name"]: rng.uniform(p["low"], p["high"]) for p in space}
        if mode == "outside":
            params[space[0]["name"]] = 1e9
        answer |= {"params": params, "source": "luck"}
    if message["do"] == "bye":
        answer = {"recommended": {p["name"]: p["low"] for p in space} if mode == "advisor" else None}
    print(json.dumps({**answer, "cpu_s": spent, "peak_mib": 10.0}), flush=True)
"""


class Fakes:
    """Contestants that answer as told, and what they were told."""

    def __init__(self, folder: Path) -> None:
        self.script, self.log = folder / "fake.py", folder / "log.jsonl"
        self.script.write_text(FAKE)

    def __call__(self, mode: str) -> Contestant:
        return Contestant(mode, (sys.executable, "-S", str(self.script), mode, str(self.log)), f"fake {mode}")

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def started(self) -> list[tuple[str, int]]:
        return [(m["mode"], m["seed"]) for m in self.told() if m["do"] == "hello"]


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path)


def square(params: Mapping[str, Any]) -> float:
    return float((params["x"] - 0.3) ** 2)


def case(evaluations: int = 8, start: int = 3, fn: Any = square, name: str | None = None) -> Case:
    return Case.of((fn, wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")]), evaluations, start, name)


def order(cases: Case, contestants: list[Contestant], seeds: int = 2, **options: Any) -> Order:
    return Order((cases,), tuple(contestants), tuple(range(seeds)), **options)


def made(seed: int, values: list[float], contestant: str = "a", *, of: Case | None = None, **changed: Any) -> Run:
    of = of or case(len(values))
    fields: dict[str, Any] = {
        "case": of.name, "fingerprint": of.fingerprint, "contestant": contestant, "seed": seed,
        "evaluations": of.evaluations, "start": of.start, "values": {"y": values}, "true": None, "ask_s": [0.1] * 5,
        "tell_s": [0.01] * 5, "cpu_s": 1.0, "cpu_start_s": 0.5, "start_mib": 5.0, "peak_mib": 9.0,
        "versions": {}, "command": "", "date": "2026-01-01",
    }  # fmt: skip
    return Run(**(fields | changed))


# -- the pipe ---------------------------------------------------------------------------


def test_a_contestant_is_told_the_case_the_start_and_every_value(fakes: Fakes) -> None:
    the_case = case()
    (run,) = bench.play(the_case, [fakes("fair")], seed=5)
    assert isinstance(run, Run)
    hello, start, *steps, bye = fakes.told()
    assert (hello["do"], hello["seed"], hello["evaluations"], hello["start"]) == ("hello", 5, 8, 3)
    assert hello["space"]["parameters"] == [{"kind": "float", "name": "x", "low": 0.0, "high": 1.0}]
    assert hello["objectives"][0] | {"noise": "unknown"} == hello["objectives"][0]
    design = the_case.design(5)
    assert start["trials"] == [{"params": point, "values": {"y": square(point)}} for point in design]
    assert [message["do"] for message in steps] == ["ask", "tell"] * 5
    told = [message for message in steps if message["do"] == "tell"]
    assert [message["values"]["y"] for message in told] == [square(message["params"]) for message in told]
    assert run.values["y"] == [trial["values"]["y"] for trial in start["trials"]] + [m["values"]["y"] for m in told]
    assert bye["do"] == "bye"
    assert (len(run.ask_s), len(run.tell_s), run.sources) == (5, 5, {"luck": 5})
    assert (run.versions, run.command, run.cpu_s, run.peak_mib) == ({"fake": "1.2.3"}, "fake fair", 0.0, 10.0)
    assert run.recommended is None


def test_what_a_contestant_recommends_is_evaluated(fakes: Fakes) -> None:
    (run,) = bench.play(case(), [fakes("advisor")], seed=0)
    assert isinstance(run, Run)
    assert run.recommended == {"y": square({"x": 0.0})}


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("crash", ["ended with exit code 3", "I am about to die"]),
        ("garbage", ["no JSON object", "not JSON at all"]),
        ("list", ["no JSON object", "[1, 2]"]),
        ("endless", ["without an end of line"]),
        ("hang", ["did not answer within 1 s"]),
        ("error", ["answered with an error: cannot serve this"]),
        ("outside", ["outside the space", "1000000000"]),
    ],
)
def test_a_contestant_that_misbehaves_fails_by_name_and_alone(fakes: Fakes, mode: str, words: list[str]) -> None:
    limits = Limits(answer=1.0 if mode == "hang" else 60.0)
    bad, good = bench.play(case(), [fakes(mode), fakes("fair")], 0, limits)
    assert isinstance(bad, bench.Failure)
    assert isinstance(good, Run)
    assert bad.contestant == mode
    assert "ContestantError" in bad.text
    for word in words:
        assert word in bad.text
    assert "fake " + mode in bad.text or mode == "outside"


def test_a_message_longer_than_the_pipe_is_no_deadlock(fakes: Fakes) -> None:
    with Line(fakes("fair"), limit=20.0) as line:
        line.hello(case().declared(), 0)
        trials = [{"params": {"x": 0.123456789}, "values": {"y": float(i)}} for i in range(20_000)]
        line.call({"do": "start", "trials": trials})
    assert len(fakes.told()[1]["trials"]) == 20_000


def test_what_is_no_program_cannot_be_started() -> None:
    with pytest.raises(ContestantError, match=r"could not be started.*make peers"):
        Line(Contestant("absent", ("/no/such/program",), "absent"), 1.0)


def test_unknown_samplers_are_refused_before_anything_runs() -> None:
    with pytest.raises(wb.UnsupportedError, match="sobool"):
        Contestant.of("sobool")


def test_contestants_of_every_form() -> None:
    assert Contestant.of("gp").name == "gp"
    assert Contestant.of({"name": "grid", "options": {"levels": 3}}).name == "grid(levels=3)"
    assert Contestant.of(wb.GridSampler(levels=3)).name == "grid(levels=3)"
    peer = Contestant.of("peer:hebo")
    assert peer.name == "peer:hebo"
    assert peer.shown == ".venv-hebo/bin/python benchmarks/peers/serve.py hebo"


# -- ours -------------------------------------------------------------------------------


@pytest.mark.slow
def test_our_sobol_behind_the_pipe_proposes_what_a_study_asks() -> None:
    problem = synthetic.mixed_conditional()
    the_case = Case.of(problem, 9, 3)
    (run,) = bench.play(the_case, [Contestant.of("sobol")], seed=4)
    assert isinstance(run, Run), run
    study = wb.create_study("s", problem.space, problem.objectives, sampler="sobol", seed=4)
    for point in the_case.design(4):
        study.attach(point, problem.evaluate(point))
    for _ in range(6):
        trial = study.ask()
        study.tell(trial, problem.evaluate(trial.params))
    assert run.values["y"] == [trial.values["y"] for trial in study.trials]
    assert run.sources == {"sobol": 6}
    assert run.versions["workbench"]
    assert run.cpu_start_s > 0
    assert run.peak_mib > 5


def test_a_sampler_of_ours_that_can_go_no_further_says_so() -> None:
    result = bench.compare(case(), [wb.GridSampler(levels=3)], seeds=1)
    (failure,) = result.failures
    assert "ExhaustedSpaceError" in failure.text
    assert "FAILED" in result.table()
    assert result.to_json()["failed"][0]["contestant"] == "grid(levels=3)"


# -- cases ------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_contestants_begin_with_the_same_sobol_points_of_the_seed(fakes: Fakes) -> None:
    space = wb.Space([wb.Float("a", -5, 10), wb.Float("b", 0, 15)])
    the_case = Case.of((lambda params: params["a"] * params["b"], space, [wb.Objective("y")]), 24)
    bench.run(order(the_case, [fakes("fair"), fakes("slow")]))
    starts = [message["trials"] for message in fakes.told() if message["do"] == "start"]
    by_seed = [space.decode(space.sobol(6, seed=seed)) for seed in range(2)]
    assert [[trial["params"] for trial in start] for start in starts] == [by_seed[0]] * 2 + [by_seed[1]] * 2
    assert starts[0] == starts[1]


@pytest.mark.parametrize(("evaluations", "start"), [(30, 6), (16, 4), (3, 1)])
def test_the_start_is_twice_the_dimensions_and_two_at_most_a_quarter(evaluations: int, start: int) -> None:
    assert Case.of(synthetic.branin(), evaluations).start == start


def test_every_method_meets_the_same_noise(fakes: Fakes) -> None:
    the_case = Case.of(_Noisy(()), 8, 3)
    assert the_case.name == "limits-sd0.2-8"
    runs = bench.play(the_case, [fakes("fair"), fakes("slow")], seed=1)
    noise = []
    for run in runs:
        assert isinstance(run, Run)
        assert run.true is not None
        noise.append(np.array(run.values["y"]) - np.array(run.true["y"]))
    assert noise[0] == pytest.approx(noise[1], abs=1e-12)
    assert 0.01 < noise[0].std() < 0.6
    other = the_case.measure(the_case.design(1)[0], 2, 0)
    assert other[0]["y"] - other[1]["y"] != pytest.approx(noise[0][0])


def test_a_case_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(wb.InvalidValueError, match="1 <= start < evaluations"):
        case(5, 5)
    with pytest.raises(wb.ProblemError, match="module:name"):
        Case.of("no.such.module:thing")
    with pytest.raises(wb.ProblemError, match="Preference"):
        Case.of((square, wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")]))
    with pytest.raises(wb.ProblemError, match="expected a problem"):
        Case.of(3)
    with pytest.raises(wb.ProblemError, match="finite number for y"):
        case(fn=lambda params: math.nan).measure({"x": 0.5}, 0, 0)
    with pytest.raises(wb.ProblemError, match="no baseline"):
        Case.of(_WithLimits((wb.Constraint("c", lower="1.05 * baseline"),)))


class _WithLimits:
    name, source, optimum = "limits", "test", 0.0
    space = wb.Space([wb.Float("x", 0, 1)])
    objectives: tuple[wb.Objective, ...] = (wb.Objective("y", noise="none"),)

    def __init__(self, constraints: tuple[wb.Constraint, ...]) -> None:
        self.constraints = constraints

    def evaluate(self, params: Mapping[str, Any]) -> dict[str, float]:
        return {"y": params["x"], "c": params["x"]}


class _Noisy(_WithLimits):
    objectives = (wb.Objective("y", noise=0.2),)

    def evaluate(self, params: Mapping[str, Any], rng: np.random.Generator | None = None) -> dict[str, float]:
        return {"y": params["x"] + (0.0 if rng is None else rng.normal(0, 0.2))}


def test_a_problem_by_name_is_the_problem() -> None:
    assert Case.of("problems.synthetic:branin", 30).fingerprint == Case.of(synthetic.branin(), 30).fingerprint


def test_a_function_that_fails_in_the_search_fails_that_run_alone(fakes: Fakes) -> None:
    design = {tuple(point.items()) for seed in range(2) for point in case().design(seed)}

    def fragile(params: Mapping[str, Any]) -> float:
        if tuple(params.items()) not in design:
            raise RuntimeError("the oven is cold")
        return 1.0

    result = bench.run(order(case(fn=fragile), [fakes("fair")]))
    assert [failure.text for failure in result.failures] == ["RuntimeError: the oven is cold"] * 2


# -- orders -----------------------------------------------------------------------------


@pytest.mark.slow
def test_two_lines_compare_samplers_on_a_problem_of_ones_own() -> None:
    mine = (lambda params: (params["x"] - 0.3) ** 2, wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")])
    result = bench.compare(mine, ["sobol", "random"], seeds=1, evaluations=8)
    assert {run.contestant for run in result.runs} == {"sobol", "random"}
    assert not result.failures
    table = result.table()
    assert "lambda-8" in table
    assert "sobol" in table


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": (1, 1)}, "seed"),
        ({"seeds": ()}, "seed"),
        ({"contestants": ()}, "contestant"),
        ({"together": True, "workers": 2}, "workers=1"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(fakes: Fakes, change: dict[str, Any], words: str) -> None:
    with pytest.raises(wb.InvalidValueError, match=words):
        replace(order(case(), [fakes("fair")]), **change)


def test_seeds_alternate_between_contestants_and_together_between_asks(fakes: Fakes) -> None:
    bench.run(order(case(), [fakes("fair"), fakes("slow")]))
    assert fakes.started() == [("fair", 0), ("slow", 0), ("fair", 1), ("slow", 1)]
    fakes.log.unlink()
    result = bench.run(order(case(), [fakes("fair"), fakes("slow")], seeds=1, together=True))
    asked = [message["mode"] for message in fakes.told() if message["do"] == "ask"]
    assert all(set(asked[i : i + 2]) == {"fair", "slow"} for i in range(0, len(asked), 2))
    assert {run.contestant: len(run.ask_s) for run in result.runs} == {"fair": 5, "slow": 5}
    slow = result.timing(result.cases[0], "slow")
    assert slow is not None
    assert slow.ask_median >= 0.05 > slow.tell_median


def test_a_run_beyond_its_processor_time_is_cut_and_says_so(fakes: Fakes) -> None:
    """One spends 0.05 s of the processor an ask: 0.25 s after five of them. The other takes as long, but asleep."""
    result = bench.run(order(case(12), [fakes("busy"), fakes("slow")], seeds=1, limits=Limits(run=0.22)))
    busy, slow = result.runs
    assert slow.cut is None
    assert len(slow.values["y"]) == 12
    assert busy.cut == "after 8 evaluations, beyond 0.22 s"
    assert len(busy.values["y"]) == 8
    assert len(result.regrets(result.cases[0], "busy")[0]) == 12
    assert "1 (1 cut)" in result.table()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not say what a process spends")
def test_a_run_is_cut_in_the_middle_of_an_ask(fakes: Fakes) -> None:
    """The third ask never ends; it is given up at 0.2 s of the processor, seen at the next look, a second apart."""
    (stuck,) = bench.run(order(case(12), [fakes("stuck")], seeds=1, limits=Limits(run=0.2))).runs
    assert stuck.cut == "after 5 evaluations, in an ask beyond 0.2 s"
    assert len(stuck.values["y"]) == len(stuck.ask_s) + 3 == 5
    assert 0.2 <= stuck.cpu_s < 3.0
    assert stuck.peak_mib == 10.0
    (glutton,) = bench.run(order(case(12), [fakes("glutton")], seeds=1, limits=Limits(memory=102.4))).runs
    assert glutton.cut == "after 5 evaluations, in an ask beyond 0.1 GiB"
    assert len(glutton.values["y"]) == 5
    # What never proposed is its initial design alone, and nothing to be better than.
    first = replace(
        glutton, ask_s=[], tell_s=[], values={"y": stuck.values["y"][:3]}, cut="after 3 evaluations, in an ask"
    )
    result = bench.Result((case(12),), ("stuck", "glutton"), (stuck, first))
    assert [row["contestant"] for row in result.rows()] == ["stuck"]
    assert result.differences() == []
    assert "Not compared: glutton on" in result.table()
    assert "1 of 1 runs cut after 3 evaluations" in result.table()


@pytest.mark.slow
def test_runs_in_parallel_are_the_same_runs(fakes: Fakes) -> None:
    contestants = [fakes("fair"), fakes("slow")]
    alone = bench.run(order(case(), contestants))
    parallel = bench.run(order(case(), contestants, workers=2))
    assert not parallel.failures
    assert [(run.key, run.values) for run in parallel.runs] == [(run.key, run.values) for run in alone.runs]
    with pytest.raises(wb.ExecutorError, match="lambda"):
        bench.run(order(case(fn=lambda params: 0.0), [fakes("fair")], workers=2))


# -- records ----------------------------------------------------------------------------


def test_a_run_survives_the_file(tmp_path: Path) -> None:
    run = made(3, [1.0, 0.1 + 0.2, 1e-300, 5.0], sources={"gp": 2}, recommended={"y": 0.1}, cut="after 2")
    append(tmp_path / "new", run)
    append(tmp_path / "new", replace(run, seed=4))
    assert bench.read_runs([tmp_path / "new"]) == [run, replace(run, seed=4)]


def test_finished_runs_are_not_run_again_and_new_seeds_are(fakes: Fakes, tmp_path: Path) -> None:
    into = tmp_path / "runs"
    first = bench.run(order(case(), [fakes("fair")], seeds=2, into=into))
    again = bench.run(order(case(), [fakes("fair")], seeds=3, into=into))
    assert fakes.started() == [("fair", 0), ("fair", 1), ("fair", 2)]
    assert [run.values for run in again.runs[:2]] == [run.values for run in first.runs]
    assert not again.recorded


@pytest.mark.slow
def test_a_killed_driver_goes_on_where_it_was(fakes: Fakes, tmp_path: Path) -> None:
    into, script = tmp_path / "runs", tmp_path / "drive.py"
    script.write_text(
        "import sys\nimport workbench as wb\nfrom workbench import bench\nfrom pathlib import Path\n"
        f"command = (sys.executable, '-S', {str(fakes.script)!r}, 'slow', {str(fakes.log)!r})\n"
        "slow = bench.Contestant('slow', command, '')\n"
        "space = wb.Space([wb.Float('x', 0, 1)])\n"
        "case = bench.Case.of((lambda p: (p['x'] - 0.3) ** 2, space, [wb.Objective('y')]), 13, 3, 'c')\n"
        f"bench.run(bench.Order((case,), (slow,), tuple(range(4)), into=Path({str(into)!r})))\n"
    )
    driver = subprocess.Popen([sys.executable, str(script)])
    deadline = time.monotonic() + 60
    while not (into.exists() and bench.read_runs([into])) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    done = bench.read_runs([into])
    assert 1 <= len(done) < 4
    (file,) = into.iterdir()
    with file.open("a") as stream:
        stream.write(done[0].to_line()[:100])  # as if killed in the middle of a write
    result = bench.run(order(case(13, name="c"), [fakes("slow")], seeds=4, into=into))
    assert all(fakes.started().count(("slow", run.seed)) == 1 for run in done)
    assert [run.seed for run in result.runs] == [0, 1, 2, 3]
    assert file.read_text().count("\n") == 4
    assert sorted(bench.read_runs([into]), key=lambda run: run.seed) == list(result.runs)


def test_records_stand_in_for_runs_and_are_not_written_to(fakes: Fakes, tmp_path: Path) -> None:
    records = tmp_path / "records"
    bench.run(order(case(), [fakes("fair")], seeds=2, into=records))
    text = {path.name: path.read_bytes() for path in records.iterdir()}
    result = bench.run(order(case(), [fakes("slow"), fakes("fair")], seeds=2, records=(records,)))
    assert fakes.started()[2:] == [("slow", 0), ("slow", 1)]
    assert result.recorded == {("square-8", "fair", 0), ("square-8", "fair", 1)}
    assert "fair *" in result.table()
    assert {path.name: path.read_bytes() for path in records.iterdir()} == text


def test_records_of_another_definition_are_refused(fakes: Fakes, tmp_path: Path) -> None:
    bench.run(order(case(8), [fakes("fair")], seeds=1, into=tmp_path / "runs"))
    with pytest.raises(wb.InvalidValueError, match="another definition"):
        bench.run(order(case(9, name="square-8"), [fakes("fair")], seeds=1, into=tmp_path / "runs"))


def test_runs_that_began_differently_are_not_paired() -> None:
    run = made(0, [1.0, 2.0, 3.0, 4.0])
    check_same_start([run, made(0, [1.0, 2.0, 3.0, 9.0], "b"), made(1, [7.0, 2.0, 3.0, 9.0], "b")])
    with pytest.raises(wb.InvalidValueError, match=r"'b' .* and 'a' .* began with different values"):
        check_same_start([run, made(0, [1.0, 2.1, 3.0, 4.0], "b")])


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    append(tmp_path / "runs", made(0, [1.0, 2.0, 3.0, 4.0]))
    (file,) = (tmp_path / "runs").iterdir()
    file.write_text('{"case": 1}\n' + file.read_text())
    with pytest.raises(wb.InvalidValueError, match="line 1: expected a run"):
        bench.read_runs([file])
    with pytest.raises(wb.InvalidValueError, match="there is no"):
        bench.read_runs([tmp_path / "nowhere"])


# -- figures ----------------------------------------------------------------------------


def test_the_share_of_targets_reached_by_hand() -> None:
    regrets = np.array([[8.0, 4.0, 1.0], [10.0, 0.5, 0.5]])  # two seeds, three evaluations
    targets = np.array([1.0, 0.4, 0.1, 0.01])  # of a range of 10: 10, 4, 1, 0.1
    # seed 0 reaches 1, 2, 3 of 4; seed 1 reaches 1, 3, 3
    assert figures.reached(regrets, 10.0, targets) == pytest.approx([2 / 8, 5 / 8, 6 / 8])


def test_the_bootstrap_of_two_values_by_hand() -> None:
    # means of two draws from {0, 1}: 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4
    assert figures.bootstrap([np.array([0.0, 1.0])], level=0.9) == (0.5, 0.0, 1.0)
    assert figures.bootstrap([np.array([0.0, 1.0])], level=0.4) == (0.5, 0.5, 0.5)


def test_the_bootstrap_of_many_values_is_the_normal_interval() -> None:
    sample = np.random.default_rng(1).normal(3.0, 2.0, 500)
    mean, low, high = figures.bootstrap([sample])
    half = 1.6449 * sample.std() / math.sqrt(500)
    assert mean == pytest.approx(sample.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.06 * half)
    assert figures.bootstrap([sample]) == (mean, low, high)


def test_the_bootstrap_over_groups_draws_groups_too() -> None:
    rng = np.random.default_rng(2)
    groups = [center + rng.normal(0, 0.1, 30) for center in (-1.0, 0.0, 1.0, 2.0)]
    mean, low, high = figures.bootstrap(groups)
    assert mean == pytest.approx(np.mean([group.mean() for group in groups]))
    # what a choice of four from four centres alone gives, counted out
    centers = [np.mean([group.mean() for group in drawn]) for drawn in itertools.product(groups, repeat=4)]
    assert (low, high) == pytest.approx(tuple(np.quantile(centers, [0.05, 0.95])), abs=0.08)


def test_paired_differences_against_the_long_way() -> None:
    problem = synthetic.budget_quadratic()
    the_case = Case.of(problem, 4, 2)
    rng = np.random.default_rng(0)
    starts = rng.uniform(20, 60, (6, 2))
    runs = []
    for name, seeds in (("a", range(5)), ("b", range(1, 6))):
        for seed in seeds:
            found = [float(value) for value in (*starts[seed], *rng.uniform(9, 30, 2))]
            runs.append(made(seed, found, name, of=the_case))
    result = Result((the_case,), ("a", "b"), tuple(runs))
    (difference,) = result.differences()
    corners = list(itertools.product([0.0, 10.0], repeat=3))
    span = figures.scale(the_case, runs)
    assert 10 < span < max(sum((c - t) ** 2 for c, t in zip(corner, (6, 5, 4), strict=True)) for corner in corners)
    logs = {
        (run.contestant, run.seed): math.log10(min(max(min(run.values["y"]) - 9.0, 1e-6 * span), span)) for run in runs
    }
    paired = [logs["a", seed] - logs["b", seed] for seed in range(1, 5)]
    assert difference.mean == pytest.approx(sum(paired) / 4)
    assert difference.pairs == 4
    assert min(paired) <= difference.low <= difference.mean <= difference.high <= max(paired)
    (reverse,) = result.differences("b")
    assert reverse.mean == pytest.approx(-difference.mean)
    with pytest.raises(wb.InvalidValueError, match="expected one of a, b"):
        result.differences("c")


def test_differences_over_all_cases_are_the_mean_over_cases() -> None:
    cases = (case(4, 2, name="one"), case(4, 2, name="two"))
    runs = [
        made(s, [9, 9, a, b], name, of=c) for c in cases for name, a, b in (("a", 1, 2), ("b", 3, 1)) for s in (0, 1)
    ]
    found = Result(cases, ("a", "b"), tuple(runs)).differences()
    assert [difference.case for difference in found] == ["one", "two", "all cases"]
    assert found[2].mean == pytest.approx((found[0].mean + found[1].mean) / 2)
    assert found[2].pairs == 4


def test_regret_is_of_the_point_one_would_take_or_of_the_best() -> None:
    the_case = Case.of(synthetic.branin(noise_sd=1.0), 4, 2)
    run = made(0, [5.0, 3.0, 4.0, 2.0], of=the_case, true={"y": [4.5, 4.0, 3.0, 3.5]})
    assert figures.trace(the_case, run).tolist() == [4.5, 4.0, 4.0, 3.5]
    assert figures.trace(the_case, run, "best").tolist() == [4.5, 4.0, 3.0, 3.0]


def test_losses_of_every_kind_of_objective() -> None:
    assert figures.losses(wb.Objective("y"), [1.0, -2.0]).tolist() == [1.0, -2.0]
    assert figures.losses(wb.Objective("y", "maximize"), [1.0, -2.0]).tolist() == [-1.0, 2.0]
    assert figures.losses(wb.Objective("y", target=3.0, tolerance=1.0), [3.5, 0.0]).tolist() == [0.0, 2.0]


def test_infeasible_points_are_never_taken() -> None:
    the_case = Case.of(_WithLimits((wb.Constraint("c", lower=0.5),)), 4, 2)
    run = made(0, [0.1, 0.9, 0.2, 0.6], of=the_case)
    run = replace(run, values={"y": run.values["y"], "c": run.values["y"]})
    assert figures.trace(the_case, run).tolist() == [math.inf, 0.9, 0.9, 0.6]
    assert figures.log_regret(np.array([math.inf, 1e-9, 0.1]), 1.0) == pytest.approx([0.0, -6.0, -1.0])


def two_goals(*goals: wb.Objective, **changed: Any) -> Case:
    space = wb.Space([wb.Float("x", 0, 1)])
    return Case.of((lambda p: {"f": p["x"], "g": 1 - p["x"]}, space, goals), 5, 2, **changed)


def told(of: Case, f: list[float], g: list[float], name: str = "a", seed: int = 0, **changed: Any) -> Run:
    return replace(made(seed, f, name, of=of, **changed), values={"f": f, "g": g})


def test_the_regret_of_several_objectives_is_missing_hypervolume() -> None:
    the_case = two_goals(wb.Objective("f", reference=4.0), wb.Objective("g", "maximize", reference=0.0))
    # (f, g): 1 x 1; beaten; beyond the reference; adds 2 x 3 of which 1 x 1 was there; a copy of that
    first = told(the_case, [3.0, 3.5, 5.0, 2.0, 2.0], [1.0, 0.5, 9.0, 3.0, 3.0])
    second = told(the_case, [0.0, 4.0, 4.0, 4.0, 4.0], [2.0, 1.0, 1.0, 1.0, 1.0], "b")
    reference = figures.reference_point(the_case, [first, second])
    assert reference is not None
    assert reference.tolist() == [-4.0, 0.0]
    assert figures.trace(the_case, first, "best", reference).tolist() == [-1.0, -1.0, -1.0, -6.0, -6.0]
    with pytest.raises(wb.InvalidValueError, match="several objectives; pass reference="):
        figures.trace(the_case, first)
    assert figures.trace(the_case, second, "best", reference).tolist() == [-8.0] * 5
    result = Result((the_case,), ("a", "b"), (first, second))
    most = 8.0 * 1.001  # nothing better is known
    assert result.regrets(the_case, "a")[0] == pytest.approx([most - 1] * 3 + [most - 6] * 2)
    assert result.log_regrets(the_case, "b")[0] == pytest.approx(np.log10([most - 8] * 5))
    (difference,) = result.differences()
    assert difference.mean == pytest.approx(math.log10(most - 6) - math.log10(most - 8))
    assert "largest hypervolume known" in result.table()


def test_a_largest_hypervolume_that_the_problem_states_counts_until_it_is_beaten() -> None:
    problem = multiobjective.branin_currin()
    the_case = Case.of(problem, 5, 2)
    references = {goal.name: goal.reference or 0.0 for goal in the_case.objectives}
    one = replace(made(0, [], of=the_case), values={name: [r - 1.0] * 5 for name, r in references.items()})
    result = Result((the_case,), ("a",), (one,))
    assert problem.hypervolume is not None
    assert result.regrets(the_case, "a")[0] == pytest.approx([problem.hypervolume - 1.0] * 5)
    far = replace(one, values={name: [r - 1e3] * 5 for name, r in references.items()})
    assert Result((the_case,), ("a",), (far,)).log_regrets(the_case, "a")[0] == pytest.approx([0.0] * 5)  # 1e-6 of 1e6


def test_where_no_run_has_a_front_all_is_missing() -> None:
    the_case = two_goals(wb.Objective("f", reference=0.0), wb.Objective("g", reference=0.0))
    runs = tuple(told(the_case, [1.0] * 5, [1.0] * 5, name) for name in "ab")
    result = Result((the_case,), ("a", "b"), runs)
    assert result.log_regrets(the_case, "a")[0].tolist() == [0.0] * 5
    assert result.differences()[0].mean == 0.0
    assert result.reached("a")[1].tolist() == pytest.approx([1 / 51] * 5)  # the whole range is the first target


def test_a_front_is_chosen_by_what_was_told_and_worth_what_is_true() -> None:
    the_case = two_goals(wb.Objective("f", reference=4.0), wb.Objective("g", reference=4.0))
    run = told(
        the_case, [3.0, 2.0, 2.5, 3.5, 3.5], [3.0, 2.0, 2.5, 3.5, 3.5],
        true={"f": [2.0, 3.0, 3.5, 1.0, 5.0], "g": [2.0, 3.0, 3.5, 1.0, 5.0]},
    )  # fmt: skip
    reference = figures.reference_point(the_case, [run])
    assert figures.trace(the_case, run, "chosen", reference).tolist() == [-4.0, -1.0, -1.0, -1.0, -1.0]
    assert figures.trace(the_case, run, "best", reference).tolist() == [-4.0, -4.0, -4.0, -9.0, -9.0]


def test_what_holds_no_limit_stands_on_no_front() -> None:
    problem = _WithLimits((wb.Constraint("c", upper=0.0),))
    problem.objectives = (wb.Objective("f", reference=4.0), wb.Objective("g", reference=4.0))
    the_case = Case.of(problem, 5, 2)
    values = {"f": [1.0, 2.0, 3.0, 1.0, 2.0], "g": [1.0, 2.0, 3.0, 1.0, 2.0], "c": [1.0, 1.0, 0.0, 1.0, -1.0]}
    run = replace(made(0, [], of=the_case), values=values)
    reference = figures.reference_point(the_case, [run])
    assert figures.trace(the_case, run, "chosen", reference).tolist() == [0.0, 0.0, -1.0, -1.0, -4.0]


def test_references_that_are_not_stated_are_the_same_for_all_runs() -> None:
    the_case = two_goals(wb.Objective("f"), wb.Objective("g", reference=2.0))
    first = told(the_case, [0.0, 1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0, 1.0])
    second = told(the_case, [-1.0, 3.0, 3.0, 3.0, 3.0], [1.0, -1.0, 1.0, 1.0, 1.0], "b")
    reference = figures.reference_point(the_case, [first, second])
    assert reference is not None
    # the front of all: f from -1 to 3, and a tenth of that beyond
    assert reference == pytest.approx([-3.4, -2.0])
    result = Result((the_case,), ("a", "b"), (first, second))
    assert set(result.regrets(the_case, "a")) == {0}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["gp", "nsga2", "parego"])
def test_samplers_of_several_objectives_are_compared(sampler: str) -> None:
    result = bench.compare(multiobjective.branin_currin(), [sampler, "random"], seeds=1, evaluations=12)
    assert not result.failures, result.failures[0].text
    (row, _) = result.rows()
    assert -6 <= row["log10_regret"]["median"] - math.log10(multiobjective.branin_currin().hypervolume or 0) <= 0


@pytest.mark.slow
def test_a_sampler_that_knows_no_box_is_not_warmed_up_in_one() -> None:
    whole = (lambda p: float(p["a"] + p["b"]), wb.Space([wb.Int("a", 0, 7), wb.Int("b", 0, 7)]), [wb.Objective("y")])
    result = bench.compare(whole, ["gflownet"], seeds=1, evaluations=9)
    assert not result.failures, result.failures[0].text


def test_the_result_as_json_text_and_page(fakes: Fakes, tmp_path: Path) -> None:
    named = case(name="<b>square</b>")
    result = bench.run(order(named, [fakes("fair"), fakes("slow")], seeds=3))
    told = json.loads(json.dumps(result.to_json(), allow_nan=False))
    ours, theirs = told["rows"]
    assert (ours["contestant"], ours["first_minus_this"]) == ("fair", None)
    assert theirs["first_minus_this"]["pairs"] == 3
    assert set(ours["timing"]) >= {"ask_mean", "ask_median", "ask_p95", "cpu_per_run", "peak_mib"}
    page = result.report(tmp_path / "bench.html").read_text()
    assert "<b>square</b>" not in page
    assert "&lt;b&gt;square" in page
    assert page.count("data-for=") == 3  # targets, differences, one convergence
    assert "http-equiv" in page


def test_a_result_without_runs_can_be_shown(tmp_path: Path) -> None:
    result = Result((case(),), ("a", "b"), ())
    assert "case" in result.table()
    assert result.to_json()["rows"] == []
    assert "No run has finished" in result.report(tmp_path / "empty.html").read_text()


def test_what_rankings_are_worth_is_drawn_by_k_and_by_rounds() -> None:
    from workbench.plots import benchmark

    figure = benchmark.orders({4: {1: 0.5, 3: 0.02}, 2: {1: 3.0}}, "100 answers")
    assert [(trace.name, list(trace.x), list(trace.y)) for trace in figure.data] == [
        ("m = 4", [1, 3], [0.5, 0.02]), ("m = 2", [1], [3.0])
    ]  # fmt: skip
    assert "After 100 answers the best 3 of 4 lead furthest: 0.02" in figure.layout.title.text
    assert "(2, 1) 3; (4, 1) 0.5; (4, 3) 0.02" in figure.layout.meta["alt"]
    assert figure.layout.yaxis.type == "log"
    rounds = [1, 4, 9]
    norms = [1.0, 0.125, 1 / 27]  # to the power of -1.5
    figure = benchmark.decay(rounds, {"(2, 1)": ([1.0, 1.0, 1.0], 0.0), "(15, 15)": (norms, -1.5)})
    assert [trace.name for trace in figure.data] == ["(2, 1), slope 0.00", "(15, 15), slope -1.50"]
    assert (list(figure.data[1].x), list(figure.data[1].y)) == (rounds, norms)
    assert "to the power of -1.50 with (15, 15)" in figure.layout.title.text
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


# -- problems that are what they are ---------------------------------------------------------------------


def test_a_problem_with_noise_of_its_own_is_measured_once_at_the_start(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def noisy(params: Mapping[str, Any]) -> float:
        return square(params) + float(rng.normal())

    first = bench.run(order(case(fn=noisy), [Contestant.of("sobol")], into=tmp_path))
    both = bench.run(order(case(fn=noisy), [Contestant.of("sobol"), Contestant.of("random")], into=tmp_path))
    assert not both.failures
    starts = {(run.contestant, run.seed): run.values["y"][:3] for run in both.runs}
    assert len(starts) == 4
    for seed in (0, 1):
        assert starts["sobol", seed] == starts["random", seed] == first.runs[seed].values["y"][:3]


def test_a_problem_that_has_changed_is_told_from_one_with_noise(tmp_path: Path) -> None:
    bench.run(order(case(name="c"), [Contestant.of("sobol")], seeds=1, into=tmp_path))
    other = case(fn=lambda params: square(params) + 1.0, name="c")
    with pytest.raises(wb.InvalidValueError, match="has changed since"):
        bench.run(order(other, [Contestant.of("sobol"), Contestant.of("random")], seeds=1, into=tmp_path))


def test_nothing_feasible_in_any_run_is_all_that_can_be_missed() -> None:
    """And leaves the other cases alone."""

    class Shut:
        name, source, optimum = "shut", "here", None
        space, objectives = wb.Space([wb.Float("x", 0, 1)]), (wb.Objective("y"),)
        constraints = (wb.Constraint("c", upper=0.0),)

        def evaluate(self, params: Mapping[str, Any]) -> dict[str, float]:
            return {"y": float(params["x"]), "c": 1.0}

    contestants = (Contestant.of("sobol"), Contestant.of("random"))
    result = bench.run(Order((Case.of(Shut(), 8, 3), case()), contestants, (0, 1)))
    gaps = {(gap.case, gap.other): gap for gap in result.differences()}
    assert gaps["shut-8", "random"].mean == 0.0
    assert all(math.isfinite(gap.mean) for gap in gaps.values())


@pytest.mark.parametrize("given", [None, "much", {"y": None}, {"y": "1"}])
def test_what_is_no_number_is_told_by_name(given: Any) -> None:
    with pytest.raises(wb.ProblemError, match="expected a finite number for y"):
        case(fn=lambda params: given).measure({"x": 0.5}, 0, 0)


def test_what_stands_for_an_unknown_optimum_is_said() -> None:
    result = bench.Result((case(4, 3),), ("a",), (made(0, [4.0, 3.0, 2.0, 1.0]),))
    assert "The best run stands for the optimum of square-4" in result.table()
