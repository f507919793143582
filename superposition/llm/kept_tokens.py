"""Rows of tokens in a file, for a run that was killed to find them again: a dataset may give others by then."""

import io
from pathlib import Path

import numpy as np

from superposition._internal import arrays, atomic
from superposition.errors import ConfigError, CorruptError
from superposition.llm.packing import Tokens


def keep(tokens: Tokens, path: Path) -> None:
    """Write the rows to `path`, an .npz, unless they are there already."""
    if path.exists():
        return
    given = {name: value for name, value in tokens._asdict().items() if value is not None}
    buffer = io.BytesIO()
    np.savez(buffer, **{**given, "sources": np.array(tokens.sources)})
    atomic.write_file(path, buffer.getbuffer())


def kept(path: Path) -> Tokens:
    """The rows that `keep` wrote; CorruptError where they are damaged."""
    try:
        with arrays.open_npz(path) as archive:
            rows, usable, source, sources = (archive.read(name) for name in Tokens._fields[:4])
            valid = archive.read("valid") if "valid" in archive.names else None
        tokens = Tokens(rows, usable, source, tuple(map(str, sources)), valid)
        shapes = [a.shape for a in (tokens.usable, tokens.valid) if a is not None]
        if {*shapes} != {tokens.tokens.shape} or tokens.source.shape != tokens.tokens.shape[:1]:
            raise CorruptError(f"expected arrays of one length, got {shapes} for {tokens.tokens.shape}")
    except (ConfigError, CorruptError, KeyError) as error:
        raise CorruptError(f"{path} is damaged: {error}; choose another --out") from error
    return tokens
