"""Peers in their own environments, behind the same pipe as ours; `make peers` makes the environments."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from problems import synthetic
from workbench import bench
from workbench.bench import Case, Run
from workbench.bench.contestant import PEERS, Contestant, Line

CHECKOUT = PEERS.parents[2]
OPTUNA = ["peer:optuna-gp", "peer:optuna-tpe", "peer:optuna-cmaes", "peer:optuna-nsga2"]
BOXES = ["peer:ax", "peer:botorch-logei", "peer:hebo", "peer:pymoo-nsga2", "peer:pymoo-de", "peer:cma", "peer:sobol"]
ALL = [*OPTUNA, *BOXES, "peer:random"]

pytestmark = pytest.mark.slow


def interpreter(environment: str) -> Path:
    """The interpreter of a peers' environment; the test is skipped without one, except where CI runs."""
    if not (CHECKOUT / environment / ".installed").exists():
        text = f"{environment} is not installed: make peers"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return CHECKOUT / environment / "bin" / "python"


def need(name: str) -> None:
    """Skip the test, or fail it in CI, without the peer's environment."""
    interpreter(".venv-hebo" if name == "peer:hebo" else ".venv-peers")


def mixed() -> wb.Space:
    """Every kind that the adapters map."""
    return wb.Space(
        [
            wb.Float("x", -2, 3),
            wb.Float("rate", 1e-4, 1.0, log=True),
            wb.Float("t", 20, 80, step=0.5),
            wb.Int("n", 1, 9),
            wb.Int("width", 1, 64, log=True),
            wb.Categorical("shape", ["disc", "ring"]),
            wb.Ordinal("size", [16, 32, 64]),
            wb.Bool("bias"),
        ]
    )


def level(params: Any) -> float:
    shape = {"disc": 0.0, "ring": 1.0}[params["shape"]]
    return float((params["x"] - 1) ** 2 + params["rate"] + params["n"] / 9 + shape + params["bias"])


@pytest.mark.parametrize("name", ALL)
def test_a_peer_runs_a_small_optimisation(name: str) -> None:
    need(name)
    result = bench.compare(synthetic.branin(), [name], seeds=1, evaluations=13, start=4)
    assert not result.failures, result.failures[0].text
    (run,) = result.runs
    assert len(run.values["y"]) == 13
    assert len(set(run.values["y"][4:])) > 6  # it moves
    assert len(run.versions) >= 3
    assert run.cpu_s > 0
    assert str(CHECKOUT) not in run.to_line()


@pytest.mark.parametrize("name", ALL)
def test_a_peer_is_a_function_of_the_seed(name: str) -> None:
    need(name)
    the_case = Case.of(synthetic.branin(), 8, 4)
    one, two = (bench.compare(the_case, [name], seeds=[3]).runs[0] for _ in range(2))
    assert one.values == two.values


@pytest.mark.parametrize("name", ALL)
def test_a_peer_serves_a_mixed_space(name: str) -> None:
    need(name)
    result = bench.compare((level, mixed(), [wb.Objective("y", noise=0.1)]), [name], seeds=1, evaluations=15, start=12)
    assert not result.failures, result.failures[0].text
    assert len(result.runs[0].values["y"]) == 15


@pytest.mark.parametrize("name", ["peer:optuna-gp", "peer:ax", "peer:hebo", "peer:botorch-logei"])
def test_model_based_peers_find_a_bowl_that_is_maximised(name: str) -> None:
    need(name)
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    goal = wb.Objective("y", "maximize", noise="none")
    bowl = (lambda p: -((p["a"] - 0.3) ** 2) - (p["b"] - 0.7) ** 2, space, [goal])
    result = bench.compare(bowl, [name], seeds=1, evaluations=24)
    assert not result.failures, result.failures[0].text
    assert max(result.runs[0].values["y"]) > -2e-3


@pytest.mark.parametrize("name", OPTUNA)
def test_optuna_serves_conditional_parameters(name: str) -> None:
    need(name)
    result = bench.compare(synthetic.mixed_conditional(), [name], seeds=1, evaluations=16)
    assert not result.failures, result.failures[0].text


@pytest.mark.parametrize("name", ["peer:ax", "peer:optuna-gp", "peer:optuna-nsga2", "peer:pymoo-nsga2"])
def test_a_peer_serves_two_objectives(name: str) -> None:
    need(name)
    goals = [wb.Objective("f"), wb.Objective("g", "maximize")]
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    the_case = Case.of((lambda p: {"f": p["a"], "g": p["a"] - p["b"]}, space, goals), 12, 6)
    (run,) = bench.play(the_case, [bench.Contestant.of(name)], 0)
    assert isinstance(run, Run), run
    assert set(run.values) == {"f", "g"}


