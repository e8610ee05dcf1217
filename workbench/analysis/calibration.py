"""Every trial predicted from all others: is the model right, and does it know how right it is?

Closed form, hyperparameters held (`ExactPosterior.left_out`). The probability integral transform of a trial, the share
of its prediction that lies below what was measured, is uniform where a model is honest: since it is taken before any
bend is undone it does not depend on the unit.

Symbols: n trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.analysis.belief import Belief, Quantity

    Array = NDArray[np.float64]

FEWEST = 5  # trials below which nothing is said of how good the model is


@dataclass(frozen=True)
class Calibration:
    """One quantity predicted trial by trial from all other trials, in user units.

    Args:
        quantity: Its name.
        unit: Its unit.
        trials: Numbers of the trials, shape (n,).
        measured: What came out, shape (n,).
        mean, sd: What was predicted for the measurement, noise included, shape (n,).
        z: (measured - mean) / sd before any bend is undone, shape (n,).
        noise: Standard deviation of one measurement that the model assumes.
    """

    quantity: str
    unit: str | None
    trials: NDArray[np.int64]
    measured: Array
    mean: Array
    sd: Array
    z: Array
    noise: float

    @classmethod
    def of(cls, belief: Belief, quantity: Quantity) -> Calibration:
        """The calibration of one quantity; of complete trials only, with at least two values."""
        process, history = quantity.process, belief.history
        own = history.complete[process.rows]
        y = process.data.y
        if len(y) < 2:
            none = np.empty(0)
            return cls(quantity.name, quantity.unit, process.rows[:0], none, none, none, none, quantity.noise)
        residual, sd = process.posterior.left_out()
        mean, spread = quantity.told(y - residual, sd)
        return cls(
            quantity.name, quantity.unit, history.numbers[process.rows[own]],
            quantity.sign * process.outcome.backward(y)[own], mean[own], spread[own],
            quantity.sign * (residual / sd)[own], quantity.noise,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.trials)

    @cached_property
    def pit(self) -> Array:
        """Share of each prediction below what was measured, shape (n,); uniform if the model is honest."""
        return np.asarray(ndtr(self.z), dtype=np.float64)

    @property
    def rmse(self) -> float:
        """Root mean square error of the predictions, user units."""
        return float(np.sqrt(np.mean((self.measured - self.mean) ** 2)))

    @property
    def r2(self) -> float:
        """1 - squared error / that of the mean of all other trials; 0 where nothing varies."""
        n = len(self)
        spread = float(((self.measured - self.measured.mean()) ** 2).sum()) * (n / max(n - 1, 1)) ** 2
        return 1.0 - float(((self.measured - self.mean) ** 2).sum()) / spread if spread > 0 else 0.0

    @property
    def log_density(self) -> float:
        """Mean logarithm of the predicted normal density of what was measured, in nats."""
        sd = np.maximum(self.sd, 1e-300)
        return float(np.mean(-0.5 * ((self.measured - self.mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)))

    def inside(self, level: float = 0.95) -> int:
        """How many trials fell inside their central interval of this probability."""
        return int((np.abs(self.z) <= ndtri(0.5 + 0.5 * level)).sum())

    def usual(self, level: float = 0.95) -> tuple[int, int]:
        """Between which counts `inside` lies in 99 of 100 cases if the model is honest."""
        from scipy.stats import binom

        low, high = binom.interval(0.99, len(self), level)
        return int(low), int(high)

    def histogram(self, bins: int = 8) -> tuple[NDArray[np.int64], tuple[int, int]]:
        """Counts of `pit` in equal bins, and between which counts chance alone keeps each in 95 of 100 cases."""
        from scipy.stats import binom

        counts = np.histogram(self.pit, bins=bins, range=(0.0, 1.0))[0]
        low, high = binom.interval(0.95, len(self), 1.0 / bins)
        return counts.astype(np.int64), (int(low), int(high))

    def odd(self, error: float = 0.01) -> Array:
        """How far each trial is from its prediction beside the others, shape (n,), and 0 where that is not odd.

        In robust standard deviations of all z, since an outlier widens the noise that the model infers, which hides
        it; odd is what a t distribution of n - 1 degrees of freedom makes less likely than `error` in n trials.
        """
        from scipy.stats import t

        n = len(self)
        if n < FEWEST:
            return np.zeros(n)
        scale = max(1.4826 * float(np.median(np.abs(self.z - np.median(self.z)))), _LEAST_SCALE)
        far = np.abs(self.z - np.median(self.z)) / scale
        return np.where(far > t.ppf(1.0 - 0.5 * error / n, n - 1), far, 0.0)


_LEAST_SCALE = 0.3  # of z: below it, a model is so unsure of itself that nothing is told apart
