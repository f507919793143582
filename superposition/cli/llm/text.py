"""The text that settings name, as tokens."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from superposition.cli.llm.config import TextConfig
from superposition.errors import ConfigError
from superposition.llm.demo import demo_text
from superposition.llm.model import LanguageModel
from superposition.llm.packing import (
    RanDryError,
    Tokens,
    concatenate,
    pack,
    pack_text,
    token_array,
    tokenize,
)
from superposition.llm.stream import fits
from superposition.llm.text import dataset_text, read_text

CTX = 128


def read_tokens(config: TextConfig, lm: LanguageModel) -> Tokens:
    """Rows of tokens that the model can run; RanDryError, which holds what there is, for too few of them."""
    spec, facts = lm.spec, lm.token_facts
    ctx = min(spec.n_ctx, CTX) if config.ctx is None else config.ctx
    if config.tokens is None and spec.learned_positions and ctx > spec.n_ctx:
        raise ConfigError(f"ctx must be at most the model's {spec.n_ctx} positions; got {ctx}")
    if config.tokens is not None:
        tokens = token_array(config.tokens, vocab=spec.d_vocab, facts=facts)
    elif config.dataset is not None:
        return _whole(config, lm, _streamed(config, lm, ctx))
    elif config.text:
        tokens = pack_text(lm.tokenizer, read_text(config.text), ctx, facts=facts)
    else:
        tokens = _demonstration(lm, ctx, config.data_seed)
    rows, ctx = tokens.tokens.shape
    if config.max_tokens is not None:
        wanted = max(1, config.max_tokens // ctx)
        chosen = np.arange(rows)
        if config.tokens is None:
            chosen = np.random.default_rng(config.data_seed).permutation(rows)
        tokens = tokens.rows(np.sort(chosen[:wanted]))
        if wanted > rows:
            name = "the demonstration text" if config.tokens is None and not config.text else "the text"
            raise _dry(name, rows * ctx, config.max_tokens, _whole(config, lm, tokens))
    return _whole(config, lm, tokens)


def _demonstration(lm: LanguageModel, ctx: int, seed: int) -> Tokens:
    """Demonstration text, sources too short for a row left out."""
    ids = {name: list(_tokenized(lm, documents, name)) for name, documents in demo_text(seed).items()}
    long = {name: documents for name, documents in ids.items() if sum(map(len, documents)) >= ctx}
    if not long:
        raise ConfigError(
            f"no demonstration text fills a row of ctx = {ctx}; give a smaller --ctx, or --text"
        )
    own: dict[str, Any] = {"vocab": len(lm.tokenizer), "facts": lm.token_facts}
    return concatenate([pack(documents, ctx, source=name, **own) for name, documents in long.items()])


def _tokenized(lm: LanguageModel, documents: Iterable[str], source: str) -> Iterator[Sequence[int]]:
    facts = lm.token_facts
    own: dict[str, Any] = {"special": facts.special, "parse_special": facts.parse_special}
    return tokenize(lm.tokenizer, documents, source=source, **own)


def _streamed(config: TextConfig, lm: LanguageModel, ctx: int) -> Tokens:
    assert config.dataset is not None
    assert config.max_tokens is not None
    documents = dataset_text(config.dataset, split=config.split, column=config.column, config=config.config)
    own: dict[str, Any] = {
        "vocab": min(len(lm.tokenizer), lm.spec.d_vocab),
        "facts": lm.token_facts,
        "rows": max(1, config.max_tokens // ctx),
        "source": config.dataset,
        "spelled": lm.tokenizer.convert_ids_to_tokens,
    }
    try:
        return pack(_tokenized(lm, documents, config.dataset), ctx, **own)
    except RanDryError as error:
        tokens = _whole(config, lm, error.tokens)
        raise _dry(config.dataset, tokens.tokens.size, config.max_tokens, tokens) from error


def _dry(name: str, have: int, want: int, tokens: Tokens) -> RanDryError:
    return RanDryError(
        f"{name} runs dry after {have:,} tokens, --max-tokens asks for {want:,}; give --max-tokens {have}",
        tokens,
    )


def _whole(config: TextConfig, lm: LanguageModel, tokens: Tokens) -> Tokens:
    """The tokens as they are used, all but padding with keep_bos; ConfigError for what the model cannot run."""
    if config.keep_bos:
        tokens = tokens.every()
    fits(lm, tokens)
    return tokens
