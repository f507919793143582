"""What edits cost a language model: the loss of the next token, by source of text."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.errors import ConfigError
from superposition.interventions.at import At
from superposition.llm.batches import Rows, batches
from superposition.llm.forward import capture
from superposition.llm.hooks import Edit
from superposition.llm.model import LanguageModel
from superposition.llm.prompts import rows_given
from superposition.llm.spec import Spec


def losses(lm: LanguageModel, tokens: Any, edits: Mapping[str, Edit] | None = None) -> dict[str, float]:
    """Return the cross-entropy of the next token by source of text, in nats a token, with edits at the usable positions.

    Positions that are not usable (BOS, special tokens, the first) keep their activations, as SAEs are not trained there.

    Args:
        lm: The model.
        tokens: Tokens, or rows of ids or prompts as a model takes them.
        edits: What to do at a hook point, such as `attached.ablate(136).edits`. Pytrees compile once for all numbers.

    Raises:
        ConfigError: There is no such hook point, or no usable next token to score.

    Example:
        >>> from superposition.storage import formats
        >>> lm = LanguageModel.from_hf()
        >>> attached = lm.attach(formats.load("superposition/small-lm-sae"))
        >>> text = ["Once upon a time, there was a little girl.", "He said that he would go."]
        >>> before, after = losses(lm, text), losses(lm, text, attached.splice().edits)
        >>> list(before), after["tokens"] > before["tokens"]
        (['tokens'], True)
    """
    tokens, given = rows_given(lm, tokens), lm.edits(edits)
    scored = tokens.scored.sum(1)
    if not scored.any():
        raise ConfigError("there is no usable next token to score; give more text")
    width = max((lm.width(hook) for hook in given), default=1)
    parts = [np.asarray(_row_losses(lm.spec, lm.params, rows, given)) for rows in batches(lm, tokens, width)]
    loss = np.concatenate(parts)[: len(scored)].astype(np.float64)
    mine = {name: tokens.source == i for i, name in enumerate(tokens.sources)}
    return {
        name: float(loss[own].sum() / scored[own].sum()) if scored[own].any() else float("nan")
        for name, own in mine.items()
    }


@partial(jax.jit, static_argnums=0)
def _row_losses(spec: Spec, params: Any, rows: Rows, edits: dict[str, Any]) -> Array:
    """Losses of the scored next tokens summed by row, (rows,)."""
    own = {hook: At(edit, rows.usable) for hook, edit in edits.items()}
    logits = capture(spec, params, rows.tokens, rows.positions, rows.valid, (), edits=own)[0]
    log_p = jax.nn.log_softmax(logits[:, :-1].astype(jnp.float32))
    picked = jnp.take_along_axis(log_p, rows.tokens[:, 1:, None], -1)[..., 0]
    return -jnp.where(rows.scored, picked, 0.0).sum(1)
