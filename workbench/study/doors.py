"""What a study offers behind one more dot: files and figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidValueError
from workbench.trial import Trial

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from workbench.plots import Ground
    from workbench.plots.belief import Predict
    from workbench.storage import AttachmentRow
    from workbench.study.model import Model
    from workbench.study.study import Study
    from workbench.trial import History

Named = Trial | int
LAYERS = ("mean", "sd", "acquisition", "feasibility")
"""What `study.plot.contour` can draw under the trials."""


class Files:
    """Attachments of a study, kept in its database."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._record = study._record

    def put(self, name: str, data: bytes, mime: str, trial: Named | None = None) -> AttachmentRow:
        """Store bytes under a name, in place of an earlier attachment of that name."""
        if not isinstance(name, str) or not name:
            raise InvalidValueError(f"an attachment needs a name, got {name!r}")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidValueError(f"attachment {name!r} must be bytes, got {type(data).__name__}")
        if not isinstance(mime, str) or not mime:
            raise InvalidValueError(f"attachment {name!r} needs a type such as 'image/png', got {mime!r}")
        number = None if trial is None else self._record.number(trial)
        with self._record.transaction("attach") as tx:
            if number is not None:
                tx.row(number)
            return tx.attach(name, mime, bytes(data), number)

    def get(self, name: str) -> bytes:
        """The bytes of an attachment."""
        return self._record.storage.attachment(self._record.id, name)[1]

    def list(self, trial: Named | None = None) -> list[AttachmentRow]:
        """What is stored, without the bytes; of one trial or of all."""
        rows = self._record.storage.attachments(self._record.id)
        number = None if trial is None else self._study.trial(trial).number
        return [row for row in rows if number is None or row.number == number]


