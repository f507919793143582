"""An SAE training run as a recipe, and many of them as one compiled program on one stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.activations import HELD_OUT_STEP, Source, as_stream
from superposition.errors import ConfigError
from superposition.sae import SAE, Params, TopK
from superposition.training import resampling, sae_axes
from superposition.training.clock import LOGS, Clock, clock, idle_settings
from superposition.training.controller import Control, Controller
from superposition.training.optimizer import OPTIMIZERS, Adam, Optimizer, start, step
from superposition.typing import PyTree


@dataclass(frozen=True)
class SAERun(Recipe):
    """Train `sae` on `data`: `steps` steps of batch_size examples.

    data: a stream of activations, or an array (examples, d_in), or two of them for a transcoder (x, y); widths that
    `sae` leaves out are theirs. They may be left out here and given to `fit` or `sweep`; they are no part of the recipe
    that is stored and compared. The optimizer may stand in their place: an Adam or AdamW recipe, or any optax
    transformation, which sees W_enc as (d_sae, d_in). l0_target: let a controller (default: one paced to the steps)
    find the penalty at which that many latents fire. Raises ConfigError, as for an l0_target without a penalty.

    >>> import numpy as np
    >>> from superposition import Adam, SAERun, TopK
    >>> run = SAERun(TopK(d_sae=40, k=1), np.eye(5), Adam(1e-3), steps=100, batch_size=4)
    >>> run.sae.d_in  # of the data
    5
    """

    sae: SAE = field(default_factory=TopK)
    data: Any = field(default=None, repr=False, compare=False)
    optimizer: Optimizer = field(default_factory=Adam)
    steps: int = 10_000
    """Optimizer steps."""
    batch_size: int = 1024
    """Examples a step."""
    penalty_warmup: float = 0.05
    """Fraction of the steps over which a penalty rises."""
    l0_target: float | None = None
    controller: Controller | None = None
    normalize: bool = True
    """Train on activations scaled to norm sqrt(d_in); folded into the weights at the end."""

    def __post_init__(self) -> None:
        if isinstance(self.data, OPTIMIZERS):
            object.__setattr__(self, "optimizer", self.data)
            object.__setattr__(self, "data", None)
        validate.settle(self)
        validate.instance("sae", self.sae, SAE)
        if self.data is not None:
            stream = as_stream(self.data)
            object.__setattr__(self, "data", stream)
            object.__setattr__(self, "sae", sized(self.sae, stream.source))
        validate.instance("optimizer", self.optimizer, OPTIMIZERS)
        validate.instance("controller", self.controller, (Controller, type(None)))
        validate.integer("steps", self.steps, 1, HELD_OUT_STEP)
        validate.integer("batch_size", self.batch_size, 2, 2**30)
        validate.in_range("penalty_warmup", self.penalty_warmup, 0.0, 1.0)
        validate.memory(
            f"training one SAE of d_sae={self.sae.d_sae} with batch_size={self.batch_size}",
            bytes_per_sae(self),
            "a smaller d_sae or batch_size",
        )
        if self.l0_target is not None:
            if not self.sae.penalised:
                name = type(self.sae).__name__
                raise ConfigError(f"l0_target moves a penalty, which {name} has not; set its k instead")
            validate.in_range("l0_target", self.l0_target, 0.0, self.sae.d_sae, open_low=True)
        if not self.sae.trains:
            raise ConfigError(
                f"{type(self.sae).__name__} is a baseline and is not trained; use its init_params"
            )

    def carried_axes(self) -> tuple[str, ...]:
        """The axes that one program can carry (`protocol.Run`)."""
        return ("seed", *sae_axes.sweepable(self))

    def static_axes(self) -> tuple[str, ...]:
        """The axes of which every value takes a program of its own."""
        return sae_axes.static_names(self)

    def check_axes(self, axes: Mapping[str, tuple[Any, ...]], models: int) -> None:
        """Raise ConfigError for more SAEs than a grid may train."""
        del axes
        sae_axes.check(models)

    def at(self, settings: Mapping[str, Any]) -> "SAERun":
        """The run at one grid point: every value in its place but the seed."""
        return sae_axes.at(self, settings)


def sized(sae: SAE, source: Source) -> SAE:
    """The architecture, with the widths that it leaves out taken from the data."""
    if sae.d_in is not None:
        return sae
    d_out = source.d_out if sae.d_out is None and sae.transcodes else sae.d_out
    return replace(sae, d_in=source.d_in, d_out=d_out)


class Cells(NamedTuple):
    """What differs between the SAEs of one program, one row an SAE: the seed, and swept numbers by name."""

    seed: Array  # (cell,) uint32
    swept: dict[str, Array]  # (cell,) each


class State(NamedTuple):
    """What the next step needs, one row an SAE. One whose loss or gradient is not finite is frozen.

    The stream's state is one for all of them, and goes on.
    W_enc and its moments are held transposed, (d_sae, d_in): sparse gradients come a latent at a time, and
    an optimizer that read them across would take three times as long.
    """

    params: Params
    opt_state: PyTree
    sae: PyTree
    control: Control
    alive: Array  # bool
    failed: Array  # (2,) int32: step and number of the term that was not finite
    history: Array  # (LOGS, terms)
    stream: PyTree = None


class Inputs(NamedTuple):
    """Constants of a program: its cells, the arrays of its source, the scales of x and y, and its clock.

    clock: None for that of the program's own run.
    """

    cells: Cells
    source: PyTree
    scales: Array  # (2,)
    clock: Clock | None = None


def bytes_per_sae(run: SAERun) -> float:
    """Estimated peak bytes of one SAE's training."""
    sae = run.sae
    weights = 2 * sae.d_sae * ((sae.d_in or 1) + (sae.target_width or 1))  # widths may still be to come
    return 4 * (5 * weights + 6 * run.batch_size * sae.d_sae)


