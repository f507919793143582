"""What a directory of checkpoints was begun with, so that nothing else is continued there."""

import json
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from superposition._internal import atomic
from superposition._internal.strict_json import strict_json
from superposition.activations import Stream
from superposition.errors import ConfigError
from superposition.storage.provenance import differences

RUN = "run.json"


def checksum(stream: Stream) -> int:
    """CRC-32 of the stream's arrays: other data would be resumed as silently as it would be wrong."""
    total = 0
    for leaf in jax.tree.leaves(stream.inputs):
        flat = np.ascontiguousarray(leaf).reshape(-1)
        total = zlib.crc32(flat.view(np.uint8).data, total)
    return total


def remember(directory: Path, config: dict[str, Any]) -> None:
    """Write what decides the result, or compare with what is there; ConfigError where they differ, CorruptError."""
    path = directory / RUN
    wanted = json.loads(json.dumps(config, default=float))
    if path.exists():
        lines = differences(strict_json(path, path.read_bytes()), wanted)
        if lines:
            raise ConfigError(
                f"{directory} was begun with other settings: {'; '.join(lines)}; give those, or another directory"
            )
        return
    temporary = path.with_name(f".{RUN}.new")  # one name: the next run writes over what a kill left
    atomic.write_file(path, json.dumps(wanted, indent=1).encode(), temporary=temporary)
