"""What of an SAE's training depends on the length of the run: numbers that its program is given."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jax import Array

from superposition.activations import HELD_OUT_STEP
from superposition.training.controller import Controller, Pace
from superposition.training.optimizer import Ramp, ramp, reciprocal

if TYPE_CHECKING:
    from superposition.training.sae import SAERun

LOGS = 256  # rows of the history


def log_every(steps: int) -> int:
    """Steps from one row of the history to the next."""
    return -(-steps // LOGS)


class Clock(NamedTuple):
    """What depends on the number of steps, as numbers of a program's input, so that no length is compiled for itself."""

    ramp: Ramp  # of the learning rate
    penalty: Array | np.float32  # 1 / steps of the penalty's warm-up
    pace: Pace  # of the controller
    every: Array | np.int32  # steps from one row of the history to the next


def clock(run: "SAERun") -> Clock:
    """That of a run of `run.steps`."""
    controller = run.controller or Controller().paced(run.steps)
    return Clock(
        ramp(run.optimizer, run.steps),
        reciprocal(run.penalty_warmup, run.steps),
        controller.pace(),
        np.int32(log_every(run.steps)),
    )


def idle_settings(run: "SAERun") -> dict[str, Any]:
    """Settings that change nothing in a run of this length and save its time: AuxK where no latent can be dead."""
    return run.sae.idle_settings(run.steps * run.batch_size)


def static_part(run: "SAERun") -> "SAERun":
    """The run without data, and with steps that stand for all lengths of which the program is the same."""
    for steps in (1, HELD_OUT_STEP - 1):
        other = replace(run, data=None, steps=steps)
        if idle_settings(other) == idle_settings(run):
            return other
    return replace(run, data=None)
