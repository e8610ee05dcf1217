"""The cases of the regret figures, budgets with the start included.

`CASES`: nine functions with known optima; on these the engine was tuned. `HELD_OUT`: four kinds of difficulty that were
written down before any of them was run, and on which nothing was tuned. `MIXED`: numbers beside choices and conditions,
and measured limits.
"""

from __future__ import annotations

from problems import learning, synthetic
from workbench.bench import Case

CASES = (
    Case.of(synthetic.branin(), 30),
    Case.of(synthetic.hartmann6(), 60),
    Case.of(synthetic.ackley(5), 60),
    Case.of(synthetic.levy(8), 80),
    Case.of(synthetic.rosenbrock(4), 60),
    Case.of(synthetic.griewank(6), 60),
    Case.of(synthetic.michalewicz(5), 60),
    Case.of(synthetic.styblinski_tang(4), 60),
    Case.of(synthetic.hartmann6(noise_sd=0.2), 80),
)
HELD_OUT = (
    Case.of(synthetic.rotated_ellipsoid(5), 60),
    Case.of(synthetic.step_ellipsoid(5), 60),
    Case.of(synthetic.gaussian_peaks(4), 60),
    Case.of(synthetic.exponential_cliff(4), 60),
)
MIXED = (
    Case.of(learning.digits_svm(), 40),
    Case.of(learning.digits_forest(), 40),
    Case.of(synthetic.gramacy(), 40),
)
