"""A peer behind the pipe: `.venv-peers/bin/python benchmarks/peers/serve.py optuna-gp`.

Runs in the peer's own interpreter, which needs nothing but the standard library and that peer; the
messages are described in `workbench/bench/wire.py`, which is such a file too.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))  # last: for workbench.bench.wire alone

from workbench.bench import wire

# Name of a peer: the module beside this one that adapts it, and the variant of it.
PEERS = {
    "optuna-gp": ("with_optuna", "gp"),
    "optuna-tpe": ("with_optuna", "tpe"),
    "optuna-cmaes": ("with_optuna", "cmaes"),
    "optuna-nsga2": ("with_optuna", "nsga2"),
    "ax": ("with_ax", "ax"),
    "botorch-logei": ("with_botorch", "logei"),
    "botorch-qlognehvi": ("with_botorch_many", "qlognehvi"),
    "botorch-qlogparego": ("with_botorch_many", "qlogparego"),
    "hebo": ("with_hebo", "hebo"),
    "pymoo-nsga2": ("with_pymoo", "nsga2"),
    "pymoo-de": ("with_pymoo", "de"),
    "cma": ("with_cma", "cma"),
    "sobol": ("with_scipy", "sobol"),
    "random": ("with_scipy", "random"),
}


def main() -> None:
    """Serve the peer that the first argument names."""
    name = sys.argv[1]
    if name not in PEERS:
        sys.exit(f"expected one of {', '.join(PEERS)}, got {name!r}")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ.setdefault("TQDM_DISABLE", "1")
    module, variant = PEERS[name]

    def make(hello: Mapping[str, Any]) -> wire.Served:
        peer: wire.Served = importlib.import_module(module).Peer(hello, variant)
        return peer

    wire.serve(make)


if __name__ == "__main__":
    main()
