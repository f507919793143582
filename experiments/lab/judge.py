"""Judges stored results anew, without running: claims and pictures from the arrays in an experiment's JSON.

An experiment whose arrays say all that its claims need has `judge(config, arrays) -> list[Claim]`, by which its `run`
makes them too.
"""

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np

from experiments.lab import files, stored
from experiments.lab.claim import Result
from experiments.lab.find import name_of


def again(module: ModuleType, folder: Path) -> bool:
    """Write the JSON and the picture of an experiment anew; False where only a run can: it has no `judge`, or other settings."""
    from superposition import plot

    path = folder / f"{name_of(module)}.json"
    if not hasattr(module, "judge") or not path.exists():
        return False
    content = json.loads(path.read_text(encoding="utf-8"))
    config = module.Config()
    if content["config"] != files.plain(asdict(config)):
        return False
    arrays = {name: _array(values) for name, values in content["arrays"].items()}
    result = Result(config, module.judge(config, arrays), arrays, content["numbers"])
    content["claims"] = [stored.to_json(claim) for claim in result.claims]
    alt = module.alt(result)
    plot.save(module.draw(result), path.with_suffix(".png"), alt=alt, title=content["title"])
    files.write_json(path, content)
    return True


def _array(values: object) -> np.ndarray:
    """An array as it was before `files.rounded`: null was NaN."""
    array = np.array(values)
    return array.astype(float) if array.dtype == object else array
