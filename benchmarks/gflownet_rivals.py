"""What GFlowNets are measured beside on strings: other policies, evolution, chance; and by what.

Every rival gets as many evaluations, counts repeated ones, too, and returns all that it evaluated; policies return how
to sample for a preference as well. Strings are encoded points: rows of tokens, -1 after the end. MO-REINFORCE and the
goal-conditioned GFlowNet train the same network on batches of the same size.

Sources: MO-REINFORCE as in Jain et al. 2023 (arXiv 2210.12765), section 5; goal-conditioned GFlowNets, Roy et al. 2023
(arXiv 2306.04620), section 4; NSGA-II by pymoo.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from problems import compositional
from workbench.pareto import hypervolume, r2, weights
from workbench.samplers.gflownet import objectives
from workbench.samplers.gflownet.conditioning import Conditioning, Given
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.running import Options, Run
from workbench.samplers.gflownet.spaces import SpaceEnvironment
from workbench.samplers.gflownet.training import LogZ
from workbench.space import Sequence as Tokens

Array = NDArray[np.float64]
Sampler = Callable[[Sequence[float], int], Array]
"""A preference (m,) and n -> n strings."""

_HIDDEN, _BATCH, _GROUP = (128, 128), 64, 8
_REINFORCED = 1e-3  # rate of MO-REINFORCE; not tuned
_RATE, _RATE_Z, _FINAL, _EPSILON, _CLIP = 1e-2, 1e-1, 0.1, 0.05, 10.0
_NARROW = 0.98  # cosine from which on a design lies in the direction of a goal
_KAPPA = math.log(0.2) / math.log(_NARROW)  # at that cosine a fifth of the reward is left
_ILLEGAL = -75.0  # log reward of one that does not
_AIMED = 32.0  # its β: with 96 nothing that it begins with is worth more than what is illegal
_HINDSIGHT = 0.3  # share of trajectories whose goal becomes the direction in which they went
_BEST, _SAMPLES = 10, 128
_DIVISIONS = {2: 10, 3: 4, 4: 3}  # of the simplex of preferences: 11, 15, 20 of them


@dataclass(frozen=True)
class Searched:
    """What a search left.

    Args:
        X: All that was evaluated, in order, encoded, shape (n, d).
        Y: Its objectives, shape (n, m).
        sample: How its policy samples; None: it has none.
    """

    X: Array
    Y: Array
    sample: Sampler | None = None


Search = Callable[[compositional.Composition, int, int], Searched]
"""A problem of strings, evaluations, and a seed."""


class _Record:
    """Evaluates strings, and keeps them."""

    def __init__(self, problem: compositional.Composition) -> None:
        self._problem = problem
        self.X: list[Array] = []
        self.Y: list[Array] = []

    def __call__(self, X: Array) -> Array:
        values = self._problem.evaluate_batch(self._problem.space.decode_columns(X))
        Y = np.stack([values[goal.name] for goal in self._problem.objectives], axis=1)
        self.X.append(X.copy())
        self.Y.append(Y)
        return Y

    def searched(self, sample: Sampler | None = None) -> Searched:
        return Searched(np.concatenate(self.X), np.concatenate(self.Y), sample)


# -- searches -----------------------------------------------------------------------------------------


def by_gflownet(
    problem: compositional.Composition, evaluations: int, seed: int, options: Options | None = None
) -> Searched:  # fmt: skip
    """A run as `study.optimize(fn, vectorized=True)` makes it, β as in Jain et al.

    With a β of 32 the target itself has a third of the letters wrong: there are so many more of such strings.
    """
    from workbench.samplers.batch import Outcomes

    record = _Record(problem)

    def evaluate(X: Array) -> Outcomes:
        return Outcomes(record(X), np.zeros(len(X)))

    run = Run(problem.space, evaluate, evaluations, np.random.default_rng(seed), options or OURS)
    while run.step():
        pass
    generator, model = torch.Generator().manual_seed(seed), run.model

    def sample(w: Sequence[float], n: int) -> Array:  # an order knows no preference
        return model.sample(n, generator, w if model.answers else None)

    return record.searched(sample)


OURS = Options(reward="values", beta=96.0, learning_rate=3e-3)


def by_reinforce(problem: compositional.Composition, evaluations: int, seed: int) -> Searched:
    """MO-REINFORCE: policy gradient of the weighted sum of rewards, the mean within a preference as the baseline."""
    record, environment = _Record(problem), SpaceEnvironment(problem.space)
    generator = torch.Generator().manual_seed(seed)
    conditioning = Conditioning(len(problem.objectives), repeat=_GROUP)
    policy = _policy(environment, conditioning, generator)
    optimizer = torch.optim.Adam(policy.parameters(), lr=_REINFORCED)
    steps = evaluations // _BATCH
    for step in range(steps):
        _anneal(optimizer, [_REINFORCED], step / steps)
        given = conditioning.draw(_BATCH, generator)
        drawn = policy.sample(_BATCH, generator, condition=given.encoding, keep=True)
        R = torch.from_numpy(record(environment.encoded(drawn.ends)))
        worth = (given.weights * R).sum(1).reshape(-1, _GROUP)
        gain = (worth - worth.mean(1, keepdim=True)) / worth.std(1, keepdim=True).clamp(min=1e-3)
        log_p = drawn.totals(policy.evaluate(drawn, unchanged=True).log_pf)
        _descend(policy, optimizer, -(gain.reshape(-1) * log_p).mean())
    return record.searched(_sampler(policy, environment, conditioning, generator))


def by_goals(problem: compositional.Composition, evaluations: int, seed: int) -> Searched:
    """A goal-conditioned GFlowNet: the mean reward, of designs in the direction that is asked for; hindsight."""
    record, environment = _Record(problem), SpaceEnvironment(problem.space)
    generator = torch.Generator().manual_seed(seed)
    m = len(problem.objectives)
    conditioning = Conditioning(m, beta=(_AIMED,))
    policy = _policy(environment, conditioning, generator)
    log_z = LogZ(conditioning.width, 0.0, generator)
    groups = [{"params": policy.parameters(), "lr": _RATE}, {"params": log_z.parameters(), "lr": _RATE_Z}]
    optimizer = torch.optim.Adam(groups)
    steps = evaluations // _BATCH
    told = round(_HINDSIGHT * _BATCH)
    for step in range(steps):
        _anneal(optimizer, [_RATE, _RATE_Z], step / steps)
        given = conditioning.draw(_BATCH, generator)
        drawn = policy.sample(_BATCH, generator, condition=given.encoding, epsilon=_EPSILON)
        R = torch.from_numpy(record(environment.encoded(drawn.ends)))
        went = torch.where(R[:told].sum(1, keepdim=True) > 0, R[:told], given.weights[:told])
        aimed = torch.cat([went / went.sum(1, keepdim=True), given.weights[told:]])
        given = conditioning.given(aimed, given.beta)
        back = policy.sample_backward(drawn.ends, generator, condition=given.encoding)
        loss = objectives.trajectory_balance(policy.evaluate(back), _towards(R, given), log_z(given.encoding))
        _descend(policy, optimizer, loss)
    return record.searched(_sampler(policy, environment, conditioning, generator))


def _towards(R: torch.Tensor, given: Given) -> torch.Tensor:
    """β log of the mean reward, less where the direction of rewards (n, m) is not the goal's, shape (n,)."""
    length = R.norm(dim=1) * given.weights.norm(dim=1)
    cosine = (R * given.weights).sum(1) / length.clamp(min=1e-12)
    log_reward = R.mean(1).clamp(min=1e-12).log() + _KAPPA * cosine.clamp(min=1e-12).log()
    return torch.where(cosine >= _NARROW, (given.beta * log_reward).clamp(min=_ILLEGAL), _ILLEGAL)


