"""An SAE on disk in another format, read back and compared number by number."""

import os

import numpy as np

from superposition.errors import ConfigError, CorruptError
from superposition.sae.transforms import fold_input_bias
from superposition.storage import formats


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    to: str = "saelens",
    *,
    format: str | None = None,
    dtype: str = "float32",
    fold_b_dec: bool = False,
    drop_metadata: bool = False,
    allow_pt: bool = False,
) -> list[str]:
    """Write the SAE at `source` to the new directory `destination` in the format `to`; returns what it has no place for.

    format, allow_pt: as `formats.load` takes them for the source. dtype: as `formats.save` takes it; what is written in
    float32 is read back and compared. fold_b_dec: put b_dec into b_enc, so that nothing is subtracted from the input.
    drop_metadata: leave the metadata out, for a format that has no place for them. Raises ConfigError for what the
    format cannot hold and where something is at `destination` already, StoreError for the disk, CorruptError if what
    was read back differs.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     notes = convert("superposition/small-lm-sae", folder + "/theirs", "sparsify")
    ...     formats.load(folder + "/theirs").sae.d_sae
    1024
    """
    sae, params, metadata, sparsity = formats.load(source, format, allow_pt=allow_pt)
    if fold_b_dec:
        sae, params = fold_input_bias(sae, params)
    if metadata and to == "gemma-scope" and not drop_metadata:
        raise ConfigError("gemma-scope has no place for metadata; give --drop-metadata to leave them out")
    rates = sparsity if to == "saelens" else None
    metadata = {} if drop_metadata else metadata
    formats.save(destination, sae, params, metadata, to, dtype=dtype, sparsity=rates)
    back = formats.load(destination, to, allow_pt=True)  # our own
    if dtype == "float32" and type(back.sae) is type(sae):
        for name, array in params.items():
            if not np.array_equal(np.asarray(array), np.asarray(back.params[name])):
                raise CorruptError(f"{destination}: {name} differs from that of {source}")
    notes = []
    if sparsity is not None and rates is None:
        notes.append(f"{to} has no place for firing frequencies; they stay in {source}")
    if type(back.sae) is not type(sae):
        notes.append(f"{type(sae).__name__} is {type(back.sae).__name__} in {to}")
    return notes
