"""torchgfn (arXiv 2305.14594) on its HyperGrid by trajectory balance, as its own example trains: milliseconds a step.

Run by the peers' interpreter: `python benchmarks/peers/with_torchgfn.py 8 2 64 200` prints a line of JSON. On-policy,
log-probabilities kept from sampling, which is its quickest way; network 2 x 256, P_B on the same trunk.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import metadata

import torch
from gfn.estimators import DiscretePolicyEstimator
from gfn.gflownet import TBGFlowNet
from gfn.gym import HyperGrid
from gfn.preprocessors import KHotPreprocessor
from gfn.samplers import Sampler
from gfn.utils.modules import MLP


def main(height: int, ndim: int, batch: int, steps: int) -> None:
    """Train, and print the time of each step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    env = HyperGrid(ndim=ndim, height=height, validate_modes=False)
    preprocessor = KHotPreprocessor(height=height, ndim=ndim)
    assert preprocessor.output_dim is not None
    forward = MLP(input_dim=preprocessor.output_dim, output_dim=env.n_actions)
    backward = MLP(input_dim=preprocessor.output_dim, output_dim=env.n_actions - 1, trunk=forward.trunk)
    pf = DiscretePolicyEstimator(forward, env.n_actions, preprocessor=preprocessor)
    pb = DiscretePolicyEstimator(backward, env.n_actions, preprocessor=preprocessor, is_backward=True)
    gflownet = TBGFlowNet(pf=pf, pb=pb, init_logZ=0.0)
    sampler = Sampler(estimator=pf)
    optimizer = torch.optim.Adam(gflownet.pf_pb_parameters(), lr=1e-3)
    optimizer.add_param_group({"params": gflownet.logz_parameters(), "lr": 1e-1})
    times, rows = [], 0
    for _ in range(steps):
        begun = time.perf_counter()
        trajectories = sampler.sample_trajectories(env, n=batch, save_logprobs=True)
        optimizer.zero_grad()
        loss = gflownet.loss(env, trajectories, recalculate_all_logprobs=False)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - begun)
        rows += int(trajectories.terminating_idx.sum())
    print(json.dumps({"times": times, "states": rows / steps, "version": metadata.version("torchgfn")}))


main(*(int(argument) for argument in sys.argv[1:]))
