"""Optimizers of toy models and SAEs: two recipes, whose numbers can be swept inside one program, or any of optax's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError
from superposition.typing import PyTree

SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class AdamW(Recipe):
    """AdamW as in the released notebook: learning rate 1e-3, weight decay 0.01, betas 0.9 and 0.999.

    schedule: "constant" (the notebook's), or "linear" or "cosine" decay to 0 at the last step.
    Raises ConfigError for a negative rate or decay, betas outside [0, 1), eps <= 0.

    >>> from superposition import AdamW, ReLUOutput, ToyRun
    >>> ToyRun(ReLUOutput(5, 2), optimizer=AdamW(learning_rate=3e-3, schedule="cosine")).optimizer.learning_rate
    0.003
    """

    learning_rate: float = 1e-3
    """AdamW's learning rate."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    b1: float = 0.9
    """AdamW's first decay rate."""
    b2: float = 0.999
    """AdamW's second decay rate."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    schedule: str = "constant"
    """Learning-rate schedule: constant, linear or cosine (to 0)."""

    def __post_init__(self) -> None:
        validate.settle(self)
        validate.in_range("learning_rate", self.learning_rate, 0.0, 1e3)
        validate.in_range("weight_decay", self.weight_decay, 0.0, 1e3)
        validate.in_range("b1", self.b1, 0.0, 1 - 1e-9)
        validate.in_range("b2", self.b2, 0.0, 1 - 1e-9)
        validate.in_range("eps", self.eps, 0.0, 1.0, open_low=True)
        validate.choice("schedule", self.schedule, SCHEDULES)

    def build(self, steps: int | Array | np.int32) -> optax.GradientTransformation:
        """The optax transformation for a run of `steps`, which and every float may be a traced array."""
        return optax.adamw(self._rate(steps), self.b1, self.b2, self.eps, weight_decay=self.weight_decay)

    def _rate(self, steps: int | Array | np.int32) -> optax.ScalarOrSchedule:
        if self.schedule == "constant":
            return self.learning_rate

        def rate(count: Array) -> Array:
            left = 1 - count * (1.0 / steps)
            if self.schedule == "cosine":
                left = 0.5 - 0.5 * jnp.cos(jnp.pi * left)
            return self.learning_rate * left

        return rate


class Ramp(NamedTuple):
    """What the rates of a run depend on beside its recipe: its length, as numbers that a program is given.

    rise and fall are 1 over the steps of warm-up and of decay, rounded once from float64, as XLA would make them of
    constants; so a run of another length compiles nothing and every run keeps its bits.
    """

    steps: Array | np.int32
    rise: Array | np.float32
    fall: Array | np.float32


def reciprocal(fraction: float, steps: int) -> np.float32:
    """1 / max(fraction steps, 1), as XLA has it of constants."""
    return np.float32(1) / np.float32(max(fraction * steps, 1.0))


@dataclass(frozen=True)
class Adam(Recipe):
    """Adam with warm-up, decay and clipping, as SAEs are trained.

    The rate rises linearly over the first `warmup` of the steps and falls linearly to 0 over the last
    `decay` of them (fractions); gradients are scaled down to a global norm of `clip`. eps as Gao et al. 2024.

    >>> import jax.numpy as jnp
    >>> from superposition import Adam
    >>> adam = Adam(learning_rate=1e-3, warmup=0.1)
    >>> [round(float(adam.rate(jnp.int32(step), steps=100)), 6) for step in (0, 9, 50, 99)]
    [0.0001, 0.001, 0.001, 5e-05]
    """

    learning_rate: float = 3e-4
    """Adam's learning rate."""
    b1: float = 0.9
    """Adam's first decay rate."""
    b2: float = 0.999
    """Adam's second decay rate."""
    eps: float = 1e-8
    """Adam's epsilon."""
    warmup: float = 0.0
    """Fraction of the steps over which the rate rises."""
    decay: float = 0.2
    """Fraction of the steps over which the rate falls to 0."""
    clip: float = 1.0
    """Global norm that gradients are cut to."""

    def __post_init__(self) -> None:
        validate.settle(self)
        validate.in_range("learning_rate", self.learning_rate, 0.0, 1e3)
        validate.in_range("b1", self.b1, 0.0, 1 - 1e-9)
        validate.in_range("b2", self.b2, 0.0, 1 - 1e-9)
        validate.in_range("eps", self.eps, 0.0, 1.0, open_low=True)
        validate.in_range("warmup", self.warmup, 0.0, 1.0)
        validate.in_range("decay", self.decay, 0.0, 1.0)
        validate.in_range("clip", self.clip, 0.0, 1e30, open_low=True)

    def build(self, steps: int | Array | np.int32) -> optax.GradientTransformation:
        """The optax transformation for a run of `steps`, which and every float may be a traced array."""
        rise, fall = (1.0 / jnp.maximum(fraction * steps, 1.0) for fraction in (self.warmup, self.decay))
        ramp = Ramp(steps, rise, fall)  # type: ignore[arg-type]
        adam = optax.adam(lambda count: self.rate(count, ramp), self.b1, self.b2, self.eps)
        return optax.chain(optax.clip_by_global_norm(self.clip), adam)

    def start(self, params: PyTree) -> optax.ScaleByAdamState:
        """Moments at 0."""
        return optax.scale_by_adam().init(params)

    def step(
        self,
        steps: "int | Ramp",
        params: PyTree,
        grads: PyTree,
        norm: Array,
        state: optax.ScaleByAdamState,
        go: Array,
    ) -> tuple[PyTree, optax.ScaleByAdamState]:
        """Parameters and moments after one step of a run of `steps`; unchanged where not `go`.

        norm is the global norm of grads. The update is optax.adam's (a test holds them together), written
        out so that freezing costs no pass of its own over the arrays.
        """
        scale = jnp.minimum(1.0, self.clip / norm)
        count = state.count + go.astype(jnp.int32)
        t = jnp.maximum(count, 1)
        rate = self.rate(state.count, steps) / (1 - self.b1**t)
        correction = 1 - self.b2**t

        def first(m: Array, g: Array) -> Array:
            return self.b1 * m + (1 - self.b1) * (g * scale)

        def second(v: Array, g: Array) -> Array:
            return self.b2 * v + (1 - self.b2) * (g * scale) ** 2

        def move(p: Array, m: Array, v: Array, g: Array) -> tuple[Array, Array, Array]:
            moved = p - rate * first(m, g) / (jnp.sqrt(second(v, g) / correction) + self.eps)
            moved = jnp.where(go, moved, p)
            # Always 0, but it makes the moments wait for what reads the old ones, so XLA need not copy those.
            zero = jnp.minimum(jnp.abs(moved.reshape(-1)[0]), 0.0)
            return moved, jnp.where(go, first(m, g) + zero, m), jnp.where(go, second(v, g) + zero, v)

        moved = {k: move(params[k], state.mu[k], state.nu[k], grads[k]) for k in params}
        params, mu, nu = ({k: part[i] for k, part in moved.items()} for i in range(3))
        return params, optax.ScaleByAdamState(count, mu, nu)

    def ramp(self, steps: int) -> Ramp:
        """What `rate` takes of a run of `steps`; of fractions that are swept it is made from those."""
        rise, fall = (
            reciprocal(fraction, steps) if isinstance(fraction, float) else np.float32(0)
            for fraction in (self.warmup, self.decay)
        )
        return Ramp(np.int32(steps), rise, fall)

    def rate(self, count: Array, steps: int | Ramp) -> Array:
        """The learning rate of step `count`, from 0, in a run of `steps`."""
        length, up, down = steps if isinstance(steps, Ramp) else self.ramp(steps)
        rise = self._share(count + 1, self.warmup, length, up)
        fall = self._share(length - count, self.decay, length, down)
        return self.learning_rate * jnp.clip(jnp.minimum(rise, fall), 0.0, 1.0)

    def _share(
        self, count: Array, fraction: float | Array, length: Array | np.int32, one_over: Array | np.float32
    ) -> Array:
        if isinstance(fraction, float):
            return count * one_over
        return count / jnp.maximum(fraction * length, 1.0)


Optimizer: TypeAlias = Adam | AdamW | optax.GradientTransformation
RECIPES = (Adam, AdamW)
OPTIMIZERS = (*RECIPES, optax.GradientTransformation)


def swept_fields(optimizer: Optimizer) -> tuple[str, ...]:
    """The float fields of a recipe, which a sweep may give an axis; of an optax transformation none."""
    if not isinstance(optimizer, RECIPES):
        return ()
    return tuple(f.name for f in fields(optimizer) if isinstance(getattr(optimizer, f.name), float))


def transformation(
    optimizer: Optimizer, swept: Mapping[str, Any], steps: int | Array | np.int32
) -> optax.GradientTransformation:
    """As optax has it, for a run of `steps`; swept: values of `swept_fields`, which may be traced."""
    if not isinstance(optimizer, RECIPES):
        return optimizer
    return replace(optimizer, **swept).build(steps)  # type: ignore[arg-type]


def ramp(optimizer: Optimizer, steps: int) -> Ramp:
    """What the rate depends on beside the recipe, in a run of `steps`."""
    return (
        optimizer.ramp(steps)
        if isinstance(optimizer, Adam)
        else Ramp(np.int32(steps), np.float32(0), np.float32(0))
    )


def start(optimizer: Optimizer, params: PyTree, steps: int) -> PyTree:
    """The state of an optimizer before the first step, of one model."""
    return (
        optimizer.start(params)
        if isinstance(optimizer, Adam)
        else transformation(optimizer, {}, steps).init(params)
    )


def step(
    optimizer: Optimizer,
    swept: Mapping[str, Any],
    steps: Ramp,
    params: PyTree,
    grads: PyTree,
    norm: Array,
    state: PyTree,
    go: Array,
) -> tuple[PyTree, PyTree]:
    """Parameters and state after one step of one model; unchanged where not `go`. norm: the global norm of grads."""
    if isinstance(optimizer, Adam):
        return replace(optimizer, **swept).step(steps, params, grads, norm, state, go)
    updates, new = transformation(optimizer, swept, steps.steps).update(grads, state, params)
    moved = optax.apply_updates(params, updates), new
    return jax.tree.map(lambda a, b: jnp.where(go, a, b), moved, (params, state))


def lost(name: str, what: str, text: str) -> Callable[..., Any]:
    """In place of a function that a stored recipe only names: calling it says so."""

    def refuse(*_: Any) -> Any:
        raise ConfigError(
            f"the {name} of this run was {what}, which no file holds: {text:.200}; give it again"
        )

    return refuse


def without_optimizer(
    stored: Mapping[str, Any], usual: type
) -> tuple[dict[str, Any], optax.GradientTransformation | None]:
    """A stored run with the `usual` recipe in the place of an optax transformation, and one that refuses to be that one."""
    text = stored["optimizer"]
    if not isinstance(text, str):
        return dict(stored), None
    refuse = lost("optimizer", "an optax transformation", text)
    return {**stored, "optimizer": {"recipe": usual.__name__}}, optax.GradientTransformation(refuse, refuse)
