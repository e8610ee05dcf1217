"""GFlowNets against exact tables: flows by dynamic programming, every objective, learning, ways back, masks."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.errors import InfeasibleSpaceError, InvalidValueError
from workbench.pareto import non_dominated
from workbench.samplers.gflownet import objectives
from workbench.samplers.gflownet.conditioning import Conditioning, thermometer
from workbench.samplers.gflownet.environment import Edits, Environment, FreeSlots, Grid
from workbench.samplers.gflownet.graph import Graph, enumerate_states, l1
from workbench.samplers.gflownet.points import SpaceGrid
from workbench.samplers.gflownet.policy import Evaluation, Policy
from workbench.samplers.gflownet.spaces import SpaceEnvironment
from workbench.samplers.gflownet.training import Objective, Settings, Trainer
from workbench.samplers.gflownet.trajectories import Trajectories, joined
from workbench.samplers.gflownet.trust import log_probability, trust, trust_in_order


def hypergrid_reward(states: torch.Tensor, height: int) -> torch.Tensor:
    """torchgfn's HyperGrid: R0 + R1 [ax > 1/4] + R2 [3/10 < ax < 4/10] with (0.1, 0.5, 2)."""
    ax = (states.double() / (height - 1) - 0.5).abs()
    inner = ((ax > 0.3 + 1e-12) & (ax < 0.4 - 1e-12)).all(1).double()
    return (0.1 + 0.5 * (ax > 0.25 + 1e-12).all(1).double() + 2.0 * inner)[:, None]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tabular(graph: Graph, t: Trajectories, log_pf: torch.Tensor, log_pb: torch.Tensor, F: torch.Tensor) -> Evaluation:
    """Trajectories evaluated by tables of the exact solution instead of a network."""
    place = {tuple(state): i for i, state in enumerate(graph.states.tolist())}
    at = torch.tensor([place[tuple(state)] for state in t.states.tolist()])
    back = {
        (child, undo): value
        for child, undo, value in zip(graph.child.tolist(), graph.undo.tolist(), log_pb.tolist(), strict=True)
    }
    undone = [back[i, u] if u >= 0 else 0.0 for i, u in zip(at.tolist(), t.undo.tolist(), strict=True)]
    logits = log_pf[at] + F[at, None]  # flows of edges
    return Evaluation(t, log_pf[at, t.actions], torch.tensor(undone, dtype=torch.float64), F[at], logits)


@pytest.fixture(scope="module")
def grid() -> tuple[Grid, Graph, torch.Tensor]:
    environment = Grid((8, 8))
    graph = enumerate_states(environment)
    return environment, graph, hypergrid_reward(graph.states[graph.ends], 8)[:, 0]


# -- exact -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "d", "states", "Z", "modes"),
    [(8, 2, 64, 22.4, 4), (16, 2, 256, 65.6, 4), (32, 2, 1024, 302.4, 36), (8, 3, 512, 99.2, 8),
     (8, 4, 4096, 569.6, 16)],
)  # fmt: skip
def test_sizes_and_partition_functions_of_hypergrids(height: int, d: int, states: int, Z: float, modes: int) -> None:
    graph = enumerate_states(Grid((height,) * d))
    reward = hypergrid_reward(graph.states[graph.ends], height)[:, 0]
    assert len(graph.ends) == states
    assert float(reward.sum()) == pytest.approx(Z, rel=1e-12)
    assert int((reward > 2.5).sum()) == modes
    F, log_pf = graph.flows(reward.log())
    assert float(F[0].exp()) == pytest.approx(Z, rel=1e-12)
    assert l1(graph.end_probabilities(log_pf), reward / Z) < 1e-12


