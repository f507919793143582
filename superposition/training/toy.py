"""A training run of a toy model as a recipe, and many of them as one compiled program."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError
from superposition.features import (
    ElementwiseLaw,
    FeatureLaw,
    SparseUniform,
    Thresholds,
    key_words,
    thresholds,
    uniform,
)
from superposition.toy import ReLUOutput, Tied, ToyModel
from superposition.training import toy_axes
from superposition.training.optimizer import OPTIMIZERS, AdamW, Optimizer, transformation
from superposition.training.toy_evaluation import (
    evaluate_grid,
    exact_loss,
)
from superposition.training.toy_state import Cells, Inputs, State
from superposition.typing import PyTree

OBJECTIVES = ("sampled", "exact")
SAMPLINGS = ("conditional", "plain")


@dataclass(frozen=True)
class ToyRun(Recipe):
    """Train `model` on `features`: minimise E sum_i I_i (x_i - x'_i)^2 for `steps` steps.

    importance: a number or one per feature; importance_base r multiplies it by r^i. objective="sampled"
    draws batch_size examples a step; "exact" descends the exact expected loss (tied models and laws that declare
    `exact`). sampling="conditional" draws examples in which at least one unit is active and adds the all-zero term
    exactly, an unbiased gradient with up to 1/q less variance (q = P(any is active)); "plain" draws as the released
    notebook does, and so does either for a law that does not declare `conditional`. optimizer: an AdamW or Adam recipe, or
    any optax transformation. loss: a term to add to what is minimised, loss(params, model, batch) -> scalar, a mean over
    the examples of batch (batch, n_features), which is None where objective="exact"; a frozen dataclass with `__call__`
    has its fields as axes. The loss that results report is the plain one. Raises ConfigError.

    >>> import jax.numpy as jnp
    >>> from superposition import ReLUOutput, ToyRun
    >>> def hidden_l1(params, model, batch):
    ...     return 0.1 * jnp.abs(batch @ params.W.T).sum(1).mean()
    >>> run = ToyRun(ReLUOutput(5, 2), loss=hidden_l1)
    """

    model: ToyModel = ReLUOutput()
    features: FeatureLaw = SparseUniform(density=1.0)
    importance: float | tuple[float, ...] = 1.0
    """Importance of every feature, n_features numbers >= 0."""
    importance_base: float = 1.0
    """Base r: feature i has its importance multiplied by r^i."""
    optimizer: Optimizer = field(default_factory=AdamW)
    steps: int = 10_000
    """Optimizer steps."""
    batch_size: int = 1024
    """Examples a step."""
    objective: str = "sampled"
    """sampled: random batches; exact: the exact expected loss, without sampling."""
    sampling: str = "conditional"
    """conditional: only examples in which something fires, the rest exactly; plain: as the notebook."""
    loss: Callable[[Any, Any, Any], Array] | None = field(default=None, metadata={"optional": True})

    def __post_init__(self) -> None:
        validate.settle(self)
        validate.instance("model", self.model, ToyModel)
        validate.instance("features", self.features, FeatureLaw)
        validate.instance("optimizer", self.optimizer, OPTIMIZERS)
        if self.loss is not None and not callable(self.loss):
            raise ConfigError(f"loss must be a function of (params, model, batch); got {self.loss!r}")
        validate.in_range("importance", self.importance, 0.0, 1e30, many=True)
        validate.integer("steps", self.steps, 1, 2**31)
        validate.integer("batch_size", self.batch_size, 1)
        validate.choice("objective", self.objective, OBJECTIVES)
        validate.choice("sampling", self.sampling, SAMPLINGS)
        validate.in_range("importance_base", self.importance_base, 0.0, 1e6)
        validate.length("importance", self.importance, self.model.n_features)
        if self.features.density is not None:
            self.features.check(self.model.n_features)
        drawn = self.batch_size * self.features.n_uniforms(self.model.n_features)
        validate.memory(
            f"a batch of batch_size={self.batch_size} with n_features={self.model.n_features}",
            4 * drawn,
            "a smaller one",
        )
        if drawn >= 2**32:
            raise ConfigError(
                f"batch_size * n_features must be below 2^32, the positions of one step's stream; got {drawn}"
            )
        if self.objective == "exact" and not self.features.exact:
            raise ConfigError(
                "objective='exact' needs a law whose expected loss is known, as that of independent uniform features "
                f"or sets of them; got {type(self.features).__name__}; use objective='sampled'"
            )
        if self.objective == "exact" and not isinstance(self.model, Tied):
            raise ConfigError(
                "objective='exact' needs a model without a hidden activation (linear, relu-output); got "
                f"{type(self.model).__name__}; use objective='sampled'"
            )
        known = validate.is_concrete(self.importance) and validate.is_concrete(self.importance_base)
        if known and not np.all(self.importance_vector() <= np.finfo(np.float32).max):
            raise ConfigError(
                f"importance * importance_base^i overflows float32 at n_features={self.model.n_features}; "
                f"got importance_base={self.importance_base}; use a base nearer 1"
            )

    def importance_vector(self) -> np.ndarray:
        """I (n_features,) = importance * importance_base^i, float64."""
        with np.errstate(over="ignore", invalid="ignore"):
            powers = np.power(np.float64(self.importance_base), np.arange(self.model.n_features))
            return np.broadcast_to(np.asarray(self.importance, np.float64), powers.shape) * powers

    def carried_axes(self) -> tuple[str, ...]:
        """The axes that one program can carry (`protocol.Run`)."""
        return toy_axes.carried_names(self)

    def static_axes(self) -> tuple[str, ...]:
        """The axes of which every value takes a program of its own."""
        return toy_axes.static_names(self)

    def check_axes(self, axes: Mapping[str, tuple[Any, ...]], models: int) -> None:
        """Raise ConfigError for density and sparsity together, and for results that fill the memory."""
        toy_axes.check(self, axes, models)

    def at(self, settings: Mapping[str, Any]) -> "ToyRun":
        """The run at one grid point: every value in its place but the seed."""
        return toy_axes.at(self, settings)

    def density_vector(self) -> np.ndarray:
        """Density of every unit, (n_units,), float64."""
        return self.features.densities(self.model.n_features)


@dataclass(frozen=True)
class Program:
    """The static part of a sweep: one compilation for every block with the same Program and shapes."""

    run: ToyRun
    shared_draw: bool

    @property
    def narrow(self) -> bool:
        """Whether models, not examples, fill the vector lanes."""
        return self.run.model.narrow and isinstance(self.run.features, ElementwiseLaw)

    def start(self, cells: Cells, steps: int | None = None) -> tuple[Inputs, State]:
        """Fresh parameters and random streams, each a function of the cell's own seed alone.

        steps: of the run where they are not those of the program's; they are an input, and compile nothing.
        """
        return _start(self, cells, np.int32(self.run.steps if steps is None else steps))

    def step(self, inputs: Inputs, state: State, i: Array) -> State:
        """One optimizer step of every cell."""
        cells = inputs.cells
        if self.run.objective == "exact":
            grads = self._exact_gradient(cells, state.params)
        else:
            grads = self._sampled_gradient(inputs, state.params, i)

        def update(swept: dict[str, Array], g: PyTree, opt: PyTree, p: PyTree) -> tuple[PyTree, PyTree]:
            updates, opt = transformation(self.run.optimizer, swept, inputs.steps).update(g, opt, p)
            return optax.apply_updates(p, updates), opt

        params, opt_state = jax.vmap(update)(cells.optimizer, grads, state.opt_state, state.params)
        alive = state.alive
        for leaf in jax.tree.leaves(params):
            alive = alive & jnp.isfinite(leaf).all(tuple(range(1, leaf.ndim)))

        def keep(new: Array, old: Array) -> Array:
            return jnp.where(alive.reshape(-1, *(1 for _ in range(new.ndim - 1))), new, old)

        params, opt_state = jax.tree.map(keep, (params, opt_state), (state.params, state.opt_state))
        return State(params, opt_state, alive, state.steps + alive)

    def _exact_gradient(self, cells: Cells, params: PyTree) -> PyTree:
        def loss(p: PyTree, importance: Array, density: Array) -> Array:
            exact = exact_loss(self.run, p, importance, density)
            return exact if self.run.loss is None else exact + self.run.loss(p, self.run.model, None)

        return jax.vmap(jax.grad(loss))(params, cells.importance, cells.density)

    def _sampled_gradient(self, inputs: Inputs, params: PyTree, i: Array) -> PyTree:
        run, cells = self.run, inputs.cells
        law = run.features
        conditional = run.sampling == "conditional" and law.conditional
        if not isinstance(law, ElementwiseLaw):
            return self._drawn_gradient(inputs, params, i)
        n, batch = run.model.n_features, run.batch_size
        u = uniform(inputs.words, i, (law.n_uniforms(n), batch), cells_last=self.narrow)
        if self.shared_draw:
            u = jax.lax.optimization_barrier(u)  # else XLA draws it again for every model
        if self.narrow:
            u = u[..., None] if self.shared_draw else u
            x = law.rows(u, inputs.at, n, conditional=conditional)
            grads = run.model.narrow_gradient(params, cells.importance, x)
            if run.loss is not None:
                grads = self._plus_term(grads, params, jnp.stack(x, -1).transpose(1, 0, 2))
        else:

            def one(p: PyTree, importance: Array, at: Thresholds, u_cell: Array) -> PyTree:
                x = law.transform(u_cell, at, n, conditional=conditional)
                return self._plus_term(run.model.gradient(p, importance, x), p, x.T)

            axes = (0, 0, 0, None if self.shared_draw else 0)
            grads = jax.vmap(one, in_axes=axes)(params, cells.importance, inputs.at, u)
        if not conditional:
            return grads
        silent = jax.vmap(run.model.gradient_at_zero)(params, cells.importance)
        if run.loss is not None:
            silent = self._plus_term(silent, params, jnp.zeros((len(cells.seed), 1, n)))
        any_fires = inputs.at.any.reshape(-1)

        def both(g: Array, s: Array) -> Array:
            q = any_fires.reshape(-1, *(1 for _ in range(g.ndim - 1)))
            return q * g + (1 - q) * s

        return jax.tree.map(both, grads, silent)

    def _plus_term(self, grads: PyTree, params: PyTree, x: Array) -> PyTree:
        """With the gradient of the run's own term on x (batch, n), or (cell, batch, n) of parameters (cell, ...)."""
        if self.run.loss is None:
            return grads
        slope = jax.grad(lambda p, batch: self.run.loss(p, self.run.model, batch))  # type: ignore[misc]
        more = (slope if x.ndim == 2 else jax.vmap(slope))(params, x)
        return jax.tree.map(jnp.add, grads, more)

    def _drawn_gradient(self, inputs: Inputs, params: PyTree, i: Array) -> PyTree:
        """The mean gradient over a batch of a law that is no elementwise function of uniforms."""
        run = self.run

        def one(p: PyTree, importance: Array, constants: PyTree, words: Array) -> PyTree:
            x = run.features.draw(constants, words, i, run.model.n_features, run.batch_size)
            return self._plus_term(run.model.gradient(p, importance, x), p, x.T)

        axes = (0, 0, 0, None if self.shared_draw else 0)
        return jax.vmap(one, in_axes=axes)(params, inputs.cells.importance, inputs.at, inputs.words)

    def evaluate(self, cells: Cells, params: PyTree) -> np.ndarray:
        """Loss of every cell, (cell,): exact where `is_exact`.

        Of models with a hidden activation and independent uniform features it is exact up to one active feature and
        sampled from two on; of all others it is the mean over 65,536 examples. In float64: of an antipodal pair's
        loss, O(p^2), float32 loses digits to terms of O(p).
        """
        with jax.enable_x64(True):
            wide = jax.tree.map(
                lambda a: jnp.asarray(np.asarray(a), jnp.float64), (cells.importance, cells.density, params)
            )
            return np.asarray(evaluate_grid(self.run, *wide))


def _start_impl(program: Program, cells: Cells, steps: Array) -> tuple[Inputs, State]:
    keys = jax.vmap(jax.random.key)(cells.seed)
    fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    params = jax.vmap(program.run.model.init_params)(fold(keys, 0))
    words = jax.vmap(key_words)(fold(keys, 1))
    opt_state = jax.vmap(lambda swept, p: transformation(program.run.optimizer, swept, steps).init(p))(
        cells.optimizer, params
    )
    count = cells.seed.shape[0]
    state = State(params, opt_state, jnp.ones(count, bool), jnp.zeros(count, jnp.int32))
    each = jax.vmap(program.run.features.constants)
    at = thresholds(cells.density.T[:, None, :]) if program.narrow else each(cells.density)
    return Inputs(cells, words[0] if program.shared_draw else words, at, steps), state


_start = jax.jit(_start_impl, static_argnums=0)


def static_part(run: ToyRun) -> ToyRun:
    """The run with all that programs are given (what a cell carries, and the steps) fixed: it keys one compilation."""
    law = run.features.without_density()
    return replace(run, features=law, importance=1.0, importance_base=1.0, steps=1)
