"""What the next tokens' losses rest on: a latent taken out of a row of text, with all that follows or by the direct path.

Ablating latent i subtracts f_i W_dec,i from the activation (the SAE's error stays). "Full": at every usable token of
the row, and the model runs on (Bricken et al. 2023). "Direct": what the token before writes to the final residual is
taken away, the final norm computed anew, no block is run. Both are the rise of a token's loss in nats.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.errors import ConfigError
from superposition.interventions import Steer
from superposition.llm.direct import (
    has_direct_path,
    is_only_direct,
    next_token_loss,
    post_scale_hook,
    to_residual,
)
from superposition.llm.forward import capture, positions
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.spec import Spec
from superposition.sae import SAE, Params

CELLS = 2**23  # numbers in the widest array of a program


class Clean(NamedTuple):
    """Rows of text as the model reads them: tokens (rows, ctx), final residual, activation at the hook point.

    scored (rows, ctx): tokens whose loss counts; valid: False at padding, None for none; loss (rows, ctx): of each
    token, NaN until it is asked for; scale: of a post-norm, or None.
    """

    tokens: np.ndarray
    scored: np.ndarray
    valid: np.ndarray | None
    residual: np.ndarray
    x: np.ndarray
    scale: np.ndarray | None
    loss: np.ndarray


class Effects:
    """Loss effects of the latents whose decoder rows are `directions` (n, d_in)."""

    def __init__(self, lm: LanguageModel, hook: str, sae: SAE, directions: np.ndarray) -> None:
        self.spec, self.params, self.hook, self.sae = lm.spec, dict(lm.params), lm.resolve(hook), sae
        self.directions = directions
        if self.hook.startswith("ln_final"):
            raise ConfigError(
                f"effects are followed to the final residual, {self.hook} comes after it; give effects=False"
            )
        self.direct_path = has_direct_path(self.hook)
        self.only_direct = is_only_direct(lm.spec, self.hook)

    def clean(self, tokens: Tokens, first: int, rows: int, filled: int) -> Clean:
        """Rows first .. first + rows, run as `filled` rows so that one shape is compiled."""
        part = tokens.rows(slice(first, first + rows))
        scored = np.pad(part.scored, ((0, 0), (1, 0)))
        fill = ((0, filled - rows), (0, 0))
        ids = np.pad(part.tokens, fill, mode="edge").astype(np.int32)
        valid = None if part.valid is None else np.pad(part.valid, fill, mode="edge")
        scale_hook = post_scale_hook(self.spec, self.hook) if self.direct_path else None
        residual, x, scale = _clean(self.spec, self.params, self.hook, scale_hook, ids, valid)
        return Clean(
            ids[:rows],
            scored,
            part.valid,
            np.asarray(residual)[:rows],
            np.asarray(x)[:rows],
            None if scale is None else np.asarray(scale)[:rows],
            np.full(scored.shape, np.nan),
        )

    def direct(
        self, clean: Clean, row: np.ndarray, at: np.ndarray, slot: np.ndarray, value: np.ndarray
    ) -> np.ndarray:
        """Effects (m,) on the loss of the token after `at` (m,) of latents `slot` of activation `value` there."""
        effect = np.zeros(len(row))
        ctx = clean.scored.shape[1]
        used = np.flatnonzero((value > 0) & (at + 1 < ctx) & clean.scored[row, np.minimum(at + 1, ctx - 1)])
        for part in _parts(len(used), self._flat):
            r, a, s = (column[used[part]] for column in (row, at, slot))
            along = self.directions[s] * value[used[part], None].astype(np.float32)
            size = _size(len(r), self._flat)
            inputs = _filled(size, along, clean.x[r, a])
            scale = None if clean.scale is None else _filled(size, clean.scale[r, a])[0]
            written = _written(self.spec, self.params, self.hook, self.sae, *inputs, scale)
            changed = (clean.residual[r, a] - np.asarray(written)[: len(r)]).astype(clean.residual.dtype)
            effect[used[part]] = self._losses(changed, clean.tokens[r, a + 1]) - self._known(clean, r, a + 1)
        return effect

    def full(
        self, clean: Clean, row: np.ndarray, slot: np.ndarray, values: np.ndarray, shown: np.ndarray
    ) -> np.ndarray:
        """Effects (m, k) on the losses of the tokens at positions shown (m, k); values (m, ctx) are the activations.

        Those of a token before which the latent does not fire are 0: nothing has changed there. Rows are run no
        further than to the last token shown, rounded up to a quarter of the row.
        """
        effect, ctx = np.zeros(shown.shape), clean.scored.shape[1]
        fired: np.ndarray = np.cumsum(values > 0, 1) - (values > 0)
        moved = np.take_along_axis(fired, shown, 1) > 0
        moved &= np.take_along_axis(clean.scored[row], shown, 1)
        ends, quarter = shown.max(1) + 1, -(-ctx // 4)
        order = np.argsort(ends, kind="stable")
        for part in _parts(len(row), self._rows(ctx)):
            some = order[part]
            size = _size(len(some), self._rows(ctx))
            run = slice(0, min(ctx, -(-int(ends[some].max()) // quarter) * quarter))
            inputs = (clean.tokens[row[some], run], values[some, run], self.directions[slot[some]])
            before = np.maximum(shown[some] - 1, 0)
            valid = None if clean.valid is None else _filled(size, clean.valid[row[some], run])[0]
            filled = _filled(size, *inputs, before)
            residual = _ablated(self.spec, self.params, self.hook, self.sae, *filled, valid)
            r, c = np.nonzero(moved[some])
            rows, at = row[some[r]], shown[some[r], c]
            loss = self._losses(np.asarray(residual)[r, c], clean.tokens[rows, at])
            effect[some[r], c] = loss - self._known(clean, rows, at)
        return effect

    def _known(self, clean: Clean, row: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Clean losses of tokens, each computed once."""
        new = np.zeros(clean.loss.shape, bool)
        new[row, at] = np.isnan(clean.loss[row, at])
        r, a = np.nonzero(new)
        clean.loss[r, a] = self._losses(clean.residual[r, a - 1], clean.tokens[r, a])
        return clean.loss[row, at]

    @property
    def _flat(self) -> int:
        """Next tokens scored at once."""
        return max(16, CELLS // self.spec.d_vocab)

    def _rows(self, ctx: int) -> int:
        """Rows run at once."""
        widest = max(self.spec.d_mlp, self.spec.n_heads * ctx, self.sae.d_in)
        return max(1, CELLS // (ctx * widest))

    def _losses(self, residual: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Losses (m,) of next tokens, so many at a time."""
        out = np.zeros(len(target))
        for part in _parts(len(target), self._flat):
            n = part.stop - part.start
            inputs = _filled(_size(n, self._flat), residual[part], target[part])
            out[part] = np.asarray(_loss(self.spec, self.params, *inputs))[:n]
        return out


def decoder_rows(sae: SAE, params: Params, ids: np.ndarray) -> np.ndarray:
    """What one unit of each latent adds to the activation (inside a run-time norm), (n, d_in)."""
    linear = {**params, "b_dec": jnp.zeros_like(jnp.asarray(params["b_dec"]))}
    step = max(1, CELLS // sae.d_sae)
    parts = []
    for a in range(0, len(ids), step):
        one = np.zeros((len(ids[a : a + step]), sae.d_sae), np.float32)
        one[np.arange(len(one)), ids[a : a + step]] = 1
        parts.append(np.asarray(sae.decode(linear, jnp.asarray(one))))
    return np.concatenate(parts)


@partial(jax.jit, static_argnums=(0, 2, 3))
def _clean(
    spec: Spec, params: Any, hook: str, scale_hook: str | None, tokens: Array, valid: Array | None
) -> tuple[Array, Array, Array | None]:
    names = (hook, *([] if scale_hook is None else [scale_hook]))
    places = positions(tokens, valid)
    residual, seen = capture(spec, params, tokens, places, valid, names, stop_at_layer=spec.n_layers)
    return residual, seen[hook].reshape(*tokens.shape, -1), None if scale_hook is None else seen[scale_hook]


@partial(jax.jit, static_argnums=(0, 2, 3))
def _ablated(
    spec: Spec,
    params: Any,
    hook: str,
    sae: SAE,
    tokens: Array,
    values: Array,
    directions: Array,
    at: Array,
    valid: Array | None,
) -> Array:
    edit = Steer(-values[..., None] * directions[:, None], sae)
    places = positions(tokens, valid)
    residual, _ = capture(
        spec, params, tokens, places, valid, (), edits={hook: edit}, stop_at_layer=spec.n_layers
    )
    return jnp.take_along_axis(residual, at[..., None], 1)


@partial(jax.jit, static_argnums=(0, 2, 3))
def _written(
    spec: Spec, params: Any, hook: str, sae: SAE, along: Array, x: Array, scale: Array | None
) -> Array:
    _, undo = sae.norm_in(x.astype(jnp.float32))
    _, moved = jax.jvp(undo, (jnp.zeros_like(along),), (along,))
    return to_residual(spec, params, hook, moved, scale)


@partial(jax.jit, static_argnums=0)
def _loss(spec: Spec, params: Any, residual: Array, target: Array) -> Array:
    return next_token_loss(spec, params, residual, target)


def _parts(n: int, size: int) -> list[slice]:
    return [slice(a, min(a + size, n)) for a in range(0, n, size)]


def _filled(size: int, *arrays: np.ndarray) -> list[np.ndarray]:
    """Arrays of the same length made `size` long with zeros."""
    return [np.pad(a, ((0, size - len(a)), *[(0, 0)] * (a.ndim - 1))) for a in arrays]


def _size(n: int, most: int) -> int:
    """The length that n are filled up to: a power of four or the most there can be, so that few shapes are compiled."""
    return min(most, max(16, 4 ** (((n - 1).bit_length() + 1) // 2)))
