"""Where the matrices of a process are: in LAPACK, or those of many points on a device (`device`, which loads torch)."""

from __future__ import annotations

from workbench.models import exact
from workbench.models.exact import Array, Data, ExactPosterior, Prior, Settings


def log_posterior(data: Data, settings: Settings, prior: Prior) -> tuple[float, Array]:
    """Log evidence plus log prior, and its gradient in theta, shape (t,)."""
    if not data.elsewhere:
        return exact.log_posterior(data, settings, prior)
    from workbench.models import device

    return device.log_posterior(data, settings, prior)


def posterior(data: Data, settings: Settings) -> ExactPosterior:
    """The posterior at some hyperparameters."""
    if not data.elsewhere:
        return ExactPosterior.of(data, settings)
    from workbench.models.device import DevicePosterior

    return DevicePosterior.of(data, settings)
