"""Text into rows of tokens: exactly ctx of them, one BOS in front, one source a row."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superposition import _arrays, _validate
from superposition.errors import ConfigError

BATCH = 256  # documents given to the tokenizer at once


class Tokens(NamedTuple):
    """Rows of tokens (n_seq, ctx), the positions worth looking at, and where each row is from.

    usable is False at BOS, EOS, padding and other special tokens, and at position 0, whose activations are
    outliers in every model looked at. source (n_seq,) indexes sources.
    """

    tokens: np.ndarray
    usable: np.ndarray
    source: np.ndarray
    sources: tuple[str, ...]

    def of(self, source: str) -> "Tokens":
        """The rows of one source."""
        _validate.choice("source", source, self.sources)
        rows = self.source == self.sources.index(source)
        return self._replace(tokens=self.tokens[rows], usable=self.usable[rows], source=self.source[rows])


class RanDryError(ConfigError):
    """The documents ended before there were as many tokens as asked for; `tokens` is what there was."""

    def __init__(self, message: str, tokens: Tokens) -> None:
        super().__init__(message)
        self.tokens = tokens


def tokenize(tokenizer: Any, documents: Iterable[str]) -> Iterator[Sequence[int]]:
    """Token ids of each document, no special tokens added (`pack` adds them); batches of documents at a time."""
    left = iter(documents)
    while batch := list(islice(left, BATCH)):
        yield from tokenizer(batch, add_special_tokens=False, return_attention_mask=False, verbose=False)[
            "input_ids"
        ]


def flatten(
    documents: Iterable[Sequence[int]],
    *,
    vocab: int,
    bos: int | None,
    eos: int | None,
    at_least: int | None = None,
) -> np.ndarray:
    """Documents one after the other, each followed by EOS: (n,), uint16 where the vocabulary allows, else int32.

    Stops early with the document that brings n to `at_least`. Raises ConfigError for a token outside the
    vocabulary, and for documents that already begin with BOS.
    """
    for name, special in (("bos", bos), ("eos", eos)):
        if special is not None:
            _validate.integer(name, special, 0, vocab)
    kept = array("H" if vocab <= 2**16 else "i")
    for number, document in enumerate(documents):
        ids = np.asarray(document, np.int64).reshape(-1)
        _check(f"document {number}, position", ids, vocab)
        if bos is not None and len(ids) and (ids[0] == bos or (bos != eos and (ids == bos).any())):
            raise ConfigError(
                f"document {number} already holds the BOS token {bos}: tokenise without special tokens "
                "(add_special_tokens=False); every row is given exactly one"
            )
        kept.frombytes(ids.astype(kept.typecode).tobytes())
        if eos is not None and len(ids):
            kept.append(eos)
        if at_least is not None and len(kept) >= at_least:
            break
    return np.frombuffer(kept, np.uint16 if kept.typecode == "H" else np.int32)


def pack(
    documents: Iterable[Sequence[int]],
    ctx: int,
    *,
    vocab: int,
    bos: int | None,
    eos: int | None,
    rows: int | None = None,
    skip_first: bool = True,
    source: str = "text",
) -> Tokens:
    """Documents joined by EOS, cut into rows of ctx tokens, each with BOS in front where there is one.

    What does not fill a row is left out. rows: how many are wanted, all of them by default; where the
    documents end before, RanDryError holds what there was. GPT-2 and Pythia: EOS is BOS. Raises ConfigError where
    there is not one row.
    """
    _validate.integer("ctx", ctx, 2)
    body = ctx - (bos is not None)
    flat = flatten(
        documents, vocab=vocab, bos=bos, eos=eos, at_least=None if rows is None else max(rows, 1) * body
    )
    n = len(flat) // body if rows is None else min(rows, len(flat) // body)
    if n == 0:
        fits = len(flat) + (bos is not None)
        mend = f"use ctx <= {fits} or add text" if fits > 1 else "add text"
        raise ConfigError(f"{source}: {len(flat)} tokens do not fill one row of ctx = {ctx}; {mend}")
    tokens = np.empty((n, ctx), flat.dtype)
    tokens[:, ctx - body :] = flat[: n * body].reshape(n, body)
    if bos is not None:
        tokens[:, 0] = bos
    usable = _usable(tokens, [bos, eos], skip_first)
    packed = Tokens(tokens, usable, np.zeros(n, np.int32), (source,))
    if rows is not None and n < rows:
        raise RanDryError(
            f"{source}: the text ends after {n * ctx:,} tokens, {rows * ctx:,} were asked for; "
            "ask for fewer, or let it be read several times",
            packed,
        )
    return packed


def pack_text(
    tokenizer: Any,
    texts: Mapping[str, Iterable[str]],
    ctx: int,
    *,
    bos: int | None,
    eos: int | None,
    skip_first: bool = True,
) -> Tokens:
    """Rows of every source, by source in the order given."""
    if not texts:
        raise ConfigError("there is no text: no source was given")
    parts = [
        pack(
            tokenize(tokenizer, documents),
            ctx,
            vocab=len(tokenizer),
            bos=bos,
            eos=eos,
            skip_first=skip_first,
            source=name,
        )
        for name, documents in texts.items()
    ]
    return concatenate(parts)


def concatenate(parts: Sequence[Tokens]) -> Tokens:
    """Rows of several Tokens of one ctx, sources of equal name made one."""
    if len({part.tokens.shape[1] for part in parts}) != 1:
        raise ConfigError(f"rows must be of one length; got {[part.tokens.shape[1] for part in parts]}")
    sources = tuple(dict.fromkeys(name for part in parts for name in part.sources))
    index = [
        np.array([sources.index(name) for name in part.sources], np.int32)[part.source] for part in parts
    ]
    tokens, usable = (np.concatenate([part[i] for part in parts]) for i in range(2))
    return Tokens(tokens, usable, np.concatenate(index), sources)


def token_array(
    tokens: np.ndarray | str | Path,
    *,
    vocab: int,
    special: Iterable[int | None] = (),
    skip_first: bool = True,
    source: str = "tokens",
) -> Tokens:
    """Tokens already cut into rows: an array (n_seq, ctx) of ids, or a .npy or .npz file that holds one."""
    ids = _load(Path(tokens)) if isinstance(tokens, str | Path) else np.asarray(tokens)
    if ids.ndim != 2 or min(ids.shape) == 0 or ids.dtype.kind not in "iu":
        raise ConfigError(
            f"tokens must be integers (n_seq, ctx), both at least 1; got {ids.dtype} of shape {ids.shape}; "
            "documents of unequal length go through `pack`"
        )
    _check("token", ids, vocab)
    compact = ids.astype(np.uint16 if vocab <= 2**16 else np.int32)
    return Tokens(compact, _usable(compact, special, skip_first), np.zeros(len(ids), np.int32), (source,))


def _usable(tokens: np.ndarray, special: Iterable[int | None], skip_first: bool) -> np.ndarray:
    usable = np.ones(tokens.shape, bool)
    for one in {s for s in special if s is not None}:
        usable &= tokens != one
    if skip_first:
        usable[:, 0] = False
    return usable


def _check(where: str, ids: np.ndarray, vocab: int) -> None:
    outside = (ids < 0) | (ids >= vocab)
    if outside.any():
        at = np.argwhere(outside)[0].tolist()
        raise ConfigError(
            f"{where} {at if len(at) > 1 else at[0]}: id {ids[*at]} is outside the vocabulary [0, {vocab}); "
            "the tokenizer is not the model's"
        )


def _load(path: Path) -> np.ndarray:
    if not _arrays.is_npz(path):
        return _arrays.read_npy(path)
    with _arrays.open_npz(path) as archive:
        if "tokens" in archive.names or len(archive.names) == 1:
            return archive.read("tokens" if "tokens" in archive.names else archive.names[0])
        raise ConfigError(
            f"{path} must hold one array, or one named tokens; it holds {', '.join(archive.names[:12]) or 'none'}"
        )
