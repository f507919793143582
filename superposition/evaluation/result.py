"""What an evaluation gives: numbers by name, shown as a table."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from superposition._internal import html


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Mapping[str, float]):
    """Numbers by name: `result["fvu"]`, `dict(result)`; printed as a table.

    numbers: metric -> value, in the order of `evaluation.METRICS`. firing_rates: how often each latent fires, (d_sae,);
    empty for a toy model. by_source: the numbers of each source of a text, where there are several.

    >>> result = Evaluation({"l0": 1.5, "fvu": 0.25})
    >>> result["fvu"], len(result)
    (0.25, 2)
    >>> result
    l0   1.5
    fvu  0.25
    """

    numbers: dict[str, float]
    firing_rates: np.ndarray = field(default_factory=lambda: np.zeros(0))
    by_source: dict[str, dict[str, float]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        width = max(map(len, self.numbers), default=0)
        return "\n".join(f"{name:<{width}}  {shown(value)}" for name, value in self.numbers.items())

    def _repr_html_(self) -> str:
        return html.table([(name, shown(value)) for name, value in self.numbers.items()])


def shown(value: float) -> str:
    """A number as a table has it."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 and value == int(value) else f"{value:.4g}"
