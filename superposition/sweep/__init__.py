"""Named axes -> one compiled program per static shape -> labelled results in one Zarr store."""

from superposition.sweep.run import sweep
from superposition.sweep.store import DIVERGED, DONE, PENDING, open_sweep

__all__ = ["DIVERGED", "DONE", "PENDING", "open_sweep", "sweep"]
