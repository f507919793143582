"""The small language model that ships: one layer, 512 neurons, many scripts (in the manner of Bricken et al. 2023).

Trains from nothing a byte-level BPE and a GPT-2-format model with ReLU neurons on the text files given, with a
held-out slice of every source (UDHR wholly held out), and writes an ordinary Hugging Face directory with a model
card: loss per source against a unigram and a bigram fitted on the same mixture, and a bigram of the source alone.

Command:  python -m experiments train_small_lm --text FOLDER --out superposition/llm/small_lm/seed0
Time:     half an hour on one core
Expect:   below the bigram of the mixture on every source it was trained on
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.run import script
from experiments.lab.settings import Count, Index, NotNegative, Number, Positive
from experiments.scripts.shared.baselines import Baselines, baselines
from experiments.scripts.shared.corpus import Corpus, Mixture, prepare
from experiments.scripts.shared.pretraining import pretrained, spec_of
from experiments.scripts.shared.reading_order import order
from experiments.scripts.shared.tokenizer import save_tokenizer
from superposition.errors import ConfigError
from superposition.llm.export import save_gpt2
from superposition.llm.pretrain import Pretraining, losses
from superposition.llm.spec import Spec
from superposition.llm.sums import seal
from superposition.storage.provenance import provenance


@dataclass(frozen=True)
class Config:
    """Data, size and training of the model."""

    text: tuple[Path, ...] = ()
    """Files or folders of text. Required."""
    out: Path | None = None
    """Directory to write. Required; a run that was interrupted continues there."""
    vocab: Count = 3072
    d_model: Count = 128
    n_heads: Count = 4
    d_mlp: Count = 512
    n_ctx: Count = 128
    steps: Count = 4000
    batch_size: Count = 32
    learning_rate: Positive = 4e-3
    seed: Index = 0
    held_out: Number = 0.05
    alpha: NotNegative = 0.6
    """Sources are mixed in proportion to bytes^alpha."""
    licences: Path | None = None
    """File whose text goes into the card as what is known of the data."""


def run(config: Config) -> dict[str, Any]:
    """Train, evaluate, write; returns the losses by source."""
    if not config.text or config.out is None:
        raise ConfigError("give --text, files or folders to train on, and --out, the directory to write")
    mixture = Mixture(config.alpha)
    # The tokenizer and the held-out slices do not depend on the seed, so that models can be compared.
    corpus = prepare(config.text, vocab=config.vocab, ctx=config.n_ctx, held_out=config.held_out,
                     mixture=mixture)  # fmt: skip
    bos = corpus.tokenizer.eos_token_id
    program = Pretraining(spec_of(config, bos), config.steps, config.learning_rate)
    starts = order(corpus, config.steps, config.batch_size, config.seed, mixture=mixture)
    work = config.out.with_name(f"{config.out.name}.training")
    state = pretrained(program, corpus, starts, config.seed, work)
    measured = evaluate(program.spec, state.params, corpus)
    floor = baselines(corpus)
    save_gpt2(config.out, program.spec, state.params)
    save_tokenizer(corpus.tokenizer, config.out, config.n_ctx)
    seal(config.out)
    record = {"config": {k: v for k, v in asdict(config).items() if k not in ("text", "out", "licences")},
              "date": datetime.now(UTC).date().isoformat(), "tokens": config.steps * starts.shape[1] * config.n_ctx,
              "loss": measured, "unigram": floor.unigram, "bigram": floor.bigram, "own_bigram": floor.own_bigram,
              "bytes_per_token": corpus.bytes_per_token, "history": np.asarray(state.history, float).round(4).tolist(),
              "train_tokens": dict(zip(corpus.sources, corpus.lengths.tolist(), strict=True)),
              "weights": dict(zip(corpus.sources, corpus.weights.round(4).tolist(), strict=True)),
              "provenance": provenance()}  # fmt: skip
    (config.out / "training.json").write_text(json.dumps(record, indent=1, default=str) + "\n")
    notes = "" if config.licences is None else config.licences.read_text()
    (config.out / "README.md").write_text(card(config, corpus, measured, floor, notes))
    for source, loss in measured.items():
        print(f"{source:50} {loss:.3f}  bigram {floor.bigram[source]:.3f}")
    return record


def evaluate(spec: Spec, params: Any, corpus: Corpus, batch: int = 64) -> dict[str, float]:
    """Nats per token over the usable next tokens of every held-out source."""
    step = jax.jit(losses, static_argnums=0)
    result = {}
    for source in corpus.held.sources:
        rows = corpus.held.of(source)
        total, count = 0.0, 0
        for start in range(0, len(rows.tokens), batch):
            tokens = rows.tokens[start : start + batch]
            padded = np.pad(tokens, ((0, batch - len(tokens)), (0, 0)))
            loss = np.asarray(step(spec, params, jnp.asarray(padded, jnp.int32)), np.float64)[: len(tokens)]
            keep = rows.usable[start : start + batch, 1:]
            total, count = total + float(loss[keep].sum()), count + int(keep.sum())
        result[source] = total / max(count, 1)
    return result


def card(config: Config, corpus: Corpus, loss: dict[str, float], floor: Baselines, notes: str) -> str:
    """The model card."""
    trained = [s for s in loss if s in corpus.sources]
    other = [s for s in loss if s not in corpus.sources]
    weight = dict(zip(corpus.sources, corpus.weights, strict=True))
    rows = "".join(
        f"| {s} | {100 * weight[s]:.1f} % | {loss[s]:.3f} | {floor.bigram[s]:.3f} | {floor.own_bigram[s]:.3f} "
        f"| {floor.unigram[s]:.3f} | {loss[s] / corpus.bytes_per_token[s] / np.log(2):.3f} |\n"
        for s in trained
    )
    unseen = "".join(
        f"| {s} | {loss[s]:.3f} | {floor.bigram[s]:.3f} | {floor.unigram[s]:.3f} |\n" for s in other
    )
    tokens = config.steps * config.batch_size * config.n_ctx
    return f"""---
