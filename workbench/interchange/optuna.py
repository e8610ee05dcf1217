"""A study out of a database of Optuna, read by SQL alone; Optuna itself is not needed."""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.bundle import TAKEN
from workbench.errors import InvalidValueError, SpaceError, WorkbenchWarning
from workbench.interchange.optuna_space import Found, learn
from workbench.interchange.optuna_tables import Entry, Source, fetch
from workbench.problem import Constraint, Objective
from workbench.trial import TrialState, dumps, now, pack_params

if TYPE_CHECKING:
    from workbench.storage import Storage, Transaction
    from workbench.study import Study

_STATES = {
    "COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAIL": TrialState.FAILED,
    "RUNNING": TrialState.RUNNING, "WAITING": TrialState.WAITING,
}  # fmt: skip


def import_optuna(
    url: str,
    *,
    study: str | None = None,
    storage: str | Path | Storage | None = None,
    name: str | None = None,
    fill: Mapping[str, Any] | None = None,
) -> Study:
    """Make a study of what a database of Optuna holds, all of it or nothing.

    Parameters: the union of what the trials declare. One that only some trials have gets a `when=` if one
    choice, switch or whole number that is drawn before it explains exactly where it exists; otherwise name
    it in `fill`. Names that are no identifiers are rewritten, the old one becomes the description.
    Trials: complete and pruned ones keep their values, running ones stay running without an owner or an
    expiry, waiting ones are enqueued. A complete trial with an infinite value becomes a failed one. Failed,
    running and waiting trials whose parameters were never all drawn are left out, and stand in the study's
    attribute "optuna:left_out" with all that is known of them. Measured constraints get upper=0. User
    attributes and intermediate values come along; what Optuna's samplers note for themselves does not.

    Args:
        url: Of the database, "sqlite:///file.db"; an SQLite file's path will do.
        study: Its name there; needed if the database holds several.
        storage: Where to write, as for `wb.create_study`.
        name: Another name for the study here.
        fill: Parameter -> the value of trials that lack it.
    Raises:
        StorageError: if there is no database of Optuna 3 or newer.
        StudyNotFoundError: naming the studies that there are.
        SpaceError: if the parameters make no space; the message says what to do.
        StudyExistsError: if the name is taken.
    """
    from workbench.build import load_study
    from workbench.storage import Storage

    if storage is not None and not isinstance(storage, str | Path | Storage):
        raise InvalidValueError(f"storage must be a URL, a path, or None for memory; got {storage!r}")
    source = fetch(url, study)
    draft = _Draft(source, learn(source.trials, fill or {}))
    fields = draft.study(name or source.name)
    store = storage if isinstance(storage, Storage) else Storage(None if storage is None else str(storage))
    if draft.notes:
        warnings.warn(
            f"Optuna's study {source.name!r} comes with changes (the attribute 'optuna:notes' of the new study lists "
            f"all {len(draft.notes)}): {'; '.join(draft.notes[:3])}",
            WorkbenchWarning,
            stacklevel=2,
        )
    made = store.create_study(**fields, remedy=TAKEN, fill=draft.write)
    return load_study(made.name, storage=store)


