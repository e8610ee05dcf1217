"""Order-preserving objectives, whole: alone and on top of a balance, of total and of partial orders, by enumeration."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from workbench.errors import InvalidValueError
from workbench.pareto import non_dominated
from workbench.samplers.gflownet import objectives
from workbench.samplers.gflownet.conditioning import Conditioning
from workbench.samplers.gflownet.environment import FreeSlots, Grid
from workbench.samplers.gflownet.graph import Graph, enumerate_states, l1
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.replay import Archive
from workbench.samplers.gflownet.training import Objective, Settings, Trainer

GRID = Grid((4, 4))
ORDERS: tuple[Objective, ...] = ("op", "op_db", "op_subtb", "op_fm")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return enumerate_states(GRID)


def utilities(m: int) -> torch.Tensor:
    """Of the 16 points, shape (4, 4, m): no two alike, in a unit that says nothing."""
    return 100.0 * torch.rand(4, 4, m, generator=generator(m), dtype=torch.float64) - 300.0


def made(objective: Objective, m: int, seed: int = 0, **options: object) -> Trainer:
    worth = utilities(m)
    settings = Settings(**{"objective": objective, "batch": 32, "learning_rate": 1e-2, "epsilon": 0.1, **options})  # type: ignore[arg-type]
    policy = Policy(
        GRID, hidden=(32, 32), backward="learned", flows=settings.flows, generator=generator(seed), bound=50.0
    )  # fmt: skip
    # Powers of e for objectives that balance rewards; to an order they are all the same.
    return Trainer(
        policy, lambda s: (worth[s[:, 0], s[:, 1]] / 50.0).exp(), settings, generator(seed + 1),
        archive=Archive() if settings.replayed else None,
    )  # fmt: skip


def probabilities(trainer: Trainer, graph: Graph, steps: int) -> np.ndarray:
    """Exact probabilities of the ends after so many steps."""
    for _ in range(steps):
        trainer.step()
    with torch.no_grad():
        return graph.end_probabilities(trainer.policy.tables(graph.states)[0]).numpy()


# -- by enumeration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ORDERS)
def test_a_total_order_becomes_the_order_of_probabilities(graph: Graph, objective: Objective) -> None:
    """Where all points go on being sampled.

    Of the pairs of 16 points a random order has half the right way round, with a standard deviation of 0.09: three.
    """
    p = probabilities(made(objective, 1, epsilon=0.5), graph, 200)
    ends = graph.states[graph.ends]
    worth = utilities(1)[ends[:, 0], ends[:, 1], 0].numpy()
    assert p.argmax() == worth.argmax()
    better = worth[:, None] > worth[None]
    right = p[:, None] > p[None]
    assert right[better].mean() > 0.8
    assert p[worth >= np.sort(worth)[-4]].sum() > 0.5  # uniform: a quarter


@pytest.mark.parametrize("objective", ORDERS)
def test_a_partial_order_puts_the_mass_on_the_front(graph: Graph, objective: Objective) -> None:
    p = probabilities(made(objective, 2), graph, 200)
    ends = graph.states[graph.ends]
    front = non_dominated(utilities(2)[ends[:, 0], ends[:, 1]].numpy())
    assert 2 <= front.sum() <= 6
    assert p[front].sum() > 0.8  # 0.84 to 0.99 with three seeds
    assert p[front].min() > 0.25 / front.sum()  # no point of the front is lost


@pytest.mark.slow
def test_an_order_on_top_of_a_balance_adds_its_weight(graph: Graph) -> None:
    """The loss is the sum, by hand from what the step reports; and the mass moves from R / Z towards the front."""
    plain, topped = made("tb", 2), made("tb", 2, order=0.5)
    first, second = plain.step(), topped.step()
    front = torch.from_numpy(non_dominated(second.rewards.numpy())).double()
    log_model = second.log_ratio.double().log_softmax(0)
    by_hand = -float(front @ log_model / front.sum()) - math.log(float(front.sum()))
    assert torch.equal(first.ends, second.ends)
    assert second.loss == pytest.approx(first.loss + 0.5 * by_hand, rel=1e-5)
    ends = graph.states[graph.ends]
    R = (utilities(2)[ends[:, 0], ends[:, 1]] / 50.0).exp()
    best = non_dominated(R.numpy())
    target = (R.sum(1) / R.sum()).numpy()
    p, q = probabilities(plain, graph, 300), probabilities(topped, graph, 300)
    assert np.abs(p - target).sum() < 0.1
    assert q[best].sum() > p[best].sum() + 0.1


def test_an_order_on_top_leaves_the_right_order_where_it_is() -> None:
    """A reward that an order agrees with: the pair loss beside a balance keeps the order of R / Z."""
    environment = FreeSlots((2, 2))
    graph = enumerate_states(environment)
    worth = torch.tensor([1.0, 3.0, 2.0, 6.0])
    settings = Settings(objective="subtb", batch=32, learning_rate=1e-2, order=0.1)
    policy = Policy(environment, hidden=(16,), flows=True, backward="learned", generator=generator(0))
    trainer = Trainer(policy, lambda s: worth[2 * s[:, 0] + s[:, 1], None], settings, generator(1))
    p = probabilities(trainer, graph, 150)
    ends = graph.states[graph.ends]
    assert np.argsort(p).tolist() == np.argsort(worth[2 * ends[:, 0] + ends[:, 1]].numpy()).tolist()


def test_an_order_knows_no_condition() -> None:
    policy = Policy(GRID, condition=100, generator=generator(0))
    with pytest.raises(InvalidValueError, match="for every condition alike"):
        Trainer(policy, lambda s: s.double(), Settings(order=0.1), generator(0), conditioning=Conditioning(2))
    with pytest.raises(InvalidValueError, match="order must be"):
        Settings(order=-1.0)


@pytest.mark.parametrize("objective", ORDERS)
def test_stretching_the_utilities_changes_nothing_that_is_learnt(objective: Objective) -> None:
    first, second = made(objective, 1), made(objective, 1)
    worth = utilities(1)
    second._rewards = lambda s: 3.0 * worth[s[:, 0], s[:, 1]] + 7.0
    assert [first.step().loss for _ in range(5)] == [second.step().loss for _ in range(5)]


# -- what an order does to rewards ------------------------------------------------------------------------------


def test_rewards_of_a_chain_become_a_geometric_progression() -> None:
    """Pair losses of neighbours in rank, log R̂ in [-ln γ, 0]: the minimum is linear in rank (section 3 of the paper).

    So all but the first ranks lose their mass as γ grows: of n of them the first has 1 - γ^(-1/(n-1)), nearly.
    """
    n, span = 8, math.log(1e6)
    raw = torch.randn(n, generator=generator(0), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(3000):
        log_reward = span * (raw.sigmoid() - 1.0)
        loss = objectives.order_preserving_pairs(log_reward[1:], log_reward[:-1], torch.ones(n - 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    gaps = (log_reward[1:] - log_reward[:-1]).detach().numpy()
    # The ends are approached through a sigmoid, never reached: 3,000 steps leave 2 % of the span.
    np.testing.assert_allclose(gaps, span / (n - 1), rtol=0.05)
    first = 1 - math.exp(-span / (n - 1))
    assert float(log_reward.detach().softmax(0)[-1]) == pytest.approx(first, abs=0.02)


# -- the archive ------------------------------------------------------------------------------------------------


def test_members_that_a_batch_lacks_are_drawn_once_each() -> None:
    archive = Archive()
    states = torch.tensor([[0, 3], [1, 2], [2, 1], [3, 0]])
    archive.add(states, states.double())
    drawn, rewards = archive.draw_missing(torch.tensor([[1, 2], [1, 2], [0, 0]]), 8, generator(0))
    assert sorted(drawn.tolist()) == [[0, 3], [2, 1], [3, 0]]
    assert torch.equal(rewards, drawn.double())
    assert len(archive.draw_missing(states[:3], 8)[0]) == 1
    assert len(archive.draw_missing(states, 8)[0]) == 0


# -- what balances share ----------------------------------------------------------------------------------------


def test_every_backward_policy_has_its_own_flow_to_the_same_ends(graph: Graph) -> None:
    """Uniform and random P_B: one target, two forward policies (exact, by dynamic programming)."""
    reward = utilities(1)[graph.states[graph.ends][:, 0], graph.states[graph.ends][:, 1], 0] + 301.0
    raw = 2.0 * torch.randn(len(graph.child), generator=generator(0), dtype=torch.float64)
    total = torch.full((len(graph.states),), -torch.inf, dtype=torch.float64)
    for child in range(len(graph.states)):
        total[child] = torch.logsumexp(raw[graph.child == child], 0)
    _, uniform = graph.flows(reward.log())
    _, random = graph.flows(reward.log(), raw - total[graph.child])
    for log_pf in (uniform, random):
        assert l1(graph.end_probabilities(log_pf), reward / reward.sum()) < 1e-12
    assert float((uniform.exp() - random.exp()).abs().max()) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["uniform", "learned"])
def test_uniform_and_learnt_backward_policies_reach_one_target(
    graph: Graph, backward: Literal["uniform", "learned"]
) -> None:  # fmt: skip
    reward = utilities(1)[..., 0] + 301.0
    settings = Settings(batch=64, learning_rate=5e-3, final=0.05, steps=600, epsilon=0.05)
    policy = Policy(GRID, hidden=(64, 64), backward=backward, generator=generator(0))
    trainer = Trainer(policy, lambda s: reward[s[:, 0], s[:, 1], None], settings, generator(1))
    p = probabilities(trainer, graph, settings.steps)
    ends = graph.states[graph.ends]
    target = (reward / reward.sum())[ends[:, 0], ends[:, 1]].numpy()
    assert np.abs(p - target).sum() < 0.02


@pytest.mark.parametrize("objective", ["tb", "db", "subtb", "vargrad", *ORDERS[:3]])
def test_objectives_call_for_the_same_number_of_rewards(objective: Objective) -> None:
    """One of each trajectory drawn forward; what is replayed is known already."""
    trainer = made(objective, 1, replayed=0.25)
    for _ in range(4):
        trainer.step()
    assert trainer.calls == 32 + 3 * 24


def test_children_are_asked_for_and_what_is_replayed_is_not() -> None:
    """Of 32 trajectories 16 are drawn, 8 lead to members of the archive, 8 to children of it."""
    bred = []

    def breed(first: torch.Tensor, second: torch.Tensor, g: torch.Generator) -> torch.Tensor:
        bred.append(torch.maximum(first, second))
        return bred[-1]

    trainer = made("tb", 2, replayed=0.25)
    with pytest.raises(InvalidValueError, match="bred="):
        Trainer(trainer.policy, trainer._rewards, Settings(bred=0.25), generator(0))
    settings = replace(trainer.settings, bred=0.25)
    whole = Trainer(trainer.policy, trainer._rewards, settings, generator(0), archive=Archive(), breed=breed)
    whole.step()
    assert (whole.calls, len(bred)) == (32, 0)  # there are no parents yet
    assert len(whole.step().ends) == 16
    assert (whole.calls, len(bred), len(bred[0])) == (32 + 24, 1, 8)
    assert whole.archive is not None
    assert whole.archive.states is not None
    seen = torch.cat([whole.archive.states, *bred])
    worth = (utilities(2)[seen[:, 0], seen[:, 1]] / 50.0).exp().numpy()
    assert not (worth[len(whole.archive) :, None] > worth[None, : len(whole.archive)]).all(2).any()  # children entered


def test_swapping_objectives_and_weights_swaps_nothing_else(graph: Graph) -> None:
    R = utilities(2)[graph.states[graph.ends][:, 0], graph.states[graph.ends][:, 1]] / 300.0 + 1.0
    conditioning = Conditioning(2, beta=(4.0,))
    one = conditioning.log_reward(R, conditioning.at([0.2, 0.8], len(R)))
    other = conditioning.log_reward(R.flip(1), conditioning.at([0.8, 0.2], len(R)))
    torch.testing.assert_close(one, other, rtol=1e-14, atol=0)
