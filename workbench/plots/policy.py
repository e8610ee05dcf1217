"""A policy of `gflownet`: how far it may be trusted, how it was trained, and what it draws for a preference.

Symbols: T steps, k designs, P preferences, s samples of each, m objectives; p what the policy
draws, R/Z what it should.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.markup import head
from workbench.plots import theme

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from workbench.problem import Objective

    Array = NDArray[np.float64]
    Trace = Mapping[str, NDArray[Any]]

_NOTHING = "No policy was trained on this study yet: study.optimize(fn, vectorized=True, evaluations=…) with gflownet."
_STEPS = 400  # points of a curve; more steps are put together
_DECADES = 1e-300  # least loss that a logarithmic axis shows
_REMEDY = "More evaluations, or a smaller beta, make it better."


def policy_verdict(trace: Trace) -> tuple[bool, str]:
    """May the policy be trusted, and one or more sentences that say so.

    Args:
        trace: Of a vectorised run, its attachment "trace-gflownet.npz".
    """
    reasons = [str(reason) for reason in trace["reasons"]]
    if len(trace["preferences"]):
        for_whom = " for equal weights of the objectives; for others look at what it draws for a preference"
    else:
        for_whom = ""
    if reasons:
        said = "; ".join(reasons)
        return False, f"Do not trust this policy yet: {said}. {_REMEDY}"
    if "trust.kept" in trace:
        kept = f"of two designs it draws the better one more often in {100 * float(trace['trust.kept']):.0f} % of cases"
        return True, f"The policy may be trusted: {kept}."
    if "trust.distance" in trace:
        right = f"{100 - 50 * float(trace['trust.distance']):.0f} % of what it draws is what it should draw"
        return True, f"The policy may be trusted{for_whom}: {right}."
    follows = f"it draws good designs as often as they are good (correlation {float(trace['trust.correlation']):.2g})"
    return True, f"The policy may be trusted{for_whom}: {follows}."


def policy_trust(trace: Trace) -> Figure:
    """Draw how probable designs are beside how probable they should be, and what samples are worth.

    Of a policy that was trained on an order, beside what they are worth: more has to be more probable, and no more.

    Args:
        trace: Of a vectorised run, its attachment "trace-gflownet.npz".
    Returns:
        A plotly figure; its text for those who cannot see it is `layout.meta["alt"]`.
    """
    from plotly.subplots import make_subplots

    title = "May the policy be trusted?"
    if not trace:
        return theme.sentence(title, _NOTHING)
    fine, said = policy_verdict(trace)
    ordered = "trust.kept" in trace
    x, y = trace["log_target"], trace["log_p"]
    figure = make_subplots(rows=1, cols=2, column_widths=[0.72, 0.28], horizontal_spacing=0.12)
    word = "should be, is" if not ordered else "value, is"
    figure.add_scatter(
        x=x, y=y, mode="markers", marker=(theme.FRONT if fine else theme.OVER).marker() | {"size": 5, "opacity": 0.6},
        name="designs", hovertemplate=f"{word}<br>%{{x:.3g}}, %{{y:.3g}}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    if not ordered and len(x):
        ends = [float(x.min()), float(x.max())]
        line = {"color": theme.MUTED, "width": 1, "dash": "dash"}
        figure.add_scatter(x=ends, y=ends, mode="lines", line=line, name="as it should be", hoverinfo="skip",
                           row=1, col=1)  # fmt: skip
    low, q1, middle, q3, high = trace["quantiles"].tolist()
    figure.add_box(
        x=[""], lowerfence=[low], q1=[q1], median=[middle], q3=[q3], upperfence=[high], name="samples",
        line={"color": theme.SERIES[0], "width": 1.5}, fillcolor=theme.DOMINATED, showlegend=False, row=1, col=2,
    )  # fmt: skip
    figure.update_xaxes(**theme.axis("value" if ordered else "log of what it should be"), row=1, col=1)
    figure.update_yaxes(**theme.axis("log of how probable it is"), row=1, col=1)
    figure.update_xaxes(**theme.axis("samples") | {"ticks": "", "showgrid": False}, row=1, col=2)
    figure.update_yaxes(**theme.axis("value" if ordered else "log reward"), tickformat=".4~g", row=1, col=2)
    exact = "trust.distance" in trace
    caption = f"{len(x):,} designs{', all there are' if exact else ''}. " + (
        "Better designs have to be more probable." if ordered else "A perfect policy lies on the line."
    )
    caption += " Right: what its samples are worth, in quarters."
    alt = f"Designs by how probable they are and how probable they should be. {said} {caption}"
    return theme.layout(figure, said, alt, caption).update_layout(height=480)


def policy_trust_table(trace: Trace) -> dict[str, list[Any]]:
    """The numbers of the report, one a row."""
    if not trace:
        return {"quantity": [], "value": []}
    named = {
        "distance from the target, 0 to 2": "trust.distance",
        "share of the best designs that are drawn": "trust.coverage",
        "correlation of log p and log R": "trust.correlation", "slope of log p on log R": "trust.slope",
        "share of pairs in the right order": "trust.kept", "loss": "trust.loss",
        "effective sample size, share": "trust.effective",
    }  # fmt: skip
    rows = [(said, float(trace[key])) for said, key in named.items() if key in trace and np.isfinite(trace[key])]
    quarters = ("least", "lower quarter", "median", "upper quarter", "greatest")
    word = "value" if "trust.kept" in trace else "log reward"
    rows += [(f"{word}, {part}", value) for part, value in zip(quarters, trace["quantiles"].tolist(), strict=True)]
    return {"quantity": [said for said, _ in rows], "value": [value for _, value in rows]}


def policy_training(trace: Trace) -> Figure:
    """Draw loss and log reward of the trajectories by step of training.

    Args:
        trace: As for `policy_trust`.
    """
    from plotly.subplots import make_subplots

    title = "Training of the policy"
    if not trace or not len(trace["loss"]):
        return theme.sentence(title, _NOTHING)
    steps, loss, (low, middle, high) = _binned(trace)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1)
    figure.add_scatter(
        x=steps, y=np.maximum(loss, _DECADES), mode="lines", line={"color": theme.SERIES[0]}, name="loss",
        hovertemplate="step %{x:,d}: loss %{y:.3g}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    edge = {"width": 0, "color": theme.MODEL.color}
    figure.add_scatter(x=steps, y=high, mode="lines", line=edge, showlegend=False, hoverinfo="skip", row=2, col=1)
    figure.add_scatter(x=steps, y=low, mode="lines", line=edge, fill="tonexty", fillcolor=theme.MODEL.band,
                       name="least to greatest", hoverinfo="skip", row=2, col=1)  # fmt: skip
    figure.add_scatter(
        x=steps, y=middle, mode="lines", line={"color": theme.MODEL.color, "width": 2}, name="median log reward",
        hovertemplate="step %{x:,d}: median log reward %{y:.3g}<extra></extra>", row=2, col=1,
    )  # fmt: skip
    figure.update_xaxes(**theme.axis(""), tickformat=",d", row=1, col=1)
    figure.update_xaxes(**theme.axis("step"), tickformat=",d", row=2, col=1)
    figure.update_yaxes(**theme.axis("loss"), type="log" if loss.min() > 0 else "linear", row=1, col=1)
    figure.update_yaxes(**theme.axis("log reward"), row=2, col=1)
    found = f"loss {loss[0]:.2g} to {loss[-1]:.2g}, median log reward {middle[0]:.2g} to {middle[-1]:.2g}"
    n = len(trace["loss"])
    caption = f"{n:,} steps. Log rewards of the trajectories of a step, exploration among them."
    if len(steps) < n:
        caption += f" Each point is a mean over {-(-n // _STEPS)} steps."
    return theme.layout(figure, f"Training: {found}", f"Training by step: {found}. {caption}", caption).update_layout(
        height=520
    )


def policy_training_table(trace: Trace) -> dict[str, list[Any]]:
    """The numbers behind `policy_training`."""
    if not trace:
        return {"step": [], "loss": []}
    named = {"least log reward": 0, "median log reward": 1, "greatest log reward": 2}
    table = {"step": list(range(1, len(trace["loss"]) + 1)), "loss": trace["loss"].tolist()}
    return table | {name: trace["log_rewards"][:, i].tolist() for name, i in named.items()}


def policy_preferences(trace: Trace, goals: Sequence[Objective]) -> Figure:
    """Draw what the policy draws for preferences, each objective by its weight.

    Args:
        trace: As for `policy_trust`.
        goals: The measured objectives of the study.
    """
    from plotly.subplots import make_subplots

    title = "What it draws for a preference"
    if not trace:
        return theme.sentence(title, _NOTHING)
    if not len(trace["preferences"]):
        return theme.sentence(
            title, theme.say("This policy knows no preference: one objective, or trained on an order alone.")
        )
    if not trace["answers"].size:
        return theme.sentence(title, theme.say("Too few evaluations were left to look at what it draws for each."))
    W, values = trace["preferences"], _user_values(trace["answers"], goals)
    figure = make_subplots(rows=1, cols=len(goals), horizontal_spacing=0.09 if len(goals) < 4 else 0.06)
    found = []
    for j, goal in enumerate(goals):
        color = theme.SERIES[j % len(theme.SERIES)]
        x = np.repeat(W[:, j], values.shape[1])
        figure.add_scatter(
            x=x, y=values[:, :, j].ravel(), mode="markers", marker={"color": color, "size": 5, "opacity": 0.35},
            name="samples", showlegend=False, row=1, col=j + 1,
            hovertemplate="weight %{x:.2g}: %{y:.4g}<extra></extra>",
        )  # fmt: skip
        shares, medians = _by_weight(W[:, j], values[:, :, j])
        figure.add_scatter(x=shares, y=medians, mode="lines+markers", line={"color": color, "width": 2},
                           name=theme.literal(f"median of {theme.shorten(goal.name)}"), row=1, col=j + 1,
                           hovertemplate="weight %{x:.2g}: median %{y:.4g}<extra></extra>")  # fmt: skip
        figure.update_xaxes(**theme.axis(theme.literal(f"weight of {theme.shorten(goal.name, 18)}")), row=1, col=j + 1)
        aimed = f"from target: {theme.shorten(goal.name, 18)} ↓"
        title = theme.arrow_title(goal) if goal.target is None else theme.literal(aimed)
        figure.update_yaxes(**theme.axis(title), row=1, col=j + 1)
        found.append(f"{theme.shorten(goal.name)} {medians[0]:.3g} to {medians[-1]:.3g}")
    said = f"From no weight to all of it: {', '.join(found)}"
    caption = (
        f"One policy asked for {len(W)} preferences, {values.shape[1]} designs drawn for each. Lines are medians over "
        f"{theme.say('all preferences that give the objective that weight')}."
    )
    return theme.layout(figure, said, f"Samples by preference. {said}. {caption}", caption).update_layout(height=440)


def policy_preferences_table(trace: Trace, goals: Sequence[Objective]) -> dict[str, list[Any]]:
    """The numbers behind `policy_preferences`: weights, and the median of each objective."""
    table: dict[str, list[Any]] = {f"weight of {goal.name}": [] for goal in goals}
    table |= {f"median of {head(goal.name, goal.unit)}": [] for goal in goals}
    if not trace or not trace["answers"].size:
        return table
    medians = np.nanmedian(_user_values(trace["answers"], goals), axis=1)
    columns = np.concatenate([trace["preferences"], medians], axis=1)
    return {name: columns[:, i].tolist() for i, name in enumerate(table)}


def _user_values(U: Array, goals: Sequence[Objective]) -> Array:
    """Utilities (P, s, m) in user units; of an objective with a target, how far from it, beyond its tolerance."""
    signs = [-1.0 if goal.target is not None or goal.direction == "minimize" else 1.0 for goal in goals]
    return np.asarray(U * signs)


def _by_weight(w: Array, values: Array) -> tuple[Array, Array]:
    """Different weights, rising, and the median of all samples with each."""
    shares = np.unique(w.round(9))
    return shares, np.array([np.nanmedian(values[np.isclose(w, share)]) for share in shares])


def _binned(trace: Trace) -> tuple[Array, Array, tuple[Array, Array, Array]]:
    """Last step of each bin, and means over the bins of the loss and of least, median and greatest log reward."""
    n = len(trace["loss"])
    edges = np.arange(0, n, -(-n // _STEPS))
    sizes = np.diff(np.append(edges, n))
    loss, *rewards = (np.add.reduceat(c, edges) / sizes for c in (trace["loss"], *trace["log_rewards"].T))
    return (edges + sizes).astype(np.float64), loss, (rewards[0], rewards[1], rewards[2])
