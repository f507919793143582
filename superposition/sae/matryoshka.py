"""The Matryoshka SAE (Bussmann et al. 2025, arXiv 2503.17547; sampled prefixes: Nabeshima 2024)."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.sae import _select, _topk
from superposition.sae._auxk import auxk
from superposition.sae._parts import Info, Params, State, normalized_error, tally
from superposition.typing import InputBatch, PRNGKey, Scalar, TargetBatch


@dataclass(frozen=True)
class Matryoshka(_topk.BatchTopKFamily):
    """BatchTopK whose every prefix reconstructs: L = mean_m ||y - f[:m] W_dec[:m] - b_dec||^2 + L_aux.

    prefixes: nested widths, the last of which is d_sae (default: d_sae / 16, / 8, / 4, / 2, / 1). With
    n_sampled > 0 that many prefixes are drawn afresh at each step instead, m ~ Pareto with exponent
    sampled_power on [1, d_sae], together with d_sae itself. Errors are normalised as in TopK.
    Raises ConfigError for prefixes that do not increase to d_sae.

    >>> Matryoshka(d_in=3, d_sae=16, k=2.0).prefixes
    (1, 2, 4, 8, 16)
    """

    saelens_training: ClassVar[str | None] = "matryoshka_batchtopk"
    counts_latents: ClassVar[tuple[str, ...]] = ("k", "slots", "prefixes")

    prefixes: tuple[int, ...] | None = None
    """Nested widths, the last of which is d_sae."""
    n_sampled: int = 0
    """Prefixes drawn at each step, in place of fixed ones."""
    sampled_power: float = 0.5
    """Exponent of the sampled prefixes."""

    def check(self) -> None:
        """Raise ConfigError for settings out of range; prefixes that are not given become the default ones."""
        _topk.check_batch(self)
        validate.integer("n_sampled", self.n_sampled, 0)
        validate.in_range("sampled_power", self.sampled_power, 0.0, 100.0, open_low=True)
        if self.prefixes is None:
            widths = sorted({max(1, self.d_sae >> shift) for shift in range(5)})
            object.__setattr__(self, "prefixes", tuple(widths))
        else:
            validate.instance("prefixes", self.prefixes, tuple)
        for m in self.widths:
            validate.integer("prefixes", m, 1, self.d_sae + 1)
        if any(a >= b for a, b in itertools.pairwise(self.widths)) or self.widths[-1:] != (self.d_sae,):
            raise ConfigError(f"prefixes must increase and end in d_sae={self.d_sae}; got {self.widths}")

    @property
    def widths(self) -> tuple[int, ...]:
        """The nested widths."""
        return self.prefixes or ()

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Mean normalised squared error of the prefixes, and AuxK on the whole."""
        pre = jax.lax.stop_gradient(self.pre_acts(params, x))
        least = _select.least_kept(pre, self.k)
        active = pre >= least
        latents = _topk.masked_latents(self, params, x, pre, active)
        nested = self._sampled(params, latents, key) if self.n_sampled else self._fixed(params, latents)
        constant = params["b_dec"][None] + (self.matmul(x, params["W_skip"].T) if self.skip else 0.0)
        errors = [y - constant - part for part in nested]
        mse = sum((normalized_error(e, y) for e in errors), jnp.float32(0)) / len(errors)
        terms = {"mse_normalized": mse} | auxk(self, params, state, x, errors[-1])
        count = tally(active)
        state = self.count(_topk.follow(self, state, least), count > 0, x.shape[0])
        info = Info(terms, count.sum() / x.shape[0], count > 0, errors[-1])
        return sum(terms.values(), jnp.float32(0)), (state, info)

    def _fixed(self, params: Params, latents: Array) -> list[Array]:
        """Reconstructions of the prefixes, each the one before plus its own latents: one decode in all."""
        total, parts = jnp.float32(0), []
        for low, high in itertools.pairwise((0, *self.widths)):
            total = total + self.matmul(latents[:, low:high], params["W_dec"][low:high])
            parts.append(total)
        return parts

    def _sampled(self, params: Params, latents: Array, key: PRNGKey) -> list[Array]:
        """Reconstructions of prefixes whose widths P(width > m) ~ m^-power, and of the whole."""
        u = jax.random.uniform(key, (self.n_sampled,))
        last = self.d_sae**-self.sampled_power
        widths = jnp.floor((last + u * (1 - last)) ** (-1 / self.sampled_power))
        index = jnp.arange(self.d_sae)
        inner = [self.matmul(jnp.where(index < m, latents, 0.0), params["W_dec"]) for m in widths]
        return [*inner, self.matmul(latents, params["W_dec"])]
