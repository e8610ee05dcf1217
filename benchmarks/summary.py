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

import numpy as np

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
        "Median log10 of what is missing to the optimum, or to the best run where that is not known, and at least 1e-6 "
        "of the function's range. *tuned*: functions that the engine was tuned on; *held-out*: nothing was."
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


def untold() -> str:
    """What it costs not to say how noisy an objective is."""
    found = read("untold")
    text = (
        "*Models* of Sobol points of a bowl with noise of sd 1: the median error of the mean, as a share of the bowl's "
        "standard deviation (*signal*), beside BoTorch's `SingleTaskGP`, and the log density that the bowl has under "
        "the model, in nats a point, ours minus its: more is better. *Searches* of `gp` that is told the noise (or "
        "that there is none) and that is not: decades of regret, so less is better."
    )
    rows = [
        [f"{row['signal']:g}", str(row["d"]), str(row["n"]), f"{row['gp']['error']:.2f}",
         f"{row['botorch']['error']:.2f}", _gap(*row["density_gap"])]
        for row in found["models"]
    ]  # fmt: skip
    bowls = table(["signal", "d", "trials", "our error", "BoTorch's", "density"], rows)
    rows = [
        [row["case"], f"{row['told']:.2f}", f"{row['untold']:.2f}", _gap(*row["gap"]), str(row["seeds"])]
        for row in found["searches"]
    ]
    cases = table(["case", "told", "untold", "untold minus told", "seeds"], rows)
    return section("Noise of which nothing is said", "untold.py", text, bowls, cases)


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
    """Several objectives: where the search ends, and what it takes."""
    rows, found = [], read("hypervolume")
    for case in found["cases"]:
        best, ours = case["best_peer"], case["median"].get("gp")
        if best is not None and ours is not None:
            gap = case["ours_minus"][best]
            peer = f"{_plain(best)} {case['median'][best]:.2f}"
            cut = ", ".join(map(_plain, case["cut"]))
            rows.append([case["case"], f"{ours:.2f}", peer, _gap_of(gap), str(gap["pairs"]), cut])
    text = "Median log10 of what is missing to the largest known hypervolume; runs that were cut at half an hour."
    header = ["case", "gp", "best peer", "difference", "seeds", "cut"]
    means = [[_plain(peer), _gap_of(gap), str(gap["pairs"])] for peer, gap in found["overall"].items()]
    spent = [
        [row["case"], ", ".join(map(str, row["their evaluations by then"])), _gap_of(row), str(row["pairs"])]
        for row in found["at_equal_time"]
    ]
    nehvi = "peer:botorch-qlognehvi"
    beside = [
        [row["case"], str(row["n"]), _seconds(row["gp"]), _seconds(row[nehvi]), f"{row['ratio']:.2f}"]
        for row in read("hypervolume_ask")["rows"]
    ]
    alone = [
        [key, *(_seconds(row[kind]) for kind in ("wall", "cpu"))]
        for key, row in read("hypervolume_times")["asks"].items()
    ]
    return section(
        "Several objectives", "hypervolume.py ours", text, table(header, rows),
        "In the mean over the cases that both ran.", table(["ours minus", "difference", "runs"], means),
        "When ours has ended, and BoTorch's qLogNParEGO has spent as many seconds.",
        table(["case", "its evaluations by then", "difference", "seeds"], spent),
        "`python benchmarks/hypervolume.py beside`: seconds of an ask, in turn on the same designs.",
        table(["case", "trials", "our ask", "BoTorch NEHVI", "ratio"], beside),
        "`python benchmarks/hypervolume.py times`: an ask of ours at 100 trials of DTLZ2.",
        table(["objectives", "on the wall", "of the processor"], alone),
    )  # fmt: skip


def _gap_of(gap: dict[str, Any]) -> str:
    return _gap(gap["mean"], gap["low"], gap["high"])


def preferences() -> str:
    """Human answers."""
    found = read("ranking_preference")
    models = {name: values for name, values in found.items() if isinstance(values, dict) and "tau" in values}
    rows = [
        [name, f"{values['tau']:.3f}", _seconds(values["fit_s"]), _seconds(values["question_s"])]
        for name, values in models.items()
    ]
    text = f"{found['seeds']} data sets of BoTorch's tutorial: Kendall's tau, and seconds of a fit and of a question."
    models_table = table(["model", "tau", "fit", "question"], rows)
    found = read("ranking_regret")
    rows = []
    for case in dict.fromkeys(key.split(": ")[0] for key in found if ": " in key):
        row = [case]
        for peer in ("random", "BoTorch", "dashboard"):
            run = found[f"{case}: {peer}"]
            row.append(f"{run['eubo minus it, decades'][-1]:+.2f} ± {run['standard error'][-1]:.2f}")
        rows.append(row)
    said = (
        f"`python benchmarks/ranking.py regret`: decades of regret of the best shown after {found['pictures'][-1]} "
        f"pictures, `eubo` minus the others, and standard errors; {found['seeds']} seeds. The dashboard is Optuna's."
    )
    regrets = table(["case", "random", "BoTorch", "dashboard"], rows)
    return section("Preferences", "ranking.py preference", text, models_table, said, regrets)


