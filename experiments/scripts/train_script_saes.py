"""Sparse autoencoders on the neurons of the frequency sweep's models, and the baselines that training has to beat.

On each model that passed the gate (measure_script_models): BatchTopK and ReLU with an L1 penalty brought to the same L0, four
and eight times as wide as the model, in several seeds. Beside them a BatchTopK whose decoder is random and stays so, a
BatchTopK on a model that was never trained. The text is the model's own
mixture at its natural frequencies. An autoencoder that is there is kept; one that was interrupted continues.

Command:  python -m experiments train_script_saes --text FOLDER --models FOLDER
Time:     ten minutes for an autoencoder of 2,048 latents on two cores
Expect:   fewer than 10 % dead latents
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.lab.run import script
from experiments.lab.settings import Count, Index, Positive
from experiments.scripts.shared.corpus import Corpus, Mixture
from experiments.scripts.shared.reading_order import order, rows
from experiments.scripts.shared.script_corpus import prepare
from experiments.scripts.shared.script_mixture import read_sources
from superposition.activations import Stream
from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.pretrain import initial
from superposition.llm.stream import lm_stream
from superposition.llm.tokens import usable_positions
from superposition.sae import SAE, BatchTopK, ReLU
from superposition.storage import formats
from superposition.storage.provenance import provenance
from superposition.training import SAERun, fit
from superposition.training.optimizer import Adam

HOOK = "blocks.0.mlp.hook_post"
START = 1.0  # penalty that the controller begins with


@dataclass(frozen=True)
class Config:
    """Models, and what to train on each."""

    text: Path | None = None
    """Folder of the text that the models were trained on. Required."""
    udhr: Path | None = None
    models: Path | None = None
    """Folder of the models. Required."""
    only: tuple[str, ...] = ()
    """Names of models. Default: all that passed the gate for both scripts."""
    times: tuple[Count, ...] = (4, 8)
    """Widths in multiples of the number of neurons."""
    seeds: tuple[Index, ...] = (0, 1, 2)
    k: Count = 16
    steps: Count = 5000
    batch_size: Count = 2048
    learning_rate: Positive = 2e-3


def run(config: Config) -> dict[str, Any]:
    """Train what is not there yet; returns the numbers of every autoencoder by model."""
    if config.text is None or config.models is None:
        raise ConfigError(
            "give --text, the text the models were trained on, and --models, the folder of the models"
        )
    result = {}
    for folder in sorted(config.models.glob("share*")):
        if (folder / "measured.json").exists() and (
            folder.name in config.only if config.only else passed(folder)
        ):
            result[folder.name] = autoencoders(config, folder)
    return result


def passed(folder: Path) -> bool:
    """Whether a model passed the gate for every script."""
    return all(g["passes"] for g in json.loads((folder / "measured.json").read_text())["gate"].values())


class Wanted(NamedTuple):
    """What to train: its name, the architecture, the L0 that a controller is to reach, seeds, and on which model's stream."""

    name: str
    sae: SAE
    l0: float | None
    seeds: tuple[int, ...]
    on: str = "trained"
    frozen: bool = False


def wanted(config: Config, d_in: int) -> list[Wanted]:
    """The autoencoders of one model, and the baselines that are trained too."""
    result = []
    for times in config.times:
        width = times * d_in
        result.append(Wanted(f"batchtopk-{times}x", BatchTopK(d_in, width, k=config.k), None, config.seeds))
        l1 = ReLU(d_in, width, penalty=START)
        result.append(Wanted(f"l1-{times}x", l1, float(config.k), config.seeds))
    widest = BatchTopK(d_in, max(config.times) * d_in, k=config.k)
    return [
        *result,
        Wanted("untrained-model", widest, None, config.seeds[:1], on="untrained"),
        Wanted("frozen-decoder", widest, None, config.seeds[:1], frozen=True),
    ]


def autoencoders(config: Config, folder: Path) -> dict[str, Any]:
    """Train those of one model."""
    assert config.text is not None
    record = json.loads((folder / "training.json").read_text())["config"]
    lm = LanguageModel.from_hf(folder)
    every = wanted(config, lm.spec.d_mlp)
    if all(
        (folder / "saes" / f"{one.name}-seed{seed}" / "cfg.json").exists()
        for one in every
        for seed in one.seeds
    ):
        return {}
    sources = read_sources(config.text, config.udhr)
    corpus = prepare(sources, record["share"], vocab=record["vocab"], ctx=record["n_ctx"]).corpus
    tokens = natural_tokens(corpus, config)
    blank = LanguageModel.of(lm.spec, initial(jax.random.key(99), lm.spec))
    streams = {name: lm_stream(jax.random.key(1), model, tokens, HOOK)
               for name, model in (("trained", lm), ("untrained", blank))}  # fmt: skip
    numbers: dict[str, Any] = {}
    for one in every:
        numbers |= train(config, folder, one, streams[one.on])
    return numbers


def train(config: Config, folder: Path, one: Wanted, stream: Stream) -> dict[str, Any]:
    """One architecture and width, its seeds side by side on one stream; the last logged numbers by name."""
    todo = [
        seed for seed in one.seeds if not (folder / "saes" / f"{one.name}-seed{seed}" / "cfg.json").exists()
    ]
    if not todo:
        return {}
    print(f"{folder.name}: {one.name}, seeds {todo}", file=sys.stderr, flush=True)
    optimizer = frozen(config.learning_rate) if one.frozen else Adam(config.learning_rate)
    recipe = SAERun(one.sae, optimizer, steps=config.steps, batch_size=config.batch_size, l0_target=one.l0)
    numbers = {}
    (folder / "saes").mkdir(exist_ok=True)
    for trained in fit(recipe, stream, {"seed": todo}, directory=folder / f".training-{one.name}"):
        name = f"{one.name}-seed{int(trained.settings['seed'])}"
        about = {"hook_name": HOOK, "model_name": folder.name, "context_size": 128, "prepend_bos": True,
                 "superposition": {"provenance": provenance(), "activations": config.steps * config.batch_size}}  # fmt: skip
        formats.save(folder / "saes" / name, trained.sae, trained.params, about)
        numbers[name] = {k: float(v[-1]) for k, v in trained.history.items() if v.ndim == 1}
        print(name, json.dumps(numbers[name]), flush=True)
    return numbers


def frozen(learning_rate: float) -> optax.GradientTransformation:
    """Adam for all but the decoder, which stays as it was drawn."""
    parts = {"trained": optax.adam(learning_rate), "frozen": optax.set_to_zero()}
    return optax.multi_transform(
        parts, lambda params: {k: "frozen" if k == "W_dec" else "trained" for k in params}
    )


def natural_tokens(corpus: Corpus, config: Config) -> Tokens:
    """Rows of the mixture: enough that none is read twice."""
    count = -(-config.steps * config.batch_size // (corpus.ctx - 1)) + 64
    starts = order(corpus, 1, count, 100, mixture=Mixture(max_epochs=20.0))[0]
    tokens = rows(corpus, starts).astype(np.uint16)
    usable = usable_positions(tokens, frozenset({corpus.tokenizer.eos_token_id}), True)
    return Tokens(tokens, usable, np.zeros(len(tokens), np.int32), ("mixture",))


if __name__ == "__main__":
    script(__name__)
