"""The policy: forward and backward probabilities of moves, and flows, from one network.

`Policy.sample` draws trajectories, one network call for each step of the whole batch, and `Policy.evaluate` gives their
log-probabilities with a gradient: all that a method needs that trains it.

Symbols: B trajectories, N visited states, n rows, A moves, U undos; P_F, P_B, F of gflownets' papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from workbench.errors import InvalidValueError
from workbench.samplers.gflownet.environment import Environment, drawn_on
from workbench.samplers.gflownet.network import Network, Trace
from workbench.samplers.gflownet.trajectories import Trajectories

NEVER = -1e9  # logit of what is not legal: finite, so that no row becomes NaN
_TINY = 1e-30  # least exponential draw: its logarithm is finite


@dataclass(frozen=True)
class Evaluation:
    """Log-probabilities of trajectories, with a gradient.

    Args:
        trajectories: Of which.
        log_pf: log P_F of each action, shape (N,).
        log_pb: log P_B of the undo that takes back how each state was reached, shape (N,), 0 at the source.
        log_flow: log F of each visited state, shape (N,); None if the policy has no flows.
        logits: Of every action before the softmax, shape (N, A + 1); flows of edges in flow matching.
    """

    trajectories: Trajectories
    log_pf: Tensor
    log_pb: Tensor
    log_flow: Tensor | None
    logits: Tensor

    @cached_property
    def log_ratio(self) -> Tensor:
        """log P_F(trajectory) - log P_B(trajectory | end), shape (B,)."""
        return self.trajectories.totals(self.log_pf - self.log_pb)


class Policy(nn.Module):
    """P_F, P_B and F over an environment, on the device of its weights; `to` brings it to another as any module.

    Args:
        environment: What it walks on.
        hidden: Units of each hidden layer.
        backward: "uniform" over the undos, or "learned".
        flows: Whether the network gives log F of states.
        condition: Numbers that a condition consists of; 0: none.
        generator: Draws the initial weights, on its device; None: on the CPU.
        dtype: Of the network.
        bound: Logits are kept within ± this by a smooth bound; None: they are free. Order-preserving training drives
            them apart without end.
        slope: Of the network's rectifier below 0.
    """

    def __init__(
        self, environment: Environment, *, hidden: Sequence[int] = (256, 256),
        backward: Literal["uniform", "learned"] = "uniform", flows: bool = False, condition: int = 0,
        generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32, bound: float | None = None,
        slope: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if backward not in ("uniform", "learned"):
            raise InvalidValueError(f"backward must be 'uniform' or 'learned', got {backward!r}")
        self.environment, self.flows, self.bound, self.dtype = environment, flows, bound, dtype
        self.learned = backward == "learned" and environment.undos > 1
        self.actions = environment.moves + 1
        self._never: Tensor  # made once: `where` is slow at making it from a number
        never = torch.tensor(NEVER, dtype=dtype, device=drawn_on(generator))
        self.register_buffer("_never", never, persistent=False)
        outputs = self.actions + (environment.undos if self.learned else 0) + (1 if flows else 0)
        self.network = Network(
            environment.sizes,
            outputs,
            hidden=hidden,
            condition=condition,
            slope=slope,
            generator=generator,
            dtype=dtype,
        )

    @property
    def device(self) -> torch.device:
        """Where it is, and what it draws; what it is asked about is brought there."""
        return self.network.table.device

    # -- sampling --------------------------------------------------------------------------------

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, condition: Tensor | None = None,
        epsilon: float = 0.0, temperature: float = 1.0, keep: bool = False, within: Environment | None = None,
    ) -> Trajectories:  # fmt: skip
        """Draw n trajectories.

        Args:
            n: How many, B.
            generator: Source of randomness, on the device of the policy.
            condition: Of each, shape (B, C).
            epsilon: Probability of a uniform legal action instead, at each step.
            temperature: Logits are divided by it.
            keep: Keep what the network computed, so that `evaluate` need not; see there.
            within: A part of the environment to stay in, such as with parameters held. What is drawn there is not drawn
                in proportion to what the policy gives it in the whole: moves do not foresee what is shut later.
        Raises:
            InvalidValueError: if trajectories go on after the most moves that the environment has promised.
        """
        environment, stop, network = within or self.environment, self.actions - 1, self.network.prepared()
        device, condition = self.device, self._here(condition)
        base, each = self.network.base(condition), self.network.given is not None
        states, row = environment.source(n).to(device), torch.arange(n, device=device)
        undo = torch.full((n,), -1, device=device)
        noise = torch.empty(environment.steps + 1, n, self.actions, dtype=self.dtype, device=device)
        noise = noise.exponential_(generator=generator).clamp_(min=_TINY).log_()
        noise = noise if temperature == 1.0 else noise * temperature
        coins = None
        if epsilon != 0:
            coins = torch.rand(environment.steps + 1, n, generator=generator, device=device) < epsilon
        seen: list[tuple[Tensor, ...]] = []
        kept: list[tuple[Tensor, ...]] = []
        # Inference mode saves a tenth of what small operations cost; what is joined below is tracked as usual.
        with torch.inference_mode():
            for t in range(environment.steps + 1):
                masks = environment.allowed(states)
                hidden, outputs = network(states, base[row] if each else base)
                logits = self._logits(outputs, masks)
                if coins is not None:
                    logits = torch.where(coins[t].index_select(0, row)[:, None], torch.where(masks, 0.0, NEVER), logits)
                # The Gumbel maximum: argmax of log p - log(exponential draw) is a draw from p.
                actions = (logits - noise[t, : len(row)]).argmax(1)
                seen.append((states, actions, masks, row, undo))
                if keep:
                    kept.append((outputs, *hidden))
                if environment.fixed_steps:
                    if t == environment.steps:
                        break
                else:
                    live = (actions != stop).nonzero().view(-1)
                    if len(live) < len(row):
                        if len(live) == 0:
                            break
                        states, row = states.index_select(0, live), row.index_select(0, live)
                        actions = actions.index_select(0, live)
                undo = environment.undo_of(states, actions)
                states = environment.after(states, actions)
        visited, actions, masks, row, undo = (torch.cat(column) for column in zip(*seen, strict=True))
        counts = torch.tensor([len(part[0]) for part in seen], device=device)
        last = (actions == stop).nonzero().view(-1)
        if len(last) != n:
            raise InvalidValueError(_broken_off(environment, f"{len(last)} of {n} trajectories stopped within them"))
        ends = torch.empty_like(visited[:n])
        ends[row[last]] = visited[last]
        trace = None
        if keep:
            outputs, *behind = (torch.cat(column) for column in zip(*kept, strict=True))
            trace = Trace(tuple(behind), outputs)
        return Trajectories(
            states=visited, actions=actions, masks=masks, row=row, undo=undo,
            time=torch.arange(len(seen), device=device).repeat_interleave(counts, output_size=len(visited)), ends=ends,
            condition=condition, trace=trace,
        )  # fmt: skip

    @torch.no_grad()
    def sample_backward(
        self, ends: Tensor, generator: torch.Generator | None = None, *, condition: Tensor | None = None
    ) -> Trajectories:
        """Draw for each end (B, D) a trajectory that leads there, backward by P_B.

        Raises:
            InvalidValueError: if the source is further away than the environment has promised.
        """
        environment, stop, device = self.environment, self.actions - 1, self.device
        ends, condition, n = ends.to(device), self._here(condition), len(ends)
        states, row = ends, torch.arange(n, device=device)
        actions = torch.full((n,), stop, device=device)
        base = self.network.base(condition)
        back: list[tuple[Tensor, ...]] = []  # of states, last first: state, action, row, undo taken from there
        for _ in range(environment.steps + 1):
            legal = environment.undoable(states)
            live = legal.any(1).nonzero()[:, 0]
            undo = torch.full((len(states),), -1, device=device)
            if len(live):
                logits = torch.where(legal[live], 0.0, NEVER).to(self.dtype)
                if self.learned:
                    some = base[row[live]] if self.network.given is not None else base
                    outputs = self.network.compute(states[live], some)[1]
                    logits = torch.where(legal[live], self._undo_outputs(outputs), NEVER)
                draws = torch.empty_like(logits).exponential_(generator=generator).clamp_(min=_TINY).log_()
                undo[live] = (logits - draws).argmax(1)
            back.append((states, actions, row, undo))
            if len(live) == 0:
                break
            states, actions = environment.before(states[live], undo[live])
            row = row[live]
        else:
            raise InvalidValueError(_broken_off(environment, f"state {states[0].tolist()} is left after so many undos"))
        visited, actions, row, undo = (torch.cat(column) for column in zip(*back, strict=True))
        ago = torch.cat([torch.full((len(part[0]),), k, device=device) for k, part in enumerate(back)])
        time = torch.bincount(row, minlength=n)[row] - 1 - ago
        order = torch.argsort(time * n + row)
        visited = visited[order]
        return Trajectories(
            states=visited, actions=actions[order], masks=environment.allowed(visited), row=row[order],
            undo=undo[order], time=time[order], ends=ends, condition=condition,
        )  # fmt: skip

    # -- evaluating ------------------------------------------------------------------------------

    def evaluate(self, trajectories: Trajectories, *, unchanged: bool = False) -> Evaluation:
        """Log-probabilities of trajectories under the present parameters, whatever they were drawn from.

        Args:
            trajectories: Of which.
            unchanged: Say that no parameter has changed since they were drawn: what `sample` kept is taken as it is.
        """
        t = trajectories
        outputs = self.network(t.states, t.condition, t.row, t.trace if unchanged else None)
        logits = self._logits(outputs, t.masks)
        log_pf = logits.log_softmax(1).gather(1, t.actions[:, None])[:, 0]
        arrived = t.undo >= 0
        if self.environment.undos == 1:
            log_pb = torch.zeros_like(log_pf)
        else:
            legal = self.environment.undoable(t.states)
            if self.learned:
                all_pb = torch.where(legal, self._undo_outputs(outputs), NEVER).log_softmax(1)
                log_pb = torch.where(arrived, all_pb.gather(1, t.undo.clamp(min=0)[:, None])[:, 0], 0.0)
            else:
                log_pb = torch.where(arrived, -legal.sum(1).clamp(min=1).to(self.dtype).log(), 0.0)
        return Evaluation(t, log_pf, log_pb, outputs[:, -1] if self.flows else None, logits)

    def tables(self, states: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """log P_F (n, A + 1), log P_B (n, U) and log F (n,) or None at states (n, D), with a gradient.

        Args:
            states: Shape (n, D).
            condition: One for all states, shape (C,).
        """
        states, condition = states.to(self.device), self._here(condition)
        given = None if condition is None else condition[None]
        row = None if condition is None else torch.zeros(len(states), dtype=torch.int64, device=self.device)
        outputs = self.network(states, given, row)
        log_pf = self._logits(outputs, self.environment.allowed(states)).log_softmax(1)
        log_pb = self.log_backward(states, given, row)
        return log_pf, log_pb, outputs[:, -1] if self.flows else None

    def edge_flows(self, states: Tensor, condition: Tensor | None = None, row: Tensor | None = None) -> Tensor:
        """log F of every edge that leaves states (n, D), shape (n, A + 1), `NEVER` where there is none."""
        outputs = self.network(states, condition, row)
        return self._logits(outputs, self.environment.allowed(states))

    def log_backward(self, states: Tensor, condition: Tensor | None = None, row: Tensor | None = None) -> Tensor:
        """log P_B of every undo at states (n, D), shape (n, U), about `NEVER` where it is not legal."""
        legal = self.environment.undoable(states)
        back = torch.zeros(legal.shape, dtype=self.dtype, device=legal.device)
        if self.learned:
            back = self._undo_outputs(self.network(states, condition, row))
        return torch.where(legal, back, NEVER).log_softmax(1)

    def _here(self, condition: Tensor | None) -> Tensor | None:
        return None if condition is None else condition.to(self.device)

    def _logits(self, outputs: Tensor, masks: Tensor) -> Tensor:
        logits = outputs[:, : self.actions]
        if self.bound is not None:
            logits = self.bound * torch.tanh(logits / self.bound)
        return torch.where(masks, logits, self._never)

    def _undo_outputs(self, outputs: Tensor) -> Tensor:
        return outputs[:, self.actions : self.actions + self.environment.undos]


def _broken_off(environment: Environment, found: str) -> str:
    how = "exactly" if environment.fixed_steps else "at most"
    return (
        f"expected {how} {environment.steps} moves of a trajectory, as steps of {type(environment).__name__} says, but "
        f"{found}. Correct steps and fixed_steps of the environment, or let `allowed` leave only the stop earlier"
    )
