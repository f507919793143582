"""The settings of `superposition llm train-sae | eval-sae | activations | generate`. Importing this does not import JAX."""

from pathlib import Path

import tyro

from superposition.cli.sae.config import TrainSettings
from superposition.cli.settings import (
    CachePath,
    Numbers,
    ReadsSAEs,
    Resumable,
    SAEPath,
    changed,
    choose,
    group,
)
from superposition.errors import ConfigError


@group("Model")
class ModelConfig:
    """Which language model."""

    model: str = "superposition/small-lm"
    """Folder (config.json, safetensors, tokenizer), name on the Hugging Face hub, or the model that ships."""
    dtype: str = "float32"
    """float32 or bfloat16."""
    bos: bool | None = None
    """Begin rows and prompts with BOS, or without. Default: where the model's tokenizer puts it."""
    special_tokens: bool = False
    """Read the spelling of a special token (</s>, <|endoftext|>) as that token. Default: it is text."""


@group("Text")
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
    keep_bos: bool | None = None
    """Also BOS, EOS and first positions, whose activations are outliers; padding never. Default: without them, but for an
    SAE that was trained on them."""
    data_seed: int = 0
    """Seed of the order, and of the demonstration text."""

    def check(self) -> None:
        """ConfigError for settings of text that contradict each other, before a model is read."""
        sources = [name for name in ("text", "dataset", "tokens") if getattr(self, name) not in (None, ())]
        if len(sources) > 1:
            raise ConfigError(f"give one of --text, --dataset, --tokens; got {' and '.join(sources)}")
        plain = TextConfig()
        if self.dataset is None and (wrong := changed(self, ("split", "column", "config"), plain)):
            raise ConfigError(f"{wrong[0]} goes with --dataset; leave it out")
        if self.tokens is not None and self.ctx is not None:
            raise ConfigError("--tokens has rows of its own length; leave --ctx out")
        if self.dataset is not None and self.max_tokens is None:
            raise ConfigError("--dataset needs --max-tokens, how much of it to read; for example 2000000")
        if self.sequence_separator is not None:
            choose("sequence_separator", self.sequence_separator, ("bos", "eos", "none"))
        of_prompts = () if hasattr(self, "prompt") else ("special_tokens", "bos")
        if self.tokens is not None and (wrong := changed(self, ("sequence_separator", *of_prompts), plain)):
            raise ConfigError(f"--tokens has rows that are put together already; leave {wrong[0]} out")


@group("Activations")
class LMDataConfig(TextConfig):
    """Where activations of a language model come from: text, or a cache that `llm activations` wrote."""

    hook: str | None = None
    """Hook point, for example blocks.0.hook_resid_post. Default: mlp.hook_post of a model of one layer."""
    target_hook: str | None = None
    """Hook point to predict, for a transcoder."""
    cache: CachePath | None = None
    """Directory that `llm activations` wrote, in place of a model and text."""
    mixing: int = 16
    """Batches in the buffer that mixes tokens of different texts; 0 for none."""


@group("Activations")
class LMTrainConfig(TrainSettings, LMDataConfig):
    """Train sparse autoencoders on a language model, a whole grid side by side on one stream of activations.

    Several values of a number make an axis of the grid; seed always is one.

    $ superposition llm train-sae --hook mlp.hook_post --k 16 --d-sae 512 --steps 100 --out runs/lm
    $ superposition llm train-sae --cache runs/activations --k 16 --d-sae 512 --steps 100 --out runs/cached
    """


@group("SAE")
class LMEvalConfig(Numbers, ReadsSAEs, TextConfig):
    """Measure what a language model loses when it runs on the reconstruction of an SAE, whole and by source.

    $ superposition llm eval-sae runs/lm --max-tokens 20000
    """

    saes: tyro.conf.Positional[tuple[SAEPath, ...]] = ()
    """SAE directories, or the directory of a run for all of it."""
    hook: str | None = None
    """Hook point. Default: the one in the SAE's metadata."""


@group("Activations")
class ActivationsConfig(Resumable, TextConfig):
    """Write activations at any hook points to a cache, all of them in one pass over the text.

    $ superposition llm activations --hook mlp.hook_post --max-tokens 50000 --out runs/activations
    """

    hook: tuple[str, ...] = ()
    """Hook points. Default: mlp.hook_post of a model of one layer."""


@group("Text")
class GenerateConfig(ModelConfig):
    """Continue texts.

    $ superposition llm generate --prompt "The king" "Once upon a time" --seed 0 1
    """

    prompt: tuple[str, ...] = ("",)
    """Beginnings; each is continued on its own."""
    n: int = 40
    """Tokens to add, fewer where the model ends its text before."""
    temperature: float = 0.8
    """0 always takes the likeliest token; 1 draws as the model says."""
    top_p: float = 1.0
    """Draw from the least set of tokens that holds this much probability."""
    seed: tuple[int, ...] = (0,)
    """Seeds of the draws; every prompt is continued once with each."""

    def check(self) -> None:
        """ConfigError for no prompt at all."""
        if not self.prompt:
            raise ConfigError("--prompt takes at least one text; '' begins with nothing")