@pytest.mark.parametrize(
    ("name", "problem", "words"),
    [
        ("peer:cma", synthetic.mixed_conditional(), "rate with when="),
        ("peer:optuna-gp", synthetic.budget_quadratic(), "the constraint 'x1"),
        ("peer:ax", (level, wb.Space([wb.Permutation("p", 3)]), [wb.Objective("y")]), "p of kind permutation"),
        ("peer:sobol", (level, wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y", target=1.0)]), "target"),
    ],
)
def test_a_peer_refuses_what_it_cannot_serve(name: str, problem: Any, words: str) -> None:
    need(name)
    try:
        line = bench.contestant.Line(bench.Contestant.of(name), 120.0)
    except bench.ContestantError as error:
        pytest.fail(str(error))
    with line, pytest.raises(bench.ContestantError, match=words):
        line.hello(Case.of(problem, 12, 3).declared(), 0)


def test_ours_and_a_peer_side_by_side() -> None:
    need("peer:optuna-gp")
    result = bench.compare(synthetic.branin(), ["gp", "peer:optuna-gp"], seeds=2, evaluations=14, together=True)
    assert not result.failures, result.failures[0].text
    assert [len(run.ask_s) for run in result.runs] == [11] * 4
    assert result.runs[0].values["y"][:3] == result.runs[2].values["y"][:3]
    assert len(result.differences()) == 1


def test_the_dashboards_sampler_is_asked_and_judged() -> None:
    """A duel after a duel: the winner stays, and after some of them what wins is near the optimum."""
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    script = PEERS.with_name("rank_dashboard.py")
    peer = Contestant("dashboard", (str(interpreter(".venv-peers")), str(script)), script.name)
    first = space.decode(space.sobol(4, 0))
    seen = []
    with Line(peer, 120.0) as line:
        told, _ = line.call({"do": "begin", "space": space.to_json(), "seed": 0, "first": first, "k": 2})
        assert told["versions"]["optuna-dashboard"]
        for _ in range(14):
            shown = line.call({"do": "ask"})[0]["shown"]
            assert len(shown) == 2
            shown.sort(key=lambda one: (one[1]["a"] - 0.3) ** 2 + (one[1]["b"] - 0.7) ** 2)
            line.call({"do": "judge", "pairs": [[shown[0][0], shown[1][0]]]})
            seen.append([number for number, _ in shown])
    assert [set(pair) for pair in seen[:3]] == [{0, 1}, {seen[0][0], 2}, {seen[1][0], 3}]
    assert all(winner in then for (winner, _), then in pairwise(seen))
    best = shown[0][1]
    assert abs(best["a"] - 0.3) < 0.1
    assert abs(best["b"] - 0.7) < 0.1


CBX = """
import numpy as np
from cbx.dynamics import CBO
x = CBO(lambda x: ((x - 0.5) ** 2).sum(axis=-1), d=2, N=30, max_it=200, verbosity=0).optimize()
assert np.abs(np.asarray(x) - 0.5).max() < 0.2, x
"""
GFN = """
import torch
from gfn.gym import HyperGrid
from gfn.gflownet import TBGFlowNet
from gfn.estimators import DiscretePolicyEstimator
from gfn.utils.modules import MLP
from gfn.preprocessors import KHotPreprocessor
from gfn.samplers import Sampler
env = HyperGrid(ndim=2, height=8)
pre = KHotPreprocessor(ndim=env.ndim, height=env.height)
pf = DiscretePolicyEstimator(MLP(pre.output_dim, env.n_actions), env.n_actions, preprocessor=pre)
pb = DiscretePolicyEstimator(MLP(pre.output_dim, env.n_actions - 1), env.n_actions, is_backward=True, preprocessor=pre)
flow = TBGFlowNet(pf=pf, pb=pb, init_logZ=0.0)
optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
for _ in range(5):
    paths = Sampler(estimator=pf).sample_trajectories(env, n=8, save_logprobs=True)
    loss = flow.loss(env, paths)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
assert torch.isfinite(loss)
"""


@pytest.mark.parametrize(
    "code",
    [CBX, GFN, "import optuna_dashboard; optuna_dashboard.wsgi"],
    ids=["cbx", "torchgfn", "optuna-dashboard"],
)
def test_peers_that_cannot_be_asked_and_told_run_too(code: str) -> None:
    python = interpreter(".venv-peers")
    done = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
