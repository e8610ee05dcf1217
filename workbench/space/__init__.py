"""Search spaces: parameters, the constraints known beforehand, and how both are drawn from."""

from workbench.space.expressions import KnownConstraint, parse
from workbench.space.parameters import Parameter
from workbench.space.scalars import Bool, Categorical, Float, Int, Ordinal
from workbench.space.space import Space
from workbench.space.structures import Permutation, Sequence, Structure, Subset
from workbench.space.vectors import Simplex, Vector

__all__ = [
    "Bool",
    "Categorical",
    "Float",
    "Int",
    "KnownConstraint",
    "Ordinal",
    "Parameter",
    "Permutation",
    "Sequence",
    "Simplex",
    "Space",
    "Structure",
    "Subset",
    "Vector",
    "parse",
]
