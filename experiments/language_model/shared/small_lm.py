"""What the experiments on the small language model share: the model, and text by script and format."""

import fnmatch
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from superposition.errors import ConfigError
from superposition.llm import SMALL_LM, LanguageModel
from superposition.llm.demo import demo_text
from superposition.llm.packing import Tokens, flatten, pack_text, tokenize
from superposition.llm.sampled import sampled_tokens
from superposition.llm.text import read_text

LEAST_HELD = 8000  # bytes
FEW = 20  # documents or lines too few to part a source between
HOOK = "blocks.0.mlp.hook_post"
# What the model was trained on, by name; the first pattern that a source's name matches is its kind.
KINDS = {
    "arabic": "arabic*", "hebrew": "hebrew*", "cherokee": "*cherokee_nt*", "chinese": "*chinese_cuv*",
    "english": "english*", "c": "code/c_*", "python": "*python*", "javascript": "*javascript*", "dna": "dna*",
    "base64 of text": "*base64*ascii*", "base64 of floats": "*base64*binary*", "base64 of noise": "*base64*random*",
    "hex": "*hex*",
}  # fmt: skip
DEMO = {
    "arabic": "arabic", "hebrew": "hebrew", "cherokee": "cherokee", "chinese": "chinese", "english": "english",
    "python": "python", "c": "c", "dna": "dna", "base64 of text": "base64_ascii",
    "base64 of floats": "base64_binary", "base64 of noise": "base64_random", "hex": "hex",
}  # fmt: skip


@cache
def small_lm(name: str = SMALL_LM) -> LanguageModel:
    """The model that ships (or its second seed), one for all experiments of a process."""
    return LanguageModel.from_hf(name)


class Material(NamedTuple):
    """Rows to train SAEs on, and others to measure on; sources are kinds, scripts first."""

    train: Tokens
    test: Tokens


def material(
    lm: LanguageModel, text: tuple[Path, ...] = (), *, rows: int = 400, test_rows: int = 60, seed: int = 0
) -> Material:
    """Text of every kind: of the files given, or sampled from the model after our own demonstration text.

    Of files, the test rows are the slices that the model itself has not seen (`split_off`), and
    rows and test_rows do not count.
    """
    tokenizer, spec = lm.tokenizer, lm.spec
    if text:
        parts: list[dict[str, list[str]]] = [{}, {}]
        for name, documents in read_text(text).items():
            kind = next((k for k, p in KINDS.items() if fnmatch.fnmatchcase(name, p)), None)
            for part, own in zip(parts, split_off(documents, 0.05), strict=True):
                if kind is not None:
                    part.setdefault(kind, []).extend(own)
        if not parts[0]:
            raise ConfigError(f"no file's name tells its kind; known are {', '.join(KINDS.values())}")
        ordered = [{k: part[k] for k in KINDS if k in part} for part in parts]
        packed = [pack_text(tokenizer, p, spec.n_ctx, bos=spec.bos, eos=spec.eos) for p in ordered]
        return Material(*packed)
    return Material(*(_sampled(lm, part, n, seed) for part, n in enumerate((rows, test_rows))))


@lru_cache(maxsize=4)
def _sampled(lm: LanguageModel, part: int, rows: int, seed: int) -> Tokens:
    demo = demo_text(seed)
    prompts = {
        kind: flatten(tokenize(lm.tokenizer, demo[name]), vocab=lm.spec.d_vocab, bos=None, eos=None)
        for kind, name in DEMO.items()
        if name in demo
    }
    return sampled_tokens(jax.random.fold_in(jax.random.key(seed), part), lm, prompts, rows)


def labels(tokens: Tokens) -> np.ndarray:
    """(usable tokens, kinds): which kind of text each usable token is of, in the order of tokens[usable]."""
    rows = np.broadcast_to(tokens.source[:, None], tokens.tokens.shape)[tokens.usable]
    return rows[:, None] == np.arange(len(tokens.sources))


def split_off(documents: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """The documents without, and with only, the last part: documents where there are 20, else lines, else characters.

    About `fraction`, and more where that is under 8 kB, up to a tenth. Counted in lines, not bytes, so that
    two forms of one text (pointed and plain) part at the same place.
    """
    size = sum(len(document.encode()) for document in documents)
    fraction = max(fraction, min(0.1, LEAST_HELD / size))
    lines = [document.splitlines(keepends=True) for document in documents]
    units: list[Sequence[str]]
    if len(documents) >= FEW:
        units = [[document] for document in documents]
    else:
        units = [*lines] if sum(map(len, lines)) >= FEW else [*documents]
    total = sum(map(len, units))
    left = total - max(1, round(fraction * total))
    kept, held = [], []
    for unit in units:
        kept.append("".join(unit[:left]))
        held.append("".join(unit[left:]))
        left = max(0, left - len(unit))
    return [text for text in kept if text], [text for text in held if text]
