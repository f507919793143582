"""The L0 controller: moves a penalty until as many latents fire as were asked for."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition._internal.recipe import Recipe

LIMIT = 12.0  # e-folds of the penalty either way: beyond lies overflow, not sparsity


class Control(NamedTuple):
    """The controller's memory: integral of the error, its drift, and log L0 smoothed fast and slowly."""

    log_gain: Array
    drift: Array
    fast: Array
    slow: Array
    weight: Array  # of what the means have seen so far, fast and slow: (2,)


class Pace(NamedTuple):
    """What the controller's arithmetic takes, each rounded once from float64: numbers that a program is given."""

    rate: Array | np.float32
    drift: Array | np.float32  # rate^2 / 4
    fast: Array | np.float32  # 1 / window
    slow: Array | np.float32  # 1 / (4 windows)


@dataclass(frozen=True)
class Controller(Recipe):
    """penalty = base * exp(I + gain e), dI/dt = rate e + v, dv/dt = rate^2 / 4 e; t in steps.

    e = log(L0 / target) + lookahead dlog L0/dt, clipped to [-1, 1]. log L0 is a running mean over `window`
    steps, its slope the difference to one over 4 windows; lookahead is in windows. Everything is in the
    logarithm, so nothing depends on the penalty's unit. The lookahead stops the integral while thresholds are
    still on their way (a JumpReLU's need thousands of steps); v follows a penalty that has to go on changing
    because the SAE goes on learning, without which L0 trails behind.

    >>> Controller().paced(steps=1000)
    Controller(rate=0.04, window=5.0)
    """

    rate: float = 0.004
    gain: float = 1.5
    window: float = 50.0
    lookahead: float = 20.0

    def __post_init__(self) -> None:
        validate.settle(self)
        for name in ("rate", "gain", "lookahead"):
            validate.in_range(name, getattr(self, name), 0.0, 1e6)
        validate.in_range("window", self.window, 1.0, 1e9)

    def paced(self, steps: int) -> "Controller":
        """The same for a run of `steps`: its numbers are for 10,000 or more, a shorter run has less time."""
        pace = min(1.0, max(0.05, steps / 10_000))
        return replace(self, rate=self.rate / pace, window=max(2.0, self.window * pace))

    def start(self) -> Control:
        """Before the first step."""
        zero = jnp.float32(0)
        return Control(zero, zero, zero, zero, jnp.zeros(2))

    def penalty(self, control: Control, base: Array, target: Array | float) -> Array:
        """The penalty of the coming step."""
        return base * jnp.exp(control.log_gain + self.gain * self._error(control, target))

    def pace(self) -> Pace:
        """Its numbers as `update` takes them."""
        numbers = (self.rate, self.rate**2 / 4, 1 / self.window, 1 / (4 * self.window))
        return Pace(*map(np.float32, numbers))

    def update(self, control: Control, l0: Array, target: Array | float, pace: Pace | None = None) -> Control:
        """After a step in which `l0` latents fired on average; pace: that of another length of run, None for its own."""
        pace = self.pace() if pace is None else pace
        rates = jnp.array([pace.fast, pace.slow])
        value = jnp.log(jnp.maximum(l0, 1e-3))
        fast = control.fast + rates[0] * (value - control.fast)
        slow = control.slow + rates[1] * (value - control.slow)
        weight = control.weight + rates * (1 - control.weight)
        moved = control._replace(fast=fast, slow=slow, weight=weight)
        error = self._error(moved, target)
        drift = jnp.clip(control.drift + pace.drift * error, -pace.rate, pace.rate)
        gain = jnp.clip(control.log_gain + pace.rate * error + drift, -LIMIT, LIMIT)
        return moved._replace(log_gain=gain, drift=drift)

    def _error(self, control: Control, target: Array | float) -> Array:
        weight = jnp.maximum(control.weight, 1e-6)
        fast, slow = control.fast / weight[0], control.slow / weight[1]
        ahead = self.lookahead * (fast - slow) / 3  # their mean ages are 3 windows apart
        error = jnp.clip(fast - jnp.log(target) + ahead, -1.0, 1.0)
        return jnp.where(control.weight[0] > 0, error, 0.0)
