"""The BatchTopK SAE (Bussmann et al. 2024, "BatchTopK Sparse Autoencoders")."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from superposition._internal import validate
from superposition.sae import _select, _sparse, _topk
from superposition.sae._auxk import auxk
from superposition.sae._parts import Info, Params, State, normalized_error, tally
from superposition.typing import InputBatch, PRNGKey, Scalar, TargetBatch


@dataclass(frozen=True)
class BatchTopK(_topk.BatchTopKFamily):
    """In training the batch * k largest positive pre-activations of the whole batch are kept; loss as TopK.

    f = pre 1[pre > threshold] at inference: threshold is a running mean over batches (rate threshold_rate,
    begun at the first) of the least value kept. k may be fractional. Raises ConfigError for k > d_sae.

    >>> import jax
    >>> sae = BatchTopK(d_in=3, d_sae=6, k=1.5)
    >>> used, params = sae.finish(sae.init_params(jax.random.key(0)))
    >>> type(used).__name__, params["threshold"].shape
    ('JumpReLU', (6,))
    """

    saelens_training: ClassVar[str | None] = "batchtopk"

    def check(self) -> None:
        """Raise ConfigError for settings out of range."""
        _topk.check_batch(self)

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Normalised squared error and AuxK."""
        del key
        pre = jax.lax.stop_gradient(self.pre_acts(params, x))
        static = validate.is_concrete(self.k) and self.width is None
        if not static or _sparse.prefers_dense(x.shape[0], self.d_sae, int(self.k) + 1):
            least = _select.least_kept(pre, self.k)
            active = pre >= least
            latents = _topk.masked_latents(self, params, x, pre, active)
            y_hat = self.linear_decode(params, latents, x)
            count = tally(active)
            fired, l0 = count > 0, count.sum() / x.shape[0]
        else:
            rows, columns, selected, least = _select.largest(pre, float(self.k))
            slots = _select.slots(pre, rows, columns, selected)
            y_hat, fired = _topk.reconstruct_slots(self, params, x, slots)
            l0 = selected.sum() / x.shape[0]
        error = y - y_hat
        terms = {"mse_normalized": normalized_error(error, y)} | auxk(self, params, state, x, error)
        state = self.count(_topk.follow(self, state, least), fired, x.shape[0])
        return sum(terms.values(), jnp.float32(0)), (state, Info(terms, l0, fired, error))
