"""GFlowNets on a device: on a GPU where there is one, and everywhere on one that the CPU plays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

import workbench as wb
from workbench.errors import InvalidValueError
from workbench.samplers.batch import Outcomes
from workbench.samplers.gflownet.acquiring import EDITING, SETTINGS, Pool, learn
from workbench.samplers.gflownet.conditioning import Conditioning
from workbench.samplers.gflownet.environment import Edits, Environment, FreeSlots, Grid, Table
from workbench.samplers.gflownet.graph import enumerate_states, l1
from workbench.samplers.gflownet.points import SpaceEdits, SpaceGrid
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.ranked import learn_order
from workbench.samplers.gflownet.replay import Archive
from workbench.samplers.gflownet.running import Model, Options, Run
from workbench.samplers.gflownet.spaces import SpaceEnvironment
from workbench.samplers.gflownet.training import Objective, Settings, Trainer
from workbench.samplers.gflownet.trust import trust, trust_in_order

HERE, FAR = torch.device("cpu"), torch.device("cuda", 0)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class FarGenerator(torch.Generator):
    """A generator of the CPU that says that it draws far away."""

    device = FAR


class Elsewhere(TorchFunctionMode):
    """A second device, played by the CPU.

    Tells of every tensor where it would be, and refuses what a GPU would: tensors of two devices in one call, numpy,
    and another device's generator. Here not even indices and numbers of another device are taken. What C++ makes by
    itself, such as gradients, goes with anything.

    Attributes:
        implicit: Functions that made a tensor and were not told where.
    """

    def __init__(self) -> None:
        super().__init__()
        self.implicit: list[str] = []
        self._known: dict[
            int, tuple[Any, torch.device]
        ] = {}  # by storage, which is kept, so that no other has its place

    def __enter__(self) -> Elsewhere:
        self._from_numpy = torch.from_numpy  # which asks no mode
        torch.from_numpy = self._on_the_cpu
        super().__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        super().__exit__(*failure)
        torch.from_numpy = self._from_numpy

    def _on_the_cpu(self, array: Any) -> torch.Tensor:
        t = self._from_numpy(array)
        self._put(t, HERE)
        return t

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", str(func))
        if func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]  # a new object each time
            return self._place(args[0]) or HERE
        if name in ("to", "cpu"):
            return self._brought(*args, *kwargs.values(), *([HERE] if name == "cpu" else []))
        places = {self._place(t) for t in _tensors((args, list(kwargs.values())))} - {None}
        # What goes through a list of gradients is grouped by devices in C++, which sees the real ones.
        if len(places) > 1 and name != "copy_" and not name.startswith("_foreach"):
            raise RuntimeError(f"{name}: expected all tensors on one device")
        if name in ("numpy", "__array__") and FAR in places:
            raise TypeError("a tensor that is far away has no numpy")
        where = _device(kwargs.pop("device")) if kwargs.get("device") is not None else next(iter(places), None)
        draws = kwargs.get("generator")
        if draws is not None and isinstance(draws, FarGenerator) != (where == FAR):
            raise RuntimeError(f"{name}: expected a generator of {where}")
        result = func(*args, **kwargs)
        made = [t for t in _tensors(result) if self._place(t) is None]
        if made and where is None and not list(_tensors((args, list(kwargs.values())))):
            where = HERE
            self.implicit.append(name)
        for t in made:
            self._put(t, where)
        return result

    def _place(self, t: torch.Tensor) -> torch.device | None:
        return self._known.get(t.untyped_storage()._cdata, (None, None))[1]

    def _put(self, t: torch.Tensor, where: torch.device | None) -> None:
        if where is not None:
            self._known[t.untyped_storage()._cdata] = t.untyped_storage(), where

    def _brought(self, t: torch.Tensor, *given: Any) -> torch.Tensor:
        where, dtype = self._place(t), t.dtype
        for value in given:
            if isinstance(value, torch.Tensor):
                where, dtype = self._place(value), value.dtype
            elif isinstance(value, str | torch.device):
                where = _device(value)
            elif isinstance(value, torch.dtype):
                dtype = value
        result = t.to(dtype)
        result = result.clone() if result is t and where != self._place(t) else result
        if result is not t:
            self._put(result, where)
        return result


def _device(given: str | torch.device) -> torch.device:
    return FAR if torch.device(given).type == "cuda" else HERE


def _tensors(found: Any) -> Iterator[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        yield found
    elif isinstance(found, list | tuple):
        for part in found:
            yield from _tensors(part)


def seeded(far: bool, seed: int = 0) -> torch.Generator:
    """A generator here or far away; both draw the same."""
    return (FarGenerator() if far else torch.Generator()).manual_seed(seed)


SPACE = wb.Space(
    [wb.Categorical("a", ["x", "y", "z"]), wb.Int("b", 0, 4), wb.Int("c", 0, 5), wb.Permutation("p", list("abc")),
     wb.Sequence("s", "AVC", 1, 3), wb.Subset("q", list("uvw"), k=2), wb.Int("e", 0, 3, when={"a": ["x"]})],
    constraints=["b + c <= 6"],
)  # fmt: skip
NUMBERS = wb.Space([wb.Categorical("a", ["x", "y"]), wb.Int("b", 0, 4), wb.Int("c", 0, 5)], constraints=["b + c <= 6"])
LONG = wb.Space([wb.Int(f"x{i}", 0, 9) for i in range(8)], constraints=["x0 + x1 + x7 <= 9"])
STRINGS = wb.Space([wb.Sequence("s", "AVC", 4, 4)])


def _edits() -> Edits:
    starts, legal = torch.tensor([[0, 1, 2], [1, 1, 0]], device="cpu"), torch.ones(3, 3, dtype=torch.bool, device="cpu")
    return Edits(starts, 3, 2, least=1, legal=legal, generator=seeded(False, 1))


ENVIRONMENTS: dict[str, Callable[[], Any]] = {
    "grid": lambda: Grid((4, 3)),
    "grid with ending borders": lambda: Grid((5, 5), border_ends=True),
    "grid with admitted ends": lambda: Grid(
        (4, 4), admitted=torch.arange(16, device="cpu").reshape(4, 4) % 5 == 1
    ),
    "free slots": lambda: FreeSlots((3, 2, 4)),
    "edits": _edits,
    "tokens": lambda: SpaceEnvironment(SPACE, {"c": 2}),
    "tokens, linear constraints": lambda: SpaceEnvironment(LONG),
    "levels": lambda: SpaceGrid(NUMBERS),
    "edits of points": lambda: SpaceEdits(STRINGS, STRINGS.sobol(4, 0), 2, None, seeded(False, 2)),
}  # fmt: skip


def rewards_of(environment: Environment, m: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """By numpy, as users' are: on the CPU, whatever is asked about."""

    def rewards(states: torch.Tensor) -> torch.Tensor:
        tokens = states.cpu().numpy()
        R = np.stack([1.0 + tokens.sum(1) % 5, 1.0 + (tokens * tokens).sum(1) % 7], axis=1)[:, :m]
        return torch.from_numpy(R / 8.0)

    return rewards