def policies() -> str:
    """GFlowNets: speed, exactness, and what they find."""
    fast = read("gflownet_fast")
    rows = [
        [key, *(f"{row[name]:.1f} ms" for name in ("ms", "torchgfn ms", "network alone ms")), f"{row['share']:.2f}"]
        for key, row in fast.items() if isinstance(row, dict)
    ]  # fmt: skip
    steps = table(["grid, batch", "ours", "torchgfn", "the network alone", "ratio"], rows)
    exact = [
        [f"preferences, {name}", *(f"{np.mean(row[key]):.3f}" for key in ("mean L1", "worst L1"))]
        for name, row in read("gflownet_preferences").items() if isinstance(row, dict)
    ]  # fmt: skip
    distances = table(["one policy for 11 preferences and 5 exponents, encoded as", "mean L1", "worst L1"], exact)
    searches = ("gflownet", "mo-reinforce", "goal-conditioned", "nsga2", "random")
    rows = []
    for part in ("strings", "bigrams", "chemistry"):
        means = read(f"gflownet_{part}")["means"]
        for case in dict.fromkeys(key.rsplit(", ", 1)[0] for key in means):
            runs = [means[f"{case}, {search}"] for search in searches]
            rows.append([case, *(f"{run['hypervolume']:.3f}" for run in runs), str(runs[0]["seeds"])])
    found = table(["hypervolume after 10,000 evaluations", *searches, "seeds"], rows)
    told = read("gflownet_expensive")
    rows = []
    for sampler in ("gflownet", "local", "nsga2", "random"):
        row = [sampler]
        for case in ("ngrams", "long ngrams", "DNA"):
            run = told[case][sampler]
            mean, error = run.get("gflownet ahead by", (0.0, 0.0))
            row += [f"{np.mean(run['last']):.3f}", "" if sampler == "gflownet" else f"{mean:+.3f} ± {error:.3f}"]
        rows.append(row)
    asked = table(
        ["sampler", *(h for c in ("short bigrams", "long bigrams", "DNA") for h in (c, "gflownet is ahead by"))], rows
    )
    return section(
        "GFlowNets", "gflownet.py fast", "A training step by trajectory balance, every visited state evaluated.", steps,
        "`python benchmarks/gflownet.py correct`: L1 between what is sampled and the exact target on 8 x 8, "
        "mean of three seeds.",
        _exactness(),
        "`python benchmarks/gflownet.py preferences`: the 32 x 32 grid, 5,000 steps, beside exact tables.",
        distances,
        "`python benchmarks/gflownet_compare.py strings bigrams chemistry`: of all that was evaluated, "
        "reference 0. Ours spends a tenth fewer evaluations: the rest is for looking at the policy.",
        found,
        "What is sampled from one policy for all preferences, without what was evaluated, and the ten best of "
        "it: hypervolume, R2 (smaller is better), mean reward and mean distance.",
        _sampled(searches),
        "`python benchmarks/gflownet_compare.py ablation`: three unigrams, one change at a time.",
        _ablation(),
        "`python benchmarks/gflownet_compare.py pairs`: order-preserving on the 32 x 32 grid, the published "
        "way; with an archive of the front whose members are replayed, begun by one batch of uniform draws; "
        "and ours, which also crosses and mutates them. Share of draws on the front, mean GD+ of a draw, the "
        "smallest probability of a front cell times their number, entropy of the draws over the front as a "
        "share of the largest.",
        _fronts(),
        "`python benchmarks/gflownet_compare.py totals`: an order of one objective beside powers of rewards, "
        "best of the powers by their number of optima; different optima found, best 100 of all evaluated.",
        _orders(),
        "`python benchmarks/gflownet_compare.py sparse`: an order on 1,296 designs, the share of draws that "
        "falls on the best ones and correlations, after so many evaluations. An order goes on to sharpen, and "
        "log p is not linear in the rank; a power of the reward stays.",
        _sparse(),
        "`python benchmarks/gflownet_compare.py rankings`: regret of the best design shown, as a share of the "
        "utility's range, after so many answers of a simulated person who orders four, by `gflownet` and by "
        "the Gaussian process of preferences. "
        f"{_ahead()}",
        _rankings(),
        f"`python benchmarks/gflownet_expensive.py`: hypervolume after {told['rounds']} rounds of {told['batch']} by "
        f"ask and tell, and standard errors; {told['seeds']} seeds.",
        asked,
    )  # fmt: skip


def _exactness() -> str:
    found = read("gflownet_correct")
    names = [name for name, row in found.items() if isinstance(row, dict)]
    rows = [[name, *(f"{np.mean(found[name][f'L1 at {n}']):.2g}" for n in (250, 1000))] for name in names]
    return table(["objective", "after 250 steps", "after 1,000"], rows)


