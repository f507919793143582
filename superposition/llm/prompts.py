"""Prompts as a model reads them: text to rows of tokens with BOS where there is one, and what was said back to text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.errors import ConfigError
from superposition.llm import tokenizing
from superposition.llm.forward import positions
from superposition.llm.token_facts import TokenFacts, token_facts
from superposition.llm.tokens import Tokens, token_array, usable_positions

if TYPE_CHECKING:
    from superposition.llm.model import LanguageModel


def facts_of(lm: "LanguageModel") -> TokenFacts:
    """What the model's folder says; without a tokenizer that can be read, generation_config.json and config.json."""
    from superposition.llm.hub import TOKENIZERS

    tokenizer = None
    if lm.folder is not None and any((lm.folder / name).exists() for name in TOKENIZERS):
        try:
            tokenizer = lm.tokenizer
        except ConfigError:  # token ids can be given still
            tokenizer = None
    return token_facts(lm.spec, tokenizer, lm.folder)


def token_ids(lm: "LanguageModel", text: str) -> list[int]:
    """Tokens of a text, none added; what it spells is text unless the facts say to parse it."""
    facts = lm.token_facts
    return tokenizing.token_ids(lm.tokenizer, text, special=facts.special, parse_special=facts.parse_special)


def prompt_ids(lm: "LanguageModel", text: str) -> list[int]:
    """A prompt's tokens, after BOS where prompts begin with it; ConfigError for text that yields no token."""
    begin, ids = lm.token_facts.begin, token_ids(lm, text) if text or not isinstance(text, str) else []
    if begin and ids[: len(begin)] == begin:  # spelled, and parsed: exactly one
        begin = []
    if not begin + ids:
        raise ConfigError(
            f"there is nothing to begin with ({lm.token_facts.why_bos}): give a prompt that is not empty, or "
            "begin with BOS (--bos)"
        )
    return begin + ids


def completed(lm: "LanguageModel", texts: Sequence[str], new: Any) -> list[str]:
    """Texts with the tokens (rows, n) that a model added to them, up to the end of each text."""
    rows = zip(texts, np.asarray(new).tolist(), strict=True)
    return [
        text + continuation(lm, prompt_ids(lm, text), lm.token_facts.until_eos(row)) for text, row in rows
    ]


def one_token(lm: "LanguageModel", text: str) -> int:
    """The one token that a text is; ConfigError for a text of several or none."""
    ids = token_ids(lm, text)
    if len(ids) != 1:
        listed = "|".join(tokenizing.continuation(lm.tokenizer, ids[:i], [id]) for i, id in enumerate(ids))
        raise ConfigError(f"the text must be one token; {text!r} is {len(ids)}{': ' + listed if ids else ''}")
    return ids[0]


def is_text(target: Any) -> bool:
    """Whether a target is a text, or a list of them, and no ids."""
    listed = target if isinstance(target, list | tuple) else [target]
    return any(isinstance(one, str) for one in listed)


def target_ids(lm: "LanguageModel", target: Any) -> Any:
    """The ids that texts of one token each stand for; ids as they are. ConfigError for a text of several tokens."""
    if isinstance(target, str):
        return one_token(lm, target)
    return jnp.asarray([target_ids(lm, one) for one in target]) if is_text(target) else target


def rows_of(lm: "LanguageModel", tokens: Any, mask: Any) -> tuple[np.ndarray, Any]:
    """Ids (batch, pos) and their mask; a text is a prompt, several texts are rows padded on their left."""
    if isinstance(tokens, Tokens):
        return tokens.tokens, tokens.valid if mask is None else mask
    texts = [tokens] if isinstance(tokens, str) else tokens
    if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
        if mask is not None:
            raise ConfigError("prompts given as text are padded here; leave mask out")
        rows = [prompt_ids(lm, text) for text in texts]
        width = max(map(len, rows))
        ids, valid = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), bool)
        for i, row in enumerate(rows):
            ids[i, width - len(row) :], valid[i, width - len(row) :] = row, True
        return ids, None if valid.all() else valid
    try:
        return np.asarray(tokens), mask
    except ValueError as error:
        raise ConfigError(
            "tokens must be integers (batch, pos), every row of one length; pad shorter rows on their left and give "
            "mask, or give the prompts as text"
        ) from error


def prepared(
    lm: "LanguageModel", tokens: Any, mask: Any = None, more: int = 0
) -> tuple[Array, Array, Array | None]:
    """Tokens as int32 (batch, pos), their positions and validity; ConfigError for what cannot be run.

    more: how many tokens are to come after these.
    """
    ids, mask = rows_of(lm, tokens, mask)
    if ids.ndim != 2 or 0 in ids.shape or ids.dtype.kind not in "iu":
        raise ConfigError(f"tokens must be integers (batch, pos) or text; got shape {ids.shape}, {ids.dtype}")
    if ids.min() < 0 or ids.max() >= lm.spec.d_vocab:
        row, column = np.argwhere((ids < 0) | (ids >= lm.spec.d_vocab))[0]
        raise ConfigError(
            f"tokens must lie in [0, {lm.spec.d_vocab}); row {row}, position {column} is {ids[row, column]}"
        )
    length = ids.shape[1]
    valid = None
    if mask is not None:
        valid = np.asarray(mask).astype(bool)
        if valid.shape != ids.shape:
            raise ConfigError(f"mask must have the shape of tokens, {ids.shape}; got {valid.shape}")
        length = int(valid.sum(1).max())
    if lm.spec.learned_positions and length + more > lm.spec.n_ctx:
        raise ConfigError(
            f"the model has {lm.spec.n_ctx} positions; got {length}"
            + (f" and {more} to come" if more else "")
            + ": give fewer tokens"
        )
    row, shown = jnp.asarray(ids, jnp.int32), None if valid is None else jnp.asarray(valid)
    return row, positions(row, shown), shown


def rows_given(lm: "LanguageModel", tokens: Any) -> Tokens:
    """Tokens as they are; rows of ids, and prompts as text, as Tokens. ConfigError for what is neither."""
    if isinstance(tokens, Tokens):
        return tokens
    ids, valid = rows_of(lm, tokens, None)
    rows = token_array(ids, vocab=lm.spec.d_vocab, facts=lm.token_facts)
    if valid is None:
        return rows
    usable = usable_positions(rows.tokens, lm.token_facts.special, skip_first=True, valid=valid)
    return rows._replace(usable=usable, valid=valid)


def continuation(lm: "LanguageModel", prompt: Sequence[int], new: Sequence[int]) -> str:
    """The text that new tokens add to a prompt, as it reads after it."""
    begin = len(lm.token_facts.begin)
    before = list(prompt)[begin:] if list(prompt)[:begin] == lm.token_facts.begin else list(prompt)
    return tokenizing.continuation(lm.tokenizer, before, new)
