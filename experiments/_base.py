"""What every experiment shares: claims with verdicts, files written whole, one command line.

An experiment is a module with a docstring (claim, command, time, number to expect), `Config`,
`run(config) -> Result` (no drawing, no files), `draw(result) -> Figure`, and `alt(result) -> str`; it may have
`animate(result) -> Animation`, and `SHARED`, the name of costly work that other experiments use too.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from experiments._check import check

FIGURES = Path("figures")
DIGITS = 7


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
        """holds, or does not hold."""
        return "holds" if self.holds else "does not hold"


@dataclass(frozen=True)
class Result:
    """What an experiment found: its config, the claims, and the arrays its picture is drawn from."""

    config: Any
    claims: list[Claim]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)


def to_json(name: str, title: str, result: Result, seconds: float) -> dict[str, Any]:
    """Everything the picture and the report are made from."""
    return {
        "experiment": name,
        "title": title,
        "config": _plain(asdict(result.config)),
        "claims": [asdict(c) | {"holds": bool(c.holds), "verdict": c.verdict} for c in result.claims],
        "numbers": _plain(dict(result.numbers)),
        "arrays": {k: _rounded(v) for k, v in result.arrays.items()},
        "seconds": round(seconds, 1),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _rounded(np.asarray(value))
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None  # as in arrays
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


def _rounded(array: np.ndarray) -> Any:
    """Nested lists with few digits; NaN becomes null, which JSON has."""
    if array.ndim:
        return [_rounded(row) for row in array]
    value = array.item()
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one instant."""
    write_text(path, json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one instant."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


def title_of(module: ModuleType) -> str:
    """The first line of an experiment's docstring."""
    return (module.__doc__ or "").strip().split("\n")[0]


def execute(module: ModuleType, config: Any, folder: Path) -> Result:
    """Run, draw, and write picture and JSON into `folder`; then the report of everything there."""
    from experiments import _report
    from superposition import plot

    check(config)
    name = module.__name__.rsplit(".", 1)[-1]
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{name}: {title_of(module)}", file=sys.stderr)
    begun = time.monotonic()
    result: Result = module.run(config)
    seconds = time.monotonic() - begun
    alt, title = module.alt(result), title_of(module)
    plot.save(module.draw(result), folder / f"{name}.png", alt=alt, title=title)
    if hasattr(module, "animate"):
        plot.save_animation(module.animate(result), folder / f"{name}.gif", alt=alt, title=title)
    write_json(folder / f"{name}.json", to_json(name, title_of(module), result, seconds))
    _report.write(folder)
    print(f"{name}: {seconds:.1f} s -> {folder / name}.png", file=sys.stderr)
    return result


def main(module_name: str) -> None:
    """`python -m experiments.<name> [--quick] [flags]`."""
    from experiments import _report
    from superposition.errors import SuperpositionError

    module, arguments = _named(sys.modules[module_name]), sys.argv[1:]
    quick = "--quick" in arguments
    try:
        config = configured(module, arguments)
        result = execute(module, config, FIGURES / "quick" if quick else FIGURES)
    except SuperpositionError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    _report.show(result.claims)
    sys.exit(0 if quick else _report.status(result.claims))


def configured(module: ModuleType, arguments: Sequence[str]) -> Any:
    """The Config that a command line means, checked; ConfigError where it means none."""
    from superposition.cli.main import parse

    flags = [a for a in arguments if a != "--quick"]
    config = parse(
        module.Config,
        flags,
        prog=f"python -m {module.__name__}",
        description=f"{module.__doc__}\n\n--quick runs a small version, into figures/quick/.",
        default=module.Config() if len(flags) == len(arguments) else module.Config.quick(),
    )
    check(config)
    return config


def _named(module: ModuleType) -> ModuleType:
    """The module under its own name: run with -m it is called __main__."""
    spec = module.__spec__
    if spec is not None:
        module.__name__ = spec.name
    return module
