"""The frequency sweep: one-layer language models in whose text Arabic and Hebrew script are common, uncommon, or rare.

Trains one model a share and seed on the same text, only the share of the two scripts' tokens differing; English and code
give way. Each has a tokenizer of its own mixture, so that a rare script falls to bytes, and whole documents are held out.
Only text whose licence lets weights be shared is read. A run that was interrupted continues; a model that is done is kept.

Command:  python -m experiments train_script_models --text FOLDER --out FOLDER
Time:     two hours on two cores
Expect:   a loss on held-out Arabic and Hebrew that rises as their share falls, and one on English that hardly moves
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from experiments.lab.run import script
from experiments.lab.settings import Count, Index, Positive, Real
from experiments.scripts.shared.corpus import Mixture
from experiments.scripts.shared.pretraining import pretrained, spec_of
from experiments.scripts.shared.reading_order import order
from experiments.scripts.shared.script_corpus import ScriptCorpus, prepare
from experiments.scripts.shared.script_mixture import read_sources
from experiments.scripts.shared.tokenizer import save_tokenizer
from experiments.scripts.train_small_lm import evaluate
from superposition.errors import ConfigError
from superposition.llm.export import save_gpt2
from superposition.llm.pretrain import Pretraining
from superposition.llm.sums import seal
from superposition.storage.provenance import provenance

Share = Annotated[float, Real(0.0, 0.4, open_low=True)]


@dataclass(frozen=True)
class Config:
    """Data, size and training of the models."""

    text: Path | None = None
    """Folder with english/, code/, rare/, latin/ and formats/, whose files are packed with xz. Required."""
    udhr: Path | None = None
    """Folder of translations of the UDHR, for languages of which there is no other text."""
    out: Path | None = None
    """Folder in which each model gets one of its own. Required."""
    shares: tuple[Share, ...] = (0.003, 0.0013, 0.2, 0.05, 0.01)
    """Shares of the tokens that are of Arabic script, and as many of Hebrew script."""
    seeds: tuple[Index, ...] = (0,)
    vocab: Count = 2048
    d_model: Count = 128
    n_heads: Count = 4
    d_mlp: Count = 256
    n_ctx: Count = 128
    steps: Count = 3000
    batch_size: Count = 32
    learning_rate: Positive = 4e-3


def run(config: Config) -> dict[str, Any]:
    """Train every model that is not there yet; returns the losses by model and source."""
    if config.text is None or config.out is None:
        raise ConfigError(
            "give --text, the folder of text to train on, and --out, the folder to write models to"
        )
    sources = read_sources(config.text, config.udhr)
    result = {}
    for share in config.shares:
        corpus = None
        for seed in config.seeds:
            folder = config.out / name(share, seed, config.steps)
            if not (folder / "training.json").exists():
                corpus = corpus or prepare(sources, share, vocab=config.vocab, ctx=config.n_ctx)
                train(config, share, seed, corpus, folder)
            result[folder.name] = json.loads((folder / "training.json").read_text())["loss"]
    return result


def name(share: float, seed: int, steps: int) -> str:
    """The folder of one model."""
    return f"share{100 * share:g}-seed{seed}-steps{steps}"


def train(config: Config, share: float, seed: int, scripts: ScriptCorpus, folder: Path) -> None:
    """Train one model and write its folder, training.json last."""
    corpus = scripts.corpus
    bos = corpus.tokenizer.eos_token_id
    program = Pretraining(spec_of(config, bos), config.steps, config.learning_rate)
    starts = order(corpus, config.steps, config.batch_size, seed, mixture=Mixture(max_epochs=20.0))
    work = folder.with_name(f"{folder.name}.training")
    state = pretrained(program, corpus, starts, seed, work)
    loss = evaluate(program.spec, state.params, corpus)
    folder.mkdir(parents=True, exist_ok=True)
    save_gpt2(folder, program.spec, state.params)
    save_tokenizer(corpus.tokenizer, folder, config.n_ctx)
    seal(folder)
    settings = {
        k: v for k, v in asdict(config).items() if k not in ("text", "udhr", "out", "shares", "seeds")
    }
    counts = _rows_by_source(starts, corpus.starts)
    record = {"config": {"share": share, "seed": seed, **settings}, "date": datetime.now(UTC).date().isoformat(),
              "tokens": starts.size * config.n_ctx, "loss": loss, "bytes_per_token": corpus.bytes_per_token,
              "script_share": dict(zip(scripts.expected(), (counts @ scripts.in_script / counts.sum()).tolist(), strict=True)),
              "group": dict(zip(corpus.sources, scripts.groups, strict=True)),
              "train_tokens": dict(zip(corpus.sources, corpus.lengths.tolist(), strict=True)),
              "rows_read": dict(zip(corpus.sources, counts.tolist(), strict=True)),
              "history": np.asarray(state.history, float).round(4).tolist(), "provenance": provenance()}  # fmt: skip
    (folder / "training.json").write_text(json.dumps(record, indent=1, default=str) + "\n")


def _rows_by_source(starts: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """How many rows of each source were read (n_train,)."""
    return np.bincount(
        np.searchsorted(begins, starts.reshape(-1), side="right") - 1, minlength=len(begins) - 1
    )


if __name__ == "__main__":
    script(__name__)
