"""The runs to do, on paper."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ui.presenters import runs, words
from workbench.markup import wording
from workbench.study import Study
from workbench.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

_STYLE = (
    "body{font:13px system-ui,sans-serif;margin:24px;color:#1C2530}h1{font-size:20px;margin:0 0 4px}"
    "table{border-collapse:collapse;width:100%;margin-top:14px}th,td{border:1px solid #8491A0;padding:7px 9px;"
    "text-align:right}th{background:#F3F5F7}td.open{min-width:80px;height:26px}@page{size:landscape;margin:12mm}"
)


def frame(study: Study, trials: Sequence[Trial]) -> pd.DataFrame:
    """Titles and cells as they are printed."""
    import pandas as pd

    fields = [*runs.knob_fields(study), *runs.result_fields(study)]
    rows = [
        {"Run": str(trial.number)}
        | {field.title: _cell(field, trial) for field in fields if field.id.startswith("knob")}
        | {field.title: "" for field in fields if field.id.startswith("result")} | {"Note": ""}
        for trial in trials
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("Run")


def sheet(study: Study, trials: Sequence[Trial]) -> str:
    """One HTML page that prints on one side of paper; user text is escaped."""
    knobs, results = runs.knob_fields(study), runs.result_fields(study)
    heads = ["Run", *(field.title for field in (*knobs, *results)), "Note", "By, when"]
    top = "".join(f"<th>{html.escape(title)}</th>" for title in heads)
    blank = '<td class="open"></td>' * (len(results) + 2)
    body = "".join(
        f"<tr><td><b>{trial.number}</b></td>"
        + "".join(f"<td>{html.escape(_cell(field, trial))}</td>" for field in knobs)
        + f"{blank}</tr>"
        for trial in trials
    )
    limits = words.limits(study.constraints)
    note = html.escape(f"{words.count(len(trials), 'run')}. {'Limits: ' + limits if limits else ''}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Run sheet</title><style>{_STYLE}</style>'
        f"<h1>{html.escape(study.name)}</h1><p>{note}</p><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
        "</html>"
    )


def _cell(field: runs.Field, trial: Trial) -> str:
    value = field.of(runs.settings(trial))
    if value is None:
        return "–"
    return f"{value:.{field.digits}f}" if field.number and field.digits is not None else wording(value)
