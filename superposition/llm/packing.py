"""Text into rows of tokens: exactly ctx of them, BOS in front where the model has one, one source a row."""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.token_facts import TokenFacts
from superposition.llm.tokenizing import BATCH, tokenize
from superposition.llm.tokens import (
    RanDryError,
    Tokens,
    concatenate,
    in_vocabulary,
    token_array,
    usable_positions,
)

__all__ = [
    "BATCH", "RanDryError", "Tokens", "concatenate", "flatten", "pack", "pack_text", "token_array", "tokenize",
]  # fmt: skip


def flatten(
    documents: Iterable[Sequence[int]],
    *,
    vocab: int,
    bos: int | None = None,
    eos: int | None = None,
    facts: TokenFacts | None = None,
    at_least: int | None = None,
    source: str = "text",
    spelled: Callable[[int], str] | None = None,
) -> np.ndarray:
    """Documents one after the other, each followed by the separator: (n,), uint16 where the vocabulary allows, else int32.

    facts say the separator; bos and eos are short for facts of these two, joined by EOS. Separators that a document
    begins or ends with only separate. Stops early with the document that brings n to `at_least`. Raises ConfigError
    for a token outside the vocabulary, and for documents with BOS inside; spelled: how a token is written, for that.

    >>> flatten([[5, 6], [7]], vocab=10, eos=0).tolist()  # EOS ends each document
    [5, 6, 0, 7, 0]
    """
    facts = _facts(bos, eos, facts)
    for name, special in (("bos", facts.bos), (facts.separator, facts.separator_id)):
        if special is not None:
            validate.integer(name, special, 0, vocab)
    kept = array("H" if vocab <= 2**16 else "i")
    leading = {facts.bos, facts.separator_id, *facts.eos}
    only_begins = facts.bos is not None and facts.bos not in facts.eos and facts.separator != "bos"
    for number, document in enumerate(documents):
        ids = np.asarray(document, np.int64).reshape(-1)
        in_vocabulary(f"{source}, document {number}, position", ids, vocab)
        ids = _without(ids, leading, {facts.separator_id})
        inside = np.flatnonzero(ids == facts.bos)
        if only_begins and len(inside):
            written = "" if spelled is None else f", {spelled(int(ids[inside[0]]))!r}"
            raise ConfigError(
                f"{source}, document {number} already holds the BOS token {facts.bos}{written}, at position "
                f"{inside[0]}: every row is given exactly one; read it as text (leave --special-tokens out, "
                "parse_special=False), take it out, or join documents by it (separator bos)"
            )
        kept.frombytes(ids.astype(kept.typecode).tobytes())
        if facts.separator_id is not None and len(ids):
            kept.append(facts.separator_id)
        if at_least is not None and len(kept) >= at_least:
            break
    return np.frombuffer(kept, np.uint16 if kept.typecode == "H" else np.int32)


def pack(
    documents: Iterable[Sequence[int]],
    ctx: int,
    *,
    vocab: int,
    bos: int | None = None,
    eos: int | None = None,
    facts: TokenFacts | None = None,
    rows: int | None = None,
    skip_first: bool = True,
    source: str = "text",
    file: Path | None = None,
    spelled: Callable[[int], str] | None = None,
) -> Tokens:
    """Documents joined as facts say, cut into rows of ctx tokens, each with BOS in front where facts have one.

    bos and eos are short for facts of these two, joined by EOS. What does not fill a row is left out. rows: how many
    are wanted, all of them by default; where the documents end before, RanDryError holds what there was. Where BOS
    joins documents, a row that begins with a document has one BOS, not two. file: where the source is from, for
    what is said of it. Raises ConfigError where there is not one row.

    >>> pack([[5, 6], [7, 8, 9]], ctx=4, vocab=10, bos=1, eos=0).tokens.tolist()
    [[1, 5, 6, 0], [1, 7, 8, 9]]
    """
    validate.integer("ctx", ctx, 2)
    facts = _facts(bos, eos, facts)
    body = ctx - len(facts.begin)
    once = facts.bos is not None and facts.separator == "bos"
    flat = flatten(
        documents,
        vocab=vocab,
        facts=facts,
        at_least=None if rows is None else max(rows, 1) * (body + once),
        source=source if file is None else str(file),
        spelled=spelled,
    )
    bodies = _bodies(flat, body, facts.bos if once else None)
    n = len(bodies) if rows is None else min(rows, len(bodies))
    if n == 0:
        fits = len(flat) + len(facts.begin)
        mend = f"use ctx <= {fits} or add text" if fits > 1 else "add text"
        raise ConfigError(f"{source}: {len(flat)} tokens do not fill one row of ctx = {ctx}; {mend}")
    tokens = np.empty((n, ctx), flat.dtype)
    tokens[:, ctx - body :] = bodies[:n]
    if facts.bos is not None:
        tokens[:, 0] = facts.bos
    usable = usable_positions(tokens, facts.special, skip_first)
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
    bos: int | None = None,
    eos: int | None = None,
    facts: TokenFacts | None = None,
    vocab: int | None = None,
    skip_first: bool = True,
) -> Tokens:
    """Rows of every source, by source in the order given; facts as a `LanguageModel` has them (`token_facts`).

    vocab: size of the model's vocabulary, the tokenizer's by default.

    >>> from superposition.llm import LanguageModel
    >>> lm = LanguageModel.from_hf()
    >>> pack_text(lm.tokenizer, {"story": ["Once upon a time, there was a girl."]}, ctx=8, facts=lm.token_facts)
    Tokens(1 rows of 8, 7 usable, from story)
    """
    if not texts:
        raise ConfigError("there is no text: no source was given")
    facts = _facts(bos, eos, facts)
    files = getattr(texts, "origin", {})  # of `read_text`: what is wrong is said of the file
    options: dict[str, Any] = {"special": facts.special, "parse_special": facts.parse_special}
    parts = [
        pack(
            tokenize(tokenizer, documents, source=str(files.get(name, name)), **options),
            ctx,
            vocab=len(tokenizer) if vocab is None else vocab,
            facts=facts,
            skip_first=skip_first,
            source=name,
            file=files.get(name),
            spelled=getattr(tokenizer, "convert_ids_to_tokens", None),
        )
        for name, documents in texts.items()
    ]
    return concatenate(parts)


def _facts(bos: int | None, eos: int | None, facts: TokenFacts | None) -> TokenFacts:
    """The facts given, or those of a BOS and an EOS."""
    if facts is not None:
        return facts
    ends = () if eos is None else (eos,)
    special = frozenset(i for i in (bos, eos) if i is not None)
    return TokenFacts(bos, bos, ends, special=special, separator="eos" if ends else "none")


def _without(ids: np.ndarray, leading: set[int | None], trailing: set[int | None]) -> np.ndarray:
    """Ids without the separators at their ends."""
    first, last = 0, len(ids)
    while first < last and int(ids[first]) in leading:
        first += 1
    while last > first and int(ids[last - 1]) in trailing:
        last -= 1
    return ids[first:last]


def _bodies(flat: np.ndarray, body: int, begin: int | None) -> np.ndarray:
    """Rows (n, body) of a stream of tokens; none begins with `begin`, which stands before each of them."""
    if begin is None:
        n = len(flat) // body
        return flat[: n * body].reshape(n, body)
    starts, at = [], 0
    while at + body + (at < len(flat) and flat[at] == begin) <= len(flat):
        at += int(flat[at] == begin)
        starts.append(at)
        at += body
    return flat[np.array(starts, np.int64)[:, None] + np.arange(body)]