def trained(far: bool, made: Callable[[], Any], steps: int = 3, m: int = 1, **options: Any) -> Trainer:
    """A small policy, trained from what there is: replay, children, conditions."""
    g, environment, settings = seeded(far), made(), Settings(batch=16, epsilon=0.2, **options)
    conditioning = Conditioning(m, beta=(1.0, 4.0), bins=3, repeat=2) if m > 1 and not settings.ordered else None
    policy = Policy(
        environment, hidden=(8, 8), backward="learned", flows=settings.flows, generator=g, slope=0.01,
        condition=conditioning.width if conditioning else 0,
    )  # fmt: skip
    trainer = Trainer(
        policy, rewards_of(environment, m), settings, g, conditioning=conditioning, archive=Archive(8),
        breed=getattr(environment, "children", None),
    )  # fmt: skip
    for _ in range(steps):
        trainer.step()
    return trainer


def everywhere_alike(work: Callable[[bool], dict[str, Any]]) -> None:
    """What is computed far away is what is computed here, and every tensor was told where to be."""
    here, played = work(False), Elsewhere()
    with played:
        there = work(True)
    assert played.implicit == []
    for name, value in here.items():
        np.testing.assert_array_equal(there[name], value, err_msg=name)


# -- a device that the CPU plays ------------------------------------------------------------------------


