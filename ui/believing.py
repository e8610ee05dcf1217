"""What the model says of a study, found out beside the pages and looked at by them."""

from __future__ import annotations

from ui import state, work
from ui.presenters import modelling, words
from ui.presenters.modelling import Findings
from workbench.study import Study
from workbench.trial import Trial

ENOUGH = 5  # results from which the run sheet looks at the model by itself


def look(study: Study) -> None:
    """Find out what the model says now, beside the pages."""
    order = work.Analyse(state.storage_url(), study.name)
    title = f"Learning from {words.count(int(study.history().complete.sum()), 'result')}"
    state.jobs().submit("analysis", study.name, title, work.analyse, order)


def findings(study: Study) -> Findings | None:
    """What was found out last, which may be of an earlier state of the record; older findings are forgotten."""
    done = [job for job in state.jobs().of(study.name) if job.kind == "analysis" and job.state == "done"]
    for job in done[:-1]:
        state.jobs().forget(job.id)
    found = done[-1].result if done else None
    return found if isinstance(found, Findings) and found.model.history.space == study.space else None


def fresh(study: Study, found: Findings | None) -> bool:
    """Is it of the record as it is now?"""
    return found is not None and found.mark == modelling.mark(study.history())


def lead(study: Study) -> str:
    """The model in one line for the top of the run sheet; "" while nothing is known. It keeps itself up to date."""
    if int(study.history().complete.sum()) < ENOUGH:
        return ""
    found = findings(study)
    if not fresh(study, found) and state.jobs().latest_state(study.name, "analysis") != "failed":
        look(study)
    return "" if found is None else modelling.lead(found)


def card(study: Study, trial: Trial) -> list[str]:
    """What the model says of a suggestion, as it knows the record; nothing while it does not."""
    found = findings(study)
    return [] if found is None else modelling.card(found, trial)