def _sampled(searches: Sequence[str]) -> str:
    rows = []
    for part in ("strings", "bigrams", "chemistry"):
        means = read(f"gflownet_{part}")["means"]
        for case in dict.fromkeys(key.rsplit(", ", 1)[0] for key in means):
            for search in searches:
                run = means[f"{case}, {search}"]
                if "hypervolume of samples" in run:
                    rows.append([case, search, *(f"{run[key]:.3f}" for key in _OF_SAMPLES)])
    return table(["case", "policy of", "hypervolume", "R2", "top-10 reward", "top-10 distance"], rows)


_OF_SAMPLES = tuple(f"{key} of samples" for key in ("hypervolume", "R2", "top-10 reward", "top-10 distance"))


def _ablation() -> str:
    means = read("gflownet_ablation")["means"]
    rows = [
        [name, f"{run['hypervolume']:.3f}", *(f"{run[key]:.3f}" for key in _OF_SAMPLES)] for name, run in means.items()
    ]
    return table(["setting", "hypervolume of all", "of samples", "R2", "top-10 reward", "top-10 distance"], rows)


def _fronts() -> str:
    means = read("gflownet_pairs")["means"]
    keys = ("mass", "GD+", "least p x front", "entropy share")
    rows = [[case, *(f"{run[key]:.3g}" for key in keys), str(run["seeds"])] for case, run in means.items()]
    return table(["pair", "mass on the front", "GD+", "least p x cells", "entropy", "seeds"], rows)


def _orders() -> str:
    means = read("gflownet_totals")["means"]
    rows = []
    for problem in dict.fromkeys(key.split(", ")[0] for key in means):
        ways = {key.removeprefix(f"{problem}, "): run for key, run in means.items() if key.startswith(f"{problem}, ")}
        powers = [way for way in ways if "beta" in way]
        best = max(powers, key=lambda way: ways[way]["optima"])
        for way in [*(way for way in ways if "beta" not in way), best]:
            run = ways[way]
            shown = (f"{run['optima']:.1f}", f"{run['best 100']:.3f}", f"{run['mean of samples']:.3f}")
            rows.append([problem, way, *shown, str(run["seeds"])])
    return table(["problem", "trained on", "optima", "best 100", "mean of samples", "seeds"], rows)


def _sparse() -> str:
    means = read("gflownet_sparse")["means"]
    keys = ("mass of best 1", "mass of best 10", "mass of best 100", "log p with -rank", "log p with value")
    rows = [[case, *(f"{run[key]:.2f}" for key in keys)] for case, run in means.items()]
    return table(["trained on, evaluations", "on the best", "on 10", "on 100", "log p with -rank", "with value"], rows)


def _ahead() -> str:
    """After which answers the policy is ahead of the Gaussian process, in words."""
    means = read("gflownet_rankings")["means"]
    said = []
    for size in dict.fromkeys(key.split(",")[0] for key in means):
        ours, theirs = (np.array(means[f"{size}, {name}"]["regret"]) for name in ("gflownet", "preference"))
        answers = 1 + np.flatnonzero(ours < theirs)
        said.append(f"{answers.min()} to {answers.max()} on {size} designs" if len(answers) else f"never on {size}")
    return f"`gflownet` is ahead from answer {', '.join(said)}."


def _rankings() -> str:
    means = read("gflownet_rankings")["means"]
    answers = (1, 2, 4, 6, 10, 15, 20)
    rows = []
    for case, run in means.items():
        regret = run["regret"]
        rows.append([case, *(f"{regret[n - 1]:.3f}" if n <= len(regret) else "" for n in answers), str(run["seeds"])])
    return table(["designs, by", *(f"{n}" for n in answers), "seeds"], rows)


def swarms() -> str:
    """Consensus-based optimisation."""
    suite, race = read("consensus_suite"), read("consensus_rastrigin")
    shares = suite["share of targets"]
    names = list(next(iter(shares.values())))
    rows = [[size, *(f"{row[name]:.2f}" for name in names)] for size, row in shares.items()]
    single, double = (race[f"{kind} of cbx's time"] for kind in ("float32", "float64"))
    said = (
        "`python benchmarks/consensus.py rastrigin`: a hundred runs at once take "
        f"{single:.2f} of cbx's time in float32 and {double:.2f} in float64."
    )
    text = "Share of targets reached on four functions, averaged over the evaluations."
    return section("Consensus-based optimisation", "consensus.py suite", text, table(["", *names], rows), said)


def record() -> str:
    """The durable record."""
    found = read("storage")["runs"][0]
    rows = []
    for name, key in (("tell", "tell"), ("load a study", "load"), ("list studies", "list")):
        times = [_seconds(found[f"{key}_{whose}_ms"] / 1e3) for whose in ("ours", "optuna")]
        rows.append([name, *times, f"{found[f'{key}_ratio_optuna']:.3f}"])
    said = f"{found['trials']:,} trials as tensors: {_seconds(found['history_s'])}."
    return section("The record", "storage.py", table(["", "ours", "Optuna", "ratio"], rows), said)


SECTIONS: tuple[Callable[[], str], ...] = (regret, untold, latency, volumes, preferences, policies, swarms, record)


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
