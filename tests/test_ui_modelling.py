"""The model in words for pages: the line above the run sheet, verdict cards, what is said of a suggestion."""

from __future__ import annotations

import math

import numpy as np
import pytest

import workbench as wb
from ui.presenters import modelling
from ui.presenters.modelling import Findings

SPACE = wb.Space([wb.Float("temp", 60, 110, unit="°C"), wb.Float("load", 0.5, 5), wb.Float("idle", 0, 1)])


def record(n: int, seed: int = 0) -> wb.Study:
    study = wb.create_study("s", SPACE, [wb.Objective("yield", "maximize", unit="%")], sampler="gp", seed=seed)
    rng = np.random.default_rng(seed)
    for p in SPACE.decode(SPACE.sobol(n, seed)):
        study.attach(p, 60 + 20 * math.sin((p["temp"] - 60) / 25) + 3 * p["load"] + 0.3 * rng.standard_normal())
    return study


def findings(study: wb.Study, verdicts: bool = False) -> Findings:
    model = study.model()
    best = None if model.surrogate is None else model.recommend()
    said = model.verdicts() if verdicts else list(model.diagnose().verdicts)
    return Findings(modelling.mark(model.history), 0, len(model.history), model, said, best)


def test_a_finding_is_fresh_until_a_finished_run_changes() -> None:
    study = record(6)
    before = modelling.mark(study.history())
    trial = study.ask()
    assert modelling.mark(study.history()) == before  # a suggestion teaches nothing
    study.tell(trial, 60.0)
    after = modelling.mark(study.history())
    assert after != before
    study.amend(trial, values=61.0, reason="read again")
    assert modelling.mark(study.history()) != after


def test_a_card_says_how_sure_and_what_for() -> None:
    study = record(7)  # too few to say what matters, which takes a second
    found = findings(study)
    trial = study.ask()
    better, worth = modelling.card(found, trial)
    explained = study.model().explain(trial, others=()).parts
    assert explained is not None
    gain = 100 * explained.exploit / (explained.exploit + explained.explore)
    assert worth == f"Worth it to gain {gain:.0f} %, to learn {100 - gain:.0f} %."
    assert "% sure" in better
    assert f"{explained.best:.4g} %" in better
    few = record(1)
    assert modelling.card(findings(few), few.ask()) == []


def test_places_are_points_of_the_space() -> None:
    found = findings(record(12))
    places = modelling.places(found)
    assert [place.word for place in places][1:] == ["the recommended point", "the middle of every knob"]
    assert places[0].word.startswith("run ")
    for place in places:
        SPACE.check(place.params)
    assert modelling.state_of(found, True) == ("Up to date, run 0", "green")
    assert modelling.state_of(found, False) == ("Computed at run 0", "orange")


def test_a_record_without_a_model_says_why() -> None:
    found = findings(record(1))
    assert modelling.lead(found) == ""
    (card,) = [one for one in modelling.cards(found, None) if one.key.startswith("model")]
    assert card.text == "A model needs at least 2 complete trials, there are 1."


@pytest.mark.slow
def test_the_line_above_the_sheet_and_the_buttons_of_the_verdicts() -> None:
    study = record(22)
    found = findings(study, verdicts=True)
    seen = found.model.diagnose().calibration["yield"]
    assert modelling.lead(found) == f"Predicts yield to ± {seen.rmse:.2g} %. idle does nothing you can measure."
    cards = modelling.cards(found, "yield")
    assert [one.key.split("_")[0] for one in cards][:4] == ["calibration", "outliers", "worth", "importance"]
    (lock,) = [one for one in cards if one.lock]
    assert lock.lock == {"idle": found.best.params["idle"]}  # type: ignore[union-attr]  # there is a model
    assert lock.button.startswith("Lock idle ")
    assert modelling.card(found, study.ask())[-1] == "Any value will do for idle."
    assert modelling.important(found, "yield", 2) == ["temp", "load"]
