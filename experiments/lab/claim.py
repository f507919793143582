"""The values that an experiment returns: claims with their verdicts, and the arrays behind its picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np


class Source(StrEnum):
    """Whose sentence a claim is."""

    PAPER = "the paper's sentence"
    READING = "our reading"
    RESTATED = "restated"
    LAB = "this lab's"
    IDENTITY = "identity"


MEANING = {
    Source.PAPER: "what a published work says, quoted or named by its figure",
    Source.READING: "what we make of a published statement: its quantifier, or the bar that decides, is ours",
    Source.RESTATED: "a weaker form, stated after the original was seen not to hold; both stand in one row",
    Source.LAB: "asked by this lab, of its own models or beyond what is published",
    Source.IDENTITY: "true by construction or a theorem: it tests the code, not the world",
}


class Verdict(StrEnum):
    """What a measurement makes of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"


RELATIONS = {
    "<": lambda value, bar: value < bar,
    "<=": lambda value, bar: value <= bar,
    ">": lambda value, bar: value > bar,
    ">=": lambda value, bar: value >= bar,
}


@dataclass(frozen=True)
class Comparison:
    """A measured value held against a bar; undecided where the value's interval covers the bar.

    `interval` is the 95 % interval of the value, None where it is not known or where the value has no error. A value
    that is not a number does not hold.
    """

    value: float
    relation: str
    bar: float
    interval: tuple[float, float] | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict on this one comparison."""
        if self.interval is not None and self.interval[0] < self.bar < self.interval[1]:
            return Verdict.UNDECIDED
        return Verdict.HOLDS if RELATIONS[self.relation](self.value, self.bar) else Verdict.FAILS

    def __bool__(self) -> bool:
        """Refuse: `all` and `and` would take every comparison for true. Give a claim a tuple of them."""
        raise TypeError(
            "a comparison has three verdicts and no truth value; give a claim a tuple of comparisons"
        )


def _comparison(
    relation: str, value: Any, bar: Any, error: Any, interval: Sequence[Any] | None
) -> Comparison:
    value = float(value)
    if error is not None:
        interval = (value - float(error), value + float(error))
    ends = None if interval is None else (float(interval[0]), float(interval[1]))
    return Comparison(value, relation, float(bar), ends)


def less_than(value: Any, bar: Any, error: Any = None, interval: Sequence[Any] | None = None) -> Comparison:
    """Ask for value < bar. `error` is half of the value's 95 % interval; `interval` is the interval itself."""
    return _comparison("<", value, bar, error, interval)


def at_most(value: Any, bar: Any, error: Any = None, interval: Sequence[Any] | None = None) -> Comparison:
    """Ask for value <= bar; `error` and `interval` as in `less_than`."""
    return _comparison("<=", value, bar, error, interval)


def more_than(value: Any, bar: Any, error: Any = None, interval: Sequence[Any] | None = None) -> Comparison:
    """Ask for value > bar; `error` and `interval` as in `less_than`."""
    return _comparison(">", value, bar, error, interval)


def at_least(value: Any, bar: Any, error: Any = None, interval: Sequence[Any] | None = None) -> Comparison:
    """Ask for value >= bar; `error` and `interval` as in `less_than`."""
    return _comparison(">=", value, bar, error, interval)


def between(value: Any, low: Any, high: Any, error: Any = None) -> tuple[Comparison, Comparison]:
    """Ask for low < value < high; `error` as in `less_than`."""
    return more_than(value, low, error), less_than(value, high, error)


Evidence = bool | np.bool_ | Comparison | Sequence["bool | np.bool_ | Comparison"]
"""What a verdict is computed from: a comparison, a yes or no about a structure, or several, all of which must hold."""


@dataclass(frozen=True)
class Claim:
    """One sentence held against a measurement; the verdict is computed from `evidence`.

    `source` says whose sentence it is; one that does not say is the lab's own, which flatters nobody. A restated
    claim names in `restates` the beginning of the original's `claim`, which the same experiment makes. `recorded` is
    the verdict in the record (`experiments/recorded.json`), None where there is none; it is filled in, not written.
    """

    figure: str
    claim: str
    paper: str
    measured: str
    evidence: Evidence
    source: Source = Source.LAB
    restates: str = ""
    recorded: Verdict | None = None

    def __post_init__(self) -> None:
        if (self.source == Source.RESTATED) != bool(self.restates):
            raise ValueError(
                f"a restated claim, and no other, names its original in restates: {self.claim!r}"
            )

    @property
    def verdict(self) -> Verdict:
        """Does not hold if any part does not; else undecided if any part is; else holds."""
        parts = self.evidence if isinstance(self.evidence, Sequence) else (self.evidence,)
        found = [_verdict(part) for part in parts]
        if Verdict.FAILS in found or not found:
            return Verdict.FAILS
        return Verdict.UNDECIDED if Verdict.UNDECIDED in found else Verdict.HOLDS

    @property
    def holds(self) -> bool:
        """Whether the verdict is "holds"."""
        return self.verdict == Verdict.HOLDS

    @property
    def changed(self) -> bool:
        """Whether the record has another verdict."""
        return self.recorded is not None and self.recorded != self.verdict


def _verdict(part: "bool | np.bool_ | Comparison") -> Verdict:
    if isinstance(part, Comparison):
        return part.verdict
    return Verdict.HOLDS if part else Verdict.FAILS


@dataclass(frozen=True)
class Result:
    """What an experiment found: its config, its claims, and the arrays its picture is drawn from."""

    config: Any
    claims: list[Claim]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
