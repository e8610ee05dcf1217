"""Several objectives: what is known of each, the fronts it makes, and which acquisition function then; a table as data.

Symbols: m objectives, n trials, p points of the front, K boxes; worth as of `marginals`, larger is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from workbench.acquisition.base import Acquisition, Row
from workbench.acquisition.combined import Averaged, Logarithm
from workbench.acquisition.entropy import MES, max_value_samples
from workbench.acquisition.feasibility import LogFeasibility
from workbench.acquisition.hypervolume import LogEHVI
from workbench.acquisition.hypervolume_knowledge import LogHVKG
from workbench.acquisition.joint_entropy import JES, DrawnFront
from workbench.acquisition.marginals import Bent, Marginal, Plain, Targeted
from workbench.acquisition.outcomes import VERSIONS, Outcomes, Source, contenders, outcomes
from workbench.acquisition.predictive_entropy import PES
from workbench.acquisition.scalarised import Chebyshev, LogParEGO
from workbench.acquisition.thompson import draw
from workbench.models.exact import NOISELESS, ExactPosterior
from workbench.pareto import extent, free_boxes, infer_reference, non_dominated, telling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.acquisition.plan import Setting
    from workbench.models.gp import GaussianProcess
    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

MOST_BOXES = 20_000
_REACH = 2.5  # sd of optimism with which a measured point may still be on the front
_MOST_POINTS = 64  # measured points whose noise-free values are drawn
_MAXIMA = 16
_FRONTS = 8  # drawn, of the joint and the predictive entropy search
_ON_FRONT = 10  # points of a front that is conditioned on, or that the hypervolume knowledge gradient looks at
_RIVALS = 16  # measured points that a drawn front is held against
_KNOWN = 0.1  # sd, in standardised values, up to which a value counts as known well
_HOPE = 3.0  # sd above its mean that a point may turn out
_BEHIND = 0.1  # of the front's extent, as a reference point that is inferred
_EVEN = math.log(0.5)
_FEWEST = 4  # versions
_SHARED = 0.45  # different sides along an objective, of the boxes
_LOOKS = 1000  # points at which a search evaluates, those with gradients counted several times
_PATIENCE = 0.8  # seconds that a search may take where none are stated
_BYTES, _ROOM = 256 * 8 * 4, 2**29  # of a box in a search, and what there may be of it


@dataclass(frozen=True)
class Load:
    """What decides between the acquisition functions.

    Args:
        m: Objectives.
        n: Trials with values.
        q: Points in flight and chosen in this ask already.
        exact: Is every objective free of noise?
        boxes: Into which the space above the front of mean values falls; infinite: more than `MOST_BOXES`.
        side: Seconds of a side of a box along each objective at one point, added up.
        seconds: Until the ask has to return.
        preferred: Are weights stated?
    """

    m: int
    n: int
    q: int
    exact: bool
    boxes: float
    side: float
    seconds: float
    preferred: bool

    @property
    def versions(self) -> int:
        """Versions of what is not known yet: as many as time and memory allow, 0 if too few."""
        if self.exact and self.q == 0:
            return int(self._allows(1))
        return next((v for v in (VERSIONS, VERSIONS // 2, _FEWEST) if self._allows(v)), 0)

    def _allows(self, versions: int) -> bool:
        boxes = self.boxes * versions
        quick = boxes * _SHARED * self.side * _LOOKS <= min(self.seconds / 2, _PATIENCE)
        return bool(quick and boxes * _BYTES <= _ROOM)


TABLE: tuple[Row[Load], ...] = (
    Row(
        "parego", lambda load: load.preferred, "several objectives and prefer=",
        "the weights say which compromise is wanted, and a Chebyshev scalarisation leads there",
    ),
    Row(
        "ehvi", lambda load: load.versions == 1, "several exact objectives, no trial in flight",
        "the expected gain of hypervolume is exact over boxes, and they fit into time and memory",
    ),
    Row(
        "nehvi", lambda load: load.versions > 1, "several objectives, noise or trials in flight",
        "the expected gain of hypervolume, over versions of what is not known; their boxes fit into time and memory",
    ),
    Row(
        "parego", lambda load: True, "several objectives whose front falls into too many boxes",
        "a scalarisation of random weights costs the same for any number of objectives",
    ),
)  # fmt: skip


def load(setting: Setting, seconds: float) -> Load:
    """What decides, of a record and a model of it."""
    known = Known(setting)
    size = math.inf
    with suppress(OverflowError):
        size = len(free_boxes(known.means, known.reference, MOST_BOXES))
    exact = all(source.measured is not None for source in known.sources)
    side = sum(marginal.seconds for marginal in known.marginals)
    q, preferred = len(setting.pending), bool(setting.prefer)
    return Load(len(known.sources), len(known.rows), q, exact, size, side, seconds, preferred)


def planned(setting: Setting, seconds: float) -> Row[Load]:
    """The row that applies."""
    found = load(setting, seconds)
    return next(row for row in TABLE if row.applies(found))


@dataclass(frozen=True)
class Known:
    """What a record and its model say of every objective."""

    setting: Setting

    @cached_property
    def rows(self) -> Rows:
        """Trials that count and have every value."""
        return self.setting.holding(whole(self.setting.history))

    @cached_property
    def points(self) -> Array:
        """Their model inputs, with what is held."""
        return self.setting.inputs_of(self.rows)

    @cached_property
    def sources(self) -> list[Source]:
        """One for each objective."""
        return [
            Source(self.setting.posteriors[j], marginal, self._measured(j, output, marginal))
            for j, (output, marginal) in enumerate(zip(self.setting.gp.outputs, self.marginals, strict=True))
        ]

    @cached_property
    def marginals(self) -> list[Marginal]:
        """What each objective is worth, in the units of its model."""
        return [_marginal(self.setting.history, j, output) for j, output in enumerate(self.setting.gp.outputs)]

    def _measured(self, j: int, output: GaussianProcess, marginal: Marginal) -> Array | None:
        history = self.setting.history
        if not output.exact or self.setting.held:
            return None
        return marginal.worth(output.outcome.forward(history.Y[self.rows, j]))

    @cached_property
    def means(self) -> Array:
        """Worth of the trials as measured where that is exact, else of the posterior mean, shape (n, m)."""
        columns = [
            source.marginal.worth(source.posterior.mean_sd(self.points)[0])
            if source.measured is None
            else source.measured
            for source in self.sources
        ]
        return np.stack(columns, axis=1)

    @cached_property
    def reference(self) -> Array:
        """The worst worth that counts: the reference point of the record, raised to every threshold, shape (m,).

        An inferred coordinate is lowered to what would be inferred from the front of the means all over the space: the
        front of a few trials rarely reaches its ends, and nothing beyond the reference point would ever be worth one.

        Where no point may reach it, it is lowered to just behind the one that comes nearest. Of hopes that are all but
        impossible the likeliest are where least is known, not where least is missing.
        """
        history, gp = self.setting.history, self.setting.gp
        stated = np.array([g.reference is not None or g.threshold is not None for g in history.measured])
        values = history.reference
        if not stated.all():
            means = np.concatenate([history.utility(gp.posterior(self._likely)[0]), values[None]])
            values = np.where(stated, values, np.minimum(values, infer_reference(means)))
        values = np.fmax(np.fmax(values, history.thresholds), history.levels(self.setting.thresholds))
        wanted = np.array(
            [_worth_of(output, marginal, value) for output, marginal, value in zip(
                self.setting.gp.outputs, self.marginals, values, strict=True)]
        )  # fmt: skip
        if stated.any() or np.isfinite(history.levels(self.setting.thresholds)).any():
            return self._within_reach(wanted)
        return wanted

    @property
    def _likely(self) -> Array:
        """Candidates that are likely to hold the limits, encoded: beyond them the front of the means is none."""
        setting = self.setting
        if not setting.limits:
            return setting.candidates
        held = LogFeasibility(setting.limits).value(setting.gp.inputs.model_points(setting.candidates)) > _EVEN
        return setting.candidates[held]

    def _within_reach(self, wanted: Array) -> Array:
        """A reference point, lowered if no trial and no candidate comes beyond it, three sd of hope included."""
        moments = [posterior.mean_sd(self.setting.spread) for posterior in self.setting.posteriors]
        pairs = list(zip(self.marginals, moments, strict=True))
        means = np.stack([marginal.worth(mu) for marginal, (mu, _) in pairs], axis=1)
        hopes = np.stack([marginal.hoped(mu, _HOPE * sd) for marginal, (mu, sd) in pairs], axis=1)
        if (wanted < self.means).all(axis=1).any() or (wanted < hopes).all(axis=1).any():
            return wanted
        known = np.concatenate([self.means, means])
        nadir, ideal = extent(known)
        span = np.where(ideal > nadir, ideal - nadir, 1.0)
        nearest = known[((known - wanted) / span).min(axis=1).argmax()]
        lowered: Array = np.minimum(wanted, nearest - _BEHIND * span)
        return lowered

    def outcomes(self, versions: int = VERSIONS, score: Callable[[Array], Array] | None = None) -> Outcomes:
        """In versions of what is not known, contenders for the front and points in flight.

        Points of the front of the means that are known too well to be among the contenders stand at their means.

        Args:
            versions: A power of two.
            score: What worths (n, m) amount to, where the best by this is of interest and not the front.
        """
        sources = self.sources
        rows: Rows = np.arange(len(self.rows))
        settled = rows[:0]
        if any(source.measured is None for source in sources):
            rows, settled = self._contenders(score)
            sources = [source.at(rows) for source in sources]
        limits = self.setting.limits
        feasible = (lambda Z: np.exp(LogFeasibility(limits).value(Z))) if limits else None
        flying = self.setting.gp.inputs.model_points(self.setting.pending)
        here = self.setting.here(self.setting.pending) if self.setting.held else None
        return outcomes(
            sources, self.points[rows], flying, feasible, self.setting.rng, versions, self.means[settled], here
        )

    def _contenders(self, score: Callable[[Array], Array] | None) -> tuple[Rows, Rows]:
        """Rows whose values are drawn, and others of the front of the means, or best by the score."""
        _, first = np.unique(self.points, axis=0, return_index=True)  # repeats of one point have one value
        single = np.sort(first)
        means = self.means[single]
        gain: Callable[[Array], Array]
        if score is None:
            gain = free_boxes(self.means[self._high], self.reference).gain
            top = non_dominated(means) & (means > self.reference).all(axis=1)
        else:
            scores = score(means)
            least = scores.max()
            gain = lambda U: score(U) - least  # noqa: E731
            top = scores == least
        sources = [source.at(single) for source in self.sources]
        rows = single[contenders(sources, self.points[single], gain, _MOST_POINTS, _REACH)]
        return rows, np.setdiff1d(single[top], rows)

    @cached_property
    def _high(self) -> Rows:
        """At most so many points of the mean front, those that dominate most: boxes of all of them may be too many."""
        above = self.means - self.reference
        score = np.log(np.maximum(above, 1e-12)).sum(axis=1)
        return np.argsort(-score, kind="stable")[:_MOST_POINTS]


def whole(history: History) -> Rows:
    """Trials that count and have every value; of all complete ones if none counts."""
    told = ~np.isnan(history.Y).any(axis=1)
    rows = np.flatnonzero(history.counted & told)
    return rows if rows.size else np.flatnonzero(history.complete & history.placed & told)


def _marginal(history: History, j: int, output: GaussianProcess) -> Marginal:
    goal = history.measured[j]
    if goal.target is not None:
        target = float(output.outcome.forward(np.array(goal.target)))
        return Targeted(target, goal.tolerance / output.outcome.slope)
    return Plain() if output.outcome.bend is None else Bent(output.outcome)


def _worth_of(output: GaussianProcess, marginal: Marginal, value: float) -> float:
    """A utility in user units as worth in the units of the model."""
    if isinstance(marginal, Targeted):
        return float(value / output.outcome.slope)
    return float(marginal.worth(output.outcome.forward(np.array(value))))


# -- the rows' functions -----------------------------------------------------------------------


def _ehvi(setting: Setting, seconds: float) -> Acquisition:
    """With as many versions as fit, the fewest where it was asked for by name and none do."""
    known = Known(setting)
    return LogEHVI(known.outcomes(load(setting, seconds).versions or _FEWEST), known.reference)


def _parego(setting: Setting, seconds: float) -> Acquisition:
    """Weights as preferred, else drawn evenly from all; with thresholds, from the reference point on."""
    known, history = Known(setting), setting.history
    if setting.prefer:
        weights = np.array([setting.prefer.get(goal.name, 0.0) for goal in history.measured])
    else:
        weights = setting.rng.dirichlet(np.ones(len(history.measured)))
    nadir, ideal = extent(known.means)
    way = Chebyshev.of(weights, nadir, ideal, known.reference if setting.thresholds else None)
    return LogParEGO(known.outcomes(score=way), way, nadir)


def _hvkg(setting: Setting, seconds: float) -> Acquisition:
    """Over the points whose means make up most of the front, of the trials and all over the space."""
    known, history, gp = Known(setting), setting.history, setting.gp
    told = np.flatnonzero(history.complete & history.placed)
    Z = np.concatenate([setting.inputs_of(told), gp.inputs.model_points(setting.candidates)])
    if setting.limits:
        likely = LogFeasibility(gp.limits).value(Z) > _EVEN
        Z = Z[likely] if likely.any() else Z
    P = gp.inputs.model_points(setting.pending)
    posteriors = [_believing(posterior, P) for posterior in setting.posteriors]
    U = np.stack([m.worth(p.mean_sd(Z)[0]) for m, p in zip(known.marginals, posteriors, strict=True)], axis=1)
    beyond = np.all(known.reference < U, axis=1, keepdims=True)
    front = np.flatnonzero(non_dominated(np.where(beyond, U, np.nan)))
    if front.size == 0:  # it may be out of reach of the means and yet not of hope
        front = np.argsort(-(U - known.reference).min(axis=1), kind="stable")[:_ON_FRONT]
    A = Z[front[telling(U[front], known.reference, _ON_FRONT)]]
    names = [goal.name for goal in history.measured]
    measured = np.array([not setting.measure or name in setting.measure for name in names])
    return LogHVKG(posteriors, known.marginals, A, known.reference, measured, setting.cost)


def _mes(setting: Setting, seconds: float) -> Acquisition:
    """Information about the largest value of each objective, added up.

    The largest values over the front of a drawn function are the largest values of its objectives, so the sum is the
    output-space entropy search of Belakaria, Deshwal, Doppa 2019 (MESMO), eq. 4.9.
    """
    points = np.concatenate([setting.observed(), setting.spread])
    known = [None if source.measured is None else float(source.measured.max()) for source in Known(setting).sources]
    return Averaged(
        [
            MES(posterior, max_value_samples(posterior, points, _MAXIMA, setting.rng, least=least))
            for posterior, least in zip(_in_flight(setting), known, strict=True)
        ]
    )


def _jes(setting: Setting, seconds: float) -> Acquisition:
    posteriors = _in_flight(setting)
    return Logarithm(JES(posteriors, _drawn_fronts(setting, posteriors)))


def _pes(setting: Setting, seconds: float) -> Acquisition:
    """Rivals are the front of the measured points that are known well: what these beat follows from them."""
    posteriors, points = _in_flight(setting), setting.observed()
    moments = [posterior.mean_sd(points) for posterior in posteriors]
    mu, sd = (np.stack([pair[i] for pair in moments], axis=1) for i in (0, 1))  # (n, m)
    mu[(sd > _KNOWN).any(axis=1)] = np.nan
    rivals = points[_outstanding(mu, _RIVALS)]
    return Logarithm(PES(posteriors, [front.points for front in _drawn_fronts(setting, posteriors)], rivals))


def _in_flight(setting: Setting) -> list[ExactPosterior]:
    """The posteriors, trials in flight believed to bring what is expected of them."""
    P = setting.gp.inputs.model_points(setting.pending)
    return [_believing(posterior, P) for posterior in setting.posteriors]


def _drawn_fronts(setting: Setting, posteriors: Sequence[ExactPosterior]) -> list[DrawnFront]:
    """Fronts of drawn functions, looked for among the trials and points where limits are likely to hold."""
    points, levels = np.concatenate([setting.observed(), setting.spread]), setting.levels()
    fronts = []
    for _ in range(_FRONTS):
        values = np.stack([draw(posterior, setting.rng, levels).value(points) for posterior in posteriors], axis=1)
        on = _outstanding(values, _ON_FRONT)
        fronts.append(DrawnFront(points[on], values[on]))
    return fronts


def _outstanding(U: Array, most: int) -> Rows:
    """Rows of the front of U (n, m), at most so many, those that make up most of its hypervolume; one objective's best.

    Rows with NaN are left out.
    """
    on = np.flatnonzero(non_dominated(U))
    if U.shape[1] == 1:
        return on[:1]
    if len(on) <= most:
        return on
    return on[telling(U[on], infer_reference(U), most)]


def _believing(posterior: ExactPosterior, P: Array) -> ExactPosterior:
    if len(P) == 0:
        return posterior
    return posterior.condition(P, posterior.mean_sd(P)[0][None], max(posterior.noise, NOISELESS)).version(0)


MAKERS: Mapping[str, Callable[[Setting, float], Acquisition]] = {
    "ehvi": _ehvi,
    "nehvi": _ehvi,
    "parego": _parego,
    "hvkg": _hvkg,
    "mes": _mes,
    "jes": _jes,
    "pes": _pes,
}
