"""Prompts as a model reads them: text to rows of tokens with BOS where there is one, and what was said back to text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from superposition.errors import ConfigError
from superposition.llm import tokenizing
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


def one_token(lm: "LanguageModel", text: str) -> int:
    """The one token that a text is; ConfigError for a text of several or none."""
    ids = token_ids(lm, text)
    if len(ids) != 1:
        listed = "|".join(tokenizing.continuation(lm.tokenizer, ids[:i], [id]) for i, id in enumerate(ids))
        raise ConfigError(f"the text must be one token; {text!r} is {len(ids)}{': ' + listed if ids else ''}")
    return ids[0]


def rows_of(lm: "LanguageModel", tokens: Any, mask: Any) -> tuple[np.ndarray, Any]:
    """Tokens as an array and their mask; a text is a prompt, several texts are rows padded on their left."""
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
