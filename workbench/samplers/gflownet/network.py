"""A multilayer perceptron on rows of integers that remembers what it computed.

The first layer adds up one learnt vector for each column's value: what a matrix would do to a one-hot encoding, without
ever making it. While trajectories are sampled, the values behind each layer are kept; the gradient then starts from
them and is one pass over all visited states, with no second pass forward.

Symbols: n states, D columns, h hidden units, C numbers of a condition, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from workbench.samplers.gflownet.environment import drawn_on


@dataclass(frozen=True)
class Trace:
    """What the network computed for a batch of states, with the parameters that it had then.

    Args:
        hidden: Values behind each hidden layer, shapes (n, h).
        outputs: Shape (n, O).
    """

    hidden: tuple[Tensor, ...]
    outputs: Tensor


@dataclass(frozen=True)
class Prepared:
    """The network's parameters, out of their modules.

    Args:
        offsets: Row of the table where each column's values begin, shape (D,).
        table: What each value adds to the first layer, shape (Σ sizes, h).
        layers: Bias and weights, transposed, of each further layer.
        slope: Of the rectifier below 0.
    """

    offsets: Tensor
    table: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]
    slope: float

    def _rectified(self, h: Tensor) -> Tensor:
        return nn.functional.leaky_relu_(h, self.slope) if self.slope else h.relu_()

    def __call__(self, states: Tensor, base: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Hidden values and outputs at states (n, D); `base` of each state, shape (n, h), or of all, shape (h,)."""
        n, width = states.shape
        tokens = (states + self.offsets).view(-1)
        bags = torch.arange(0, n * width, width, device=states.device)
        h = torch.embedding_bag(self.table, tokens, bags, False, 0)[0].add_(base)
        h = self._rectified(h)
        hidden = [h]
        for bias, weight in self.layers[:-1]:
            h = self._rectified(torch.addmm(bias, h, weight))
            hidden.append(h)
        bias, weight = self.layers[-1]
        return tuple(hidden), torch.addmm(bias, h, weight)


class Network(nn.Module):
    """The perceptron.

    Args:
        sizes: Values of each column.
        outputs: Number of outputs.
        hidden: Units of each hidden layer, at least one layer.
        condition: Numbers that a condition consists of; 0: there is none.
        slope: Of the rectifier below 0.
        generator: Draws the initial weights, on its device: uniform within ±1/sqrt(inputs), as torch's linear layers.
        dtype: Of the weights.
    """

    def __init__(
        self, sizes: Sequence[int], outputs: int, *, hidden: Sequence[int] = (256, 256), condition: int = 0,
        slope: float = 0.0, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        super().__init__()
        device = drawn_on(generator)
        offsets = torch.tensor([0, *sizes[:-1]], device=device).cumsum(0)
        self.offsets: Tensor
        self.register_buffer("offsets", offsets, persistent=False)
        rows = sum(sizes) + condition
        self.slope = slope

        def drawn(shape: tuple[int, ...], inputs: int) -> nn.Parameter:
            bound = inputs**-0.5
            values = torch.rand(shape, generator=generator, dtype=torch.float64, device=device)
            return nn.Parameter((values * (2 * bound) - bound).to(dtype))

        self.table = drawn((sum(sizes), hidden[0]), rows)
        self.given = drawn((condition, hidden[0]), rows) if condition else None
        widths = [*hidden, outputs]
        self.biases = nn.ParameterList([drawn((hidden[0],), rows)])
        self.weights = nn.ParameterList()
        for inputs, width in pairwise(widths):
            self.weights.append(drawn((width, inputs), inputs))
            self.biases.append(drawn((width,), inputs))

    def base(self, condition: Tensor | None) -> Tensor:
        """What does not depend on the state, once for each trajectory: (B, h) of conditions (B, C), (h,) without."""
        bias: Tensor = self.biases[0]
        if self.given is None:
            return bias
        assert condition is not None
        return torch.addmm(bias, condition, self.given)

    def prepared(self) -> Prepared:
        """The parameters as they are now, laid out for many calls without a gradient."""
        biases = [bias.detach() for bias in self.biases]
        weights = [weight.detach().T for weight in self.weights]
        return Prepared(self.offsets, self.table.detach(), tuple(zip(biases[1:], weights, strict=True)), self.slope)

    def compute(self, states: Tensor, base: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Hidden values and outputs at states (n, D); `base` of each state, shape (n, h), or of all, shape (h,)."""
        return self.prepared()(states, base)

    def forward(
        self, states: Tensor, condition: Tensor | None = None, row: Tensor | None = None, trace: Trace | None = None
    ) -> Tensor:
        """Outputs with a gradient.

        Args:
            states: Shape (n, D).
            condition: Of each trajectory, shape (B, C).
            row: Trajectory of each state, shape (n,).
            trace: What was computed for these states before, with the very parameters that there are now: that is for
                the caller to know, as some optimizers change parameters without a trace. None: compute it.
        Returns:
            Shape (n, O).
        """
        if trace is None:
            with torch.no_grad():
                base = self.base(condition)
                hidden, outputs = self.compute(states, base if self.given is None else base[row])
        else:
            hidden, outputs = trace.hidden, trace.outputs
        parameters = [self.table, *self.biases, *self.weights, *([] if self.given is None else [self.given])]
        result: Tensor = _Remembered.apply(  # type: ignore[no-untyped-call]
            states + self.offsets, condition, row, hidden, outputs, len(self.weights), self.slope, *parameters
        )
        return result


class _Remembered(torch.autograd.Function):
    """The perceptron's outputs, computed before, with the gradient of the pass that made them."""

    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, condition: Tensor | None, row: Tensor | None, hidden: tuple[Tensor, ...],
        outputs: Tensor, layers: int, slope: float, *parameters: Tensor,
    ) -> Tensor:  # fmt: skip
        ctx.tokens, ctx.condition, ctx.row, ctx.hidden = tokens, condition, row, hidden
        ctx.rows, ctx.slope = parameters[0].shape[0], slope
        ctx.given = len(parameters) > 2 * layers + 2
        ctx.save_for_backward(*parameters[layers + 2 : 2 * layers + 2])
        return outputs.view_as(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        g = gradients[0].contiguous()
        to_weights: list[Tensor] = []
        to_biases: list[Tensor] = [g.sum(0)]
        for h, weight in zip(reversed(ctx.hidden), reversed(ctx.saved_tensors), strict=True):
            to_weights.append(g.T @ h)
            g = g @ weight
            if ctx.slope:
                torch.ops.aten.leaky_relu_backward.grad_input(g, h, ctx.slope, True, grad_input=g)
            else:
                torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)  # in place: no fresh pages
            to_biases.append(g.sum(0))
        table = g.new_zeros(ctx.rows, g.shape[1])
        for column in range(ctx.tokens.shape[1]):
            table.index_add_(0, ctx.tokens[:, column], g)
        given = []
        if ctx.given:
            each = g.new_zeros(len(ctx.condition), g.shape[1]).index_add_(0, ctx.row, g)  # (B, h)
            given = [ctx.condition.T @ each]
        return (None,) * 7 + (table, *reversed(to_biases), *reversed(to_weights), *given)
