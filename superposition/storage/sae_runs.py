"""What stands in the directory of a run of SAEs beside the SAEs themselves: their numbers, curves and the truth."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal.strict_json import strict_json
from superposition.errors import ConfigError, CorruptError

RESULTS, HISTORY, DICTIONARY = "results.json", "history.json", "dictionary.npy"
FORMAT = 1
MEASURED = {"l0", "fvu", "dead"}  # curves beside the terms of the loss


def read_results(directory: Path) -> dict[str, Any]:
    """What a run found; ConfigError if there is none at `directory`, CorruptError if it cannot be read."""
    path = directory / RESULTS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{directory} is not the directory of a run: {error.strerror}") from error
    try:
        results = strict_json(path, data)
        _check_results(results)
    except (AttributeError, CorruptError, KeyError, TypeError, ValueError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error).removeprefix(f"{path}: ")
        raise CorruptError(f"{path} is damaged: {said[:200]}; train again") from error
    return results


def _check_results(results: dict[str, Any]) -> None:
    """What readers of the results rely on; KeyError, TypeError or ValueError."""

    def held(value: Any, kind: Any, what: str) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"{what} is {value!r:.60}")
        return value

    if results["superposition"] != FORMAT:
        raise ValueError("another format")
    run = held(results["run"], dict, "run")
    sae = held(run["sae"], dict, "sae")
    for value, kind, what in (
        (run["steps"], int, "steps"),
        (sae["recipe"], str, "recipe"),
        (sae["d_in"], int, "d_in"),
    ):
        held(value, kind, what)
    for record in held(results["records"], list, "records"):
        held(held(record, dict, "a record").get("settings", {}), dict, "settings")
        held(record.get("fault"), str | None, "a fault")
        for name, value in held(record["metrics"], dict, "metrics").items():
            held(value, int | float | None, f"the metric {name!r:.40}")
        if Path(held(record["name"], str, "a name")).name != record["name"]:
            raise ValueError(f"the name {record['name']!r:.60} is no folder of the run")


def finite(value: Any) -> Any:
    """JSON without NaN and infinity, which JSON has not: None in their place."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_history(directory: Path) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Training curves of a run's SAEs, name -> (steps, term -> values), as `plot.history` takes them; {} for none.

    The loss is the sum of its terms. Raises CorruptError for a file that cannot be read.
    """
    path = directory / HISTORY
    if not path.is_file():
        return {}
    curves = {}
    try:
        for name, entry in strict_json(path, path.read_bytes()).items():
            steps = np.array(entry["steps"], float)
            if not len(steps):
                continue
            values = {k: np.array(v, float) for k, v in entry.items() if k != "steps"}
            if wrong := [k for k, v in values.items() if steps.ndim != 1 or v.shape != steps.shape]:
                raise ValueError(f"expected a number a step, got others of {wrong[:8]}")
            if missing := MEASURED - values.keys():
                raise ValueError(f"{sorted(missing)} are missing")
            terms = [v for k, v in values.items() if k not in (*MEASURED, "penalty")]
            values["loss"] = np.sum(terms, 0) + 0 * steps
            curves[name] = (steps, values)
    except ConfigError:
        raise
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CorruptError(f"{path} is damaged: {error}; remove it, or train again") from error
    return curves
