"""The list of pages. The frame, its links and the tests go by it, so a new page is one file and one row here.

The file stands in `app_pages/`, is run by the frame for every visit, and gets its study by `state.chosen()`. Whatever
it raises is shown by the frame with a number. Long work goes to `state.jobs().submit("analysis", …)`, never into
the page; news of the record come by `widgets.follow(study)`, one call a page; figures are drawn by `figures.show` or
`widgets.figure`, which add the table and the text for those who cannot see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workbench.problem import Preference
from workbench.study import Study

FIRST = "studies"
"""The page of an address without a path."""


def _always(_: Study) -> str:
    return ""


def _measures_nothing(study: Study) -> str:
    return "" if study.history().measured else "This study is judged by people: rank its runs instead."


def _one_goal(study: Study) -> str:
    measured = study.history().measured
    if not measured:
        return _measures_nothing(study)
    return "" if len(measured) > 1 else f"There is one goal, {measured[0].name}: see its curve on the Overview."


def _judged_by_nobody(study: Study) -> str:
    return "" if any(isinstance(goal, Preference) for goal in study.objectives) else "This study measures its goals."


@dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Args:
        key: What code calls it, and its path in the address.
        title: What people call it.
        icon: Name of a Material symbol.
        file: Where it stands below `ui/`.
        of_study: Does it show one study? Such pages stand under the picker, with the study in the address.
        closed: Why it has nothing to show for a study, in one sentence; "" where it has. The link is then
            disabled, and says so.
    """

    key: str
    title: str
    icon: str
    file: str
    of_study: bool = False
    closed: Callable[[Study], str] = _always

    @property
    def path(self) -> str:
        """Where it stands in the address; the first page has no path."""
        return "" if self.key == FIRST else self.key

    @property
    def symbol(self) -> str:
        """The icon as Streamlit names it."""
        return f":material/{self.icon}:"


PICTURES = ("rank", "filmstrip", "studies", "settings")
"""Pages of a study that only people judge: they stand in one line above, and there is no sidebar."""

PAGES = (
    Page("run", "Run sheet", "table_rows", "app_pages/run_sheet.py", of_study=True),
    Page("overview", "Overview", "monitoring", "app_pages/overview.py", of_study=True),
    Page("model", "Model", "psychology", "app_pages/model.py", of_study=True, closed=_measures_nothing),
    Page("pareto", "Pareto", "bubble_chart", "app_pages/pareto.py", of_study=True, closed=_one_goal),
    Page("rank", "Rank", "swap_vert", "app_pages/rank.py", of_study=True, closed=_judged_by_nobody),
    Page("filmstrip", "Filmstrip", "theaters", "app_pages/filmstrip.py", of_study=True, closed=_judged_by_nobody),
    Page("studies", "Studies", "folder_open", "app_pages/studies.py"),
    Page("new", "New study", "add_circle", "app_pages/new_study.py"),
    Page("compare", "Compare", "compare_arrows", "app_pages/compare.py"),
    Page("settings", "Settings and export", "settings", "app_pages/settings.py"),
)


def page(key: str) -> Page:
    """The page of that key."""
    return next(one for one in PAGES if one.key == key)
