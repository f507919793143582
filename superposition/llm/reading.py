"""Rows of tokens for a language model from wherever text is: files, a dataset, ids that are packed, or demonstrations."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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


def read_tokens(
    lm: LanguageModel,
    *,
    text: str | Path | Sequence[str | Path] = (),
    dataset: str | None = None,
    split: str = "train",
    column: str = "text",
    config: str | None = None,
    tokens: str | Path | None = None,
    ctx: int | None = None,
    max_tokens: int | None = None,
    keep_bos: bool = False,
    seed: int = 0,
) -> Tokens:
    """Rows of tokens that a model can run, of one source of text; by default of demonstrations made on this machine.

    text: files and folders, as `read_text` takes them. dataset: a Hugging Face dataset, read as a stream up to
    max_tokens, with its split, column and configuration. tokens: a file of ids (rows, positions). ctx: tokens a row, by
    default the model's positions, at most 128. max_tokens: how much to read, of files a random part of the rows, drawn
    by the seed, else the first ones. keep_bos: use BOS, EOS and first positions too. Raises ConfigError for what cannot
    be read or run, RanDryError, which holds what there is, for less text than max_tokens.

    >>> read_tokens(LanguageModel.from_hf(), ctx=16, max_tokens=64).tokens.shape
    (4, 16)
    """
    spec, facts, packed = lm.spec, lm.token_facts, tokens is not None
    ctx = min(spec.n_ctx, CTX) if ctx is None else ctx
    if not packed and spec.learned_positions and ctx > spec.n_ctx:
        raise ConfigError(f"ctx must be at most the model's {spec.n_ctx} positions; got {ctx}")
    if dataset is not None:
        if max_tokens is None:
            raise ConfigError("a dataset is read up to max_tokens; give how much, for example 2000000")
        documents = dataset_text(dataset, split=split, column=column, config=config)
        return _streamed(lm, documents, dataset, ctx, max_tokens, keep_bos)
    name = "the text"
    if tokens is not None:
        rows = token_array(Path(tokens), vocab=spec.d_vocab, facts=facts)
    elif text:
        rows = pack_text(lm.tokenizer, read_text(text), ctx, facts=facts)
    else:
        name, rows = "the demonstration text", _demonstration(lm, ctx, seed)
    count, ctx = rows.tokens.shape
    if max_tokens is not None:
        wanted = max(1, max_tokens // ctx)
        chosen = np.arange(count) if packed else np.random.default_rng(seed).permutation(count)
        rows = rows.rows(np.sort(chosen[:wanted]))
        if wanted > count:
            raise _dry(name, count * ctx, max_tokens, _whole(lm, rows, keep_bos))
    return _whole(lm, rows, keep_bos)


def _demonstration(lm: LanguageModel, ctx: int, seed: int) -> Tokens:
    """Demonstration text, sources too short for a row left out."""
    ids = {name: list(_tokenized(lm, documents, name)) for name, documents in demo_text(seed).items()}
    long = {name: documents for name, documents in ids.items() if sum(map(len, documents)) >= ctx}
    if not long:
        raise ConfigError(
            f"no demonstration text fills a row of ctx = {ctx}; give a smaller --ctx, or --text"
        )
    options: dict[str, Any] = {"vocab": len(lm.tokenizer), "facts": lm.token_facts}
    return concatenate([pack(documents, ctx, source=name, **options) for name, documents in long.items()])


def _tokenized(lm: LanguageModel, documents: Iterable[str], source: str) -> Iterator[Sequence[int]]:
    facts = lm.token_facts
    options: dict[str, Any] = {"special": facts.special, "parse_special": facts.parse_special}
    return tokenize(lm.tokenizer, documents, source=source, **options)


def _streamed(
    lm: LanguageModel, documents: Iterable[str], name: str, ctx: int, max_tokens: int, keep_bos: bool
) -> Tokens:
    """The first rows of a stream of documents."""
    spelled: Any = lm.tokenizer.convert_ids_to_tokens
    try:
        rows = pack(
            _tokenized(lm, documents, name),
            ctx,
            vocab=min(len(lm.tokenizer), lm.spec.d_vocab),
            facts=lm.token_facts,
            rows=max(1, max_tokens // ctx),
            source=name,
            spelled=spelled,
        )
    except RanDryError as error:
        tokens = _whole(lm, error.tokens, keep_bos)
        raise _dry(name, tokens.tokens.size, max_tokens, tokens) from error
    return _whole(lm, rows, keep_bos)


def _dry(name: str, have: int, want: int, tokens: Tokens) -> RanDryError:
    return RanDryError(
        f"{name} runs dry after {have:,} tokens, --max-tokens asks for {want:,}; give --max-tokens {have}",
        tokens,
    )


def _whole(lm: LanguageModel, tokens: Tokens, keep_bos: bool) -> Tokens:
    """The tokens as they are used, all but padding with keep_bos; ConfigError for what the model cannot run."""
    if keep_bos:
        tokens = tokens.every()
    fits(lm, tokens)
    return tokens
