"""Why a trial was proposed: what was expected then and now, and what its acquisition value is made of.

The expected gain of a trial, E[max(0, u(f) - best)], is never less than what its mean alone promises,
max(0, E u(f) - best): so that is the share of exploiting, and the rest, what comes of not knowing f, that of exploring
(Jensen). Times the probability that it holds the limits; what is lost to that is the share of risk. Under noise the
gain is that of the best posterior mean (`NoisyEI`), of which the same holds. Of several objectives it is the gain in
hypervolume, over draws.

Symbols: m objectives; mu, sd moments of z; best the incumbent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import markup
from workbench.acquisition.improvement import NoisyEI
from workbench.analysis.belief import Belief, Neighbour
from workbench.analysis.verdict import about, listed
from workbench.models.gp import alone
from workbench.pareto import Boxes, free_boxes, hypervolume, non_dominated
from workbench.trial import loads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_DRAWS, _FEW = 128, 32  # of several objectives: for one point, and for each of many
_CELLS = 200_000  # pairs of a point and a box that are looked at together
_SEED = 0xE7


@dataclass(frozen=True, slots=True)
class Believed:
    """What is believed of one quantity at a trial: mean and standard deviation without noise, user units."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class Parts:
    """What the expected gain of a trial is made of; the three shares add up to 1.

    Args:
        gain: Expected gain, user units; of several objectives a share of the hypervolume.
        exploit: Share of it that the mean alone promises.
        explore: Share that comes of not knowing.
        risk: Share that is lost since the trial may break a limit or fail.
        feasible: Probability that it does not.
        best: What it has to beat, user units; None of several objectives, or of none that counts.
    """

    gain: float
    exploit: float
    explore: float
    risk: float
    feasible: float
    best: float | None


@dataclass(frozen=True)
class Other:
    """What another sampler would have proposed.

    Args:
        sampler: Its name.
        params: Its proposal; empty where it cannot serve the study.
        mean, sd: By quantity, what the model expects there, user units.
        why: Its own reason, or why there is no proposal.
        distance: From the trial, in the unit cube.
    """

    sampler: str
    params: Mapping[str, Any]
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    why: str
    distance: float | None


