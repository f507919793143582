"""Data of the small language model: byte-level BPE, held-out slices, mixing weights, and baselines to beat."""

import fnmatch
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import _ngram
from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.packing import Tokens, flatten, pack_text, tokenize
from superposition.llm.text import read_text

EOS = "<|endoftext|>"
# GPT-2's rule, with marks (\p{M}) kept with their letters: Hebrew points, Arabic harakat, Indic vowel signs.
SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+(?!\S)|\s+"
PIECE = 2000  # characters in a piece the tokenizer is trained on
LEAST_HELD = 8000  # bytes
FEW = 20  # documents or lines too few to part a source between


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


def prepare(
    paths: Sequence[str | Path],
    *,
    vocab: int,
    ctx: int,
    held_out: float = 0.05,
    seed: int = 0,
    mixture: Mixture = Mixture(),
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


def train_tokenizer(
    texts: dict[str, list[str]], weights: np.ndarray, vocab: int, random: np.random.Generator
) -> Any:
    """Byte-level BPE with one special token, id 0, trained on the sources in proportion to their weights."""
    import tokenizers
    import transformers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    bpe.train_from_iterator(_mixed(texts, weights, random), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=EOS, eos_token=EOS, unk_token=EOS, clean_up_tokenization_spaces=False
    )


def save_tokenizer(tokenizer: Any, folder: Path, n_ctx: int) -> None:
    """tokenizer.json and tokenizer_config.json, as AutoTokenizer of transformers 4 and 5 reads them.

    The saved tokenizer puts EOS before a text, as every row that the model is trained on begins with it.
    """
    from tokenizers import Tokenizer, processors

    saved = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    saved.post_processor = processors.TemplateProcessing(
        single=f"{EOS} $A", pair=f"{EOS} $A $B:1", special_tokens=[(EOS, tokenizer.eos_token_id)]
    )
    saved.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{name}_token": EOS for name in ("bos", "eos", "unk")},
        "model_max_length": n_ctx,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def order(corpus: Corpus, steps: int, batch: int, seed: int, *, mixture: Mixture = Mixture()) -> np.ndarray:
    """Where each training row begins in the stream: (steps, batch) int32; see `rows`.

    Every source gets its share of rows, to the row, and is read in epochs of rows one after the other from a
    random place, so that none of its tokens comes more than once an epoch. A function of the arguments alone.
    """
    body, total = corpus.ctx - 1, steps * batch
    epoch = np.array([(n - body) // body + 1 for n in corpus.lengths])
    counts = shares(corpus.weights, total, np.floor(epoch * mixture.max_epochs).astype(int))
    random = np.random.default_rng((seed, 2))
    drawn = [
        _epochs(random, n, body, k) + start
        for n, k, start in zip(corpus.lengths, counts, corpus.starts[:-1], strict=True)
    ]
    return random.permutation(np.concatenate(drawn)).astype(np.int32).reshape(steps, batch)


def rows(corpus: Corpus, starts: np.ndarray) -> np.ndarray:
    """Training rows (..., ctx): EOS, then ctx - 1 tokens of the stream from each start."""
    body = corpus.stream[starts[..., None] + np.arange(corpus.ctx - 1)].astype(np.int32)
    return np.concatenate([np.full((*starts.shape, 1), corpus.tokenizer.eos_token_id, np.int32), body], -1)


def shares(weights: np.ndarray, total: int, most: np.ndarray) -> np.ndarray:
    """Rows of each source: proportional to weights, none above `most`, what that frees going to the others."""
    if most.sum() < total:
        raise ConfigError(
            f"{total} rows are asked for, but max_epochs allows {most.sum()}; train for fewer steps or raise it"
        )
    exact = np.zeros(len(weights))
    full = np.zeros(len(weights), bool)
    while True:
        exact[~full] = weights[~full] / weights[~full].sum() * (total - most[full].sum())
        over = ~full & (exact > most)
        if not over.any():
            break
        full |= over
        exact[full] = most[full]
    counts = np.floor(exact).astype(int)
    rest = np.argsort(counts - exact, kind="stable")[: total - counts.sum()]
    counts[rest] += 1
    return counts


def _epochs(random: np.random.Generator, n: int, body: int, count: int) -> np.ndarray:
    """Starts of `count` rows of `body` out of n tokens."""
    drawn = [np.empty(0, np.int64)]
    while sum(map(len, drawn)) < count:
        phase = random.integers(min(body, n - body + 1))
        drawn.append(random.permutation(np.arange(phase, n - body + 1, body)))
    return np.concatenate(drawn)[:count]


def _mixed(texts: dict[str, list[str]], weights: np.ndarray, random: np.random.Generator) -> Iterator[str]:
    """Pieces of every source in proportion to the weights, about as much text in all as there is."""
    pieces = {
        name: [d[i : i + PIECE] for d in documents for i in range(0, len(d), PIECE)]
        for name, documents in texts.items()
    }
    size = np.array([sum(len(piece.encode()) for piece in held) for held in pieces.values()])
    for held, times in zip(pieces.values(), weights * size.sum() / size, strict=True):
        for piece in held:
            yield from [piece] * int(times + random.random())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Baselines(NamedTuple):
    """Nats per token over the usable next tokens of every held-out source.

    unigram (add-one), bigram: fitted on the training mixture. own_bigram: fitted on the source's own training
    part alone, so that it knows what it reads; absent for a source held out whole.
    """

    unigram: dict[str, float]
    bigram: dict[str, float]
    own_bigram: dict[str, float]
    smoothing: _ngram.Smoothing


def baselines(corpus: Corpus) -> Baselines:
    """What a model that looks at no token, or one token, reaches; smoothing chosen on the end of the training part."""
    vocab = len(corpus.tokenizer)
    parts = [_pairs(corpus, i) for i in range(len(corpus.sources))]
    fit = [_ngram.Pairs(*(column[: -_tail(p)] for column in p)) for p in parts]
    check = [_ngram.Pairs(*(column[-_tail(p) :] for column in p)) for p in parts]
    smoothing = _ngram.tune(fit, check, vocab)
    counts = _ngram.count(parts, vocab)
    once = _ngram.unigram(counts)
    uni, bi, own = {}, {}, {}
    for source in corpus.held.sources:
        rows_ = corpus.held.of(source)
        held = _ngram.pairs(rows_.tokens, rows_.usable)
        uni[source] = _ngram.nats(once[held.token])
        bi[source] = _ngram.nats(_ngram.bigram(counts, held.context, held.token, smoothing))
        if source in corpus.sources:
            i = corpus.sources.index(source)
            chosen = _ngram.tune([fit[i]], [check[i]], vocab)
            alone = _ngram.count([parts[i]], vocab)
            own[source] = _ngram.nats(_ngram.bigram(alone, held.context, held.token, chosen))
    return Baselines(uni, bi, own, smoothing)


def _pairs(corpus: Corpus, source: int) -> _ngram.Pairs:
    """Pairs in the rows of a source as training sees them, weighted so that all of them weigh 1 on average."""
    length, body = corpus.lengths[source], corpus.ctx - 1
    starts = corpus.starts[source] + np.arange(0, length - body + 1, body)
    tokens = rows(corpus, starts)
    usable = tokens != corpus.tokenizer.eos_token_id
    return _ngram.pairs(tokens, usable, corpus.weights[source] * len(corpus.stream) / length)


def _tail(pairs: _ngram.Pairs) -> int:
    return max(1, len(pairs.token) // 20)
