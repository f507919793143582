"""Text sampled from a language model itself: material for SAEs where there is no corpus at hand."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.typing import PRNGKey

BATCH = 256  # rows sampled at once


def sampled_tokens(
    key: PRNGKey,
    lm: LanguageModel,
    prompts: Mapping[str, Sequence[int] | np.ndarray],
    rows: int,
    *,
    ctx: int | None = None,
    prompt: int = 24,
    temperature: float = 1.0,
) -> Tokens:
    """`rows` rows of each source: BOS, `prompt` tokens from a random place of its text, and what the model goes on with.

    prompts: token ids by source. A row that comes to the end of its document stays empty from there (not usable).
    Usable are the tokens drawn, not the prompt. Raises ConfigError for a source shorter than its prompt.
    """
    ctx = lm.spec.n_ctx if ctx is None else ctx
    validate.integer("rows", rows, 1)
    validate.integer("prompt", prompt, 1, ctx - 1)
    bos, end = lm.token_facts.bos, lm.token_facts.eos
    if bos is None or not end:
        raise ConfigError("sampling rows takes a model whose rows begin with BOS, and with EOS tokens")
    parts = []
    for number, (name, ids) in enumerate(prompts.items()):
        own = jax.random.fold_in(key, number)
        if len(ids) < prompt:
            raise ConfigError(f"{name}: a prompt takes {prompt} tokens; got {len(ids)}")
        at = np.asarray(jax.random.randint(jax.random.fold_in(own, 0), (rows,), 0, len(ids) - prompt + 1))
        begun = np.asarray(ids)[at[:, None] + np.arange(prompt)]
        begun = np.concatenate([np.full((rows, 1), bos), begun], 1)
        for first in range(0, rows, BATCH):
            some = begun[first : first + BATCH]
            draw = jax.random.fold_in(own, 1 + first)
            filled = np.pad(some, ((0, min(BATCH, rows) - len(some)), (0, 0)), mode="edge")
            new = lm.generate(filled, ctx - prompt - 1, key=draw, temperature=temperature, end=end)
            parts.append(np.concatenate([some, new[: len(some)]], 1))
    tokens = np.concatenate(parts).astype(np.uint16 if lm.spec.d_vocab <= 2**16 else np.int32)
    usable = ~np.isin(tokens, end) & (np.arange(ctx) > prompt)
    source = np.repeat(np.arange(len(prompts), dtype=np.int32), rows)
    return Tokens(tokens, usable, source, tuple(prompts))
