"""The committed results as one page, `benchmarks/RESULTS.md`.

    python benchmarks/summary.py

Reads `benchmarks/results/*.json` and runs nothing. A figure stands where it was measured and nowhere else: this page is
made, and a test says when it is out of date.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent / "RESULTS.md"
_TOP = """# Results

Made by `python benchmarks/summary.py` from the records in `results/`. Two shared cores, one thread a process, unless a
line says otherwise. Differences are ours minus theirs, so below zero is better, paired by seed and by initial design;
brackets hold 90 % bootstrap intervals. How peers were run: [`results/peers`](results/peers/README.md).
"""


def read(name: str) -> Any:
    """One record."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, figures to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(title: str, command: str, *parts: str) -> str:
    """A heading, the command that made the record, and what it holds."""
    return "\n\n".join([f"## {title}", f"`python benchmarks/{command}`", *parts])


def regret() -> str:
    """One objective: where the search ends."""
    parts = [
        "Median log10 of what is missing to the optimum, at most 1e-6 of the function's range. *tuned*: functions that "
        "the engine was tuned on; *held-out*: nothing was."
    ]
    for part in read("regret"):
        rows = []
        for case in part["cases"]:
            best, gap = case["best_peer"], _gap(case["ours_minus_it"], *case["interval"])
            peer = f"{_plain(best)} {case['median'][best]:.2f}"
            rows.append([case["case"], f"{case['median']['gp']:.2f}", peer, gap, str(case["pairs"])])
        parts.append(table([part["part"], "gp", "best peer", "difference", "seeds"], rows))
        rows = [
            [_plain(peer["peer"]), str(peer["cases"]), _gap(peer["ours_minus_it"], *peer["interval"]),
             *(_seconds(peer["ask_s"][name]) for name in ("gp", peer["peer"]))]
            for peer in part["peers"]
        ]  # fmt: skip
        parts.append(table(["peer", "cases", "mean difference", "our ask", "its ask"], rows))
    return section("Regret of one objective", "regret.py --seeds 30 --mixed-seeds 15", *parts)


def latency() -> str:
    """What an ask costs."""
    rows = []
    for row in read("ask_latency")["rows"]:
        runs = row["gp"], row["peer:optuna-gp"]
        mean, first = ([_seconds(run[key]) for run in runs] for key in ("mean_s", "first_s"))
        grown = [f"{run['grown_mib']:.0f} MiB" for run in runs]
        rows.append([str(row["d"]), str(row["n"]), *mean, f"{row['ratio peer:optuna-gp']:.2f}", *first, *grown])
    header = ["d", "trials", "our ask", "Optuna GP", "ratio", "our first", "its first", "our memory", "its memory"]
    return section("Seconds of an ask", "ask_latency.py", table(header, rows))


def volumes() -> str:
    """Several objectives: where the search ends."""
    rows = []
    for case in read("hypervolume")["cases"]:
        best, ours = case["best_peer"], case["median"].get("gp")
        if best is not None and ours is not None:
            gap = case["ours_minus"][best]
            peer = f"{_plain(best)} {case['median'][best]:.2f}"
            difference = _gap(gap["mean"], gap["low"], gap["high"])
            rows.append([case["case"], f"{ours:.2f}", peer, difference, str(gap["pairs"])])
    text = "Median log10 of what is missing to the largest known hypervolume."
    header = ["case", "gp", "best peer", "difference", "seeds"]
    return section("Several objectives", "hypervolume.py ours", text, table(header, rows))


def preferences() -> str:
    """Human answers."""
    found = read("ranking_preference")
    models = {name: values for name, values in found.items() if isinstance(values, dict) and "tau" in values}
    rows = [
        [name, f"{values['tau']:.3f}", _seconds(values["fit_s"]), _seconds(values["question_s"])]
        for name, values in models.items()
    ]
    text = f"{found['seeds']} data sets of BoTorch's tutorial: Kendall's tau, and seconds of a fit and of a question."
    return section("Preferences", "ranking.py preference", text, table(["model", "tau", "fit", "question"], rows))


def record() -> str:
    """The durable record."""
    found = read("storage")["runs"][0]
    rows = []
    for name, key in (("tell", "tell"), ("load a study", "load"), ("list studies", "list")):
        times = [_seconds(found[f"{key}_{whose}_ms"] / 1e3) for whose in ("ours", "optuna")]
        rows.append([name, *times, f"{found[f'{key}_ratio_optuna']:.3f}"])
    said = f"{found['trials']:,} trials as tensors: {_seconds(found['history_s'])}."
    return section("The record", "storage.py", table(["", "ours", "Optuna", "ratio"], rows), said)


SECTIONS: tuple[Callable[[], str], ...] = (regret, latency, volumes, preferences, record)


def page() -> str:
    """The whole page."""
    return "\n\n".join([_TOP.rstrip(), *(section() for section in SECTIONS)]) + "\n"


def _plain(name: str) -> str:
    return name.removeprefix("peer:")


def _gap(mean: float, low: float, high: float) -> str:
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.0f} ms" if value >= 0.01 else f"{1e3 * value:.1f} ms"


def main() -> None:
    PAGE.write_text(page())
    print(json.dumps({"page": PAGE.name, "sections": len(SECTIONS)}))


if __name__ == "__main__":
    main()