def test_a_played_device_refuses_what_a_gpu_would() -> None:
    with Elsewhere() as played:
        far = torch.ones(3, device="cuda")
        assert far.device == FAR
        assert (far[:2] + 1).device == FAR
        assert far.cpu().device == HERE
        assert played.implicit == []
        with pytest.raises(RuntimeError, match="one device"):
            far + torch.ones(3)
        assert played.implicit == ["ones"]
        with pytest.raises(TypeError, match="numpy"):
            far.numpy()
        with pytest.raises(RuntimeError, match="one device"):
            far[torch.from_numpy(np.array([True, False, True]))]
        with pytest.raises(RuntimeError, match="a generator of cuda"):
            torch.rand(3, device="cuda", generator=seeded(False))
        np.testing.assert_array_equal(
            torch.rand(3, device="cuda", generator=seeded(True)).cpu().numpy(),
            torch.rand(3, device="cpu", generator=seeded(False)).numpy(),
        )


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_is_walked_on_another_device(name: str) -> None:
    made = ENVIRONMENTS[name]
    bred = 0.25 if hasattr(made(), "children") else 0.0

    def work(far: bool) -> dict[str, Any]:
        trainer = trained(far, made, objective="subtb", replayed=0.25, bred=bred, clip=1.0, regularize=0.1)
        assert trainer.policy.device == (FAR if far else HERE)
        return trainer.state_dict()

    everywhere_alike(work)


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize("objective", ["tb", "db", "subtb", "vargrad", "fm", "op", "op_db", "op_subtb", "op_fm"])
def test_every_objective_is_trained_on_another_device(objective: Objective, m: int) -> None:
    def work(far: bool) -> dict[str, Any]:
        trainer = trained(far, ENVIRONMENTS["grid"], m=m, objective=objective, replayed=0.25, final=0.1)
        first = trainer.state_dict()
        again = trained(far, ENVIRONMENTS["grid"], steps=0, m=m, objective=objective, replayed=0.25, final=0.1)
        again.load_state_dict(first)
        assert trainer.step().loss == again.step().loss
        return first

    everywhere_alike(work)


class Away(Grid):
    """A grid whose source is on the other device, as an own environment's may be."""

    def source(self, n: int) -> torch.Tensor:
        return super().source(n).to(FAR)


def test_tables_are_where_the_states_are_that_were_counted() -> None:
    def work(far: bool) -> dict[str, Any]:
        graph = enumerate_states((Away if far else Grid)((4, 3)))
        assert graph.child.device == (FAR if far else HERE)
        log_reward = (torch.arange(12, device="cpu") % 5).double()
        F, log_pf = graph.flows(log_reward, torch.full((len(graph.child),), -1.0, device="cpu"))
        undo = graph.edge_backward(torch.arange(24, device="cpu").reshape(12, 2))
        found = {"F": F, "log_pf": log_pf, "undo": undo, "p": graph.end_probabilities(log_pf.cpu())}
        return {name: value.cpu().numpy() for name, value in found.items()}

    everywhere_alike(work)


@pytest.mark.parametrize("counted", ["no", "on the CPU", "on the device"])
def test_a_policy_on_another_device_is_looked_at(counted: str) -> None:
    def work(far: bool) -> dict[str, Any]:
        trainer = trained(far, ENVIRONMENTS["grid"])
        policy, rewards, g = trainer.policy, trainer.rewards, trainer.generator
        graph = None
        if counted != "no":
            graph = enumerate_states((Away if far and counted == "on the device" else Grid)((4, 3)))
        seen = trust(policy, lambda states: rewards(states)[:, 0].log(), g, graph=graph, samples=64)
        ordered = trust_in_order(policy, rewards, g, graph=graph, samples=64)
        return {
            "log_p": seen.log_p.numpy(), "log_target": seen.log_target.numpy(), "slope": seen.slope,
            "effective": seen.effective, "kept": ordered.kept, "order": ordered.log_p.numpy(),
        }  # fmt: skip

    everywhere_alike(work)


@pytest.mark.parametrize("counted", [True, False])
def test_a_policy_with_conditions_is_looked_at(counted: bool) -> None:
    def work(far: bool) -> dict[str, Any]:
        trainer = trained(far, ENVIRONMENTS["grid"], m=2)
        graph = enumerate_states(Grid((4, 3))) if counted else None
        given = trainer.conditioning.at([0.2, 0.8], 1)
        assert given.encoding is not None

        def log_rewards(states: torch.Tensor) -> torch.Tensor:
            assert states.device == trainer.policy.device
            return trainer.rewards(states)[:, 0].log()

        seen = trust(
            trainer.policy, log_rewards, trainer.generator, graph=graph, condition=given.encoding[0], samples=32,
            held_out=torch.tensor([[3, 2], [1, 1]], device="cpu"),
        )  # fmt: skip
        assert seen.log_p.device == HERE
        return {"log_p": seen.log_p.numpy(), "log_target": seen.log_target.numpy(), "loss": seen.loss}

    everywhere_alike(work)


