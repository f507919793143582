"""What a language model has to beat: unigrams and bigrams of the training mixture, on every held-out source."""

from typing import NamedTuple

import numpy as np

from experiments.scripts.shared import ngram
from experiments.scripts.shared.corpus import Corpus
from experiments.scripts.shared.reading_order import rows


class Baselines(NamedTuple):
    """Nats per token over the usable next tokens of every held-out source.

    unigram (add-one), bigram: fitted on the training mixture. own_bigram: fitted on the source's own training
    part alone, so that it knows what it reads; absent for a source held out whole.
    """

    unigram: dict[str, float]
    bigram: dict[str, float]
    own_bigram: dict[str, float]
    smoothing: ngram.Smoothing


def baselines(corpus: Corpus) -> Baselines:
    """What a model that looks at no token, or one token, reaches; smoothing chosen on the end of the training part."""
    vocab = len(corpus.tokenizer)
    parts = [_pairs(corpus, i) for i in range(len(corpus.sources))]
    fit = [ngram.Pairs(*(column[: -_tail(p)] for column in p)) for p in parts]
    check = [ngram.Pairs(*(column[-_tail(p) :] for column in p)) for p in parts]
    smoothing = ngram.tune(fit, check, vocab)
    counts = ngram.count(parts, vocab)
    once = ngram.unigram(counts)
    uni, bi, own = {}, {}, {}
    for source in corpus.held.sources:
        rows_ = corpus.held.of(source)
        held = ngram.pairs(rows_.tokens, rows_.usable)
        uni[source] = ngram.nats(once[held.token])
        bi[source] = ngram.nats(ngram.bigram(counts, held.context, held.token, smoothing))
        if source in corpus.sources:
            i = corpus.sources.index(source)
            chosen = ngram.tune([fit[i]], [check[i]], vocab)
            alone = ngram.count([parts[i]], vocab)
            own[source] = ngram.nats(ngram.bigram(alone, held.context, held.token, chosen))
    return Baselines(uni, bi, own, smoothing)


def _pairs(corpus: Corpus, source: int) -> ngram.Pairs:
    """Pairs in the rows of a source as training sees them, weighted so that all of them weigh 1 on average."""
    length, body = corpus.lengths[source], corpus.ctx - 1
    starts = corpus.starts[source] + np.arange(0, length - body + 1, body)
    tokens = rows(corpus, starts)
    usable = tokens != corpus.tokenizer.eos_token_id
    return ngram.pairs(tokens, usable, corpus.weights[source] * len(corpus.stream) / length)


def _tail(pairs: ngram.Pairs) -> int:
    return max(1, len(pairs.token) // 20)
