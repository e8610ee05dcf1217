"""The cases of the regret figures: nine functions with known optima, budgets with the start included."""

from __future__ import annotations

from problems import synthetic
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
