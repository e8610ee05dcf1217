"""Names to objects: the one registry of samplers, and the makers of studies."""

from __future__ import annotations

import contextlib
import difflib
import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from workbench import bundle
from workbench.errors import InvalidValueError, StudyExistsError, UnsupportedError, WorkbenchError, WorkbenchWarning
from workbench.integers import integer
from workbench.problem import Constraint, Objective, Preference, check_apart, check_goals
from workbench.pruning import Pruner, make_pruner
from workbench.samplers.auto import AutoSampler
from workbench.samplers.base import Sampler
from workbench.samplers.bayesian import ACQUISITIONS, GPSampler
from workbench.samplers.consensus import CBOSampler
from workbench.samplers.evolutionary import ALGORITHMS, EvolutionarySampler
from workbench.samplers.gflownet import GFlowNetSampler
from workbench.samplers.preferential import ACQUISITIONS as QUESTIONS
from workbench.samplers.preferential import PreferenceSampler
from workbench.samplers.quasirandom import GridSampler, RandomSampler, SobolSampler
from workbench.samplers.zeroth_order import RankSGDSampler
from workbench.space import Float, Space
from workbench.space.functions import Function
from workbench.storage import Storage, StudyRow, StudySummary
from workbench.study import Study
from workbench.study.asking import waiting
from workbench.study.record import baseline_to_json
from workbench.trial import dumps, loads

Spec = str | Mapping[str, Any] | Sampler

_SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "gp": GPSampler,
    "cbo": CBOSampler,
    "evolutionary": EvolutionarySampler,
    "preference": PreferenceSampler,
    "rank_sgd": RankSGDSampler,
    "gflownet": GFlowNetSampler,
    "sobol": SobolSampler,
    "random": RandomSampler,
    "grid": GridSampler,
}
# An acquisition function is a sampler name too: the sampler with that acquisition.
_ACQUISITIONS = dict.fromkeys(ACQUISITIONS, "gp") | dict.fromkeys(QUESTIONS, "preference")
# What a trial is compared with when it is explained: quick ones that choose in different ways.
_RIVALS = ("log_ei", "ucb", "thompson", "parego", "sobol")


def sampler_names() -> list[str]:
    """Every name that `make_sampler` knows."""
    return sorted(["auto", *_SAMPLERS, *_ACQUISITIONS, *ALGORITHMS])


