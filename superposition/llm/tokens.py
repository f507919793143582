"""Rows of tokens as models are run on them: which positions count, which are padding, where each row is from."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superposition._internal import arrays, notebook, validate
from superposition.errors import ConfigError
from superposition.llm.token_facts import TokenFacts


class Tokens(NamedTuple):
    """Rows of tokens (n_seq, ctx), the positions worth looking at, and where each row is from.

    usable is False at BOS, EOS, padding and other special tokens, and at the first position of a row, whose
    activations are outliers in every model looked at. source (n_seq,) indexes sources. valid is False at padding,
    which no token sees; None for rows without padding.

    >>> token_array(np.array([[1, 5, 6], [1, 7, 8]]), vocab=10, special=[1])
    Tokens(2 rows of 3, 4 usable, from tokens)
    """

    tokens: np.ndarray
    usable: np.ndarray
    source: np.ndarray
    sources: tuple[str, ...]
    valid: np.ndarray | None = None

    def __repr__(self) -> str:
        rows, ctx = np.shape(self.tokens)
        padding = "" if self.valid is None else f", {int((~self.valid).sum()):,} of them padding"
        some = ", ".join(self.sources[:4]) + (", ..." if len(self.sources) > 4 else "")
        return f"Tokens({rows:,} rows of {ctx:,}{padding}, {int(self.usable.sum()):,} usable, from {some})"

    def _repr_html_(self) -> str:
        each = [(name, self.source == i) for i, name in enumerate(self.sources)]
        rows = [[name, int(mine.sum()), int(self.usable[mine].sum())] for name, mine in each]
        return notebook.table(repr(self), rows, ["source", "rows", "usable tokens"])

    def of(self, source: str) -> "Tokens":
        """The rows of one source."""
        validate.choice("source", source, self.sources)
        return self.rows(self.source == self.sources.index(source))

    def rows(self, which: Any) -> "Tokens":
        """Some of the rows, as an index or a mask says."""
        valid = None if self.valid is None else self.valid[which]
        return Tokens(self.tokens[which], self.usable[which], self.source[which], self.sources, valid)

    def every(self) -> "Tokens":
        """The same with every position usable that is no padding."""
        return self._replace(usable=np.ones_like(self.usable) if self.valid is None else self.valid.copy())

    @property
    def scored(self) -> np.ndarray:
        """Where the next token (n_seq, ctx - 1) is usable and predicted from a token, not from padding."""
        return self.usable[:, 1:] if self.valid is None else self.usable[:, 1:] & self.valid[:, :-1]


class RanDryError(ConfigError):
    """The documents ended before there were as many tokens as asked for; `tokens` is what there was.

    >>> from superposition.llm.packing import pack
    >>> try:
    ...     pack([[5, 6, 7]], ctx=3, vocab=10, rows=2)
    ... except RanDryError as error:
    ...     print(error.tokens.tokens.tolist())
    [[5, 6, 7]]
    """

    def __init__(self, message: str, tokens: Tokens) -> None:
        super().__init__(message)
        self.tokens = tokens


def concatenate(parts: Sequence[Tokens]) -> Tokens:
    """Rows of several Tokens of one ctx, sources of equal name made one.

    >>> one = token_array(np.array([[1, 5, 6]]), vocab=10, source="stories")
    >>> concatenate([one, token_array(np.array([[1, 7, 8]]), vocab=10, source="news")]).sources
    ('stories', 'news')
    """
    if len({part.tokens.shape[1] for part in parts}) != 1:
        raise ConfigError(f"rows must be of one length; got {[part.tokens.shape[1] for part in parts]}")
    sources = tuple(dict.fromkeys(name for part in parts for name in part.sources))
    index = [
        np.array([sources.index(name) for name in part.sources], np.int32)[part.source] for part in parts
    ]
    tokens, usable = (np.concatenate([part[i] for part in parts]) for i in range(2))
    valid = None
    if any(part.valid is not None for part in parts):
        valid = np.concatenate(
            [np.ones_like(part.usable) if part.valid is None else part.valid for part in parts]
        )
    return Tokens(tokens, usable, np.concatenate(index), sources, valid)


def token_array(
    tokens: np.ndarray | str | Path,
    *,
    vocab: int,
    special: Iterable[int | None] = (),
    facts: TokenFacts | None = None,
    skip_first: bool = True,
    source: str = "tokens",
) -> Tokens:
    """Tokens already cut into rows: an array (n_seq, ctx) of ids, or a .npy or .npz file that holds one.

    facts, as a `LanguageModel` has them (`token_facts`), say which tokens are special and which are padding;
    special: more ids that are not usable.

    >>> rows = token_array(np.array([[1, 5, 6], [1, 7, 8]]), vocab=10, special=[6])
    >>> rows.usable.tolist()  # the first position of a row never is
    [[False, True, False], [False, True, True]]
    """
    ids = _load(Path(tokens)) if isinstance(tokens, str | Path) else _rectangle(tokens)
    if ids.ndim != 2 or min(ids.shape) == 0 or ids.dtype.kind not in "iu":
        raise ConfigError(
            f"tokens must be integers (n_seq, ctx), both at least 1; got {ids.dtype} of shape {ids.shape}; "
            "documents of unequal length go through `pack`"
        )
    in_vocabulary("token", ids, vocab)
    facts = TokenFacts() if facts is None else facts
    compact = ids.astype(np.uint16 if vocab <= 2**16 else np.int32)
    valid = facts.valid(compact)
    usable = usable_positions(compact, {*facts.special, *special}, skip_first, valid)
    return Tokens(compact, usable, np.zeros(len(ids), np.int32), (source,), valid)


def usable_positions(
    tokens: np.ndarray, special: Iterable[int | None], skip_first: bool, valid: np.ndarray | None = None
) -> np.ndarray:
    """True at text: not at special tokens, nor at padding, nor (skip_first) at the first token of a row."""
    usable = np.ones(tokens.shape, bool) if valid is None else valid.copy()
    for one in {s for s in special if s is not None}:
        usable &= tokens != one
    if skip_first:
        first = 0 if valid is None else valid.argmax(1)
        usable[np.arange(len(tokens)), first] = False
    return usable


def _rectangle(tokens: Any) -> np.ndarray:
    """Ids as an array; ConfigError for text, and for rows of unequal length."""
    try:
        return np.asarray(tokens)
    except ValueError as error:
        raise ConfigError(
            "tokens must be integers (n_seq, ctx), every row of one length; documents of unequal length go "
            "through `pack`"
        ) from error


def in_vocabulary(where: str, ids: np.ndarray, vocab: int) -> None:
    """ConfigError for ids outside the vocabulary; where: what is counted, for the message."""
    outside = (ids < 0) | (ids >= vocab)
    if outside.any():
        at = np.argwhere(outside)[0].tolist()
        raise ConfigError(
            f"{where} {at if len(at) > 1 else at[0]}: id {ids[*at]} is outside the vocabulary [0, {vocab}); "
            "the tokenizer is not the model's"
        )


def _load(path: Path) -> np.ndarray:
    if not arrays.is_npz(path):
        return arrays.read_npy(path)
    with arrays.open_npz(path) as archive:
        if "tokens" in archive.names or len(archive.names) == 1:
            return archive.read("tokens" if "tokens" in archive.names else archive.names[0])
        raise ConfigError(
            f"{path} must hold one array, or one named tokens; it holds {', '.join(archive.names[:12]) or 'none'}"
        )