def test_exact_flow_of_the_small_grid(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    _, graph, reward = grid
    _, log_pf = graph.flows(reward.log())
    np.testing.assert_allclose(log_pf[0].exp().numpy(), [0.48660714, 0.48660714, 0.02678571], atol=5e-9)


def test_every_objective_vanishes_at_the_exact_solution(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    environment, graph, reward = grid
    log_pb = graph.uniform_backward()
    F, log_pf = graph.flows(reward.log(), log_pb)
    policy = Policy(environment, hidden=(8,), generator=generator(0))
    t = policy.sample(2000, generator(1), epsilon=0.5)
    log_reward = hypergrid_reward(t.ends, 8)[:, 0].log()
    e = tabular(graph, t, log_pf, log_pb, F)
    assert float((F[0] + e.log_ratio - log_reward).abs().max()) < 1e-12
    assert float(objectives.trajectory_balance(e, log_reward, F[0])) < 1e-10
    assert float(objectives.log_partition_variance(e, log_reward)) < 1e-10
    assert float(objectives.detailed_balance(e, log_reward)) < 1e-10
    assert float(objectives.detailed_balance(e, None)) < 1e-10
    for decay in (0.1, 0.9, 1.0, 3.0):
        assert float(objectives.sub_trajectory_balance(e, log_reward, decay)) < 1e-10
        assert float(objectives.sub_trajectory_balance(e, None, decay)) < 1e-10
    assert float(objectives.ending_flows(e, hypergrid_reward(t.states, 8)[:, 0].log())) < 1e-10
    np.testing.assert_allclose(objectives.learnt_log_reward(e) + F[0], log_reward, atol=1e-12)
    np.testing.assert_allclose(objectives.learnt_log_reward_of_flows(e), log_reward, atol=1e-12)
    np.testing.assert_allclose(objectives.learnt_log_reward_of_edges(e), log_reward, atol=1e-12)


class _ExactFlows(Policy):
    """A policy whose edge flows come from a table."""

    def look_up(self, graph: Graph, table: torch.Tensor) -> None:
        self.place = {tuple(state): i for i, state in enumerate(graph.states.tolist())}
        self.table = table

    def edge_flows(
        self, states: torch.Tensor, condition: torch.Tensor | None = None, row: torch.Tensor | None = None
    ) -> torch.Tensor:
        return self.table[[self.place[tuple(state)] for state in states.tolist()]]


def test_flow_matching_vanishes_at_the_exact_solution(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    environment, graph, reward = grid
    F, log_pf = graph.flows(reward.log())
    policy = _ExactFlows(environment, hidden=(8,), generator=generator(0))
    policy.look_up(graph, log_pf + F[:, None])
    t = policy.sample(500, generator(1), epsilon=0.5)
    e = tabular(graph, t, log_pf, graph.uniform_backward(), F)
    exact = hypergrid_reward(t.states, 8)[:, 0].log()
    assert float(objectives.flow_matching(policy, e, exact)) < 1e-10
    assert float(objectives.flow_matching(policy, e, None)) < 1e-10
    assert float(objectives.flow_matching(policy, e, exact + math.log(2.0))) > 1e-3  # of another reward it does not


def test_probabilities_of_edges_that_lead_to_one_child_add_up() -> None:
    """Two actions to x and one to y: the naive optimum, each action its own edge, gives p(x) = 2/3 instead of 1/2."""
    graph = Graph(
        states=torch.tensor([[0], [1], [2]]), levels=(0, 1, 3),
        masks=torch.tensor([[True, True, True, False], [False, False, False, True], [False, False, False, True]]),
        parent=torch.tensor([0, 0, 0]), action=torch.tensor([0, 1, 2]), child=torch.tensor([1, 1, 2]),
        undo=torch.tensor([0, 1, 0]), edges=(0, 3),
    )  # fmt: skip
    log_reward = torch.zeros(2, dtype=torch.float64)
    _, summed = graph.flows(log_reward)
    np.testing.assert_allclose(graph.end_probabilities(summed), [0.5, 0.5], atol=1e-14)
    _, naive = graph.flows(log_reward, torch.zeros(3, dtype=torch.float64))
    np.testing.assert_allclose(graph.end_probabilities(naive), [2 / 3, 1 / 3], atol=1e-14)


def test_the_exponent_is_the_slope_of_log_probability(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    _, graph, reward = grid
    _, log_pf = graph.flows(3.0 * reward.log())
    slope = np.polyfit(reward.log().numpy(), graph.end_probabilities(log_pf).log().numpy(), 1)[0]
    assert slope == pytest.approx(3.0, rel=1e-10)


# -- the objectives' own identities ------------------------------------------------------------------


def _whole_numbers(seed: int) -> tuple[Evaluation, torch.Tensor]:
    """Trajectories with whole numbers in place of log-probabilities, so that sums are exact."""
    t = Policy(Grid((4, 4)), hidden=(8,), generator=generator(seed)).sample(16, generator(seed), epsilon=1.0)
    g = generator(seed + 1)
    values = [torch.randint(-5, 6, (len(t.states),), generator=g).double() for _ in range(3)]
    values[1][t.undo < 0] = 0.0
    e = Evaluation(t, values[0], values[1], values[2], torch.zeros(len(t.states), 3))
    return e, torch.randint(-5, 6, (16,), generator=g).double()


def _by_loops(e: Evaluation, log_reward: torch.Tensor | None, decay: float) -> float:
    """Sub-trajectory balance as its definition reads; without rewards, of the parts that do not end with the stop."""
    t, losses = e.trajectories, []
    assert e.log_flow is not None
    for i in range(len(t)):
        rows = sorted((t.row == i).nonzero()[:, 0].tolist(), key=lambda k: int(t.time[k]))
        flow = [float(e.log_flow[k]) for k in rows] + ([] if log_reward is None else [float(log_reward[i])])
        gain = [
            float(e.log_pf[k]) - (float(e.log_pb[rows[j + 1]]) if j + 1 < len(rows) else 0.0)
            for j, k in enumerate(rows)
        ]
        terms = [
            (decay ** (n - m), (flow[m] + sum(gain[m:n]) - flow[n]) ** 2)
            for m, n in itertools.combinations(range(len(flow)), 2)
        ]
        losses.append(sum(w * d for w, d in terms) / sum(w for w, _ in terms) if terms else 0.0)
    return float(np.mean(losses))


@pytest.mark.parametrize("decay", [0.3, 0.9, 1.0, 2.0])
def test_sub_trajectory_balance_is_its_double_loop(decay: float) -> None:
    e, log_reward = _whole_numbers(3)
    assert float(objectives.sub_trajectory_balance(e, log_reward, decay)) == pytest.approx(
        _by_loops(e, log_reward, decay), rel=1e-12
    )
    assert bool((e.trajectories.length == 1).any())  # a trajectory that stops at once has no moves to be balanced
    moves = float(objectives.sub_trajectory_balance(e, None, decay))
    assert moves == pytest.approx(_by_loops(e, None, decay), rel=1e-12)


def test_limits_of_sub_trajectory_balance() -> None:
    e, log_reward = _whole_numbers(5)
    t = e.trajectories
    assert e.log_flow is not None
    at_source = e.log_flow[t.time == 0][torch.argsort(t.row[t.time == 0])]
    whole = objectives.trajectory_balance(e, log_reward, at_source)
    assert float(objectives.sub_trajectory_balance(e, log_reward, 1e12)) == pytest.approx(float(whole), rel=1e-9)
    single = float(objectives.sub_trajectory_balance(e, log_reward, 1e-12))
    assert single == pytest.approx(_by_loops(e, log_reward, 1e-12), rel=1e-9)  # the mean of each trajectory's terms
    one = replace(t, **{n: getattr(t, n)[t.row == 0] for n in ("states", "actions", "masks", "row", "time", "undo")})
    one = replace(one, ends=t.ends[:1])
    rows = t.row == 0
    alone = Evaluation(one, e.log_pf[rows], e.log_pb[rows], e.log_flow[rows], e.logits[rows])
    detailed = float(objectives.detailed_balance(alone, log_reward[:1]))
    assert float(objectives.sub_trajectory_balance(alone, log_reward[:1], 1e-12)) == pytest.approx(detailed, rel=1e-9)


def test_log_partition_variance_is_trajectory_balance_with_the_best_constant() -> None:
    e, log_reward = _whole_numbers(7)
    best = (log_reward - e.log_ratio).mean()
    balance = float(objectives.trajectory_balance(e, log_reward, best))
    assert float(objectives.log_partition_variance(e, log_reward)) == pytest.approx(balance, rel=1e-12)
    halves = [(log_reward - e.log_ratio)[rows] for rows in (slice(0, 8), slice(8, 16))]
    expected = np.mean([float(part.var(unbiased=False)) for part in halves])
    assert float(objectives.log_partition_variance(e, log_reward, groups=2)) == pytest.approx(expected, rel=1e-12)


# -- the network --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0, 3])
def test_the_remembered_gradient_is_the_one_of_a_dense_network(width: int) -> None:
    """Outputs and gradients equal those of matrices on a one-hot encoding, by autograd."""
    policy = Policy(
        FreeSlots((3, 2, 4)), hidden=(7, 5), backward="learned", flows=True, condition=width, generator=generator(0),
        dtype=torch.float64,
    )  # fmt: skip
    condition = torch.rand(6, width, generator=generator(1), dtype=torch.float64) if width else None
    t = policy.sample(6, generator(2), condition=condition, keep=True)
    network = policy.network
    outputs = network(t.states, t.condition, t.row, t.trace)
    weight = torch.rand(outputs.shape, generator=generator(3), dtype=torch.float64)
    parameters = list(network.parameters())
    gradients = torch.autograd.grad((outputs * weight).sum(), parameters)
    hot = torch.cat([torch.nn.functional.one_hot(t.states[:, d], n) for d, n in enumerate((4, 3, 5))], 1).double()
    h = hot @ network.table + network.biases[0]
    if condition is not None:
        assert network.given is not None
        h = h + condition[t.row] @ network.given
    for layer, matrix in enumerate(network.weights):
        h = h.relu() @ matrix.T + network.biases[layer + 1]
    np.testing.assert_allclose(outputs.detach().numpy(), h.detach().numpy(), atol=1e-13)
    for mine, autograd in zip(gradients, torch.autograd.grad((h * weight).sum(), parameters), strict=True):
        np.testing.assert_allclose(mine.numpy(), autograd.numpy(), atol=1e-12)


def test_what_was_remembered_is_dropped_once_a_parameter_changes() -> None:
    policy = Policy(Grid((4, 4)), hidden=(8,), generator=generator(0))
    t = policy.sample(8, generator(1), keep=True)
    before = policy.evaluate(t).log_pf.detach().clone()
    with torch.no_grad():
        policy.network.table += 1.0
    again = policy.evaluate(replace(t, trace=None)).log_pf.detach()
    assert not torch.allclose(before, again)
    torch.testing.assert_close(policy.evaluate(t).log_pf.detach(), again)


def test_the_network_has_as_many_parameters_as_the_peers() -> None:
    """71,430 of torchgfn's HyperGrid example: two layers of 256, shared trunk, log Z aside."""
    policy = Policy(Grid((8, 8)), backward="learned")
    assert sum(p.numel() for p in policy.parameters()) == 71_429  # and one of log Z


# -- sampling -----------------------------------------------------------------------------------------

ENVIRONMENTS: dict[str, Environment] = {
    "grid": Grid((4, 3)),
    "grid with ending borders": Grid((5, 5), border_ends=True),
    "grid with admitted ends": Grid((4, 4), admitted=torch.arange(16).reshape(4, 4) % 5 == 1),
    "free slots": FreeSlots((3, 2, 4)),
    "edits": Edits(torch.tensor([[0, 1, 2]]), 3, 2, least=1),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_exploring_never_leaves_the_graph_and_frequencies_are_the_exact_ones(name: str) -> None:
    environment = ENVIRONMENTS[name]
    graph = enumerate_states(environment)
    policy = Policy(environment, hidden=(16,), backward="learned", generator=generator(0), dtype=torch.float64)
    t = policy.sample(3000, generator(1), epsilon=1.0)
    assert bool(t.masks[torch.arange(len(t.states)), t.actions].all())
    known = {tuple(state): i for i, state in enumerate(graph.states[graph.ends].tolist())}
    counts = np.bincount([known[tuple(end)] for end in t.ends.tolist()], minlength=len(known))
    uniform = graph.masks.double()
    p = graph.end_probabilities((uniform / uniform.sum(1, keepdim=True)).log()).numpy()
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    # Counts scatter around 3000 p with sd sqrt(3000 p (1 - p)): five of them, and one more for small counts.
    assert (np.abs(counts - 3000 * p) < 5 * np.sqrt(3000 * p) + 1).all()
    drawn = policy.sample(3000, generator(2))
    with torch.no_grad():
        p = graph.end_probabilities(policy.tables(graph.states)[0]).numpy()
    counts = np.bincount([known[tuple(end)] for end in drawn.ends.tolist()], minlength=len(known))
    assert (np.abs(counts - 3000 * p) < 5 * np.sqrt(3000 * p) + 1).all()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_ways_back_lead_forward_again(name: str) -> None:
    environment = ENVIRONMENTS[name]
    policy = Policy(environment, hidden=(16,), backward="learned", generator=generator(0), dtype=torch.float64)
    ends = policy.sample(50, generator(1), epsilon=0.5).ends
    t = policy.sample_backward(ends, generator(2))
    for i in range(len(t)):
        rows = sorted((t.row == i).nonzero()[:, 0].tolist(), key=lambda k: int(t.time[k]))
        state = t.states[rows[0]][None]
        for j, k in enumerate(rows):
            assert t.states[k].tolist() == state[0].tolist()
            assert int(t.time[k]) == j
            if j + 1 < len(rows):
                state = environment.after(state, t.actions[k : k + 1])
        assert int(t.actions[rows[-1]]) == environment.moves
        assert state[0].tolist() == ends[i].tolist()
    both = joined([t, policy.sample(10, generator(3))])
    e = policy.evaluate(both)
    torch.testing.assert_close(e.log_ratio[: len(t)], policy.evaluate(t).log_ratio)


def test_backward_probabilities_of_all_ways_to_an_end_add_up(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    environment, graph, _ = grid
    policy = Policy(environment, hidden=(16,), backward="learned", generator=generator(0), dtype=torch.float64)
    with torch.no_grad():
        log_pb = graph.edge_backward(policy.tables(graph.states)[1])
    back = torch.zeros(len(graph.states), dtype=torch.float64)  # of going back from the end, to each state
    back[graph.states.tolist().index([5, 6])] = 1.0
    for parent, child, p in reversed(list(zip(graph.parent.tolist(), graph.child.tolist(), log_pb.exp(), strict=True))):
        back[parent] += back[child] * p
    assert float(back[0]) == pytest.approx(1.0, abs=1e-12)


def test_a_border_that_ends_has_no_corner_and_is_no_parent() -> None:
    graph = enumerate_states(Grid((32, 32), border_ends=True))
    assert len(graph.ends) == 1023
    assert bool((graph.states[graph.parent] < 31).all())


def test_broken_promises_of_an_environment_are_named() -> None:
    class Twice(Grid):
        def after(self, states: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
            return states + torch.tensor([[1, 0]])

    with pytest.raises(InvalidValueError, match="it has to lead back"):
        enumerate_states(Twice((3, 3)))


@pytest.mark.parametrize(
    "wrong", [{"objective": "td"}, {"batch": 1}, {"replayed": 1.0}, {"bred": 0.6, "replayed": 0.5}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]


# -- learning -----------------------------------------------------------------------------------------


def made(objective: Objective, seed: int, units: int = 256, **options: object) -> Trainer:
    """A policy to be trained on the grid of 8 x 8."""
    g = generator(seed)
    settings = Settings(objective=objective, **options)  # type: ignore[arg-type]
    policy = Policy(Grid((8, 8)), hidden=(units, units), backward="learned", flows=settings.flows, generator=g)
    return Trainer(policy, lambda states: hypergrid_reward(states, 8), settings, g)


def distance(trainer: Trainer, graph: Graph, reward: torch.Tensor) -> float:
    """Exact L1 distance of what the policy samples from the target."""
    with torch.no_grad():
        log_pf = trainer.policy.tables(graph.states)[0]
    return l1(graph.end_probabilities(log_pf), reward / reward.sum())


def train(trainer: Trainer, steps: int) -> None:
    for _ in range(steps):
        trainer.step()


@pytest.mark.slow
def test_trajectory_balance_learns_the_small_grid(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    _, graph, reward = grid
    trainer = made("tb", seed=1, units=64, batch=64, learning_rate=4e-3)
    train(trainer, 250)
    assert distance(trainer, graph, reward) < 0.03
    assert float(trainer.log_z.constant.detach()) == pytest.approx(math.log(22.4), abs=0.005)
    assert trainer.calls == 250 * 64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "early", "late"),
    [("tb", 0.03, 1e-3), ("subtb", 0.03, 1e-3), ("vargrad", 0.03, 1e-3), ("db", 0.05, 0.06), ("fm", 0.06, 1e-3)],
)
def test_objectives_learn_the_small_grid(
    grid: tuple[Grid, Graph, torch.Tensor], objective: Objective, early: float, late: float
) -> None:
    _, graph, reward = grid
    trainer = made(objective, seed=2)
    train(trainer, 250)
    assert distance(trainer, graph, reward) < early
    train(trainer, 750)
    assert distance(trainer, graph, reward) < late


def test_a_tree_of_strings_is_learnt_exactly_from_all_its_leaves() -> None:
    """Three letters, length 4, 81 leaves, each on a branch of its own: P_B is 1."""
    from workbench.samplers.gflownet.spaces import SpaceEnvironment
    from workbench.space import Sequence, Space

    environment = SpaceEnvironment(Space([Sequence("s", "AVC", 4, 4)]))
    graph = enumerate_states(environment)
    assert len(graph.ends) == 81
    reward = 0.1 + torch.rand(81, generator=generator(0), dtype=torch.float64)
    policy = Policy(environment, hidden=(64,), generator=generator(1), dtype=torch.float64)
    ends = graph.states[graph.ends]
    t = policy.sample_backward(ends, generator(2))
    log_z = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([{"params": policy.parameters(), "lr": 0.01}, {"params": [log_z], "lr": 0.1}])
    for _ in range(400):
        optimizer.zero_grad()
        loss = objectives.trajectory_balance(policy.evaluate(t), reward.log(), log_z)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1e-6
    with torch.no_grad():
        p = graph.end_probabilities(policy.tables(graph.states)[0])
    assert l1(p, reward / reward.sum()) < 1e-3


def test_a_trainer_goes_on_from_its_arrays_bit_for_bit() -> None:
    from workbench.samplers.gflownet.replay import Archive

    def small() -> Trainer:
        g = generator(3)
        policy = Policy(Grid((4, 4)), hidden=(16,), generator=g)
        settings = Settings(batch=16, epsilon=0.1, replayed=0.25)
        return Trainer(policy, lambda s: hypergrid_reward(s, 4), settings, g, archive=Archive(4))

    whole, first, second = small(), small(), small()
    losses = [whole.step().loss for _ in range(10)]
    for _ in range(5):
        first.step()
    second.load_state_dict(first.state_dict())
    assert [second.step().loss for _ in range(5)] == losses[5:]
    assert second.calls == whole.calls


# -- order --------------------------------------------------------------------------------------------


def test_gradient_and_infimum_of_the_order_preserving_loss() -> None:
    log_reward = torch.randn(12, generator=generator(0), dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    loss = objectives.order_preserving(log_reward, labels)
    (gradient,) = torch.autograd.grad(loss, log_reward)
    np.testing.assert_allclose(gradient.numpy(), (log_reward.softmax(0) - labels / 3).detach().numpy(), atol=1e-12)
    shifted = objectives.order_preserving(log_reward.detach() + 5.0, labels)
    assert float(shifted) == pytest.approx(float(loss.detach()), abs=1e-12)
    exact = torch.where(labels == 1, 0.0, -800.0).double()
    assert float(objectives.order_preserving(exact, labels)) == pytest.approx(0.0, abs=1e-12)


def test_pairs_know_only_the_order() -> None:
    u = torch.tensor([2.0, 1.0, 1.0, 0.5], dtype=torch.float64)
    v = torch.tensor([1.0, 1.0, 2.0, 0.2], dtype=torch.float64)
    labels = objectives.pair_labels(u, v)
    assert labels.tolist() == [1.0, 0.5, 0.0, 1.0]
    assert objectives.pair_labels((10 * u).exp(), (10 * v).exp()).tolist() == labels.tolist()
    tie = objectives.order_preserving_pairs(torch.zeros(1), torch.zeros(1), torch.tensor([0.5]))
    assert float(tie) == pytest.approx(math.log(2.0), abs=1e-7)


def test_divergence_of_the_backward_policy_from_uniform() -> None:
    environment = Grid((5, 5))
    policy = Policy(environment, hidden=(8,), backward="learned", generator=generator(0), dtype=torch.float64)
    e = policy.evaluate(policy.sample(200, generator(1), epsilon=1.0))
    t = e.trajectories
    terms = []
    with torch.no_grad():
        log_pb = policy.tables(t.states)[1]
    for i in (t.undo >= 0).nonzero()[:, 0].tolist():
        legal = environment.undoable(t.states[i : i + 1])[0]
        q = 1.0 / int(legal.sum())
        terms.append(sum(q * (math.log(q) - float(log_pb[i, u])) for u in legal.nonzero()[:, 0].tolist()))
    assert objectives.backward_divergence(policy, e).item() == pytest.approx(float(np.mean(terms)), rel=1e-10)


# -- trust ----------------------------------------------------------------------------------------------


def test_an_exact_policy_is_trusted_and_a_random_one_is_not(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    environment, graph, reward = grid

    def log_rewards(states: torch.Tensor) -> torch.Tensor:
        return hypergrid_reward(states, 8)[:, 0].log()

    class Exact(_ExactFlows):
        """A network whose outputs are the table's, so that its probabilities are exact."""

        def evaluate(self, trajectories: Trajectories) -> Evaluation:
            return tabular(graph, trajectories, log_pf, graph.uniform_backward(), F)

        def tables(self, states: torch.Tensor, condition: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
            return log_pf, None, None

    F, log_pf = graph.flows(reward.log())
    policy = Exact(environment, hidden=(8,), generator=generator(0))
    seen = trust(policy, log_rewards, generator(1), graph=graph)
    assert seen.level == "good"
    assert seen.distance == pytest.approx(0.0, abs=1e-12)
    assert (seen.coverage, seen.slope, seen.correlation) == pytest.approx((1.0, 1.0, 1.0))
    assert seen.loss == pytest.approx(0.0, abs=1e-12)
    assert seen.effective == pytest.approx(1.0)
    random = trust(Policy(environment, generator=generator(0)), log_rewards, generator(1), graph=graph)
    assert random.level == "look"
    assert random.distance is not None
    assert random.distance > 0.5
    assert any("not what it should draw" in reason for reason in random.reasons)


def test_a_reward_of_zero_is_no_cause_to_distrust_a_policy(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    """It draws in proportion to R, but one of none, log R = -300, once in 10^5 times: a line through all is flat."""
    environment, graph, reward = grid
    log_reward = reward.log()
    log_reward[9] = -300.0

    class Close(_ExactFlows):
        def evaluate(self, trajectories: Trajectories) -> Evaluation:
            return tabular(graph, trajectories, log_pf, graph.uniform_backward(), F)

        def tables(self, states: torch.Tensor, condition: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
            return log_pf, None, None

    almost = log_reward.clone()
    almost[9] = float(log_reward.logsumexp(0)) + math.log(1e-5)
    F, log_pf = graph.flows(almost)
    numbers = {tuple(state): i for i, state in enumerate(graph.states[graph.ends].tolist())}

    def log_rewards(states: torch.Tensor) -> torch.Tensor:
        return log_reward[[numbers[tuple(state)] for state in states.tolist()]]

    seen = trust(Close(environment, hidden=(8,), generator=generator(0)), log_rewards, generator(1), graph=graph)
    assert np.polyfit(log_reward.numpy(), seen.log_p.numpy(), 1)[0] < 0.1
    assert seen.distance == pytest.approx(2e-5, rel=0.01)
    assert (seen.correlation, seen.slope) == pytest.approx((1.0, 1.0), abs=1e-4)  # both below 10^-3 / 64
    assert seen.reasons == ()


def test_probabilities_of_ends_from_ways_that_lead_there(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    environment, graph, _ = grid
    policy = Policy(environment, backward="learned", generator=generator(0), dtype=torch.float64)
    with torch.no_grad():
        exact = graph.end_probabilities(policy.tables(graph.states)[0]).log()
    ends = graph.states[graph.ends]
    near = ends.sum(1) <= 6
    estimate = log_probability(policy, ends[near], generator(1), ways=400)
    # Ratios of an untrained policy vary by about e^0.3; 400 of them leave 0.02 in the logarithm, here times five.
    np.testing.assert_allclose(estimate.numpy(), exact[near].numpy(), atol=0.1)


def test_a_policy_that_is_too_flat_is_not_trusted_though_it_correlates(grid: tuple[Grid, Graph, torch.Tensor]) -> None:
    """It samples in proportion to R^0.2: the correlation of logarithms is 1, their slope is a fifth."""
    environment, graph, _ = grid

    def log_rewards(states: torch.Tensor) -> torch.Tensor:
        return 0.3 * states.sum(1).double()

    class Flat(_ExactFlows):
        def evaluate(self, trajectories: Trajectories) -> Evaluation:
            return tabular(graph, trajectories, log_pf, graph.uniform_backward(), F)

        def tables(self, states: torch.Tensor, condition: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
            return log_pf, None, None

    F, log_pf = graph.flows(0.2 * log_rewards(graph.states[graph.ends]))
    seen = trust(Flat(environment, hidden=(8,), generator=generator(0)), log_rewards, generator(1), graph=graph)
    assert (seen.correlation, seen.slope) == pytest.approx((1.0, 0.2))
    assert any("too little" in reason for reason in seen.reasons)


@pytest.mark.parametrize("m", [1, 2])
def test_an_order_that_is_kept_and_one_that_is_turned_round(grid: tuple[Grid, Graph, torch.Tensor], m: int) -> None:
    """A table of probabilities that rises with the reward keeps all pairs; one that falls keeps none."""
    environment, graph, _ = grid
    ends = graph.states[graph.ends]

    def rewards(states: torch.Tensor) -> torch.Tensor:
        return torch.stack([states[:, 0] + 8 * states[:, 1], -states[:, 0]][:m], 1).double()

    if m == 1:
        worth = rewards(ends)[:, 0]
    else:  # of two, what nothing dominates comes first
        worth = torch.from_numpy(non_dominated(rewards(ends).numpy()).astype(np.float64))

    class Table(_ExactFlows):
        log_pf: torch.Tensor

        def tables(self, states: torch.Tensor, condition: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
            return self.log_pf, None, None

    for sign, kept in ((1.0, 1.0), (-1.0, 0.0)):
        policy = Table(environment, hidden=(8,), generator=generator(0))
        policy.log_pf = graph.flows(sign * 0.1 * worth)[1]
        seen = trust_in_order(policy, rewards, generator(1), graph=graph, samples=16)
        assert seen.kept == kept
        assert seen.level == ("good" if kept else "look")
        assert seen.distance is None


# -- at the edges ---------------------------------------------------------------------------------------


def at_the_source(objective: Objective, **options: object) -> Trainer:
    """A policy whose trajectories all stop at once, and whose rewards ask for nothing else."""
    g = generator(0)
    settings = Settings(objective=objective, batch=16, **options)  # type: ignore[arg-type]
    policy = Policy(Grid((4, 4)), hidden=(8,), backward="learned", flows=settings.flows, generator=g)
    with torch.no_grad():
        policy.network.biases[-1][2] = 50.0  # the stop
    return Trainer(policy, lambda states: (states == 0).all(1).double()[:, None] + 1e-6, settings, g)


@pytest.mark.parametrize(
    ("objective", "options"),
    [("fm", {}), ("op_fm", {}), ("op_db", {}), ("subtb", {}), ("tb", {"regularize": 0.1}), ("fm", {"regularize": 0.1})],
)
def test_a_batch_that_stops_at_the_source_leaves_finite_weights(
    objective: Objective, options: dict[str, object]
) -> None:
    trainer = at_the_source(objective, **options)
    done = trainer.step()
    assert (done.ends == 0).all()
    assert math.isfinite(done.loss)
    assert all(bool(torch.isfinite(p).all()) for p in trainer.policy.parameters())


def test_the_mean_over_no_states_is_zero_with_a_gradient_of_zero() -> None:
    policy = at_the_source("tb").policy
    e = policy.evaluate(policy.sample(16, generator(1)))
    for nothing in (objectives.flow_matching(policy, e, None), objectives.backward_divergence(policy, e)):
        assert nothing.item() == 0.0
        (gradient,) = torch.autograd.grad(nothing, policy.network.table, retain_graph=True)
        assert not gradient.any()


def test_a_batch_is_evaluated_anew_after_each_update_of_any_optimizer() -> None:
    """Adam's fused kernel changes parameters without raising the count of their changes."""
    policy = Policy(Grid((4, 4)), hidden=(8,), generator=generator(0))
    t = policy.sample(32, generator(1), keep=True)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.1, fused=True)
    for _ in range(3):
        e = policy.evaluate(t)
        torch.testing.assert_close(e.log_pf, policy.evaluate(replace(t, trace=None)).log_pf, rtol=0.0, atol=0.0)
        before = e.log_pf.detach().clone()
        optimizer.zero_grad()
        objectives.trajectory_balance(e, hypergrid_reward(t.ends, 4)[:, 0].log(), torch.zeros(())).backward()
        optimizer.step()
        assert float((policy.evaluate(t).log_pf - before).detach().abs().max()) > 0.01


def test_what_was_kept_is_gone_on_from_where_nothing_has_changed() -> None:
    policy = Policy(Grid((4, 4)), hidden=(8,), generator=generator(0))
    t = policy.sample(32, generator(1), keep=True)
    assert t.trace is not None
    kept, anew = policy.evaluate(t, unchanged=True), policy.evaluate(t)
    torch.testing.assert_close(kept.logits[:, :2][t.masks[:, :2]], t.trace.outputs[:, :2][t.masks[:, :2]])
    torch.testing.assert_close(kept.log_pf, anew.log_pf)
    gradients = [torch.autograd.grad(e.log_ratio.sum(), list(policy.parameters())) for e in (kept, anew)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


class Hasty(Grid):
    """A grid that promises fewer moves than there are."""

    def __init__(self, sizes: tuple[int, ...], steps: int) -> None:
        super().__init__(sizes)
        self.steps = steps


def test_more_moves_than_an_environment_promises_are_an_error() -> None:
    environment = Hasty((6, 6), 3)
    policy = Policy(environment, hidden=(8,), generator=generator(0))
    with torch.no_grad():
        policy.network.biases[-1][2] = -50.0  # no stop
    with pytest.raises(InvalidValueError, match=r"at most 3 moves .* Hasty says, but 0 of 9 trajectories stopped"):
        policy.sample(9, generator(1))
    with pytest.raises(InvalidValueError, match=r"at most 3 moves .* but state \[1, 0\] is left"):
        policy.sample_backward(torch.tensor([[5, 0]]), generator(1))
    with pytest.raises(InvalidValueError, match=r"at most 3 moves .* but state \[0, 3\] allows a move after 3"):
        enumerate_states(environment)
    enough = Policy(Hasty((6, 6), 10), hidden=(8,), generator=generator(0))
    assert len(enough.sample(9, generator(1), epsilon=0.5).ends) == 9
    assert enough.sample_backward(torch.tensor([[5, 5]]), generator(1)).length.tolist() == [11]


def test_a_number_of_moves_that_is_not_fixed_is_an_error_where_it_is_promised() -> None:
    environment = FreeSlots((2, 2))
    environment.steps = 3
    with pytest.raises(InvalidValueError, match=r"exactly 3 moves .* allows the stop after 2"):
        enumerate_states(environment)


@pytest.mark.parametrize("bins", [1, -3, 2.5])
def test_thermometers_of_less_than_two_bins_are_refused(bins: int) -> None:
    for made_of in (lambda: thermometer(torch.zeros(1, 1), bins), lambda: Conditioning(2, bins=bins)):
        with pytest.raises(InvalidValueError, match=rf"must be a whole number >= 2, .* got {bins}\. Take 16"):
            made_of()
    assert Conditioning(2, bins=0).at([1.0, 3.0], 1).encoding.tolist() == [[0.25, 0.75]]  # type: ignore[union-attr]


def test_exponents_that_nothing_was_learnt_of_are_refused() -> None:
    one, several = Conditioning(2, beta=(4.0,)), Conditioning(2, beta=(1.0, 16.0))
    with pytest.raises(InvalidValueError, match=r"trained on, \(4.0,\), got 8.0; make .* beta=\(4.0, 8.0\)"):
        one.at([0.5, 0.5], 1, 8.0)
    with pytest.raises(InvalidValueError, match="got 17"):
        several.at([0.5, 0.5], 1, 17)
    assert one.at([0.5, 0.5], 1, 4.0).beta.tolist() == [4.0]
    assert several.at([0.5, 0.5], 2, 4.0).beta.tolist() == [4.0, 4.0]
    with pytest.raises(InvalidValueError, match=r"got 2, 1, 1.0 and \(0.0,\)"):
        Conditioning(2, beta=(0.0,))


def test_spaces_and_environments_of_which_nothing_is_left_say_what_to_do() -> None:
    space = wb.Space([wb.Int("a", 0, 3), wb.Int("b", 0, 3)], constraints=["a + b >= 5"])
    for made_of in (SpaceEnvironment, SpaceGrid):
        with pytest.raises(InfeasibleSpaceError, match=r"constraints and fixed values, .* fix fewer parameters"):
            made_of(space, {"a": 0})
    with pytest.raises(InvalidValueError, match=r"at most 5 states, there are more; pass most="):
        enumerate_states(Grid((4, 4)), most=5)
