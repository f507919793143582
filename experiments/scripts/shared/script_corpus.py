"""The corpus of one model of the frequency sweep: its tokenizer, its training stream, and what it is measured on."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.language_model.shared.script_labels import SCRIPTS, labels_of, token_lengths
from experiments.scripts.shared.corpus import Corpus
from experiments.scripts.shared.script_mixture import Source, group_shares, hold_out
from experiments.scripts.shared.tokenizer import train_tokenizer
from superposition.errors import ConfigError
from superposition.llm.packing import flatten, pack_text, tokenize


class ScriptCorpus(NamedTuple):
    """A corpus, the group of each of its training sources, and the share of each script in each source's tokens (n_train, 2)."""

    corpus: Corpus
    groups: tuple[str, ...]
    in_script: np.ndarray

    def expected(self) -> dict[str, float]:
        """Share of the training tokens that are of each script."""
        return dict(zip(SCRIPTS, (self.corpus.weights @ self.in_script).tolist(), strict=True))


def prepare(
    sources: Mapping[str, Source], share: float, *, vocab: int, ctx: int, seed: int = 0
) -> ScriptCorpus:
    """Whole documents held out, a tokenizer of the mixture as it is, and weights by which each script is `share` of the tokens.

    Within a group sources weigh as many tokens as they have. The tokenizer sees bytes in the shares that tokens are to
    have, so that a rare script falls to bytes.
    """
    parts = {name: hold_out(source.documents) for name, source in sources.items()}
    train = {name: kept for name, (kept, _) in parts.items()}
    held = {name: out for name, (_, out) in parts.items() if out}
    groups = [sources[name].group for name in train]
    shares = group_shares(set(groups), share)
    size = np.array([sum(len(d.encode()) for d in documents) for documents in train.values()], float)
    tokenizer = train_tokenizer(
        train, _weights(groups, size, shares), vocab, np.random.default_rng((seed, 1))
    )
    if len(tokenizer) < vocab:
        raise ConfigError(
            f"the text gives no more than {len(tokenizer)} tokens; use vocab <= {len(tokenizer)}"
        )
    eos, lengths = tokenizer.eos_token_id, token_lengths(tokenizer)
    flat, in_script = [], []
    for documents in train.values():
        ids: list[Any] = [np.asarray(one) for one in tokenize(tokenizer, documents)]
        flat.append(flatten(ids, vocab=vocab, bos=None, eos=eos))
        scripts = np.concatenate(
            [labels_of(d, i, lengths).script for d, i in zip(documents, ids, strict=True)]
        )
        in_script.append([(scripts == n).mean() for n in range(1, len(SCRIPTS) + 1)])
    counts, in_script_of = np.array([len(tokens) for tokens in flat], float), np.array(in_script)
    weights = _weights(groups, counts, shares)
    for n, script in enumerate(SCRIPTS):  # Latin words and punctuation stand in these sources too
        mine = np.array([group == script for group in groups])
        pure = (weights[mine] @ in_script_of[mine, n]) / weights[mine].sum()
        weights = np.where(mine, weights / pure, weights)
    common = np.array([group in ("english", "code") for group in groups])
    weights[common] *= (1 - weights[~common].sum()) / weights[common].sum()
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    packed = pack_text(tokenizer, held, ctx, bos=eos, eos=eos)
    corpus = Corpus(
        tokenizer, ctx, np.concatenate(flat), starts, tuple(train), weights, packed, _ratio(tokenizer, held)
    )
    return ScriptCorpus(corpus, tuple(groups), in_script_of)


def _weights(groups: list[str], size: np.ndarray, shares: Mapping[str, float]) -> np.ndarray:
    """Weights (n,) of sources: their group's share, in proportion to their sizes."""
    total: dict[str, float] = {}
    for group, one in zip(groups, size, strict=True):
        total[group] = total.get(group, 0.0) + one
    return np.array([shares[group] * one / total[group] for group, one in zip(groups, size, strict=True)])


def _ratio(tokenizer: Any, held: Mapping[str, list[str]]) -> dict[str, float]:
    """Bytes a token, by source."""
    return {
        name: sum(len(d.encode()) for d in documents)
        / sum(len(ids) for ids in tokenize(tokenizer, documents))
        for name, documents in held.items()
    }
