"""What people's answers say that trials are worth: `study.model().utility()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError, TrialStateError
from workbench.study.record import finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.taste import Taste

    Array = NDArray[np.float64]

_RESTARTS, _RAW = 8, 1024  # of the search for the best design
_FAR_BELOW = 10.0  # standard deviations below every utility, where an expected gain is a mean


@dataclass(frozen=True)
class Favourite:
    """What the answers recommend.

    Args:
        params: Parameter values.
        mean, sd: Of its utility, in units of the noise of a judgement.
        nearest: Number of the trial that is nearest in the inputs of the model.
        best_shown: Number of the trial with the largest mean utility.
        why: In what it differs from that trial, in one sentence.
    """

    params: dict[str, Any]
    mean: float
    sd: float
    nearest: int
    best_shown: int
    why: str


class Utility:
    """The belief about utility at one revision of the record.

    Utility has no unit of its own: a difference of 1 is as large as the noise of one judgement.

    Attributes:
        numbers: Trials that the favourite is one of, shape (n,).
        mean, sd: Of their utilities, shape (n,).
    """

    def __init__(self, taste: Taste) -> None:
        self._taste = taste
        rows = taste.candidates
        self._Z = taste.of_rows(rows)
        self.numbers: NDArray[np.int64] = taste.history.numbers[rows]
        self.mean, self.sd = taste.model.mean_sd(self._Z)

    @property
    def raters(self) -> dict[str, float]:
        """Precision of each rater: how much a difference of utility counts with them; about 1 for a typical one."""
        return self._taste.model.raters

    @cached_property
    def favourite(self) -> dict[int, float]:
        """Probability that each trial is the best of all; in a study with outcomes, of those on the Pareto front."""
        from workbench.pareto import non_dominated

        history, keep = self._taste.history, np.ones(len(self.numbers), dtype=bool)
        if self._taste.over == "outcomes" and len(self.numbers):
            keep = non_dominated(history.utility(history.Y[self._taste.candidates]))
        shares = self._taste.model.favourite(self._Z[keep], history.seed % 2**31) if keep.any() else np.empty(0)
        return dict(zip(self.numbers[keep].tolist(), shares.tolist(), strict=True))

    def of(self, points: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> tuple[Array, Array]:
        """Mean and standard deviation of the utility of designs, or of outcomes where utility depends on these.

        Args:
            points: Parameters, or values by objective, of one point or of n.
        Returns:
            Two arrays of shape (n,).
        """
        listed = [points] if isinstance(points, Mapping) else list(points)
        history = self._taste.history
        if self._taste.over == "design":
            checked = [history.space.check(point, bounds=False) for point in listed]
            return self._taste.model.mean_sd(self._taste.inputs.model_points(history.space.encode(checked)))
        names = [goal.name for goal in history.measured]
        wrong = [point for point in listed if set(point) != set(names)]
        if wrong:
            raise InvalidValueError(f"utility depends on the outcomes {', '.join(names)}; got {wrong[0]!r}")
        Y = np.array(
            [[goal.sign * finite(repr(goal.name), point[goal.name]) for goal in history.measured] for point in listed]
        )
        return self._taste.model.mean_sd(self._taste.scaled(history.utility(Y)))

    def recommend(self) -> Favourite:
        """The design whose utility is largest in the mean, anywhere in the space.

        Raises:
            TrialStateError: if no trial can be compared with it.
        """
        from workbench.acquisition.preference import eubo
        from workbench.acquisition.search import Region, maximize

        taste, history = self._taste, self._taste.history
        best = taste.favourite
        if best is None:
            raise TrialStateError(
                "no trial that was judged is still in the record; answer study.feedback.next_question()"
            )
        rng = np.random.default_rng([history.seed, history.next_number])
        region = Region(history.space, taste.inputs, {}, lambda X: np.ones(len(X), dtype=bool))
        if taste.over == "design":
            acquisition: Any = eubo(taste.model, np.empty((0, self._Z.shape[1])))
        else:
            acquisition = self._outcomes()
        found = maximize(acquisition, region, rng, history.X[[best]], restarts=_RESTARTS, raw_samples=_RAW)
        shown = int(history.numbers[best])
        x = history.X[best] if found is None else found.x
        if taste.over == "design":
            Z = taste.inputs.model_points(x[None])
        else:
            Z = self._foreseen(x)
        mean, sd = (float(v[0]) for v in taste.model.mean_sd(Z))
        own = float(self.mean[self.numbers == shown][0])
        if mean <= own:  # nothing better was found than what is there
            x, mean, sd = history.X[best], own, float(self.sd[self.numbers == shown][0])
            Z = taste.of_rows(np.array([best]))
        gaps = ((self._Z - Z) ** 2).sum(axis=1)
        nearest = int(self.numbers[int(np.argmin(gaps))])
        why = f"trial {shown} is the best that was shown"
        if mean > own:
            why += f"; between the answers lies more: {mean:.3g} ± {sd:.2g} instead of {own:.3g}"
        return Favourite(history.space.decode(x[None])[0], mean, sd, nearest, shown, why)

    def _outcomes(self) -> Any:
        from workbench.acquisition.preference import OutcomeEI

        low = float((self.mean - _FAR_BELOW * max(1.0, self._taste.model.scale**0.5)).min())
        return OutcomeEI(self._taste, self._processes, low, self._taste.history.seed % 2**31)

    @cached_property
    def _processes(self) -> Any:
        from workbench.models.gp import GaussianProcesses

        return GaussianProcesses.fit(self._taste.history)

    def _foreseen(self, x: Array) -> Array:
        """Inputs of the outcomes that are foreseen at an encoded point (d,), shape (1, m)."""
        Y = self._processes.posterior(x[None])[0]
        return self._taste.scaled(self._taste.history.utility(Y))
