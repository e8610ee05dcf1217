"""GFlowNets: do they sample what they should, how fast, how well, and beside whom?

    python benchmarks/gflownet.py correct fast preferences [--seeds 3]
    python benchmarks/gflownet.py fast --device cuda

correct      exact L1 on the grid of 8 x 8 after 250 and 1,000 iterations, every objective
fast         milliseconds a training step by trajectory balance beside torchgfn (`make peers` first, or
             PEERS=<python that has it>), same network, every visited state evaluated; and of a plain network
             forward and backward on as many states. With --device, ours and the plain network there; this goes into
             the same record, beside the rest of it
preferences  one conditional policy on branin-currin against exact tables: 11 preferences, 5 exponents

What is compared at equal evaluations, with other methods too, is in `gflownet_compare.py`; by ask and tell, in
`gflownet_expensive.py`. Each part writes benchmarks/results/gflownet_<part>.json. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import workbench as wb
from problems import compositional
from workbench.samplers.gflownet.conditioning import Conditioning
from workbench.samplers.gflownet.environment import Grid
from workbench.samplers.gflownet.graph import enumerate_states, l1
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.training import Objective, Settings, Trainer

Array = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
PEERS = Path(os.environ.get("PEERS", Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"))


def hypergrid(height: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """torchgfn's HyperGrid with (0.1, 0.5, 2)."""

    def reward(states: torch.Tensor) -> torch.Tensor:
        ax = (states.double() / (height - 1) - 0.5).abs()
        inner = ((ax > 0.3 + 1e-12) & (ax < 0.4 - 1e-12)).all(1).double()
        return (0.1 + 0.5 * (ax > 0.25 + 1e-12).all(1).double() + 2.0 * inner)[:, None]

    return reward


def _trainer(height: int, d: int, objective: Objective, batch: int, seed: int, device: str = "cpu") -> Trainer:
    g = torch.Generator(device).manual_seed(seed)
    settings = Settings(objective=objective, batch=batch)
    policy = Policy(Grid((height,) * d), backward="learned", flows=settings.flows, generator=g)
    return Trainer(policy, hypergrid(height), settings, g)


# -- correct ------------------------------------------------------------------------------------------


def correct(seeds: int) -> dict[str, Any]:
    """L1 by objective after 250 and 1,000 iterations, each seed."""
    graph = enumerate_states(Grid((8, 8)))
    reward = hypergrid(8)(graph.states[graph.ends])[:, 0]
    found: dict[str, Any] = {}
    objectives: tuple[Objective, ...] = ("tb", "subtb", "vargrad", "db", "fm")
    for objective in objectives:
        rows = []
        for seed in range(seeds):
            trainer, row = _trainer(8, 2, objective, 128, seed), []
            for iteration in range(1, 1001):
                trainer.step()
                if iteration in (250, 1000):
                    row.append(_distance(trainer, graph, reward))
            rows.append(row)
        found[objective] = {"L1 at 250": [row[0] for row in rows], "L1 at 1000": [row[1] for row in rows]}
        print(objective, found[objective], flush=True)
    return found


@torch.no_grad()
def _distance(trainer: Trainer, graph: Any, reward: torch.Tensor) -> float:
    log_pf = trainer.policy.tables(graph.states)[0]
    return l1(graph.end_probabilities(log_pf), reward / reward.sum())


# -- fast ---------------------------------------------------------------------------------------------


def fast(seeds: int) -> dict[str, Any]:
    """Median milliseconds of a step, of ours and of the peer's, in turns; and of the network alone."""
    found: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "threads": 1}
    for name, height, d, batch, steps in _cases():
        ours, theirs, rows, peer_rows, floors = [], [], [], [], []
        for _ in range(seeds):
            mine = _ours(height, d, batch, steps)
            ours.append(mine["ms"])
            rows.append(mine["states"])
            floors.append(mine["floor"])
            peer = _peer(height, d, batch, steps)
            theirs.append(peer["ms"])
            peer_rows.append(peer["states"])
        found[name] = {
            "ms": float(np.median(ours)), "torchgfn ms": float(np.median(theirs)),
            "share": float(np.median(ours) / np.median(theirs)), "states": float(np.mean(rows)),
            "torchgfn states": float(np.mean(peer_rows)), "network alone ms": float(np.median(floors)),
        }  # fmt: skip
        print(name, {key: round(value, 3) for key, value in found[name].items()}, flush=True)
    return found


