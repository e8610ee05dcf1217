"""A result as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.bench.result import Result

HEADS = ("case", "contestant", "seeds", "log10 regret", "quartiles", "first minus this", "interval",
         "ask mean", "median", "p95", "tell", "CPU s/run", "MiB")  # fmt: skip


def table(result: Result) -> str:
    """Rows by case and contestant, the overall differences, what failed, and how to read it."""
    parts = [aligned(HEADS, [cells(row) for row in result.rows()])]
    overall = result.to_json()["overall"]
    for d in overall:
        parts.append(
            f"{d['first']} minus {d['other']}, mean over cases: {d['mean']:+.2f} [{d['low']:+.2f}, {d['high']:+.2f}] "
            f"decades ({d['pairs']} pairs)"
        )
    parts += [f"FAILED {f.case} by {f.contestant}, seed {f.seed}: {f.text}" for f in result.failures]
    parts.append(notes(result))
    return "\n\n".join(filter(None, parts))


def cells(row: dict[str, Any]) -> list[str]:
    """One row of `Result.rows` in words."""
    regret, difference, timing = row["log10_regret"], row["first_minus_this"], row["timing"]
    recorded = " *" if timing["recorded"] else ""
    return [
        row["case"],
        row["contestant"] + recorded,
        f"{row['seeds']}" + (f" ({row['cut']} cut)" if row["cut"] else ""),
        f"{regret['median']:.2f}",
        f"{regret['q25']:.2f} … {regret['q75']:.2f}",
        f"{difference['mean']:+.2f}" if difference else "",
        f"{difference['low']:+.2f} … {difference['high']:+.2f}" if difference else "",
        *(duration(timing[key]) for key in ("ask_mean", "ask_median", "ask_p95", "tell_mean")),
        f"{timing['cpu_per_run']:.1f}",
        f"{timing['peak_mib']:.0f}",
    ]


def duration(seconds: float) -> str:
    """Seconds or milliseconds, three digits."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def notes(result: Result) -> str:
    """How to read the table."""
    said = []
    if any(len(case.objectives) == 1 for case in result.cases):
        point = "the point with the best value told" if result.taken == "chosen" else "the best point evaluated"
        said.append(f"Regret: of the true value of {point}, clipped to [1e-6, 1] of the range.")
    if any(len(case.objectives) > 1 for case in result.cases):
        front = "front by the values told" if result.taken == "chosen" else "points evaluated"
        said.append(
            "Regret of several objectives: what is missing to the largest hypervolume known, by the true values of the "
            f"{front}, clipped to [1e-6, 1] of it."
        )
    unknown = [
        c for c in result.cases if len(c.objectives) == 1 and c.goal.target is None and c.problem.optimum is None
    ]
    if unknown:
        said.append(f"The best run stands for the optimum of {', '.join(c.name for c in unknown)}, which is not known.")
    if len(result.contestants) > 1:
        said.append(
            f"First minus this: {result.contestants[0]} minus the contestant, decades, paired by seed, negative where "
            f"{result.contestants[0]} is better; bootstrap interval of {result.level:.0%}."
        )
    for case in result.cases:
        for name in result.contestants:
            runs = result.runs_of(case.name, name).values()
            if idle := [run.cut for run in runs if run.idle]:
                said.append(f"Not compared: {name} on {case.name}, {len(idle)} of {len(runs)} runs cut {idle[0]}.")
    if result.recorded:
        said.append("* from earlier records; times of another day.")
    return "\n".join(said)


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their heads, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = []
    for row in (heads, *rows):
        sides = zip(row, widths, (str.ljust, str.ljust, *[str.rjust] * (len(heads) - 2)), strict=True)
        padded = [side(cell, width) for cell, width, side in sides]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
