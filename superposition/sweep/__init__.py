"""Named axes -> one compiled program per static shape -> labelled results in one Zarr store."""

from superposition.sweep.reading import DIVERGED, DONE, PENDING, open_sweep
from superposition.sweep.run import sweep

__all__ = ["DIVERGED", "DONE", "PENDING", "open_sweep", "sweep"]
