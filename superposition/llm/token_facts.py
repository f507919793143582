"""What a model's special tokens are and how rows, prompts and documents are put together, in one record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm._read import read_json
from superposition.llm.spec import Spec
from superposition.llm.tokenizing import guarded

SEPARATORS = ("bos", "eos", "none")
# Trained on documents that each begin with BOS.
BEGUN_BY_BOS = ("llama", "mistral", "gemma", "gemma2", "gemma3")
PLAIN_END = "<|endoftext|>"  # of several EOS tokens the one that ends a document, not a turn of a chat
GENERATION, TOKENIZER = "generation_config.json", "tokenizer_config.json"


@dataclass(frozen=True)
class TokenFacts:
    """Special tokens of a model, and how its text is put together.

    bos: what rows and prompts begin with, None for nothing. bos_id: the model's BOS token, put or not, None where
    it has none. eos: every token that ends a text. pad: the padding token, EOS where the model names none; pad_only:
    whether it is nothing else (no BOS, EOS, unknown or ordinary token), so that it is padding wherever it stands.
    special: every token that is no text, which SAEs are not trained on. separator: what stands between documents,
    one of SEPARATORS. parse_special: whether the spelling of a special token in a text becomes that token; else it
    stays text. why_bos: what decided about bos, in words.
    """

    bos: int | None = None
    bos_id: int | None = None
    eos: tuple[int, ...] = ()
    pad: int | None = None
    pad_only: bool = False
    special: frozenset[int] = frozenset()
    separator: str = "none"
    parse_special: bool = False
    why_bos: str = "the model has no BOS token"

    @property
    def separator_id(self) -> int | None:
        """The token between documents, None for nothing."""
        return {"bos": self.bos_id, "eos": self.eos[0] if self.eos else None}.get(self.separator)

    @property
    def begin(self) -> list[int]:
        """The tokens before a prompt: BOS, or none."""
        return [] if self.bos is None else [self.bos]

    def until_eos(self, ids: Iterable[int]) -> list[int]:
        """The tokens before the first EOS."""
        row = list(ids)
        return row[: next((i for i, id in enumerate(row) if id in self.eos), len(row))]

    def with_bos(self, bos: bool | None) -> "TokenFacts":
        """The same with BOS put (True), left out (False) or as it is (None); ConfigError for a model without one."""
        if bos is None:
            return self
        if bos and self.bos_id is None:
            raise ConfigError("the model has no BOS token to begin with; leave bos out, or put none")
        return replace(self, bos=self.bos_id if bos else None, why_bos="as was asked for")

    def with_separator(self, separator: str | None) -> "TokenFacts":
        """The same with another separator of documents; ConfigError for a token that the model does not have."""
        if separator is None:
            return self
        validate.choice("sequence_separator", separator, SEPARATORS)
        other = replace(self, separator=separator)
        if separator != "none" and other.separator_id is None:
            every = [replace(self, separator=name) for name in SEPARATORS]
            accepted = [one.separator for one in every if one.separator_id is not None or one is every[-1]]
            raise ConfigError(
                f"sequence_separator is {separator}, but the model has no {separator.upper()} token; "
                f"accepted: {', '.join(accepted)}"
            )
        return other

    def valid(self, tokens: np.ndarray) -> np.ndarray | None:
        """False where tokens (rows, positions) are padding, of the same shape; None where nothing is.

        A token that is only ever padding is padding everywhere. One that also ends or begins texts (GPT-2 pads with
        its EOS) is padding in a run at an end of a row. At the right end the first of a run is the EOS of the text.
        At the left end rows are padded if one begins with three of them, or with two and no row has one inside, as
        rows cut from joined documents have; then all of a run is padding, but for the last where rows begin with
        BOS. One alone, or two in rows cut from documents, are BOS and separator; what stands before another BOS token
        is padding always.
        """
        if self.pad is None or not (pads := tokens == self.pad).any():
            return None
        if self.pad_only:
            return ~pads
        width, empty = tokens.shape[1], pads.all(1)
        left, right = (np.where(empty, 0, np.argmin(a, 1)) for a in (pads, pads[:, ::-1]))
        inside = bool((pads.sum(1) > np.where(empty, width, left + right)).any())
        before_bos = tokens[np.arange(len(tokens)), np.minimum(left, width - 1)] == self.bos
        padded = left.max() > (2 if inside else 1)
        left = np.where(before_bos | padded, np.maximum(left - (self.bos == self.pad), 0), 0)
        place = np.arange(width)
        valid = (place >= left[:, None]) & (place < (width - np.maximum(right - 1, 0))[:, None])
        valid[empty] = width == 1
        return None if valid.all() else valid


def token_facts(spec: Spec, tokenizer: Any, folder: Path | None) -> TokenFacts:
    """The facts of a model: its tokenizer says them first, then generation_config.json, config.json last.

    tokenizer: None for a model without one. folder: None for a model that was read from none; then spec says them.
    """
    files = [_ids(folder, name, spec.d_vocab) for name in (GENERATION, "config.json")] if folder else [{}, {}]
    generation, config = files
    own: dict[str, int | None] = {}
    special: set[int] = set()
    if tokenizer is not None:
        own = {name: getattr(tokenizer, f"{name}_token_id", None) for name in ("bos", "eos", "pad", "unk")}
        added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        special = {int(i) for i in {*tokenizer.all_special_ids, *added} if i < spec.d_vocab}

    def said(name: str) -> tuple[int, ...]:
        """The ids of a name: the first source that says any."""
        if (id := own.get(name)) is not None and id < spec.d_vocab:
            return (int(id),)
        ours = {"bos": spec.bos, "eos": spec.eos}.get(name)
        return generation.get(name) or config.get(name) or (() if ours is None else (ours,))

    ends = said("eos")
    if tokenizer is not None:  # several tokens may end a text; the tokenizer names but one of them
        more = generation.get("eos") or tuple(i for i in config.get("eos", ()) if not _ordinary(tokenizer, i))
        ends = tuple(dict.fromkeys([*(ends if own.get("eos") is not None or not more else ()), *more]))
        ends = tuple(sorted(ends, key=lambda i: tokenizer.convert_ids_to_tokens(i) != PLAIN_END))
    bos_id = next(iter(said("bos")), None)
    pad = next(iter(said("pad") or ends), None)
    puts, why = _puts(tokenizer, folder, bos_id)
    text = pad is not None and tokenizer is not None and _ordinary(tokenizer, pad)
    unknown = own.get("unk")
    if bos_id is not None and not (tokenizer is not None and _ordinary(tokenizer, bos_id)):
        special.add(bos_id)
    bos = puts if puts is not None and puts < spec.d_vocab else None
    begun = bos is not None and spec.family in BEGUN_BY_BOS
    return TokenFacts(
        bos=bos,
        bos_id=bos_id if bos is None else bos,
        eos=ends,
        pad=pad,
        pad_only=pad is not None and not text and pad not in (bos, bos_id, unknown, *ends),
        special=frozenset(special | {*ends} | {i for i in (bos, *(() if text else (pad,))) if i is not None}),
        separator="bos" if begun else "eos" if ends else "none",
        why_bos=why,
    )


def _puts(tokenizer: Any, folder: Path | None, bos_id: int | None) -> tuple[int | None, str]:
    """The token that rows begin with, None for none, and who says so."""
    if tokenizer is None:
        return bos_id, "config.json names one" if bos_id is not None else "the model has no BOS token"
    path = None if folder is None else folder / TOKENIZER
    asked = read_json(path).get("add_bos_token") if path is not None and path.exists() else None
    if isinstance(asked, bool):
        return bos_id if asked else None, f"{TOKENIZER} has add_bos_token {str(asked).lower()}"
    plain, whole = (
        guarded(tokenizer, partial(tokenizer, "a", add_special_tokens=added))["input_ids"]
        for added in (False, True)
    )
    starts = [i for i in range(len(whole)) if plain and whole[i : i + len(plain)] == plain]
    first = bool(starts and starts[0] > 0) or (
        not plain and whole[:1] == [bos_id]
    )  # one may have no token for "a"
    puts = int(whole[0]) if first else None
    return puts, "the tokenizer puts it" if puts is not None else "the tokenizer puts none"


def _ordinary(tokenizer: Any, id: int) -> bool:
    """Whether an id is a token of ordinary text."""
    return (
        id < len(tokenizer)
        and id not in tokenizer.added_tokens_decoder
        and id not in tokenizer.all_special_ids
    )


def _ids(folder: Path, name: str, d_vocab: int) -> dict[str, tuple[int, ...]]:
    """bos, eos and pad ids that a file of JSON says, of those in the vocabulary; {} where there is no such file."""
    if not (folder / name).exists():
        return {}
    whole = read_json(folder / name)
    inner = whole.get("text_config")
    found = {}
    for key in ("bos", "eos", "pad"):
        value = whole.get(f"{key}_token_id")
        if value is None and isinstance(inner, Mapping):
            value = inner.get(f"{key}_token_id")
        listed = value if isinstance(value, list) else [value]
        found[key] = tuple(i for i in listed if type(i) is int and 0 <= i < d_vocab)
    return found