def is_small(sae: SAE) -> bool:
    """Whether products are too small to fill a core, so that SAEs share them, and blocks the cores."""
    return sae.d_in * sae.d_sae <= 2**14


def transpose_encoder(params: Params) -> Params:
    """Parameters with W_enc transposed: as the state holds them, or as the architectures know them."""
    return {k: jnp.swapaxes(v, -1, -2) if k == "W_enc" else v for k, v in params.items()}


@dataclass(frozen=True)
class Program:
    """The static part: one compilation for every block of cells with the same Program and shapes."""

    run: SAERun
    source: Source

    def start(self, cells: Cells, x: Array, y: Array) -> State:
        """Fresh SAEs, each a function of its own seed and of the sample x, y (already scaled)."""
        return _start(self, cells, x, y)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of what is logged: the loss terms, then l0, fvu, penalty, dead (a fraction)."""
        return (*self._loss_terms, "l0", "fvu", "penalty", "dead")

    @property
    def watched(self) -> tuple[str, ...]:
        """Names of what must stay finite, in the order in which a fault is looked for."""
        return ("activations", *self._loss_terms, "gradient")

    @property
    def _loss_terms(self) -> tuple[str, ...]:
        return _loss_terms(self)

    def step(self, inputs: Inputs, state: State, i: Array) -> State:
        """One optimizer step of every SAE, on one batch for all."""
        batch, stream = self.source.next(inputs.source, state.stream, i, self.run.batch_size)
        state = state._replace(stream=None)  # from here on one row an SAE
        x = batch.x * inputs.scales[0]
        y = x if self.source.d_out is None else batch.y * inputs.scales[1]
        x, y = jax.lax.optimization_barrier((x, y))  # one draw for every use, where the backend heeds it
        one = partial(self._step, inputs=inputs, x=x, y=y, i=i)
        if inputs.cells.seed.shape[0] > 1:
            if is_small(self.run.sae):
                state = jax.vmap(one)(inputs.cells, state)
            else:  # branches stay branches
                state = jax.lax.map(lambda cell: one(*cell), (inputs.cells, state))
        else:
            alone = jax.tree.map(lambda a: a[0], (inputs.cells, state))
            state = jax.tree.map(lambda a: a[None], one(*alone))
        return state._replace(stream=stream)

    def _step(self, cell: Cells, state: State, *, inputs: Inputs, x: Array, y: Array, i: Array) -> State:
        run, swept = self.run, cell.swept
        target = swept.get("l0_target", run.l0_target)
        controller = run.controller or Controller()
        time = clock(run) if inputs.clock is None else inputs.clock
        sae = self._configured(swept)
        penalty = jnp.float32(0)
        if sae.penalised:
            penalty = jnp.asarray(sae.penalty, jnp.float32)  # type: ignore[attr-defined]
            if target is not None:
                penalty = controller.penalty(state.control, penalty, target)
            penalty = penalty * jnp.clip((i + 1) * time.penalty, 0.0, 1.0)
            sae = replace(sae, penalty=penalty)  # type: ignore[call-arg]
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(cell.seed), 1), i)

        def loss(params: Params) -> tuple[Array, PyTree]:
            return sae.loss(transpose_encoder(params), state.sae, x, y, key)

        (_, (sae_state, info)), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        grads = transpose_encoder(sae.project(transpose_encoder(state.params), transpose_encoder(grads)))
        norm = optax.tree.norm(grads)
        watched = jnp.stack([x.sum(), *(info.terms[t] for t in self._loss_terms), norm])
        finite = jnp.isfinite(watched)
        alive = state.alive & finite.all()
        rates: dict[str, Any] = {k: v for k, v in swept.items() if hasattr(run.optimizer, k)}
        params, opt_state = step(
            run.optimizer, rates, time.ramp, state.params, grads, norm, state.opt_state, alive
        )
        control = state.control
        if target is not None:
            control = controller.update(control, info.l0, target, time.pace)
        new, old = (sae_state, control), (state.sae, state.control)
        sae_state, control = jax.tree.map(lambda a, b: jnp.where(alive, a, b), new, old)
        params = transpose_encoder(sae.constrain(transpose_encoder(params), sae_state))
        fault = jnp.stack([i.astype(jnp.int32), jnp.argmin(finite).astype(jnp.int32)])
        failed = jnp.where(state.alive & ~alive, fault, state.failed)
        row = self._log_row(info, y, penalty, sae_state["silent"], sae)
        every = time.every
        logged = state.history.at[i // every].set(row)
        history = jnp.where((i % every == 0) & alive, logged, state.history)
        state = State(params, opt_state, sae_state, control, alive, failed, history)
        if sae.resamples:
            return resampling.maybe(sae, self.source, run.batch_size, inputs, state, i, key)
        return state

    def _configured(self, swept: dict[str, Array]) -> SAE:
        mine = {k: v for k, v in swept.items() if hasattr(self.run.sae, k)}
        return replace(self.run.sae, **{**mine, **idle_settings(self.run)})  # type: ignore[arg-type]

    def _log_row(self, info: Any, y: Array, penalty: Array, silent: Array, sae: SAE) -> Array:
        spread = jnp.sum((y - y.mean(0, keepdims=True)) ** 2)
        fvu = jnp.sum(info.error**2) / jnp.where(spread > 0, spread, 1.0)
        width = sae.d_sae if sae.width is None else sae.width
        inside = jnp.arange(sae.d_sae) < width
        dead = (inside & (silent >= getattr(sae, "dead_after", 1_000_000))).sum() / width
        values = [*(info.terms[t] for t in self._loss_terms), info.l0, fvu, penalty, dead]
        return jnp.stack([jnp.asarray(v, jnp.float32) for v in values])


def _start_impl(program: Program, cells: Cells, x: Array, y: Array) -> State:
    run = program.run

    def one(cell: Cells) -> State:
        sae = program._configured(cell.swept)
        params = transpose_encoder(sae.init_params(jax.random.fold_in(jax.random.key(cell.seed), 0), x, y))
        opt_state = start(run.optimizer, params, run.steps)
        history = jnp.full((LOGS, len(program.terms)), jnp.nan)
        failed = jnp.full(2, -1, jnp.int32)
        alive = jnp.bool_(True)
        return State(params, opt_state, sae.init_state(), Controller().start(), alive, failed, history)

    return jax.vmap(one)(cells)


_start = jax.jit(_start_impl, static_argnums=0)


def _loss_terms(program: Program) -> tuple[str, ...]:
    sae, width = program._configured({}), program.source.d_in
    x = jax.ShapeDtypeStruct((2, width), np.float32)
    y = jax.ShapeDtypeStruct((2, sae.target_width), np.float32)
    names: list[str] = []

    def look(x: Array, y: Array) -> Array:
        key = jax.random.key(0)
        total, (_, info) = sae.loss(sae.init_params(key, x, y), sae.init_state(), x, y, key)
        names.extend(info.terms)
        return total

    jax.eval_shape(look, x, y)
    return tuple(names)