library_name: superposition
pipeline_tag: text-generation
---
# A one-layer language model in many scripts

GPT-2 format: 1 layer, {config.d_model} dimensions, {config.n_heads} heads, {config.d_mlp} ReLU neurons,
{config.vocab} byte-level BPE tokens, context {config.n_ctx}; {sum(np.prod(s) for s in _shapes(config)):,} float32
parameters. Made to be looked into, in the manner of *Towards Monosemanticity* (Bricken et al. 2023): a model small
enough to train sparse autoencoders on in minutes, whose neurons share many scripts and formats. It is of no use as
a source of text or facts.

Trained from nothing, seed {config.seed}, {datetime.now(UTC).date().isoformat()}, on {tokens / 1e6:.1f} million
tokens: {config.steps} steps of {config.batch_size} rows, AdamW, peak rate {config.learning_rate}. Sources are mixed
in proportion to bytes^{config.alpha}. Every row begins with `<|endoftext|>`, which also ends every document.
Made by `python -m experiments train_small_lm`; all settings and losses are in training.json.

## Loss on held-out text

The last {100 * config.held_out:.0f} % of every source, in nats per token. Bigram: interpolated, smoothing tuned, of
the same training mixture; own bigram: of that source alone, so that it knows what it reads.

| source | weight | model | bigram | own bigram | unigram | bits per byte |
|---|---|---|---|---|---|---|
{rows}
Sources that were wholly held out, most of them in languages and scripts the model has never seen:

| source | model | bigram | unigram |
|---|---|---|---|
{unseen}
## Data

{notes}"""


def _shapes(config: Config) -> list[tuple[int, ...]]:
    from superposition.llm.decoder import shapes

    return list(shapes(spec_of(config, 0)).values())


if __name__ == "__main__":
    script(__name__)
