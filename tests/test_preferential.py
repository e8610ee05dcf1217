"""Questions and designs chosen by what people answered, over designs and over outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import workbench as wb
from problems.raters import Exact, Noisy, answer
from workbench.samplers.preferential import ACQUISITIONS, PreferenceSampler
from workbench.study import Study
from workbench.study.utility import Favourite

TASTE = wb.Preference("taste")


def light(acquisition: str = "eubo", **options: Any) -> PreferenceSampler:
    return PreferenceSampler(acquisition, restarts=2, raw_samples=64, **options)


def mixed(sampler: Any, seed: int = 0, **options: Any) -> Study:
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 10), wb.Categorical("hue", ["red", "blue"])])
    return wb.create_study("s", space, [TASTE], sampler=sampler, seed=seed, **options)


def liking(params: Any) -> float:
    return -8 * (params["x"] - 0.3) ** 2 - 0.08 * (params["y"] - 6) ** 2 + (params["hue"] == "blue")


JUDGE = Exact(lambda shown: [liking(params) for params in shown])


@pytest.mark.parametrize(
    "acquisition", [name if name == "eubo" else pytest.param(name, marks=pytest.mark.slow) for name in ACQUISITIONS]
)
def test_every_acquisition_asks_and_learns(acquisition: str) -> None:
    study = mixed(light(acquisition))
    for _ in range(5):
        question = study.feedback.next_question(3)
        assert len({trial.number for trial in question.trials}) == 3
        answer(question, JUDGE)
    learnt = [trial for trial in study.trials if "preference" in trial.meta]
    assert learnt
    assert all(trial.meta["acquisition"] == acquisition for trial in learnt)
    trial = study.ask()
    assert trial.why


@pytest.mark.slow
def test_the_same_record_gives_the_same_question(tmp_path: Any) -> None:
    asked = []
    for name in ("a", "b"):
        study = mixed("eubo", storage=tmp_path / f"{name}.db")
        for _ in range(3):
            answer(study.feedback.next_question(2), JUDGE)
            study = wb.load_study("s", storage=tmp_path / f"{name}.db") if name == "b" else study
        asked.append([trial.params for trial in study.trials])
    assert asked[0] == asked[1]


@pytest.mark.slow
def test_utility_says_who_is_liked_and_recommends_something_better() -> None:
    study = mixed(light())
    with pytest.raises(wb.TrialStateError, match="no answer"):
        study.model().utility()
    for _ in range(6):
        answer(study.feedback.next_question(4), JUDGE, name="kim")
    utility = study.model().utility()
    truth = [liking(study.trial(int(n)).params) for n in utility.numbers]
    assert np.corrcoef(utility.mean, truth)[0, 1] > 0.8
    assert sum(utility.favourite.values()) == pytest.approx(1.0)
    found = study.model().recommend()
    assert isinstance(found, Favourite)
    assert found == utility.recommend()
    with pytest.raises(wb.UnsupportedError, match="without risk="):
        study.model().recommend(risk=1.0)
    assert liking(found.params) > max(truth) - 0.1
    assert found.mean >= utility.mean.max() - 1e-9
    assert found.nearest in utility.numbers
    assert f"trial {found.best_shown}" in found.why
    mean, sd = utility.of([found.params, study.trials[0].params])
    assert mean[0] == pytest.approx(found.mean, abs=1e-6)
    assert (sd > 0).all()
    assert study.model().utility(rater="kim").mean == pytest.approx(utility.mean, abs=0.3)
    with pytest.raises(wb.TrialStateError, match="'ann'"):
        study.model().utility(rater="ann")


@pytest.mark.slow
def test_the_figure_of_utility_shows_each_trial_with_its_range_and_its_chance() -> None:
    from workbench import plots

    study = mixed("sobol")
    with pytest.raises(wb.TrialStateError, match="no answer"):
        study.plot.utility()
    for _ in range(3):
        answer(study.feedback.next_question(4), JUDGE)
    found = study.model().utility()
    figure = study.plot.utility()
    (marks,) = figure.data
    drawn = dict(zip(marks.customdata, zip(marks.x, marks.error_x.array, strict=True), strict=True))
    assert len(drawn) == 12
    assert list(marks.x) == sorted(found.mean.tolist())  # the most liked on top
    for number, mean, sd in zip(found.numbers.tolist(), found.mean, found.sd, strict=True):
        assert drawn[number] == pytest.approx((mean, 1.96 * sd))
    best, chance = max(found.favourite.items(), key=lambda item: item[1])
    assert figure.layout.meta["title"] == f"Trial {best} is the favourite with a probability of {chance:.0%}"
    assert f"{chance:.0%}" in {one.text for one in figure.layout.annotations}
    assert "Where 0 lies means nothing" in figure.layout.meta["caption"]
    table = plots.utility_table(found)
    assert table["trial"] == list(marks.customdata)[::-1]
    assert sum(table["favourite"]) == pytest.approx(1.0)


def test_a_question_is_in_time() -> None:
    study = mixed("eubo")
    for _ in range(4):
        answer(study.feedback.next_question(3), JUDGE)
    with pytest.warns(wb.WorkbenchWarning, match="time given"):
        trials = study.ask(3, timeout=0.02)
    assert len(trials) == 3
    assert any(trial.meta.get("deadline_hit") or trial.warnings for trial in trials)


@pytest.mark.slow
def test_wishes_lead_the_next_question() -> None:
    study = mixed(light())
    for _ in range(4):
        answer(study.feedback.next_question(3), JUDGE)
    question = study.feedback.next_question(3)
    centre = question.trials[0]
    question.more_like(centre)
    for trial in study.feedback.next_question(3).trials:
        assert abs(trial["x"] - centre["x"]) <= 0.1 + 1e-9
        assert trial["hue"] == centre["hue"]
    study.feedback.go_back(2)
    assert 2 in [trial.number for trial in study.feedback.next_question(3).trials]


def test_trials_that_were_taken_out_leave_the_answers() -> None:
    from workbench.models.taste import answers

    study = mixed("sobol")
    study.ask(5)
    study.feedback.rank([[0], [1], [2]])
    study.feedback.order([(0, 1), (1, 3)])
    study.feedback.compare(1, 4)
    study.feedback.next_question(2)
    study.void(1, reason="blurred")
    said, names, rows = answers(study.history())
    assert rows.tolist() == [0, 2, 3]
    assert [(one.kind, one.groups) for one in said] == [("rank", ((0,), (1,))), ("partial", ((0, 2),))]
    assert names == [""]


# -- outcomes --------------------------------------------------------------------------------


def outcomes(sampler: Any = "auto", n: int = 8) -> Study:
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1)])
    goals = [wb.Objective("f"), wb.Objective("g", "maximize"), wb.Preference("trade", over="outcomes")]
    study = wb.create_study("o", space, goals, sampler=sampler, seed=1)
    for _ in range(n):
        measure(study)
    return study


def measure(study: Study) -> None:
    trial = study.ask()
    study.tell(trial, {"f": (trial["x"] - 0.2) ** 2 + trial["y"], "g": trial["x"] + trial["y"]})


def worth(trial: wb.Trial) -> float:
    return float(2 * trial.values["g"] - 3 * trial.values["f"])


def test_questions_about_outcomes_show_measured_trials_and_steer_the_search() -> None:
    study = outcomes()
    with pytest.raises(wb.UnsupportedError, match="there are 8; measure more"):
        study.feedback.next_question(9)
    for _ in range(5):
        question = study.feedback.next_question(2)
        assert all(trial.state == "complete" for trial in question.trials)
        question.answer([[trial] for trial in sorted(question.trials, key=worth, reverse=True)])
        measure(study)
    assert len(study.trials) == 13
    assert "utility" in study.trials[-1].why
    assert set(study.trials[-1].predicted) == {"f", "g"}
    assert max(map(worth, study.trials[8:])) > max(map(worth, study.trials[:8]))  # the optimum is 0.733
    utility = study.model().utility()
    front = {trial.number for trial in study.pareto_trials}
    assert set(utility.favourite) == front
    mean, _ = utility.of([{"f": 0.0, "g": 1.0}, {"f": 1.0, "g": 0.0}])
    assert mean[0] > mean[1]
    found = utility.recommend()
    assert found.mean >= utility.mean.max() - 1e-9
    with pytest.raises(wb.InvalidValueError, match="outcomes f, g"):
        utility.of({"x": 1.0})


def test_the_gradient_of_the_search_over_outcomes_by_finite_differences() -> None:
    from workbench.acquisition.preference import OutcomeEI
    from workbench.models.gp import GaussianProcesses
    from workbench.models.taste import learn

    study = outcomes()
    first = study.feedback.next_question(3)
    first.answer([[trial] for trial in sorted(first.trials, key=worth, reverse=True)])
    history = study.history()
    function = OutcomeEI(learn(history), GaussianProcesses.fit(history), 0.3)
    Z = np.random.default_rng(0).random((4, 2))
    values, slopes = function.value_and_grad(Z)
    np.testing.assert_allclose(values, function.value(Z))
    for j in range(2):
        e = 1e-5 * np.eye(2)[j]
        np.testing.assert_allclose(slopes[:, j], (function.value(Z + e) - function.value(Z - e)) / 2e-5, atol=1e-3)


def test_a_sampler_that_shows_unmeasured_trials_is_refused() -> None:
    with pytest.raises(wb.SamplerError, match=r"'trade' depends on measured outcomes.*sampler='auto'"):
        outcomes("sobol", 3).feedback.next_question(2)


def test_what_it_cannot_serve_is_refused() -> None:
    with pytest.raises(wb.UnsupportedError, match="acquisition must be"):
        PreferenceSampler("ei")
    with pytest.raises(wb.UnsupportedError, match="family"):
        PreferenceSampler(family="bradley")
    with pytest.raises(wb.UnsupportedError, match="restarts"):
        PreferenceSampler(restarts=0)
    space = wb.Space([wb.Float("x", 0, 1)])
    for goals, said in (
        ([wb.Objective("f"), TASTE], "would ignore 'f' beside 'taste'"),
        ([TASTE, wb.Preference("other")], "exactly one"),
        ([wb.Objective("f")], "exactly one"),
    ):
        with pytest.raises(wb.UnsupportedError, match=said):
            wb.create_study("s", space, goals, sampler="eubo", seed=0).ask()


@pytest.mark.slow
def test_thirty_duels_find_the_corner() -> None:
    """Utility sum sqrt(i) x_i over the unit cube, seen with noise of 0.1; the optimum is 6.146."""

    def utility(shown: Any) -> list[float]:
        return [sum((i + 1) ** 0.5 * params[f"x{i}"] for i in range(4)) for params in shown]

    best = []
    for seed in range(5):
        space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(4)])
        study = wb.create_study("s", space, [TASTE], sampler="eubo", seed=seed)
        rater = Noisy(utility, 0.1, np.random.default_rng(seed))
        for _ in range(30):
            answer(study.feedback.next_question(2), rater)
        best.append(max(utility([trial.params for trial in study.trials])))
    random = max(utility([{f"x{i}": v for i, v in enumerate(x)} for x in np.random.default_rng(0).random((64, 4))]))
    assert sum(b >= 5.7 for b in best) >= 4
    assert np.median(best) > random