def fast_on(device: str, seeds: int) -> list[dict[str, Any]]:
    """Median milliseconds of a step of ours, and of the network alone, on a device: a row for each case."""
    rows: list[dict[str, Any]] = []
    for name, height, d, batch, steps in _cases():
        runs = [_ours(height, d, batch, steps, device) for _ in range(seeds)]
        ms, states, floor = ([run[key] for run in runs] for key in ("ms", "states", "floor"))
        rows.append({
            "case": name, "machine": torch.cuda.get_device_name(device), "ms": float(np.median(ms)),
            "states": float(np.mean(states)), "network alone ms": float(np.median(floor)),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def _cases() -> list[tuple[str, int, int, int, int]]:
    """Name, height and dimension of a grid, batch, and steps to be timed."""
    return [
        (f"{height}^{d}, batch {batch}", height, d, batch, 60 if batch >= 1024 else 150)
        for height, d in ((8, 2), (8, 4), (32, 2)) for batch in (16, 64, 128, 1024)
    ]  # fmt: skip


def _ours(height: int, d: int, batch: int, steps: int, device: str = "cpu") -> dict[str, float]:
    trainer = _trainer(height, d, "tb", batch, 0, device)

    def now() -> float:
        if device != "cpu":
            torch.cuda.synchronize(device)  # what was asked for is not yet done
        return time.perf_counter()

    times = []
    for _ in range(steps):
        begun = now()
        trainer.step()
        times.append(now() - begun)
    t = trainer.policy.sample(batch, trainer.generator)
    widths = [height * d, 256, 256, 2 * d + 1]
    layers: list[torch.nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += [torch.nn.Linear(inputs, outputs), *([torch.nn.ReLU()] if i < 2 else [])]
    network = torch.nn.Sequential(*layers).to(device)
    x = torch.nn.functional.one_hot(t.states, height).flatten(1).float()
    alone = []
    for _ in range(20):
        begun = now()
        network.zero_grad()
        network(x).sum().backward()
        alone.append(now() - begun)
    late = times[len(times) // 3 :]
    return {"ms": 1e3 * float(np.median(late)), "states": float(len(t.states)), "floor": 1e3 * float(np.median(alone))}


def _peer(height: int, d: int, batch: int, steps: int) -> dict[str, float]:
    script = Path(__file__).parent / "peers" / "with_torchgfn.py"
    command = [str(PEERS), "-W", "ignore", str(script), *map(str, (height, d, batch, steps))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"OMP_NUM_THREADS": "1"})
    told = json.loads(done.stdout.splitlines()[-1])
    return {"ms": 1e3 * float(np.median(told["times"][steps // 3 :])), "states": told["states"] + batch}


# -- several objectives on the grid ---------------------------------------------------------------------


def _rewards(pair: Sequence[str]) -> Callable[[torch.Tensor], torch.Tensor]:
    problem = compositional.grid(pair)

    def rewards(states: torch.Tensor) -> torch.Tensor:
        values = problem.evaluate_batch({"i": states[:, 0].numpy(), "j": states[:, 1].numpy()})
        return torch.from_numpy(np.stack(list(values.values()), axis=1))

    return rewards


def preferences(seeds: int) -> dict[str, Any]:
    """Mean L1 and gap of log Z over 55 conditions; encodings compared."""
    grid = Grid((32, 32), border_ends=True)
    graph = enumerate_states(grid)
    rewards = _rewards(("branin", "currin"))
    R = rewards(graph.states[graph.ends])
    found: dict[str, Any] = {}
    for label, bins in (("raw", 0), ("16 bins", 16), ("50 bins", 50)):
        rows = []
        for seed in range(seeds):
            g = torch.Generator().manual_seed(seed)
            conditioning = Conditioning(2, beta=(1.0, 2.0, 4.0, 8.0, 16.0), bins=bins)
            policy = Policy(grid, hidden=(64, 64, 64), slope=0.01, condition=conditioning.width, generator=g)
            settings = Settings(learning_rate=1e-2, learning_rate_z=1e-2, final=0.01, steps=5000, epsilon=0.01)
            trainer = Trainer(policy, rewards, settings, g, conditioning=conditioning)
            for _ in range(settings.steps):
                trainer.step()
            distances, gaps = [], []
            for beta in conditioning.beta:
                for w in np.linspace(0.0, 1.0, 11):
                    given = conditioning.at([w, 1.0 - w], len(R), beta)
                    target = conditioning.log_reward(R, given)
                    assert given.encoding is not None
                    with torch.no_grad():
                        log_pf = policy.tables(graph.states, given.encoding[0])[0]
                        gaps.append(abs(float(trainer.log_z(given.encoding[:1])) - float(target.logsumexp(0))))
                    distances.append(l1(graph.end_probabilities(log_pf), target.softmax(0)))
            rows.append((float(np.mean(distances)), float(np.max(distances)), float(np.mean(gaps))))
        found[label] = dict(zip(("mean L1", "worst L1", "mean gap of log Z"), zip(*rows, strict=True), strict=True))
        print(label, found[label], flush=True)
    return found


PARTS: Mapping[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "correct": (correct, 3), "fast": (fast, 3), "preferences": (preferences, 2),
}  # fmt: skip


def _read(part: str) -> dict[str, Any]:
    path = RESULTS / f"gflownet_{part}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _write(part: str, whole: Mapping[str, Any]) -> None:
    (RESULTS / f"gflownet_{part}.json").write_text(json.dumps(whole, indent=1) + "\n")


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--device", default="cpu", help="of fast alone: cuda, say")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", wb.WorkbenchWarning)
    if arguments.device != "cpu":
        if arguments.parts != ["fast"]:
            parser.error("--device goes with fast, alone")
        rows = fast_on(arguments.device, arguments.seeds or PARTS["fast"][1])
        _write("fast", _read("fast") | {arguments.device: rows})
        print(json.dumps(rows))
        return
    for part in arguments.parts:
        measure, usual = PARTS[part]
        begun = time.perf_counter()
        seeds = arguments.seeds or usual
        whole = {"part": part, "seeds": seeds, **measure(seeds), "seconds": time.perf_counter() - begun}
        elsewhere = {key: rows for key, rows in _read(part).items() if isinstance(rows, list)}  # of --device
        _write(part, whole | elsewhere)
        print(json.dumps(whole))


if __name__ == "__main__":
    main()
