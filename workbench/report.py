"""A study as one HTML file: what was optimised, what was found, how it went, how to go on.

The file opens without a network and without the workbench: plotly's script is inside it, and its
content policy forbids every request. User text reaches it escaped, in markup by `html.escape`, in
the data of figures by plotly-safe text and JSON without "<".
"""

from __future__ import annotations

import datetime
import html
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from workbench import markup, plots
from workbench.analysis import LEVELS
from workbench.plots import theme
from workbench.plots.digest import best_rows, settings, trial_columns, wanted
from workbench.plots.digest import headline as headline  # noqa: PLC0414  # the shell says it, too
from workbench.plots.panels import panels
from workbench.trial import History, TrialState
from workbench.whole_file import replaced

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from workbench.problem import Objective, Preference
    from workbench.space import Space
    from workbench.study import Model

Belief = Callable[[list[dict[str, Any]]], Mapping[str, tuple[Any, Any]]]
"""Parameters of n points -> {objective: (means (n,), standard deviations (n,))}, user units."""

_SLICED, _GOALS = 6, 3  # parameters and objectives with slices; more would bury the page
_BEST, _TROUBLES, _TABLED = 10, 50, 500  # rows of tables
_ERROR_LENGTH = 2_000
_DRAWN = 2_000  # trials in a figure; SVG throughout, since browsers allow a page few WebGL canvases
_STATES = (TrialState.COMPLETE, *(state for state in TrialState if state is not TrialState.COMPLETE))


class Reportable(Protocol):
    """What a report needs of a study."""

    @property
    def name(self) -> str: ...
    @property
    def space(self) -> Space: ...
    @property
    def objectives(self) -> Sequence[Objective | Preference]: ...
    def history(self) -> History: ...


def write_report(
    study: Reportable,
    path: str | os.PathLike[str],
    *,
    predict: Belief | None = None,
    model: Model | None = None,
    continue_with: str | None = None,
) -> Path:
    """Write a study as one self-contained HTML file.

    Args:
        study: The study; it is read once.
        path: Where to write. An older file is replaced in one step, or left as it is on an error.
        predict: The model's belief, drawn in the slices.
        model: The whole model, such as `study.model()`: what it says, what matters, whether its promises are kept; and
            the belief, where `predict` is not given. It is read as it is at its own revision.
        continue_with: How to go on, as Python or shell text.
    Returns:
        The path.
    Raises:
        InvalidValueError: if `predict` gives something else than described.
        OSError: if the folder is missing or cannot be written.
    """
    page = render(study, predict=predict, model=model, continue_with=continue_with)
    target = Path(path)
    with replaced(target) as file:
        file.write(page.encode())
    return target


def render(
    study: Reportable, *, predict: Belief | None = None, model: Model | None = None, continue_with: str | None = None
) -> str:
    """The text of the file that `write_report` writes."""
    from plotly.offline import get_plotlyjs

    history = study.history()
    if model is not None and predict is None:
        predict = model.predictor()
    sections = [
        _opening(study.name, history),
        _section("How it went", _history(history)),
        _section("Trade-offs", _tradeoffs(history, model)),
        _section("What the model says", "" if model is None else _said(model)),
        _section("One parameter at a time", _slices(history, predict)),
        _section(*_best_table(history)),
        _section("Failed and infeasible trials", _troubles(history)),
        _section("What was optimised", _declared(study, history)),
        _section("Go on", _code(continue_with) if continue_with else ""),
    ]
    return _PAGE.format(
        title=html.escape(study.name),
        style=_STYLE,
        body="\n".join(filter(None, sections)),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        dark=_json(theme.DARK),
        draw=_DRAW,
    )


# -- sentences --------------------------------------------------------------------------


