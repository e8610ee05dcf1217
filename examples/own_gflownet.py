"""A GFlowNet on an environment of one's own: packing a bag, sampled in proportion to a power of its worth.

An environment is a handful of numbers and six functions of rows of states, none of a single trajectory. Here a state
holds how often each item was packed; a move packs one more, as long as the bag carries it; any bag may be the last.
`enumerate_states` checks the promises, and says exactly how far the trained policy is from its target.
"""

import torch
from torch import Tensor

from workbench.samplers.gflownet.conditioning import Conditioning
from workbench.samplers.gflownet.graph import enumerate_states, l1
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.training import Settings, Trainer

WEIGHT, WORTH, CARRIES = torch.tensor([2, 3, 4, 5]), torch.tensor([3.0, 4.5, 7.0, 9.5]), 12


class Bag:
    """Columns are counts of items; move i packs item i, undo i takes it out."""

    sizes = tuple((CARRIES // WEIGHT + 1).tolist())
    moves = undos = len(WEIGHT)
    steps = CARRIES // int(WEIGHT.min())
    fixed_steps = False

    def source(self, n: int) -> Tensor:
        return torch.zeros(n, len(WEIGHT), dtype=torch.int64)

    def allowed(self, states: Tensor) -> Tensor:
        left = CARRIES - states @ WEIGHT
        return torch.cat([left[:, None] >= WEIGHT, torch.ones(len(states), 1, dtype=torch.bool)], 1)

    def after(self, states: Tensor, actions: Tensor) -> Tensor:
        return states + torch.eye(len(WEIGHT), dtype=torch.int64)[actions]

    def undo_of(self, states: Tensor, actions: Tensor) -> Tensor:
        return actions

    def undoable(self, states: Tensor) -> Tensor:
        return states > 0

    def before(self, states: Tensor, undos: Tensor) -> tuple[Tensor, Tensor]:
        return states - torch.eye(len(WEIGHT), dtype=torch.int64)[undos], undos


def rewards(states: Tensor) -> Tensor:
    """Worth of bags (n, D) as shares of the best, shape (n, 1); an empty one is worth a little, too."""
    return (1.0 + states.float() @ WORTH)[:, None] / 24.0


generator = torch.Generator().manual_seed(0)
bag = Bag()
graph = enumerate_states(bag)
conditioning = Conditioning(1, beta=(4.0,))
policy = Policy(bag, hidden=(64, 64), generator=generator)
trainer = Trainer(policy, rewards, Settings(learning_rate=5e-3), generator, conditioning=conditioning)
for _ in range(200):
    trainer.step()

target = (4.0 * rewards(graph.states[graph.ends])[:, 0].double().log()).softmax(0)
with torch.no_grad():
    sampled = graph.end_probabilities(policy.tables(graph.states)[0])
best = graph.states[graph.ends][int(target.argmax())].tolist()
print(
    f"{len(graph.ends)} bags; the best holds {best}, target {target.max():.3f}, sampled {sampled[target.argmax()]:.3f}"
)
print(f"distance from the target {l1(sampled, target):.3f} of at most 2")
