r"""Attributes a number of the model's output to latents: gradient x activation, integrated gradients, true effects.

The hook point is x = decode(f) + e with the error e (and a run-time norm's scale) held at the unedited run's, so the
metric is a function m(f) of the latents at every position alone. Against a baseline f0:

$$\text{gradient x activation}_i = (f_i - f^0_i)\, \partial_i m(f), \qquad
  \text{integrated}_i = (f_i - f^0_i) \int_0^1 \partial_i m(f^0 + t (f - f^0))\, dt.$$

The second adds up to m(f) - m(f0) (completeness, Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks"),
the first is its first-order shortcut; both are the true effect of ablating a latent where m is linear.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from superposition._internal import notebook, validate
from superposition.errors import ConfigError
from superposition.interventions.at import Replace
from superposition.interventions.steering import indices
from superposition.llm.forward import capture
from superposition.llm.model import LanguageModel
from superposition.llm.prompts import is_text, target_ids
from superposition.llm.spec import Spec
from superposition.sae import SAE, Params
from superposition.typing import Scalar

if TYPE_CHECKING:
    from superposition.interventions.attach import Attached

Metric = Callable[[Array], Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Logit:
    """Metric: a target's logit at the last position, less `other`'s if given, summed over rows.

    Targets are ids () or (batch,), or text of one token each, such as " there", for `attribute` to look up.

    >>> logits = jnp.array([[[0.0, 1.0, 3.0]]])  # (batch, pos, d_vocab)
    >>> float(Logit(2)(logits)), float(Logit(2, other=1)(logits))
    (3.0, 2.0)
    """

    target: Any
    other: Any = None

    def of(self, lm: LanguageModel) -> "Logit":
        """The same with ids in place of text; ConfigError for a text that is not one token."""
        return Logit(target_ids(lm, self.target), None if self.other is None else target_ids(lm, self.other))

    def __call__(self, logits: Float[Array, "batch pos d_vocab"]) -> Scalar:
        """Of logits (batch, pos, d_vocab)."""
        if text := [a for a in (self.target, self.other) if is_text(a)]:
            raise ConfigError(f"the target {text[0]!r} is text; Logit(...).of(lm) looks its token up")
        last = logits[:, -1].astype(jnp.float32)
        rows = jnp.arange(len(last))
        logit = last[rows, self.target].sum()
        return logit if self.other is None else logit - last[rows, self.other].sum()


class Attribution(NamedTuple):
    """Latents and what is attributed to them, (batch, pos, d_sae); the metric, and its value at the baseline.

    >>> one = jnp.array([[[2.0, 0.0, -3.0]]])  # (batch, pos, d_sae)
    >>> Attribution(one, one, one, jnp.float32(1.5), jnp.float32(2.5))
    Attribution(1 x 1 tokens, 3 latents, metric 1.5, at the baseline 2.5; most rests on latents 2, 0)
    """

    latents: Float[Array, "batch pos d_sae"]
    gradient: Float[Array, "batch pos d_sae"]
    integrated: Float[Array, "batch pos d_sae"]
    metric: Scalar
    at_baseline: Scalar

    def heaviest(self, top: int = 10) -> Integer[np.ndarray, "latents"]:
        """The latents of most weight, by |sum over rows and positions of `integrated`|; those of weight 0 left out."""
        weight = np.asarray(self.integrated, np.float64).sum((0, 1))
        order = np.argsort(-np.abs(weight), kind="stable")[:top]
        return order[weight[order] != 0]

    def __repr__(self) -> str:
        rows, pos, latents = self.latents.shape
        some = ", ".join(map(str, self.heaviest(4).tolist()))
        return (
            f"Attribution({rows} x {pos} tokens, {latents:,} latents, metric {float(self.metric):.4g}, at the baseline "
            f"{float(self.at_baseline):.4g}; most rests on latents {some or 'none'})"
        )

    def _repr_html_(self) -> str:
        columns = [np.asarray(a, np.float64).sum((0, 1)) for a in (self.gradient, self.integrated)]
        rows = [[int(j), *(column[j] for column in columns)] for j in self.heaviest()]
        return notebook.table(repr(self), rows, ["latent", "gradient x activation", "integrated gradients"])


def attribute(
    attached: "Attached",
    tokens: Any,
    metric: Metric,
    *,
    steps: int = 32,
    baseline: Any = 0.0,
    where: Any = None,
    at: str | None = None,
    mask: Any = None,
) -> Attribution:
    """Attribute metric(logits (batch, pos, d_vocab)) -> () to the latents at every position.

    Args:
        attached: The SAE on its model.
        tokens: A prompt, several, or ids (batch, pos).
        metric: A pytree such as `Logit`, whose numbers compile nothing, or a plain function.
        steps: Gradients along the path, at Gauss-Legendre nodes.
        baseline: Broadcasts to the latents, such as their means (d_sae,).
        where: Positions whose latents count (batch, pos); the others stay. Default: all.
        at: A hook point that the metric reads in place of the logits.
        mask: False for padding, (batch, pos).

    Raises:
        ConfigError: As the forward pass does, and for a target that is not one token.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> found = attribute(attached, "Once upon a time, there was a little girl named", Logit(" Lily"))
        >>> bool(abs(found.integrated.sum() - (found.metric - found.at_baseline)) < 0.01)  # completeness
        True
    """
    validate.integer("steps", steps, 1)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    # Both ends are points of the path too, with no weight in the integral: one program for all gradients.
    points, shares = np.array([1, *(nodes + 1) / 2, 0]), np.array([0, *weights / 2, 0])
    path = jnp.asarray(points, jnp.float32), jnp.asarray(shares, jnp.float32)
    static, given = _prepared(attached, tokens, metric, baseline, where, at, mask)
    return _attribute(*static, *given, path)


def ablation_effects(
    attached: "Attached",
    tokens: Any,
    metric: Metric,
    latents: Any,
    *,
    baseline: Any = 0.0,
    where: Any = None,
    at: str | None = None,
    mask: Any = None,
) -> Float[Array, "k"]:
    """The true effects beside `attribute`: m(f) - m(f with one latent at its baseline wherever it counts), (k,).

    Arguments and errors are those of `attribute`; latents: an index or several (k,), each ablated alone.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> ablation_effects(attached, "Once upon a time", Logit(","), [12, 7]).shape
        (2,)
    """
    chosen = jnp.asarray(indices(attached.sae, latents))
    static, given = _prepared(attached, tokens, metric, baseline, where, at, mask)
    return _ablations(*static, *given, chosen)


def _prepared(
    attached: "Attached", tokens: Any, metric: Metric, baseline: Any, where: Any, at: str | None, mask: Any
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What is static of a problem, and its arrays."""
    lm = attached.lm
    ids, positions, valid = lm.prepared(tokens, mask)
    metric = metric.of(lm) if isinstance(metric, Logit) else metric
    traced = jax.tree_util.Partial(metric) if jax.tree_util.all_leaves([metric]) else metric
    where = jnp.ones(ids.shape, bool) if where is None else jnp.asarray(where, bool)
    static = (lm.spec, attached.hook, None if at is None else lm.resolve(at), attached.sae)
    sae_params, start = dict(attached.params), jnp.asarray(baseline, jnp.float32)
    return static, (lm.params, sae_params, ids, positions, valid, start, where, traced)