@pytest.mark.parametrize("environment", ["tokens", "grid"])
def test_the_model_of_a_space_is_asked_on_another_device(environment: Any) -> None:
    def work(far: bool) -> dict[str, Any]:
        g = seeded(far)
        model = Model(NUMBERS, 2, Options(hidden=(8,), environment=environment), g)
        again = Model.of(NUMBERS, model.arrays())
        return {
            "preferred": model.likeliest(32, [0.3, 0.7], g), "sampled": model.sample(16, g, [0.3, 0.7]),
            "any": model.sample(16, g), "again": again.sample(16, seeded(False), [0.5, 0.5]),
        }  # fmt: skip

    everywhere_alike(work)


@pytest.mark.parametrize("order", [False, True])
def test_a_run_goes_on_on_another_device(order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    own = torch.Generator

    class Either(own):
        def __new__(cls, device: str = "cpu") -> torch.Generator:  # type: ignore[misc]
            return FarGenerator() if device == "cuda" else own(device)

    monkeypatch.setattr(torch, "Generator", Either)

    def evaluate(X: Any) -> Outcomes:
        return Outcomes(np.stack([X.sum(axis=1), np.sin(X).sum(axis=1)], axis=1), np.maximum(X[:, 1] - 3.0, 0.0))

    def work(far: bool) -> dict[str, Any]:
        def made(state: Any = None) -> Run:
            options, rng = Options(hidden=(8,), order=order, batch=32), np.random.default_rng(0)
            return Run(LONG, evaluate, 2000, rng, options, state, "cuda" if far else None)

        first = made()
        assert first.model.policy.device == (FAR if far else HERE)
        assert all(first.step() for _ in range(3))
        second = made(first.state_dict())
        assert first.step()
        assert second.step()
        assert first.loss == second.loss
        return {key: value for key, value in second.trace().items() if value.dtype.kind == "f"} | second.state_dict()

    everywhere_alike(work)


def test_an_order_is_learnt_on_another_device() -> None:
    def work(far: bool) -> dict[str, Any]:
        g, environment = seeded(far), SpaceEnvironment(NUMBERS)
        states = environment.states(NUMBERS.sobol(6, 0))
        better, worse, tied = (torch.tensor(rows, device="cpu") for rows in ([0, 1], [2, 3], [[4, 5]]))
        policy, _ = learn_order(environment, states, better, worse, g, steps=5, over=lambda: False, tied=tied)
        return {name: value.cpu().numpy() for name, value in policy.state_dict().items()}

    everywhere_alike(work)


@pytest.mark.parametrize("edits", [False, True])
def test_an_acquisition_function_is_learnt_on_another_device(edits: bool) -> None:
    def work(far: bool) -> dict[str, Any]:
        g, space = seeded(far), STRINGS if edits else NUMBERS
        environment = SpaceEdits(space, space.sobol(4, 0), 2, None, g) if edits else SpaceEnvironment(space)
        pool = Pool(environment, lambda X: np.sin(X).sum(axis=1), lambda X: np.ones(len(X), dtype=bool))
        learn(
            environment, pool, environment.states(space.sobol(8, 0)), g, over=lambda: False,
            settings=replace(EDITING if edits else SETTINGS, batch=16, steps=3),
            breed=environment.children if isinstance(environment, SpaceEnvironment) else None,
        )  # fmt: skip
        return {"X": pool.X, "a": pool.a, "best": pool.best(4)}

    everywhere_alike(work)


def test_a_table_is_brought_to_a_device_once() -> None:
    with Elsewhere():
        table, asked = Table(torch.arange(3, device="cpu")), torch.zeros(2, device="cuda")
        with torch.inference_mode():
            copy = table.beside(asked)
        assert copy.device == FAR
        assert not copy.is_inference()
        assert table.beside(asked) is copy
        assert table.beside(torch.zeros(2, device="cpu")) is table.values


def test_a_generator_of_another_device_is_refused() -> None:
    with Elsewhere():
        policy = Policy(Grid((4, 4)), hidden=(8,), generator=seeded(True))
        with pytest.raises(InvalidValueError, match=r"on the policy's device cuda:0, got one on cpu; pass torch\.Gen"):
            Trainer(policy, rewards_of(policy.environment, 1), Settings(), seeded(False))


# -- a GPU -------------------------------------------------------------------------------------------------


def hypergrid_reward(states: torch.Tensor) -> torch.Tensor:
    """torchgfn's HyperGrid of height 8, wherever the states are."""
    ax = (states.double() / 7 - 0.5).abs()
    inner = ((ax > 0.3 + 1e-12) & (ax < 0.4 - 1e-12)).all(1).double()
    return (0.1 + 0.5 * (ax > 0.25 + 1e-12).all(1).double() + 2.0 * inner)[:, None]


@pytest.mark.gpu
@needs_gpu
def test_trajectory_balance_learns_the_small_grid_on_a_gpu() -> None:
    environment = Grid((8, 8))
    graph = enumerate_states(environment)
    target = hypergrid_reward(graph.states[graph.ends])[:, 0]
    target = target / target.sum()
    g = torch.Generator("cuda").manual_seed(1)
    policy = Policy(environment, hidden=(64, 64), backward="learned", generator=g)
    trainer = Trainer(policy, hypergrid_reward, Settings(batch=64, learning_rate=4e-3), g)
    for _ in range(250):
        trainer.step()
    assert policy.device.type == "cuda"
    with torch.no_grad():
        p = graph.end_probabilities(policy.tables(graph.states)[0])
    assert l1(p, target) < 0.03
    ends = policy.sample(20_000, g).ends
    assert ends.is_cuda
    place = {tuple(state): i for i, state in enumerate(graph.states[graph.ends].tolist())}
    counts = np.bincount([place[tuple(end)] for end in ends.tolist()], minlength=64)
    # Counts scatter around 20,000 p with sd sqrt(20,000 p): five of them, and one more for small counts.
    assert (np.abs(counts - 20_000 * p.numpy()) < 5 * np.sqrt(20_000 * p.numpy()) + 1).all()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_policy_that_is_brought_to_a_gpu_evaluates_as_before(name: str) -> None:
    environment = ENVIRONMENTS[name]()
    policy = Policy(environment, hidden=(8,), backward="learned", generator=seeded(False), dtype=torch.float64)
    here = policy.sample(64, seeded(False, 1), epsilon=0.5)
    ends, expected = here.ends, policy.evaluate(policy.sample_backward(here.ends, seeded(False, 2)))
    policy.to("cuda")
    g = torch.Generator("cuda").manual_seed(1)
    back = policy.evaluate(policy.sample_backward(ends, g))
    if environment.undos == 1:  # one way to each end
        torch.testing.assert_close(back.log_ratio.cpu(), expected.log_ratio, rtol=1e-9, atol=1e-9)
    there = policy.sample(64, g, epsilon=0.5, keep=True)
    kept, anew = policy.evaluate(there, unchanged=True), policy.evaluate(there)
    torch.testing.assert_close(kept.log_ratio, anew.log_ratio, rtol=1e-9, atol=1e-9)
    policy.to("cpu")
    torch.testing.assert_close(
        policy.log_backward(there.states.cpu()).detach(), policy.to("cuda").log_backward(there.states).detach().cpu()
    )


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("objective", ["tb", "db", "subtb", "vargrad", "fm", "op", "op_db", "op_subtb", "op_fm"])
def test_a_trainer_on_a_gpu_goes_on_from_its_arrays(objective: Objective) -> None:
    def made() -> Trainer:
        g = torch.Generator("cuda").manual_seed(3)
        settings = Settings(objective=objective, batch=16, epsilon=0.1, replayed=0.25, bred=0.25)
        environment = SpaceGrid(NUMBERS)
        policy = Policy(environment, hidden=(16,), flows=settings.flows, generator=g)
        return Trainer(
            policy, rewards_of(environment, 1), settings, g, archive=Archive(8), breed=environment.children
        )  # fmt: skip

    whole, second = made(), made()
    for _ in range(5):
        whole.step()
    second.load_state_dict(whole.state_dict())
    assert second.step().loss == pytest.approx(whole.step().loss, rel=1e-4)  # sums on a GPU have no fixed order
    assert second.calls == whole.calls