class _Draft:
    """The rows of the new study, checked."""

    def __init__(self, source: Source, found: Found) -> None:
        self.source, self.space, self.notes = source, found.space, found.notes
        self.seed = secrets.randbelow(2**31)
        self.objectives = self._objectives()
        self.constraints = self._constraints()
        self.left_out: list[dict[str, Any]] = []
        self.kept: list[tuple[Entry, dict[str, Any]]] = []
        for entry, point in zip(source.trials, found.points, strict=True):
            self._sort(entry, point, found.names)
        if self.left_out:
            self.notes.append(
                f"trials left out because their parameters were never all drawn: {len(self.left_out)}; "
                "the attribute 'optuna:left_out' holds them"
            )
        self.rows = [self._row(position, entry, point) for position, (entry, point) in enumerate(self.kept)]

    def study(self, name: str) -> dict[str, Any]:
        """The columns of the study."""
        attrs = _clean(self.source.attrs)
        attrs |= {"optuna:notes": self.notes} if self.notes else {}
        attrs |= {"optuna:left_out": self.left_out} if self.left_out else {}
        times = [entry.started for entry, _ in self.kept if entry.started is not None]
        return {
            "name": name,
            "space": dumps(self.space.to_json()),
            "objectives": dumps([goal.to_json() for goal in self.objectives]),
            "constraints": dumps([limit.to_json() for limit in self.constraints.values()]),
            "sampler": dumps({"name": "auto", "options": {}}),
            "seed": self.seed,
            "attrs": dumps(attrs),
            "created": min(times, default=now()),
        }

    def write(self, tx: Transaction) -> None:
        """Add trials and intermediate values."""
        tx.insert(self.rows)
        for number, (entry, _) in enumerate(self.kept):
            for step, value in entry.reports.items():
                if math.isfinite(value):
                    tx.report(number, step, {self.objectives[0].name: value})

    def _objectives(self) -> list[Objective]:
        count = len(self.source.directions)
        stated = self.source.system.get("study:metric_names")
        names = stated or (["value"] if count == 1 else [f"value_{i}" for i in range(count)])
        goals: list[Objective] = []
        for name, direction in zip(names, self.source.directions, strict=True):
            ours = self._free(str(name), "objective", {goal.name for goal in goals})
            goals.append(Objective(ours, "maximize" if direction == "MAXIMIZE" else "minimize"))
            if direction == "NOT_SET":
                self.notes.append(f"objective {ours!r} had no direction and is minimised")
        return goals

    def _constraints(self) -> dict[str, Constraint]:
        """Measured constraints by the key that Optuna has for them."""
        keys = dict.fromkeys(key for entry in self.source.trials for key in _limits(entry))
        limits: dict[str, Constraint] = {}
        for key in keys:
            taken = {goal.name for goal in self.objectives} | {limit.name for limit in limits.values()}
            ours = self._free(f"c{key}" if key.isdecimal() else key, "constraint", taken)
            limits[key] = Constraint(ours, upper=0.0)
        return limits

    def _free(self, name: str, what: str, taken: set[str]) -> str:
        """A name that nothing else has; parameters and parts come first."""
        ours = name if name.strip() else what
        while ours in taken or ours in self.space:
            ours += f"_{what}"
        if ours != name:
            self.notes.append(f"{what} {name!r} is called {ours} here")
        return ours

    def _sort(self, entry: Entry, point: dict[str, Any], names: Mapping[str, str]) -> None:
        """Keep a trial whose point is whole, put the others aside."""
        try:
            if entry.state == "WAITING":
                point = self._drawn(point, entry, names, len(self.kept))
            self.kept.append((entry, self.space.check(point, bounds=False)))
        except InvalidValueError as error:
            if entry.state in ("COMPLETE", "PRUNED"):
                raise SpaceError(f"trial {entry.number} does not fit the others: {error}") from error
            left = {"number": entry.number, "state": entry.state, "params": entry.params, "attrs": entry.attrs}
            left |= {"fixed": entry.system.get("fixed_params"), "started": entry.started, "finished": entry.finished}
            left |= {"reports": {str(step): value for step, value in entry.reports.items()}, "why": str(error)}
            self.left_out.append({key: value for key, value in _clean(left).items() if value})

    def _drawn(self, point: dict[str, Any], entry: Entry, names: Mapping[str, str], number: int) -> dict[str, Any]:
        """The point of an enqueued trial; what it leaves open is drawn as `Study.enqueue` does."""
        asked = {names[name]: value for name, value in entry.system.get("fixed_params", {}).items() if name in names}
        fixed = self.space.complete_fixed({**point, **asked})
        X = self.space.sobol(1, self.seed, skip=number, fixed=fixed)
        return {**self.space.decode(X)[0], **fixed}

    def _row(self, number: int, entry: Entry, point: dict[str, Any]) -> dict[str, Any]:
        state, error = _STATES[entry.state], None
        values = {self.objectives[i].name: value for i, value in entry.values.items()}
        wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
        if state == TrialState.FAILED:
            error = str(entry.system.get("fail_reason", "failed in Optuna, which kept no reason"))
        elif state == TrialState.COMPLETE and (wrong or len(values) < len(self.objectives)):
            state = TrialState.FAILED
            said = ", ".join(f"{name} = {value}" for name, value in wrong.items()) or "no value"
            error = f"Optuna recorded {said}"
            self.notes.append(f"trial {entry.number} was complete with {said} and is failed here")
        values |= {self.constraints[key].name: value for key, value in _limits(entry).items()}
        attrs = dict(entry.attrs) | ({} if number == entry.number else {"optuna:number": entry.number})
        if odd := {str(step): value for step, value in entry.reports.items() if not math.isfinite(value)}:
            attrs["optuna:intermediate"] = odd
        text, vectors = pack_params(point)
        started = None if state == TrialState.WAITING else entry.started
        return {
            "state": str(state), "params": text, "vectors": vectors, "error": error,
            "origin": "enqueued" if state == TrialState.WAITING else "attached",
            "outcomes": dumps({name: value for name, value in values.items() if math.isfinite(value)}),
            "attrs": dumps(_clean(attrs)), "started": started, "finished": entry.finished,
            "created": entry.started or now(),
        }  # fmt: skip


def _limits(entry: Entry) -> dict[str, float]:
    """Measured constraints by key: a list of older versions has the keys 0, 1, ..."""
    listed = entry.system.get("constraints") or []
    limits = {str(i): float(value) for i, value in enumerate(listed)}
    prefix = "constraints:"
    return limits | {
        key.removeprefix(prefix): float(value) for key, value in entry.system.items() if key.startswith(prefix)
    }


def _clean(value: Any) -> Any:
    """JSON that the record can hold: numbers that it cannot become text."""
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    return value