def _problem(
    spec: Spec,
    hook: str,
    at: str | None,
    sae: SAE,
    params: Any,
    sae_params: Params,
    ids: Array,
    positions: Array,
    valid: Array | None,
    baseline: Array,
    where: Array,
    metric: Metric,
) -> tuple[Array, Array, Metric]:
    """f, f0 and m."""
    x = capture(spec, params, ids, positions, valid, (hook,))[1][hook]
    flat = x.reshape(*ids.shape, -1).astype(jnp.float32)
    inside, undo = sae.norm_in(flat)
    latents = sae.activate(sae_params, sae.pre_acts(sae_params, inside))
    clean = undo(sae.decode(sae_params, latents, inside))
    names = () if at is None else (at,)

    def value(f: Array) -> Array:
        new = (flat - (clean - undo(sae.decode(sae_params, f, inside)))).reshape(x.shape)
        edits = {hook: Replace(new)}
        logits, seen = capture(spec, params, ids, positions, valid, names, edits=edits)
        return metric(logits if at is None else seen[at])

    return latents, jnp.where(where[..., None], baseline, latents), value


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _attribute(*problem: Any) -> Attribution:
    *given, (points, weights) = problem
    latents, start, value = _problem(*given)
    change = latents - start

    def step(slopes: tuple[Array, Array], point: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        t, weight = point
        metric, slope = jax.value_and_grad(value)(start + t * change)
        at_end, mean = slopes
        return (jnp.where(t == 1, slope, at_end), mean + weight * slope), metric

    zero = jnp.zeros_like(latents)
    (at_end, mean), metrics = jax.lax.scan(step, (zero, zero), (points, weights))
    return Attribution(latents, change * at_end, change * mean, metrics[0], metrics[-1])


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _ablations(*problem: Any) -> Array:
    *given, chosen = problem
    latents, start, value = _problem(*given)
    whole = value(latents)
    return jax.lax.map(lambda j: whole - value(latents.at[..., j].set(start[..., j])), chosen)