def make_sampler(spec: Spec) -> Sampler:
    """The sampler that a name, a stored specification or the object itself stands for.

    Args:
        spec: A registered name, {"name": …, "options": {…}}, or a sampler.
    Raises:
        UnsupportedError: for an unknown name, with the near ones.
    """
    if isinstance(spec, Sampler):
        return spec
    name, options = _named(spec)
    if name == "auto":
        if options:
            raise UnsupportedError(f"sampler 'auto' takes no options, got {sorted(options)}; name the sampler instead")
        return AutoSampler(_SAMPLERS)
    if name in _ACQUISITIONS:
        name, options = _ACQUISITIONS[name], {**options, "acquisition": name}
    if name in ALGORITHMS:  # and so is an evolutionary algorithm
        name, options = "evolutionary", {**options, "algorithm": name}
    if name not in _SAMPLERS:
        near = difflib.get_close_matches(str(name), sampler_names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnsupportedError(
            f"sampler must be one of {', '.join(sampler_names())}, or a Sampler object; got {name!r}{hint}"
        )
    try:
        return _SAMPLERS[name](**options)
    except TypeError as error:
        raise UnsupportedError(f"sampler {name!r} cannot be made with the options {options}: {error}") from error


def _named(spec: object) -> tuple[str, Mapping[str, Any]]:
    """The name and the options of a specification."""
    name, options = (spec.get("name"), spec.get("options", {})) if isinstance(spec, Mapping) else (spec, {})
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise UnsupportedError(
            f"sampler must be one of {', '.join(sampler_names())}, {{'name': …, 'options': {{…}}}}, or a Sampler "
            f"object such as wb.GPSampler(); got {spec!r}"
        )
    return name, options


def create_study(
    name: str,
    space: Space,
    objectives: Sequence[Objective | Preference],
    constraints: Sequence[Constraint] = (),
    *,
    sampler: Spec = "auto",
    storage: str | Path | Storage | None = None,
    seed: int | None = None,
    budget: int | None = None,
    baseline: Mapping[str, Any] | None = None,
    pruner: str | Mapping[str, Any] | Pruner | None = None,
    load_if_exists: bool = False,
) -> Study:
    """Begin a study.

    Args:
        name: Unique within the storage.
        space: Where to look.
        objectives: What is wanted, at least one.
        constraints: Limits on measured quantities.
        sampler: Name or object; "auto" chooses by the study. A study that exists keeps its own; this one
            proposes through the object returned.
        storage: "sqlite:///file.db", any SQLAlchemy URL, or a path; None keeps the record in memory.
        seed: Source of all randomness; drawn and stored when absent.
        budget: Number of trials planned; the default `until` of `optimize`.
        baseline: Parameters of what is used today; it becomes the first trial, and limits such as
            `wb.Constraint("yield", lower="1.05 * baseline")` compare with it.
        pruner: What ends trials early: "median", "percentile", "asha", "hypervolume", or an object.
        load_if_exists: Return the existing study of that name, if it has the same space and goals.
    Raises:
        StudyExistsError: if the name is taken.
        SpaceError, ProblemError, InvalidValueError: for a wrong declaration; nothing is written.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidValueError(f"a study needs a name, got {name!r}")
    if not isinstance(space, Space):
        raise InvalidValueError(f"space must be a wb.Space, got {type(space).__name__}; write wb.Space([…])")
    goals, limits = check_goals(objectives, constraints)
    check_apart(space, goals, limits)
    space.check_reachable()
    chosen = make_sampler(sampler)
    rule = make_pruner(pruner)
    if rule is not None:
        rule.check(goals)
    first = _baseline(space, limits, baseline)
    fields: dict[str, Any] = {
        "space": _text(space.to_json()),
        "objectives": _text([goal.to_json() for goal in goals]),
        "constraints": dumps([limit.to_json() for limit in limits]),
        "sampler": _text({"name": chosen.name, "options": chosen.options()}),
        "seed": secrets.randbelow(2**31) if seed is None else _whole("seed", seed, 0, 2**63 - 1),
        "budget": None if budget is None else _whole("budget", budget, 1, 2**31 - 1),
        "baseline": _text(baseline_to_json(first[0])) if first else None,
        "pruner": None if rule is None else _text(rule.to_json()),
    }
    store = _open(storage)
    try:
        row = store.create_study(name=name, **fields, fill=(lambda tx: tx.insert(first)) if first else None)
    except StudyExistsError:
        if not load_if_exists:
            raise
        row = _existing(store, name, fields, seed is not None)
    return Study(store, row, chosen, make_sampler, _functions(space), _RIVALS)


def load_study(
    name: str,
    *,
    storage: str | Path | Storage,
    sampler: Spec | None = None,
    functions: Mapping[str, Function] | None = None,
) -> Study:
    """Go on with a study.

    Args:
        sampler: What proposes from now on; the study's own when absent.
        functions: By name, the functions that constraints of the space are: no record keeps them.
            Without them the study can be read and told, and a warning says what an ask will miss.
    Raises:
        StorageError: if there is no such database; none is made.
        StudyNotFoundError: with the near names.
        UnsupportedError: if the study's own sampler is not known here.
    """
    store = _open(storage, make=False)
    row = store.study(name)
    spec = loads(row.sampler, "auto") if sampler is None else sampler
    try:
        chosen = make_sampler(spec)
    except UnsupportedError as error:
        if sampler is not None:
            raise
        raise UnsupportedError(
            f"study {name!r} was made with a sampler that is not registered here; hand one over with sampler= ({error})"
        ) from error
    study = Study(store, row, chosen, make_sampler, functions, _RIVALS)
    rules = study.space.with_functions(functions or {}).functions  # refuses a name that is none of them
    missing = [rule.name for rule in rules if rule.function is None]
    if missing:
        warnings.warn(
            f"study {name!r} has constraints that are functions, which no record keeps: {', '.join(missing)}. It can "
            f"be read; to ask, pass functions={{{missing[0]!r}: …}} to wb.load_study",
            WorkbenchWarning,
            stacklevel=2,
        )
    return study


def list_studies(storage: str | Path | Storage) -> list[StudySummary]:
    """The studies of a storage with their counts by state; trials are not loaded."""
    return _open(storage, make=False).studies()


def delete_study(name: str, *, storage: str | Path | Storage) -> None:
    """Erase a study with all its trials, feedback and attachments."""
    _open(storage, make=False).delete_study(name)


def import_study(
    path: str | Path,
    *,
    storage: str | Path | Storage | None = None,
    name: str | None = None,
    sampler: Spec | None = None,
    functions: Mapping[str, Function] | None = None,
) -> Study:
    """Read a bundle that `study.export` wrote into a storage, all of it or nothing.

    Args:
        name: Another name for the study.
        sampler: What proposes from now on; the study's own when absent.
        functions: As for `load_study`.
    Raises:
        BundleError: if the file is damaged or of a newer version.
        StudyExistsError: if the name is taken.
        UnsupportedError: if the study's own sampler is not known here.
    """
    store = _open(storage)
    made = bundle.read(store, Path(path), name)
    try:
        return load_study(made, storage=store, sampler=sampler, functions=functions)
    except WorkbenchError:
        store.delete_study(made)
        raise


_WARMED: Mapping[str, tuple[Mapping[str, Any], float | None]] = {  # options, step of the parameter
    "gp": ({}, None),
    "cbo": ({}, None),
    "gflownet": ({"start": 4, "steps": 1}, 0.1),
    "cmaes": ({"population": 4}, None),
}
"""Samplers that load libraries of their own."""


def warm_up(*samplers: str) -> None:
    """Load and exercise what a first ask would otherwise wait for, so that `timeout` holds from then on.

    Args:
        samplers: Names of those that will be asked, in a second each; all of them if none is named.
    """
    for name in dict.fromkeys(name if name in _WARMED else "gp" for name in samplers or _WARMED):
        options, step = _WARMED[name]
        space = Space([Float("x", 0.0, 1.0, step=step)])
        spec = {"name": name, "options": dict(options)}
        study = create_study("warm-up", space, [Objective("y")], sampler=spec, seed=0)
        for x in (0.1, 0.4, 0.7, 0.9):
            study.attach({"x": x}, (x - 0.5) ** 2)
        with contextlib.suppress(ImportError):  # a library that is not installed needs no warming
            study.ask()


def _existing(store: Storage, name: str, declared: Mapping[str, Any], seed_is_stated: bool) -> StudyRow:
    """The study of that name, if it is the declared one; a warning where it keeps a seed or budget of its own."""
    row = store.study(name)
    for key in ("space", "objectives", "constraints"):
        stored, wanted = (orjson.loads(text or "[]") for text in (getattr(row, key), declared[key]))
        if key == "objectives":  # the reference point may have been stated anew, see `Study.set_reference`
            stored, wanted = ([{**goal, "reference": None} for goal in goals] for goals in (stored, wanted))
        if stored != wanted:
            raise StudyExistsError(
                f"study {name!r} exists with other {key}: {stored}, now declared: {wanted}. "
                "Take another name, or load it with wb.load_study"
            )
    _warn_of_references(name, row, declared)
    kept = {"seed": seed_is_stated} | {key: declared[key] is not None for key in ("budget", "baseline", "pruner")}
    for key, stated in kept.items():
        if stated and getattr(row, key) != declared[key]:
            warnings.warn(
                f"study {name!r} exists and keeps its {key} {getattr(row, key)}; {declared[key]} was given. "
                + (
                    "To run more trials pass until= or n_trials= to optimize"
                    if key == "budget"
                    else "Take another name for a study with that"
                ),
                WorkbenchWarning,
                stacklevel=3,
            )
    return row


def _warn_of_references(name: str, row: StudyRow, declared: Mapping[str, Any]) -> None:
    """Say that a study keeps its reference point, where another one is stated now."""
    stored, wanted = (
        {goal["name"]: goal.get("reference") for goal in orjson.loads(text or "[]")}
        for text in (row.objectives, declared["objectives"])
    )
    other = {goal: value for goal, value in wanted.items() if value not in (None, stored[goal])}
    if other:
        warnings.warn(
            f"study {name!r} exists and keeps its reference point {stored}; {other} was given. "
            "To state another one call study.set_reference",
            WorkbenchWarning,
            stacklevel=4,
        )


def _open(storage: str | Path | Storage | None, *, make: bool = True) -> Storage:
    if isinstance(storage, Storage):
        return storage
    if storage is not None and not isinstance(storage, str | Path):
        raise InvalidValueError(
            f"storage must be a URL such as 'sqlite:///demo.db', a path, or None for memory; got {storage!r}"
        )
    return Storage(None if storage is None else str(storage), make=make)


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _whole(what: str, value: object, least: int, most: int) -> int:
    number = integer(value, least, most)
    if number is None:
        raise InvalidValueError(f"{what} must be a whole number from {least} to {most}, or None; got {value!r}")
    return number


def _functions(space: Space) -> dict[str, Function]:
    return {rule.name: rule.function for rule in space.functions if rule.function is not None}


def _baseline(space: Space, limits: Sequence[Constraint], params: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The baseline as the waiting trial that a study begins with; none without one."""
    if params is not None:
        return [waiting(space.check(params), 1, "the baseline that limits compare with")]
    relative = [limit.name for limit in limits if limit.relative]
    if relative:
        raise InvalidValueError(
            f"limits of {', '.join(map(repr, relative))} are relative to a baseline; say what that is: "
            "baseline={parameter: value, …}"
        )
    return []
