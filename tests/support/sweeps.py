"""A tiny sweep and its axes."""

from superposition.toy import ReLUOutput
from superposition.training.toy import ToyRun

TINY = ToyRun(ReLUOutput(2, 1), steps=40, batch_size=32)


AXES = {"density": (1.0, 0.3, 0.1), "importance_base": (0.5, 2.0), "seed": range(2)}


def same(a, b):
    return all(
        a[name].values.tobytes() == b[name].values.tobytes() for name in ("W", "b", "loss", "steps", "status")
    )
