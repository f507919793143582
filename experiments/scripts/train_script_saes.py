"""Sparse autoencoders on the neurons of the frequency sweep's models, and the baselines that training has to beat.

On each model that passed the gate (measure_script_models): BatchTopK and ReLU with an L1 penalty brought to the same L0, four
and eight times as wide as the model, in several seeds. Beside them a BatchTopK whose decoder is random and stays so, a
BatchTopK on a model that was never trained, and as many principal components as neurons. The text is the model's own
mixture at its natural frequencies. An autoencoder that is there is kept; one that was interrupted continues.

Command:  python -m experiments train_script_saes --text FOLDER --models FOLDER
Time:     ten minutes for an autoencoder of 2,048 latents on two cores
Expect:   fewer than 10 % dead latents
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

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


def recipes(config: Config, d_in: int) -> dict[str, tuple[SAE, float | None]]:
    """Autoencoders by name, each with the L0 that a controller is to reach, if it has a penalty."""
    result: dict[str, tuple[SAE, float | None]] = {}
    for times in config.times:
        result[f"batchtopk-{times}x"] = (BatchTopK(d_in=d_in, d_sae=times * d_in, k=config.k), None)
        result[f"l1-{times}x"] = (ReLU(d_in=d_in, d_sae=times * d_in, penalty=START), float(config.k))
    return result


def autoencoders(config: Config, folder: Path) -> dict[str, Any]:
    """Train those of one model."""
    assert config.text is not None
    text = config.text
    record = json.loads((folder / "training.json").read_text())["config"]
    lm = LanguageModel.from_hf(folder)
    numbers: dict[str, Any] = {}
    streams: dict[str, Stream] = {}

    def stream(which: str) -> Stream:
        if not streams:
            corpus = prepare(read_sources(text, config.udhr), record["share"], vocab=record["vocab"],
                             ctx=record["n_ctx"]).corpus  # fmt: skip
            tokens = natural_tokens(corpus, config)
            blank = LanguageModel.of(lm.spec, initial(jax.random.key(99), lm.spec))
            streams["trained"] = lm_stream(jax.random.key(1), lm, tokens, HOOK)
            streams["untrained"] = lm_stream(jax.random.key(1), blank, tokens, HOOK)
        return streams[which]

    d_in = lm.spec.d_mlp
    for name, (sae, l0) in recipes(config, d_in).items():
        train(config, folder, name, sae, l0, config.seeds, stream, "trained", numbers)
    widest = BatchTopK(d_in=d_in, d_sae=max(config.times) * d_in, k=config.k)
    train(config, folder, "untrained-model", widest, None, config.seeds[:1], stream, "untrained", numbers)
    return numbers


def train(config: Config, folder: Path, name: str, sae: SAE, l0: float | None, seeds: tuple[int, ...], stream: Any,
          which: str, numbers: dict[str, Any]) -> None:  # fmt: skip
    """One architecture and width, its seeds side by side on one stream."""
    todo = [seed for seed in seeds if not (folder / "saes" / f"{name}-seed{seed}" / "cfg.json").exists()]
    if not todo:
        return
    print(f"{folder.name}: {name}, seeds {todo}", file=sys.stderr, flush=True)
    recipe = SAERun(
        sae, Adam(config.learning_rate), steps=config.steps, batch_size=config.batch_size, l0_target=l0
    )
    for one in fit(recipe, stream(which), {"seed": todo}, directory=folder / f".training-{name}"):
        seed = int(one.settings["seed"])
        about = {"hook_name": HOOK, "model_name": folder.name, "context_size": 128, "prepend_bos": True,
                 "superposition": {"provenance": provenance(), "activations": config.steps * config.batch_size}}  # fmt: skip
        (folder / "saes").mkdir(exist_ok=True)
        formats.save(folder / "saes" / f"{name}-seed{seed}", one.sae, one.params, about)
        numbers[f"{name}-seed{seed}"] = {k: float(v[-1]) for k, v in one.history.items() if v.ndim == 1}
        print(name, seed, json.dumps(numbers[f"{name}-seed{seed}"]), flush=True)


def natural_tokens(corpus: Corpus, config: Config) -> Tokens:
    """Rows of the mixture: enough that none is read twice."""
    count = -(-config.steps * config.batch_size // (corpus.ctx - 1)) + 64
    starts = order(corpus, 1, count, 100, mixture=Mixture(max_epochs=20.0))[0]
    tokens = rows(corpus, starts).astype(np.uint16)
    usable = usable_positions(tokens, frozenset({corpus.tokenizer.eos_token_id}), True)
    return Tokens(tokens, usable, np.zeros(len(tokens), np.int32), ("mixture",))


if __name__ == "__main__":
    script(__name__)
