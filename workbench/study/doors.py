"""What a study offers behind one more dot: files, figures, and the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidValueError, TrialStateError
from workbench.trial import Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from workbench.analysis.front import ModelFront
    from workbench.models.surrogate import Surrogate
    from workbench.plots.belief import Predict
    from workbench.storage import AttachmentRow
    from workbench.study.study import Study
    from workbench.study.utility import Utility
    from workbench.trial import History

Named = Trial | int


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

    def slice(self, name: str, objective: str | None = None) -> Figure:
        """Values by one parameter, with the model's belief along it where there is a model.

        Args:
            name: A parameter that is a number or a choice.
            objective: Name of one measured objective. None draws a row for each; the model then
                appears only in a study with one objective.
        """
        from workbench import plots

        model = self._study.model()
        return plots.slice(model.history, name, objective, self._belief(model, objective))

    def contour(self, x: str, y: str, objective: str | None = None) -> Figure:
        """The trials over two parameters, on the model's mean where there is a model; nothing is interpolated.

        Args:
            x: A parameter that is a number or a choice.
            y: Another one.
            objective: Name of a measured objective; None: the first.
        """
        from workbench import plots

        model = self._study.model()
        first = model.history.measured[0].name if model.history.measured else None
        return plots.contour(model.history, x, y, objective, self._belief(model, objective or first))

    def parallel(self, parameters: Sequence[str] | None = None, objective: str | None = None) -> Figure:
        """A line for each trial through its parameters and objectives; on every objective, better is up.

        Args:
            parameters: Names of the parameters to draw; None for as many as can be followed.
            objective: Name of one measured objective; None for all.
        """
        from workbench import plots

        return plots.parallel(self._study.history(), parameters, objective)

    def pareto(self, objectives: Sequence[str] | None = None) -> Figure:
        """Trade-offs: two objectives with the line of what was attained, three in space, more as pairs.

        Args:
            objectives: Names of two or more measured objectives; None for all.
        """
        from workbench import plots

        return plots.pareto(self._study.history(), objectives)

    def hypervolume(self) -> Figure:
        """The volume that the front dominates, by trial; of a study with two measured objectives or more."""
        from workbench import plots

        return plots.hypervolume(self._study.history())

    def edf(self, objective: str | None = None, others: Sequence[Study] = ()) -> Figure:
        """The share of trials at or below each value, with other studies beside this one.

        Args:
            objective: Name of one measured objective; None draws a row for each.
            others: Studies of the same objective to compare with; one whose name is taken gets a number.
        """
        from workbench import plots

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

    @staticmethod
    def _belief(model: Model, objective: str | None) -> Predict | None:
        """What the model believes about one objective, as the figures want it; None where there is no model."""
        measured = [goal.name for goal in model.history.measured]
        name = objective if objective is not None else measured[0] if len(measured) == 1 else None
        if model.surrogate is None or name not in measured:
            return None
        return lambda params: model.predict(params)[name]


@dataclass(frozen=True)
class Model:
    """The belief at one revision of the record; never mixed with observed values."""

    history: History
    surrogate: Surrogate | None
    missing: str = ""
    _utilities: dict[str | None, Utility] = field(default_factory=dict, repr=False, compare=False)

    def predict(
        self, params: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Mean and standard deviation of each objective, in user units, for each given point.

        Args:
            params: One point or a list of n points.
        Returns:
            {objective: (mean, sd)}, arrays of shape (n,), without measurement noise.
        Raises:
            TrialStateError: if the record is too small for a model.
            UnsupportedError: if there is no model of this kind of study.
        """
        if self.surrogate is None:
            raise TrialStateError(self.missing)
        points = [params] if isinstance(params, Mapping) else list(params)
        points = [self.history.space.check(point, bounds=False) for point in points]
        return self.surrogate.predict(self.history.space.encode(points))

    def utility(self, rater: str | None = None) -> Utility:
        """What people's answers say that trials are worth, who the favourite is, and where a better one may be.

        Args:
            rater: From this rater's answers alone; None for all, each by their reliability.
        Raises:
            TrialStateError: if there is no answer yet.
            UnsupportedError: if nothing is judged by people in this study, or the space has no model.
        """
        from workbench.models.taste import learn
        from workbench.study.utility import Utility

        if rater not in self._utilities:
            self._utilities[rater] = Utility(learn(self.history, rater=rater))
        return self._utilities[rater]

    def pareto_front(self) -> ModelFront:
        """The front as the model believes in it: how sure each trial is to be on it, and where it runs.

        Raises:
            TrialStateError: if the record is too small for a model.
        """
        from workbench.analysis.front import pareto_front

        if self.surrogate is None:
            raise TrialStateError(self.missing)
        return pareto_front(self.history, self.surrogate)

    def predictor(self) -> Any:
        """`predict` as the figures want it, None where there is no model."""
        if self.surrogate is None:
            return None
        return self.predict
