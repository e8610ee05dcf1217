"""Counting the points of a space with conditional parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.space.parameters import Parameter

Conditions = Mapping[str, Mapping[str, tuple[Any, ...]]]  # child -> parent -> activating values


def count_points(parameters: Sequence[Parameter], conditions: Conditions) -> int | None:
    """Return the number of different points; None if infinite.

    Parameters that no when= connects multiply; within a connected family the parents' values are
    enumerated, those that no child distinguishes taken together.
    """
    if any(parameter.cardinality is None for parameter in parameters):
        return None
    families = _families(parameters, conditions)
    return math.prod(_count(family, conditions, {}) for family in families)


def _families(parameters: Sequence[Parameter], conditions: Conditions) -> list[list[Parameter]]:
    """Split into groups that when= connects, each in declared order."""
    group = {parameter.name: parameter.name for parameter in parameters}
    for child, parents in conditions.items():
        joined = {group[name] for name in (child, *parents)}
        group = {name: group[child] if label in joined else label for name, label in group.items()}
    families: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        families.setdefault(group[parameter.name], []).append(parameter)
    return list(families.values())


def _count(rest: Sequence[Parameter], conditions: Conditions, chosen: dict[str, Any]) -> int:
    if not rest:
        return 1
    first, others = rest[0], rest[1:]
    needed = conditions.get(first.name, {})
    if any(parent not in chosen or chosen[parent] not in allowed for parent, allowed in needed.items()):
        return _count(others, conditions, chosen)
    named = {value for parents in conditions.values() for value in parents.get(first.name, ())}
    cardinality = first.cardinality or 0
    total = 0
    if cardinality > len(named):
        # A value that no child names switches every one of them off.
        total += (cardinality - len(named)) * _count(others, conditions, chosen)
    for value in named:
        total += _count(others, conditions, {**chosen, first.name: value})
    return total
