"""JSON that somebody else wrote."""

import json
import math
from pathlib import Path
from typing import Any

from superposition.errors import CorruptError


def strict_json(where: Path | str, data: bytes) -> dict[str, Any]:
    """The JSON object in `data`: UTF-8, numbers finite, keys distinct; or CorruptError, which names `where`."""

    def finite(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise ValueError(f"the number {text[:20]}")
        return value

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(keys := dict(pairs)) < len(pairs):
            raise ValueError(f"a key twice among {sorted(keys)[:8]}")
        return keys

    try:
        text = data.decode()
        value = json.loads(text, parse_constant=finite, parse_float=finite, object_pairs_hook=distinct)
    except (RecursionError, ValueError) as error:
        raise CorruptError(
            f"{where}: expected JSON with finite numbers and distinct keys, got {error}"
        ) from error
    if not isinstance(value, dict):
        raise CorruptError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value
