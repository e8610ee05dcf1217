"""A result as one HTML file: figures and tables, no request to anywhere."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.bench.text import HEADS, cells, notes
from workbench.plots import benchmark, theme
from workbench.whole_file import replaced

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from workbench.bench.result import Result


def drawings(result: Result) -> dict[str, Figure]:
    """Figures by a short name."""
    found = {"targets": benchmark.targets({name: result.reached(name) for name in result.contestants})}
    if len(result.contestants) > 1 and (differences := result.differences()):
        found["differences"] = benchmark.differences(
            [(d.case, d.other, d.mean, d.low, d.high) for d in differences], result.contestants[0], result.level
        )
    for case in result.cases:
        curves = {}
        for name in result.contestants:
            if traces := list(result.log_regrets(case, name).values()):
                curves[name] = np.quantile(np.stack(traces), [0.25, 0.5, 0.75], axis=0)  # (3, N)
        if curves:
            found[f"convergence {case.name}"] = benchmark.convergence(curves, case.name, case.start)
    return found


def write(result: Result, path: Path) -> Path:
    """Write the page; an older file is replaced in one step."""
    failed = [f"{f.case} by {f.contestant}, seed {f.seed}: {f.text}" for f in result.failures]
    above = (
        _table([cells(row) for row in result.rows()])
        + f'<p class="muted">{html.escape(notes(result))}</p>'
        + "".join(f"<p>Failed: {html.escape(text)}</p>" for text in failed)
    )
    below = f"<h2>Versions</h2>{_versions(result)}"
    return write_figures(", ".join(result.contestants), result.figures(), path, above, below)


def write_figures(lead: str, figures: Mapping[str, Figure], path: Path, above: str = "", below: str = "") -> Path:
    """Write figures as one page; an older file is replaced in one step.

    Args:
        lead: Says what the page shows.
        figures: By any names.
        path: Where to.
        above: Markup before the figures, escaped already.
        below: Markup after them.
    """
    from plotly.offline import get_plotlyjs

    page = _PAGE.format(
        style=_STYLE, lead=html.escape(lead), above=above, below=below,
        figures="\n".join(_figure(figure, f"figure-{i}") for i, figure in enumerate(figures.values())),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )  # fmt: skip
    with replaced(path) as file:
        file.write(page.encode())
    return path


def _figure(figure: Figure, identity: str) -> str:
    alt = html.escape(figure.layout.meta["alt"])
    data = json.dumps(json.loads(figure.to_json()), separators=(",", ":"))
    for char in "<>&":
        data = data.replace(char, f"\\u{ord(char):04x}")
    height = int(figure.layout.height)
    return (
        f'<figure><div id="{identity}" role="img" aria-label="{alt}" style="height:{height}px"></div>'
        f'<script type="application/json" data-for="{identity}">{data}</script></figure>'
    )


def _table(rows: list[list[str]], heads: tuple[str, ...] = HEADS) -> str:
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _versions(result: Result) -> str:
    seen: dict[str, dict[str, None]] = {}
    for run in result.runs:
        said = ", ".join(f"{name} {version}" for name, version in run.versions.items())
        seen.setdefault(run.contestant, {})[said] = None
    return _table([[name, "; ".join(said)] for name, said in seen.items()], ("contestant", "versions"))


_STYLE = f"""
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: {theme.GROUND}; color: {theme.TEXT}; font: 15px/1.45 {theme.FONT};
  font-variant-numeric: tabular-nums; }}
main {{ max-width: 1200px; margin: 0 auto; padding: 30px 24px 60px; }}
h1 {{ font-size: 24px; margin: 0 0 8px; }} h2 {{ font-size: 18.5px; margin: 38px 0 10px; }}
.muted {{ color: {theme.MUTED}; font-size: 13px; white-space: pre-line; }}
figure {{ margin: 24px 0; }} .scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 14px; }}
th, td {{ text-align: right; padding: 5px 10px; border-bottom: 1px solid {theme.HAIRLINE}; white-space: nowrap; }}
th {{ background: {theme.SHADE}; color: {theme.MUTED}; font-weight: 400; }}
th:nth-child(-n+2), td:nth-child(-n+2) {{ text-align: left; }}
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>Benchmark</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>Benchmark</h1>
<p>{lead}</p>
{above}
{figures}
{below}
</main>
<script>{plotly}</script>
<script>
for (const source of document.querySelectorAll("script[data-for]")) {{
  const figure = JSON.parse(source.textContent);
  Plotly.newPlot(source.dataset.for, figure.data, figure.layout, {{ responsive: true, displayModeBar: false }});
}}
</script>
</body>
</html>
"""