class Plot:
    """Figures of the record as plotly figures. Each has a twin in `workbench.plots` that takes histories."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def history(self, objective: str | None = None) -> Figure:
        """Values by trial, with the best so far.

        Args:
            objective: Name of one measured objective; None draws a row for each.
        """
        from workbench import plots

        return plots.history(self._study.history(), objective)

    def slice(self, name: str, objective: str | None = None, at: Mapping[str, Any] | None = None) -> Figure:
        """Values by one parameter, with the model's belief along it where there is a model.

        Args:
            name: A parameter that is a number or a choice.
            objective: Name of one measured objective. None draws a row for each; the model then
                appears only in a study with one objective.
            at: Where the other parameters are held; None: at the best trial in which `name` was active.
        """
        from workbench import plots

        model = self._study.model()
        return plots.slice(model.history, name, objective, self._belief(model, objective), at)

    def contour(
        self, x: str, y: str, objective: str | None = None, at: Mapping[str, Any] | None = None, layer: str = "mean"
    ) -> Figure:
        """The trials over two parameters, on what the model says where there is a model; nothing is interpolated.

        Args:
            x: A parameter that is a number or a choice.
            y: Another one.
            objective: Name of a measured objective; None: the first.
            at: Where the other parameters are held; None: at the best trial in which both were active.
            layer: "mean", "sd", "acquisition" or "feasibility".
        Raises:
            InvalidValueError: for another layer.
        """
        from workbench import plots

        if layer not in LAYERS:
            raise InvalidValueError(f"expected layer to be one of {', '.join(LAYERS)}, got {layer!r}")
        model = self._study.model()
        first = model.history.measured[0].name if model.history.measured else None
        belief = self._belief(model, objective or first)
        ground = None if belief is None else layer_of(model, objective or first or "", layer)
        edge = model.chance if belief is not None and self._study.constraints else None
        return plots.contour(model.history, x, y, objective, belief, at, ground=ground, feasible=edge)

    def importance(self, quantity: str | None = None) -> Figure:
        """How much of the change in a quantity each parameter carries, with intervals.

        Args:
            quantity: Name of an objective or a quantity with limits; None: the first objective.
        Raises:
            TrialStateError: if the record is too small for a model.
        """
        from workbench import plots

        model = self._study.model()
        name = quantity if quantity is not None else self._first()
        return plots.importance(model.importance(name)[name])

    def calibration(self, quantity: str | None = None) -> Figure:
        """Each trial as measured against its prediction from all others.

        Args:
            quantity: Name of an objective or a quantity with limits; None: the first objective.
        Raises:
            InvalidValueError: if the model knows no quantity of that name.
        """
        from workbench import plots

        found = self._study.model().diagnose().calibration
        name = quantity if quantity is not None else self._first()
        if name not in found:
            raise InvalidValueError(f"expected one of {', '.join(found) or 'nothing: no model yet'}, got {name!r}")
        return plots.calibration(found[name])

    def parallel(self, parameters: Sequence[str] | None = None, objective: str | None = None) -> Figure:
        """A line for each trial through its parameters and objectives; on every objective, better is up.

        Args:
            parameters: Names of the parameters to draw; None for as many as can be followed.
            objective: Name of one measured objective; None for all.
        """
        from workbench import plots

        return plots.parallel(self._study.history(), parameters, objective)

    def pareto(self, objectives: Sequence[str] | None = None, *, normalise: bool = False) -> Figure:
        """Trade-offs: two objectives with the line of what was attained, three in space, more as pairs.

        Args:
            objectives: Names of two or more measured objectives; None for all.
            normalise: From 0, the worst of each objective on the front, to 1, the best, instead of in its units.
        """
        from workbench import plots

        return plots.pareto(self._study.history(), objectives, normalise=normalise)

    def tradeoffs(
        self,
        objectives: Sequence[str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        *,
        normalise: bool = False,
    ) -> Figure:
        """Two objectives, or three in pairs, with how sure each trial is to be on the front and where that may run.

        Args:
            objectives: Names of two or three measured objectives; None: the first three.
            thresholds: Values to reach by objective, as of `Study.ask`; what they leave out is shaded.
            normalise: As of `pareto`.
        """
        from workbench import plots

        thresholds = self._study._thresholds(thresholds or {})
        model = self._study.model()
        known = model.surrogate is not None
        front = model.pareto_front() if known else None
        noise = {goal.name: goal.noise for goal in model.belief().goals} if known else {}
        return plots.tradeoffs(
            model.history, objectives, front=front, limits=thresholds, noise=noise, normalise=normalise
        )

    def heat_map(self) -> Figure:
        """The front, a row for each trial and a column for each objective, the better the darker."""
        from workbench import plots

        return plots.heat_map(self._study.history())

    def petals(self, trials: Sequence[Named]) -> Figure:
        """One to four trials as flowers, with a petal for each of three to eight objectives, the longer the better."""
        from workbench import plots

        if not isinstance(trials, Iterable):
            raise InvalidValueError(f"petals of which trials? Give a list such as [{trials!r}], got {trials!r}")
        return plots.petals(self._study.history(), [self._study.trial(trial).number for trial in trials])

    def hypervolume(self) -> Figure:
        """The volume that the front dominates, by trial; of a study with two measured objectives or more."""
        from workbench import plots

        return plots.hypervolume(self._study.history())

    def swarm(self, x: str | None = None, y: str | None = None) -> Figure:
        """Particles, their consensus and their spread, of the last vectorised run of `cbo`, else of its trials.

        Args:
            x, y: Columns to draw; the widest two where absent.
        """
        from workbench import plots

        return plots.swarm(self._study.swarm_trace(), x, y)

    def policy_trust(self) -> Figure:
        """How probable designs are under the policy of the last run of `gflownet`, beside what they should be."""
        from workbench import plots

        return plots.policy_trust(self._study.policy_trace())

    def policy_training(self) -> Figure:
        """Loss and log reward by step of training, of the last vectorised run of `gflownet`."""
        from workbench import plots

        return plots.policy_training(self._study.policy_trace())

    def policy_preferences(self) -> Figure:
        """What the policy of the last run of `gflownet` draws for preferences among the objectives."""
        from workbench import plots

        return plots.policy_preferences(self._study.policy_trace(), self._study.history().measured)

    def utility(self, rater: str | None = None) -> Figure:
        """What people's answers say that trials are worth, and the chance of each to be the favourite.

        Args:
            rater: Whose answers alone; None for everybody's.
        Raises:
            TrialStateError: if there is no answer.
        """
        from workbench import plots

        return plots.utility(self._study.model().utility(rater))

    def edf(self, objective: str | None = None, others: Sequence[Study] = ()) -> Figure:
        """The share of trials at or below each value, with other studies beside this one.

        Args:
            objective: Name of one measured objective; None draws a row for each.
            others: Studies of the same objective to compare with; one whose name is taken gets a number.
        """
        from workbench import plots

        if not isinstance(others, Iterable):
            raise InvalidValueError(f"others= is a list of studies, write others=[…]; got {others!r}")
        named: dict[str, History] = {}
        for study in (self._study, *others):
            name, again = study.name, 2
            while name in named:
                name, again = f"{study.name} ({again})", again + 1
            named[name] = study.history()
        return plots.edf(named, objective)

    def timeline(self) -> Figure:
        """When each trial ran, by which worker, and how it ended; running trials end now."""
        from workbench import plots

        return plots.timeline(self._study.history())

    def _first(self) -> str:
        """Name of the first measured objective."""
        measured = self._study.history().measured
        if not measured:
            raise InvalidValueError("this study is judged by people only, so nothing is measured")
        return measured[0].name

    @staticmethod
    def _belief(model: Model, objective: str | None) -> Predict | None:
        """What the model believes about one objective, as the figures want it; None where there is no model."""
        measured = [goal.name for goal in model.history.measured]
        name = objective if objective is not None else measured[0] if len(measured) == 1 else None
        if model.surrogate is None or name not in measured:
            return None
        return model.along(name)


def layer_of(model: Model, objective: str, layer: str) -> Ground | None:
    """A layer under the trials of a contour; None for the mean.

    Args:
        model: What says it.
        objective: Name of a measured objective.
        layer: One of `LAYERS`.
    """
    from workbench.plots import Ground

    unit = next(goal.unit for goal in model.history.measured if goal.name == objective)
    if layer == "sd":
        return Ground("uncertainty (± 1 sd)", lambda points: model.along(objective)(points)[1], unit)
    if layer == "acquisition":
        one = len(model.history.measured) == 1
        return Ground("expected gain", model.gain, unit if one else "share", log=True)
    if layer == "feasibility":
        return Ground("probability to hold every limit", model.chance, ends=(0.0, 1.0))
    return None
