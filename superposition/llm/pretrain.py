"""Training a small language model from nothing, as a program for `train.train`: next-token cross-entropy, AdamW."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from superposition._internal import validate
from superposition.llm.cross_entropy import mean_cross_entropy
from superposition.llm.decoder import Decoder, normalise, shapes
from superposition.llm.spec import Spec
from superposition.typing import PRNGKey, PyTree

LOGS = 512  # rows of the history


class State(NamedTuple):
    """Parameters, moments, and the loss (nats a token) every steps / LOGS steps."""

    params: dict[str, Array]
    opt_state: PyTree
    history: Array


class Inputs(NamedTuple):
    """One stream of tokens (n,), where the rows of every step begin in it (steps, batch_size), and the BOS token."""

    stream: Array
    starts: Array
    bos: Array


@dataclass(frozen=True)
class Pretraining:
    """Train a `spec` for `steps` steps on rows of BOS and n_ctx - 1 tokens.

    The rate rises linearly over `warmup` of the steps and falls as a cosine to a tenth; gradients are clipped to
    a global norm of 1; matrices decay, vectors do not (Radford et al. 2019; Brown et al. 2020, appendix B).
    """

    spec: Spec
    steps: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    warmup: float = 0.03
    b2: float = 0.98

    def __post_init__(self) -> None:
        validate.integer("steps", self.steps, 1, 2**31)
        validate.in_range("learning_rate", self.learning_rate, 0.0, 1.0)

    def start(self, key: PRNGKey) -> State:
        """GPT-2's initial weights: N(0, 0.02^2), those written to the residual over sqrt(2 n_layers)."""
        params = initial(key, self.spec)
        return State(params, self._optimizer().init(params), jnp.full(LOGS, jnp.nan))

    def step(self, inputs: Inputs, state: State, i: Array) -> State:
        """One optimizer step on batch number i."""
        body = inputs.stream[inputs.starts[i][:, None] + jnp.arange(self.spec.n_ctx - 1)].astype(jnp.int32)
        tokens = jnp.concatenate([jnp.broadcast_to(inputs.bos, (len(body), 1)), body], 1)
        loss, grads = jax.value_and_grad(mean_loss, 1)(self.spec, state.params, tokens)
        updates, opt_state = self._optimizer().update(grads, state.opt_state, state.params)
        every = -(-self.steps // LOGS)
        history = jnp.where(i % every == 0, state.history.at[i // every].set(loss), state.history)
        return State(optax.apply_updates(state.params, updates), opt_state, history)

    def _optimizer(self) -> optax.GradientTransformation:
        rise = max(1, round(self.warmup * self.steps))
        rate = optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, rise, max(self.steps, rise + 1), self.learning_rate / 10
        )
        matrices = {name: len(shape) > 1 for name, shape in shapes(self.spec).items()}
        adam = optax.adamw(rate, b2=self.b2, weight_decay=self.weight_decay, mask=matrices)
        return optax.chain(optax.clip_by_global_norm(1.0), adam)


def losses(spec: Spec, params: Mapping[str, Array], tokens: Array) -> Array:
    """-log p of every next token (batch, pos - 1), in nats."""
    positions = jnp.arange(tokens.shape[1] - 1)[None]
    logits, _ = Decoder(spec, params)(tokens[:, :-1], positions)
    return optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), tokens[:, 1:])


def mean_loss(spec: Spec, params: Mapping[str, Array], tokens: Array) -> Array:
    """The mean of `losses`, in nats a token: the same number, and a gradient that takes half the time."""
    if spec.logit_softcap is not None:
        return losses(spec, params, tokens).mean()
    decoder, positions = Decoder(spec, params), jnp.arange(tokens.shape[1] - 1)[None]
    x, _ = decoder(tokens[:, :-1], positions, stop_at_layer=spec.n_layers)
    read = normalise(spec, decoder.ln_final, x).reshape(-1, spec.d_model)
    return mean_cross_entropy(read, decoder.unembedding(), tokens[:, 1:].reshape(-1))


def initial(key: PRNGKey, spec: Spec) -> dict[str, Array]:
    """Fresh parameters, by name."""
    result = {}
    for n, (name, shape) in enumerate(shapes(spec).items()):
        last = name.rsplit(".", 1)[-1]
        if last == "w":
            value = 0.0 if spec.norm == "rms_unit_offset" else 1.0
            result[name] = jnp.full(shape, value, jnp.float32)
        elif last.startswith("b"):
            result[name] = jnp.zeros(shape, jnp.float32)
        else:
            std = 0.02 / np.sqrt(2 * spec.n_layers) if last in ("W_O", "W_out") else 0.02
            result[name] = std * jax.random.normal(jax.random.fold_in(key, n), shape)
    return result