def by_chance(problem: compositional.Composition, evaluations: int, seed: int) -> Searched:
    """Uniform strings."""
    record = _Record(problem)
    record(problem.space.uniform(evaluations, np.random.default_rng(seed)))
    return record.searched()


def by_nsga2(problem: compositional.Composition, evaluations: int, seed: int) -> Searched:
    """pymoo's NSGA-II with 100 strings of tokens; one token more ends a string where it may end."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.mutation.pm import PolynomialMutation
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    (string,) = problem.space
    assert isinstance(string, Tokens)
    k, least, most = len(string.alphabet), string.min_length, string.max_length
    record = _Record(problem)

    class Strings(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            last = k if least < most else k - 1
            super().__init__(n_var=most, n_obj=len(problem.objectives), xl=0, xu=last, vtype=int)

        def _evaluate(self, X: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
            tokens = X.astype(np.int64)
            tokens[:, :least] %= k
            over = np.cumsum(tokens == k, axis=1) > 0
            out["F"] = -record(np.where(over, -1.0, tokens))

    algorithm = NSGA2(
        100, sampling=IntegerRandomSampling(), crossover=UniformCrossover(repair=RoundingRepair()),
        mutation=PolynomialMutation(repair=RoundingRepair(), vtype=int), eliminate_duplicates=True,
    )  # fmt: skip
    minimize(Strings(), algorithm, ("n_eval", evaluations), seed=seed)
    return record.searched()


SEARCHES: dict[str, Search] = {
    "gflownet": by_gflownet, "mo-reinforce": by_reinforce, "goal-conditioned": by_goals, "nsga2": by_nsga2,
    "random": by_chance,
}  # fmt: skip


def _policy(environment: SpaceEnvironment, conditioning: Conditioning, generator: torch.Generator) -> Policy:
    return Policy(environment, hidden=_HIDDEN, condition=conditioning.width, generator=generator, slope=0.01)


def _anneal(optimizer: torch.optim.Optimizer, rates: Sequence[float], share: float) -> None:
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * (_FINAL + (1 - _FINAL) * 0.5 * (1 + math.cos(math.pi * share)))


def _descend(policy: Policy, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), _CLIP)
    optimizer.step()


def _sampler(
    policy: Policy, environment: SpaceEnvironment, conditioning: Conditioning, generator: torch.Generator
) -> Sampler:  # fmt: skip
    return lambda w, n: environment.encoded(
        policy.sample(n, generator, condition=conditioning.at(w, n).encoding).ends
    )  # fmt: skip


# -- measures -----------------------------------------------------------------------------------------


def measured(problem: compositional.Composition, found: Searched) -> dict[str, float]:
    """Hypervolume (reference 0) and R2 (ideal 1) of all that was evaluated, and the ten best for each preference.

    Their mean weighted sum and mean distance, over an even grid of preferences; and the same of 128 samples of the
    policy for each, where there is one. Distances are Levenshtein's, of molecules Tanimoto's, of fingerprints.
    """
    m = found.Y.shape[1]
    preferences = weights(m, _DIVISIONS[m])
    spread = partial(_spread, _molecular(problem) if problem.name.startswith("molecules") else _by_tokens)
    measures = _measures(found.Y, [(found.X, found.Y)] * len(preferences), preferences, spread)
    if found.sample is None:
        return measures
    record, drawn = _Record(problem), []
    for w in preferences:
        X = found.sample(w.tolist(), _SAMPLES)
        drawn.append((X, record(X)))
    sampled = _measures(np.concatenate([Y for _, Y in drawn]), drawn, preferences, spread)
    return measures | {f"{name} of samples": value for name, value in sampled.items()}


def _measures(
    Y: Array, offered: Sequence[tuple[Array, Array]], preferences: Array, spread: Callable[[Array], float]
) -> dict[str, float]:  # fmt: skip
    m = Y.shape[1]
    rewards, distances = [], []
    for w, (X, values) in zip(preferences, offered, strict=True):
        _, first = np.unique(X, axis=0, return_index=True)
        worth = values[first] @ w
        best = first[np.argsort(-worth, kind="stable")[:_BEST]]
        rewards.append(float((values[best] @ w).mean()))
        distances.append(spread(X[best]))
    front = np.unique(Y, axis=0)
    return {
        "hypervolume": hypervolume(front, np.zeros(m)), "R2": r2(front, np.ones(m), np.zeros(m), preferences),
        "top-10 reward": float(np.mean(rewards)), "top-10 distance": float(np.mean(distances)),
    }  # fmt: skip


def _spread(distance: Callable[[Array, Array], float], X: Array) -> float:
    """Mean distance of pairs; 0 of one alone."""
    pairs = [(a, b) for i, a in enumerate(X) for b in X[:i]]
    return float(np.mean([distance(a, b) for a, b in pairs])) if pairs else 0.0


def _by_tokens(a: Array, b: Array) -> float:
    return levenshtein(a[a >= 0], b[b >= 0])


def _molecular(problem: compositional.Composition) -> Callable[[Array, Array], float]:
    """Tanimoto distance of RDKit's fingerprints of two chains of fragments."""
    from rdkit import Chem, DataStructs

    @functools.lru_cache(maxsize=1 << 14)
    def fingerprint(chain: bytes) -> Any:
        (point,) = problem.space.decode(np.frombuffer(chain)[None])
        return Chem.RDKFingerprint(Chem.MolFromSmiles("".join(point["chain"])))

    return lambda a, b: 1.0 - DataStructs.TanimotoSimilarity(fingerprint(a.tobytes()), fingerprint(b.tobytes()))


def levenshtein(a: Array, b: Array) -> int:
    """Fewest insertions, deletions and exchanges of tokens from one string to the other."""
    places = np.arange(len(b) + 1)
    row = places
    for i, token in enumerate(a, start=1):
        above = np.minimum(row[1:] + 1, row[:-1] + (b != token))
        row = np.minimum.accumulate(np.concatenate([[i], above]) - places) + places
    return int(row[-1])