@dataclass(frozen=True)
class Explanation:
    """Why a trial was proposed.

    Args:
        trial: Its number.
        sampler: What proposed it; empty where nothing did.
        why: The reason stored with it.
        then: What was expected at the ask, by quantity; None where there was no model.
        now: What is expected now.
        measured: What came out, by quantity.
        noise: By quantity, standard deviation of one measurement.
        parts: What its expected gain is made of, by what was known before it was run; None without a model then.
        nearest: The trials nearest to it.
        others: What other samplers would have proposed.
    """

    trial: int
    sampler: str
    why: str
    then: Mapping[str, Believed] | None
    now: Mapping[str, Believed]
    measured: Mapping[str, float]
    noise: Mapping[str, float]
    parts: Parts | None
    nearest: tuple[Neighbour, ...]
    others: tuple[Other, ...] = ()

    def sentences(self, units: Mapping[str, str | None] | None = None) -> list[str]:
        """The explanation in words, plain text."""
        units = units or {}
        said = []
        for name, now in self.now.items():
            sd = float(np.hypot(now.sd, self.noise.get(name, 0.0)))
            text = f"{name}: a run is expected to read {about(now.mean, sd, units.get(name))} now"
            before = (self.then or {}).get(name)
            if before is not None:
                text += f", {about(before.mean, before.sd, units.get(name))} when it was proposed (without noise)"
            if name in self.measured:
                text += f"; measured {markup.wording(self.measured[name])}"
            said.append(text + ".")
        if self.parts is not None:
            said.append(_made_of(self.parts))
        if self.nearest:
            near = self.nearest[0]
            differs = ", ".join(f"{n} {markup.wording(v)}" for n, v in list(near.differs.items())[:4] if v is not None)
            said.append(f"Nearest tried: run {near.trial}" + (f", with {differs}." if differs else ", the same point."))
        for other in self.others:
            params = ", ".join(f"{name} {markup.wording(value)}" for name, value in other.params.items())
            said.append(f"{other.sampler} would have tried {params}." if params else f"{other.sampler}: {other.why}")
        return said

    def __str__(self) -> str:
        return "\n".join(
            [f"Run {self.trial}: {self.why or 'given by a person'}.".replace("..", "."), *self.sentences()]
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return markup.heading("Trial", str(self.trial), self.why, *self.sentences())


def _made_of(parts: Parts) -> str:
    shares = [
        f"{100 * parts.exploit:.0f} % is what the model expects to be better there",
        f"{100 * parts.explore:.0f} % comes of what is not known there",
    ]
    if parts.risk >= 0.005:
        shares.append(f"{100 * parts.risk:.0f} % is lost since it may break a limit or fail")
    return f"Of its gain, {listed(shares)}."


def explain(
    belief: Belief,
    row: int,
    *,
    before: Belief | None = None,
    others: Sequence[tuple[str, Mapping[str, Any] | None, str]] = (),
) -> Explanation:
    """Why a trial was proposed.

    Args:
        belief: Record and model now.
        row: Of the trial.
        before: Record and model as they were when it was proposed; None where there was no model.
        others: Names of other samplers, with what each would have proposed then, or None and the reason.
    """
    history, record = belief.history, belief.history.rows[row]
    meta, X = history.meta(row), history.X[row][None]
    stored = loads(record.predicted, {})
    told = {name: Believed(float(p["mean"]), float(p["sd"])) for name, p in stored.items() if p and "sd" in p}
    now: dict[str, Believed] = {}
    if history.placed[row]:
        now = {n: Believed(float(mu[0]), float(sd[0])) for n, (mu, sd) in belief.gp.predict(X).items()}
    return Explanation(
        record.number, str(meta.get("sampler", "")), record.why or "", told or None, now, loads(record.outcomes, {}),
        {q.name: q.noise for q in belief.quantities},
        parts(before, X) if before is not None and history.placed[row] else None,
        tuple(belief.nearest(X, without=row)) if history.placed[row] else (),
        tuple(_other(belief, X, *one) for one in others),
    )  # fmt: skip


def _other(belief: Belief, X: Array, name: str, params: Mapping[str, Any] | None, why: str) -> Other:
    if params is None:
        return Other(name, {}, {}, {}, why, None)
    there = belief.history.space.encode([params])
    found = belief.gp.predict(there)
    gaps, features = belief.gp.inputs.apart(there, X[0])
    gaps[:, belief.gp.inputs.categorical] = gaps[:, belief.gp.inputs.categorical] != 0
    return Other(
        name, params, {n: float(mu[0]) for n, (mu, _) in found.items()},
        {n: float(sd[0]) for n, (_, sd) in found.items()},
        why, float(np.sqrt((gaps**2).sum() + features[0])),
    )  # fmt: skip


def parts(belief: Belief, X: Array) -> Parts | None:
    """What the expected gain at an encoded point (1, d) is made of; None while no trial counts."""
    if not belief.counted.size:
        return None
    feasible = float(belief.gp.feasibility(X)[0])
    gains, promises = gained(belief, X)
    gain, promise = float(gains[0]), float(promises[0])
    exploit = min(1.0, promise / gain) if gain > 0 else 0.0
    return Parts(
        gain * feasible, feasible * exploit, feasible * (1.0 - exploit), 1.0 - feasible, feasible, _beaten(belief, X[0])
    )  # fmt: skip


def gained(belief: Belief, X: Array) -> tuple[Array, Array]:
    """Expected gain at encoded points (b, d), and what the means alone promise of it, limits left aside.

    What to beat are the trials put into the context of the first point.

    Returns:
        Two arrays of shape (b,): in user units, near the best value where values are bent; of several objectives
        shares of the hypervolume of the front now.
    """
    return _in_value(belief, X) if len(belief.goals) == 1 else _in_volume(belief, X)


def _in_value(belief: Belief, X: Array) -> tuple[Array, Array]:
    goal, inputs = belief.goals[0], belief.gp.inputs
    best = float(belief.worths(X[0])[:, 0].max())
    mu, sd = (part[:, 0] for part in belief.moments(X))
    promise = np.maximum(0.0, goal.expected_worth(mu, sd) - best)
    targeted = goal.goal is not None and goal.goal.target is not None
    if belief.quiet or targeted:
        gain = goal.expected_gain(mu, sd, best)
    else:
        with alone():
            observed = inputs.model_points(belief.designs(X[0]))
            gain = np.exp(NoisyEI(goal.process.posterior, observed).value(inputs.model_points(X)))
    unit = goal.unit_of_z()
    return unit * np.maximum(gain, promise), unit * promise


def _beaten(belief: Belief, x: Array) -> float | None:
    """What a trial has to beat, user units: the best value, or under noise the largest mean at a trial."""
    if len(belief.goals) > 1:
        return None
    goal, best = belief.goals[0], int(np.argmax(belief.worths(x)[:, 0]))
    if belief.quiet:
        return float(goal.sign * belief.history.Y[belief.counted[best], 0])
    mu, sd = belief.moments(belief.designs(x)[best][None])
    return float(goal.told(mu[:, 0], sd[:, 0])[0][0])


def _in_volume(belief: Belief, X: Array) -> tuple[Array, Array]:
    worths = belief.worths(X[0])
    front = worths[non_dominated(worths)]
    reference = belief.reference()
    now = hypervolume(front, reference)
    mu, sd = belief.moments(X)  # (b, m)
    normals = np.random.default_rng(_SEED).standard_normal(((_DRAWS if len(X) == 1 else _FEW) // 2, mu.shape[1]))
    normals = np.concatenate([normals, -normals])
    goals = list(enumerate(belief.goals))
    expected = np.stack([q.expected_worth(mu[:, j], sd[:, j]) for j, q in goals], axis=1)
    drawn = mu[:, None] + normals * sd[:, None]  # (b, s, m)
    drawn = np.stack([q.worth(drawn[:, :, j]) for j, q in goals], axis=2)

    boxes = free_boxes(front, reference)
    gain = _added(boxes, drawn.reshape(-1, drawn.shape[2])).reshape(drawn.shape[:2]).mean(axis=1)
    promise = _added(boxes, expected)
    return np.maximum(gain, promise) / max(now, 1e-12), promise / max(now, 1e-12)


def _added(boxes: Boxes, points: Array) -> Array:
    """What each point alone would add to the volume that a front dominates, shape (k,), for points (k, m)."""
    rows = max(1, _CELLS // len(boxes))
    return np.concatenate([boxes.gain(some) for some in np.split(points, range(rows, len(points), rows))])
