"""The values that an experiment returns: claims with their verdicts, and the arrays behind its picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper held against a measurement.

    `holds` is computed from the measurement. `expected` is what we know it to be: a claim that is known
    not to hold is reported as such, and a verdict that differs from `expected` fails the run.
    """

    figure: str
    claim: str
    paper: str
    measured: str
    holds: bool
    expected: bool = True

    @property
    def verdict(self) -> str:
        """Either "holds" or "does not hold"."""
        return "holds" if self.holds else "does not hold"


@dataclass(frozen=True)
class Result:
    """What an experiment found: its config, its claims, and the arrays its picture is drawn from."""

    config: Any
    claims: list[Claim]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
