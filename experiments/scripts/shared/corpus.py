"""The corpus of the small language model: sources read, held-out slices set aside, mixing weights, token stream."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.language_model.shared.small_lm import split_off
from experiments.scripts.shared.tokenizer import train_tokenizer
from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.packing import Tokens, flatten, pack_text, tokenize
from superposition.llm.text import read_text


class Corpus(NamedTuple):
    """Everything training and evaluation read.

    stream (n,): training tokens of all sources, one after the other, documents ended by EOS (id 0).
    starts (n_train + 1,): where each training source begins in it. held: rows of [EOS] + ctx - 1 tokens, of
    every source's held-out slice and of the sources held out whole. weights (n_train,): mixing weights.
    bytes_per_token: by held-out source.
    """

    tokenizer: Any
    ctx: int
    stream: np.ndarray
    starts: np.ndarray
    sources: tuple[str, ...]
    weights: np.ndarray
    held: Tokens
    bytes_per_token: dict[str, float]

    @property
    def lengths(self) -> np.ndarray:
        """Training tokens of each source."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Mixture:
    """Weight of a source: bytes^alpha (`prepare`); times it may be read in one run: max_epochs (`order`)."""

    alpha: float = 0.6
    max_epochs: float = 40.0

    def __post_init__(self) -> None:
        validate.in_range("alpha", self.alpha, 0, 1)
        validate.in_range("max_epochs", self.max_epochs, 0, 1e9, open_low=True)


MIXTURE = Mixture()
"""The mixture that the model that ships was trained on."""


def prepare(
    paths: Sequence[str | Path],
    *,
    vocab: int,
    ctx: int,
    held_out: float = 0.05,
    seed: int = 0,
    mixture: Mixture = MIXTURE,
    whole: Sequence[str] = ("udhr/*",),
    leave_out: Sequence[str] = ("udhr/udhr_all",),
) -> Corpus:
    """Read, hold out, train the tokenizer on the rest under the mixing weights, and tokenise.

    whole: sources (patterns) kept wholly for evaluation. leave_out: sources not read at all.
    """
    validate.integer("vocab", vocab, 257, 2**16 + 1)
    validate.integer("ctx", ctx, 2)
    validate.in_range("held_out", held_out, 0, 0.5, open_low=True)
    texts = {name: docs for name, docs in read_text(paths).items() if not _matches(name, leave_out)}
    train: dict[str, list[str]] = {}
    held: dict[str, list[str]] = {}
    for name, documents in texts.items():
        if _matches(name, whole):
            held[name] = documents
        else:
            train[name], held[name] = split_off(documents, held_out)
    if not train:
        raise ConfigError(
            f"every source is held out whole ({', '.join(whole)}): there is nothing to train on"
        )
    size = np.array([sum(len(d.encode()) for d in documents) for documents in train.values()])
    weights = size**mixture.alpha / (size**mixture.alpha).sum()
    tokenizer = train_tokenizer(train, weights, vocab, np.random.default_rng((seed, 1)))
    if len(tokenizer) < vocab:
        raise ConfigError(
            f"the text gives no more than {len(tokenizer)} tokens; use vocab <= {len(tokenizer)}"
        )
    eos = tokenizer.eos_token_id
    flat = [
        flatten(tokenize(tokenizer, documents), vocab=vocab, bos=None, eos=eos)
        for documents in train.values()
    ]
    short = [name for name, tokens in zip(train, flat, strict=True) if len(tokens) < ctx]
    if short:
        raise ConfigError(
            f"fewer than ctx = {ctx} tokens in {', '.join(short)}; use a smaller ctx or add text"
        )
    starts = np.concatenate([[0], np.cumsum([len(tokens) for tokens in flat])])
    packed = pack_text(tokenizer, held, ctx, bos=eos, eos=eos)
    ratio = {
        name: sum(len(d.encode()) for d in documents)
        / sum(len(ids) for ids in tokenize(tokenizer, documents))
        for name, documents in held.items()
    }
    stream = np.concatenate(flat)
    return Corpus(tokenizer, ctx, stream, starts, tuple(train), weights, packed, ratio)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