def _opening(name: str, history: History) -> str:
    found = [(state.value, int(history.in_state(state).sum())) for state in _STATES]
    over = int((history.complete & np.any(history.C > 0, axis=1)).sum())
    found.insert(1, ("of them over a limit", over))
    counts = [f'<li><span class="count">{n:,}</span> {word}</li>' for word, n in found if n]
    return (
        f"<header><h1>{html.escape(name)}</h1>\n<p class=lead>{html.escape(headline(history))}</p>\n"
        f'<ul class="counts" aria-label="Trials by state">{"".join(counts)}</ul>{_times(history)}</header>'
    )


def _times(history: History) -> str:
    begun = [row.started for row in history.rows if row.started is not None]
    ended = [row.finished for row in history.rows if row.finished is not None]
    if not begun or not ended:
        return ""
    first, last = _minute(min(begun)), _minute(max(ended))
    return f'<p class="muted">First trial started {first}, last result {last} (UTC).</p>'


def _minute(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")


# -- figures ----------------------------------------------------------------------------


def _history(history: History) -> str:
    figure = plots.history(history, most=_DRAWN)
    if not len(history):
        return _figure(figure, "history")
    table = plots.history_table(history)
    newest = {name: column[-_TABLED:] for name, column in table.items()}
    note = f"The newest {_TABLED} of {len(history):,} trials." if len(history) > _TABLED else ""
    return _wrapped(figure, "history") + _details("Show as table", note, _table(newest))


def _tradeoffs(history: History, model: Model | None) -> str:
    """The front with how sure it is, as on the Pareto page, and how it grew; of several objectives."""
    if not history.front.any() or len(history.measured) < 2:
        return ""
    known = model is not None and model.surrogate is not None
    front = model.pareto_front() if model is not None and known else None
    noise = {goal.name: goal.noise for goal in model.belief().goals} if model is not None and known else {}
    figure = plots.tradeoffs(history, front=front, noise=noise, most=_DRAWN)
    said = f"<p>{html.escape(figure.layout.meta['title'])}.</p>"
    return said + _wrapped(figure, "tradeoffs") + _wrapped(plots.hypervolume(history), "hypervolume")


def _wrapped(figure: Figure, identity: str) -> str:
    """A figure whose title and caption go into the page, where they wrap on a narrow screen."""
    caption, space_above = figure.layout.meta.get("caption", ""), figure.layout.margin.t - 12
    figure.update_layout(title=None, margin_t=12, height=figure.layout.height - space_above)
    return _figure(figure, identity, caption)


def _slices(history: History, predict: Belief | None) -> str:
    if not any(np.isfinite(panel.values).any() for panel in panels(history, None)):
        return ""  # the history above says why there is nothing to draw
    able = [name for name in history.space.names if plots.can_slice(history.space, name)]
    goals = history.measured[:_GOALS]
    shown = [
        _small(history, name, goal, predict, f"slice-{i}-{j}")
        for i, name in enumerate(able[:_SLICED])
        for j, goal in enumerate(goals)
    ]
    if not shown:
        return ""
    notes = ["Filled blue: the best, or the front. Grey: other trials. Cross: over a limit."]
    notes += ["Green: the model, ± 2 sd, the other parameters held at the best trial."] if predict else []
    rest = len(history.space.names) - min(len(able), _SLICED)
    notes += [f"{theme.count(rest, 'parameter')} not drawn."] if rest else []
    notes += [f"Objectives drawn: the first {_GOALS}."] if len(history.measured) > _GOALS else []
    return f'<p class="muted">{" ".join(notes)}</p>\n<div class="grid">{"".join(shown)}</div>'


def _small(history: History, name: str, goal: Objective, predict: Belief | None, identity: str) -> str:
    """One slice among many: no title and no legend, its caption under it."""
    along = None if predict is None else lambda params: predict(params)[goal.name]
    figure = plots.slice(history, name, goal.name, along, most=_DRAWN)
    caption = figure.layout.meta["caption"]
    # the direction is said above; it would not fit beside so small a figure
    figure.update_layout(yaxis_title_text=theme.literal(theme.shorten(markup.head(goal.name, goal.unit), 30)))
    figure.update_layout(
        title=None, showlegend=False, height=280, margin={"l": 56, "r": 12, "t": 12, "b": 48},
    )  # fmt: skip
    return _figure(figure, identity, caption)


def _said(model: Model) -> str:
    """The verdicts, then what moves each quantity and how well it is predicted."""
    verdicts = "\n".join(
        f'<li><span class="count">{LEVELS[one.level]}.</span> {html.escape(str(one))}</li>' for one in model.verdicts()
    )
    parts = [f'<ul class="verdicts">{verdicts}</ul>']
    if model.surrogate is not None:
        seen = model.diagnose().calibration
        for i, (name, found) in enumerate(list(model.importance().items())[:_GOALS]):
            for kind, figure in (
                ("importance", plots.importance(found)),
                ("calibration", plots.calibration(seen[name])),
            ):
                caption, height = figure.layout.meta.get("caption", ""), figure.layout.height - figure.layout.margin.t
                figure.update_layout(margin_t=40, height=height + 40, title={"subtitle": {"text": ""}})
                parts.append(_figure(figure, f"{kind}-{i}", caption))
    return "".join(parts)


def _figure(figure: Figure, identity: str, caption: str = "") -> str:
    """A figure as data, drawn by the script at the end of the page."""
    alt = html.escape(figure.layout.meta["alt"])
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    data = _json(json.loads(figure.to_json()))
    height = int(figure.layout.height)
    return (
        f'<figure><div id="{identity}" role="img" aria-label="{alt}" style="height:{height}px"></div>'
        f'<script type="application/json" data-for="{identity}">{data}</script>{below}</figure>\n'
    )


def _json(value: object) -> str:
    """JSON that can stand inside a script element: no "<", so nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# -- tables -----------------------------------------------------------------------------


def _best_table(history: History) -> tuple[str, str]:
    """Title and table of the best trials, or of the front."""
    rows = best_rows(history, _BEST)
    if not rows:
        return "Best trials", ""
    many = len(history.measured) > 1
    lead = history.measured[0].name
    title = f"The front, best {lead} first" if many else f"Best {markup.count(len(rows), 'trial')}"
    return title, _table(trial_columns(history, rows))


def _troubles(history: History) -> str:
    rows = np.flatnonzero(history.failed | history.infeasible).tolist()
    if not rows:
        return ""
    table: dict[str, list[Any]] = {
        "trial": [history.rows[i].number for i in rows[-_TROUBLES:]],
        "state": [history.rows[i].state for i in rows[-_TROUBLES:]],
        "what happened": [_what_happened(history, i) for i in rows[-_TROUBLES:]],
        "at": [", ".join(settings(history, i)) for i in rows[-_TROUBLES:]],
    }
    note = f'<p class="muted">The newest {_TROUBLES} of {len(rows):,}.</p>' if len(rows) > _TROUBLES else ""
    return note + _table(table)


def _what_happened(history: History, row: int) -> str:
    record = history.rows[row]
    text = record.error or record.reason or "no error text was told"
    return text if len(text) <= _ERROR_LENGTH else text[:_ERROR_LENGTH] + "…"


def _declared(study: Reportable, history: History) -> str:
    knobs = [study.space[name] for name in study.space.names]
    parts = [
        "<h3>Parameters</h3>",
        _table({
            "name": [knob.name for knob in knobs],
            "values": [knob.describe() for knob in knobs],
            "unit": [knob.unit for knob in knobs],
            "exists when": [markup.condition(knob.when) for knob in knobs],
            "role": [knob.role for knob in knobs],
        }),
        "<h3>Objectives</h3>",
        _table({
            "name": [goal.name for goal in study.objectives],
            "wanted": [wanted(goal) for goal in study.objectives],
            "unit": [getattr(goal, "unit", None) for goal in study.objectives],
        }),
    ]  # fmt: skip
    if history.constraints:
        parts += ["<h3>Limits</h3>", _table({
            "name": [limit.name for limit in history.constraints],
            "at least": [limit.lower for limit in history.constraints],
            "at most": [limit.upper for limit in history.constraints],
            "unit": [limit.unit for limit in history.constraints],
        })]  # fmt: skip
    return "\n".join(parts)


def _table(columns: Mapping[str, Sequence[Any]]) -> str:
    """A table that scrolls sideways on a narrow screen."""
    return f'<div class="scroll" tabindex="0">{markup.table(columns, styled=False)}</div>'


def _details(summary: str, note: str, inside: str) -> str:
    said = f'<p class="muted">{html.escape(note)}</p>' if note else ""
    return f"<details><summary>{html.escape(summary)}</summary>{said}{inside}</details>"


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>\n{inside}</section>" if inside else ""


def _code(text: str) -> str:
    return f'<pre tabindex="0"><code>{html.escape(text.strip())}</code></pre>'


# -- the page ---------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light; --ground: #FFFFFF; --surface: #F3F5F7;
  --text: #1C2530; --muted: #55616E; --line: #D9DFE5; }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --ground: #13171C; --surface: #1D232A;
    --text: #E4E9EE; --muted: #A3AFBB; --line: #36404A; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.45 "Source Sans 3", "Source Sans Pro", "Source Sans", system-ui, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1092px; margin: 0 auto; padding: 30px 24px 60px; }
h1 { font-size: 24px; line-height: 1.2; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 18.5px; line-height: 1.2; margin: 38px 0 10px; padding-top: 15px;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 20px 0 6px; }
.lead { font-size: 18px; margin: 0 0 12px; overflow-wrap: anywhere; }
.muted, figcaption { color: var(--muted); font-size: 13px; margin: 6px 0; }
.counts { list-style: none; display: flex; flex-wrap: wrap; gap: 8px; padding: 0; margin: 0 0 8px; }
.counts li { border: 1px solid var(--line); border-radius: 6px; padding: 3px 10px; font-size: 14px;
  color: var(--muted); }
.verdicts { padding-left: 1.2em; } .verdicts li { margin: 6px 0; overflow-wrap: anywhere; }
.count { color: var(--text); font-weight: 600; }
figure { margin: 0; min-width: 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)); gap: 15px; }
.grid figure { border: 1px solid var(--line); border-radius: 6px; padding: 8px; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
td { white-space: pre-wrap; overflow-wrap: break-word; max-width: 480px; }
th { background: var(--surface); color: var(--muted); font-weight: 400; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--muted); font-size: 14px; }
details .scroll { max-height: 420px; overflow-y: auto; }
pre { background: var(--surface); border: 1px solid var(--line); border-radius: 6px; padding: 12px 15px;
  overflow-x: auto; font-size: 13.5px; }
@media print {
  main { max-width: none; padding: 0; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll, pre { overflow: visible; } pre { white-space: pre-wrap; } th { white-space: normal; }
  details:not([open]) { display: none; }
}
"""

# Colours change by the names of properties that hold one, so that user text which looks like a colour stays.
_DRAW = """
const dark = JSON.parse(document.getElementById("dark-colours").textContent);
const night = window.matchMedia("(prefers-color-scheme: dark)");
function dyed(value, key) {
  if (Array.isArray(value)) return value.map(item => dyed(item, key));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, dyed(item, name)]));
  return typeof value === "string" && /color$/.test(key) && Object.hasOwn(dark, value) ? dark[value] : value;
}
function draw(inTheDark) {
  for (const source of document.querySelectorAll("script[data-for]")) {
    let figure = JSON.parse(source.textContent);
    if (inTheDark) figure = dyed(figure, "");
    Plotly.react(source.dataset.for, figure.data, figure.layout,
      { responsive: true, displayModeBar: false });
  }
}
draw(night.matches);
night.addEventListener("change", () => draw(night.matches));
window.addEventListener("beforeprint", () => draw(false));
window.addEventListener("afterprint", () => draw(night.matches));
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<noscript><p class="muted">The figures need JavaScript. The tables do not.</p></noscript>
<script type="application/json" id="dark-colours">{dark}</script>
<script>{plotly}</script>
<script>{draw}</script>
</body>
</html>
"""
