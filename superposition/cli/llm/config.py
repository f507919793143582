"""The settings of `superposition llm train-sae | eval-sae | activations | generate`. Importing this does not import JAX."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from superposition.cli.sae.config import TrainSettings

Flag = Annotated[
    bool, tyro.conf.FlagCreatePairsOff
]  # --bos and --no-bos are two flags: neither is the default


@dataclass(frozen=True)
class ModelConfig:
    """Which language model."""

    model: str = "superposition/small-lm"
    """Folder (config.json, safetensors, tokenizer), name on the Hugging Face hub, or the model that ships."""
    dtype: str = "float32"
    """float32 or bfloat16."""
    bos: Flag = False
    """Begin rows and prompts with BOS. Default: where the model's tokenizer puts it."""
    no_bos: Flag = False
    """Begin rows and prompts without BOS."""
    special_tokens: Flag = False
    """Read the spelling of a special token (</s>, <|endoftext|>) as that token. Default: it is text."""


@dataclass(frozen=True)
class TextConfig(ModelConfig):
    """Which text: at most one of text, dataset, tokens; by default demonstrations made on this machine."""

    text: tuple[Path, ...] = ()
    """Files and folders of UTF-8 text, .json and .jsonl; a source is a file."""
    dataset: str | None = None
    """Hugging Face dataset (a name, or a folder), read as a stream up to max_tokens."""
    split: str = "train"
    """With dataset: which split."""
    column: str = "text"
    """With dataset: which column holds the text."""
    config: str | None = None
    """With dataset: which of its configurations."""
    tokens: Path | None = None
    """File of token ids (rows, positions), .npy or .npz."""
    ctx: int | None = None
    """Tokens a row. Default: those that the SAE was trained on, else the model's positions, at most 128."""
    max_tokens: int | None = None
    """How much to read: of files a random part of the rows, else the first ones. Default: all there is."""
    sequence_separator: str | None = None
    """What stands between documents: bos, eos or none. Default: as the tokenizer's family was trained, else eos."""
    keep_bos: Flag = False
    """Also BOS, EOS and first positions, whose activations are outliers; padding never."""
    no_keep_bos: Flag = False
    """Without them, as by default; also for an SAE that was trained on them."""
    data_seed: int = 0
    """Seed of the order, and of the demonstration text."""


@dataclass(frozen=True)
class LMDataConfig(TextConfig):
    """Where activations of a language model come from: text, or a cache that `llm activations` wrote."""

    hook: str | None = None
    """Hook point, for example blocks.0.hook_resid_post. Default: mlp.hook_post of a model of one layer."""
    target_hook: str | None = None
    """Hook point to predict, for a transcoder."""
    cache: Path | None = None
    """Directory that `llm activations` wrote, in place of a model and text."""
    mixing: int = 16
    """Batches in the buffer that mixes tokens of different texts; 0 for none."""


@dataclass(frozen=True)
class LMTrainConfig(TrainSettings, LMDataConfig):
    """Train sparse autoencoders on a language model, a whole grid side by side on one stream of activations.

    Several values of a number make an axis of the grid; seed always is one.
    """


@dataclass(frozen=True)
class LMEvalConfig(TextConfig):
    """Measure what a language model loses when it runs on the reconstruction of an SAE, whole and by source."""

    saes: tyro.conf.Positional[tuple[Path, ...]] = ()
    """SAE directories, or the directory of a run for all of it."""
    hook: str | None = None
    """Hook point. Default: the one in the SAE's metadata."""
    json: Path | None = None
    """File for the numbers."""
    overwrite: bool = False
    """Replace that file."""
    allow_pt: bool = False
    """Read PyTorch checkpoints (tensors only; nothing in them runs)."""


@dataclass(frozen=True)
class ActivationsConfig(TextConfig):
    """Write activations at any hook points to a cache, all of them in one pass over the text."""

    hook: tuple[str, ...] = ()
    """Hook points. Default: mlp.hook_post of a model of one layer."""
    out: Path | None = None
    """Directory to write, for example runs/activations. Required."""
    resume: bool = False
    """Continue the cache in `out`."""


@dataclass(frozen=True)
class GenerateConfig(ModelConfig):
    """Continue texts."""

    prompt: tuple[str, ...] = ("",)
    """Beginnings; each is continued on its own."""
    n: int = 40
    """Tokens to add, fewer where the model ends its text before."""
    temperature: float = 0.8
    """0 always takes the likeliest token; 1 draws as the model says."""
    top_p: float = 1.0
    """Draw from the least set of tokens that holds this much probability."""
    seed: int = 0
    """Seed of the draws."""
