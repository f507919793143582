"""The settings of `superposition llm train-sae | eval-sae | activations | generate`. Importing this does not import JAX."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from superposition.cli.sae.config import TrainSettings
from superposition.cli.settings import Numbers, ReadsSAEs, Resumable, choose, distinct, expect
from superposition.errors import ConfigError

Flag = Annotated[
    bool, tyro.conf.FlagCreatePairsOff
]  # --bos and --no-bos are two flags: neither is the default


@dataclass(frozen=True)
class ModelConfig:
    """Which language model."""

    GROUP: ClassVar[str] = "Model"

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

    def check(self) -> None:
        """ConfigError for both of --bos and --no-bos."""
        if self.bos and self.no_bos:
            raise ConfigError("--bos and --no-bos contradict each other; give one of them")


@dataclass(frozen=True)
class TextConfig(ModelConfig):
    """Which text: at most one of text, dataset, tokens; by default demonstrations made on this machine."""

    GROUP: ClassVar[str] = "Text"

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

    def check(self) -> None:
        """ConfigError for settings of text that contradict each other, before a model is read."""
        sources = [name for name in ("text", "dataset", "tokens") if getattr(self, name) not in (None, ())]
        if len(sources) > 1:
            raise ConfigError(f"give one of --text, --dataset, --tokens; got {' and '.join(sources)}")
        wrong = [n for n in ("split", "column", "config") if getattr(self, n) != getattr(TextConfig(), n)]
        if wrong and self.dataset is None:
            raise ConfigError(f"--{wrong[0]} goes with --dataset; leave it out")
        if self.tokens is not None and self.ctx is not None:
            raise ConfigError("--tokens has rows of its own length; leave --ctx out")
        if self.dataset is not None and self.max_tokens is None:
            raise ConfigError("--dataset needs --max-tokens, how much of it to read; for example 2000000")
        if self.sequence_separator is not None:
            choose("sequence_separator", self.sequence_separator, ("bos", "eos", "none"))
        if self.tokens is not None:
            for name in ("sequence_separator", "special_tokens", "bos", "no_bos"):
                if getattr(self, name) and not (name != "sequence_separator" and hasattr(self, "prompt")):
                    flag = name.replace("_", "-")
                    raise ConfigError(f"--tokens has rows that are put together already; leave --{flag} out")
        if self.keep_bos and self.no_keep_bos:
            raise ConfigError("--keep-bos and --no-keep-bos contradict each other; give one of them")


@dataclass(frozen=True)
class LMDataConfig(TextConfig):
    """Where activations of a language model come from: text, or a cache that `llm activations` wrote."""

    GROUP: ClassVar[str] = "Activations"

    hook: str | None = None
    """Hook point, for example blocks.0.hook_resid_post. Default: mlp.hook_post of a model of one layer."""
    target_hook: str | None = None
    """Hook point to predict, for a transcoder."""
    cache: Path | None = None
    """Directory that `llm activations` wrote, in place of a model and text."""
    mixing: int = 16
    """Batches in the buffer that mixes tokens of different texts; 0 for none."""

    def check(self) -> None:
        """ConfigError for what is no cache."""
        if self.cache is not None:
            expect(self.cache, "cache")


@dataclass(frozen=True)
class LMTrainConfig(TrainSettings, LMDataConfig):
    """Train sparse autoencoders on a language model, a whole grid side by side on one stream of activations.

    Several values of a number make an axis of the grid; seed always is one.
    """


@dataclass(frozen=True)
class LMEvalConfig(Numbers, ReadsSAEs, TextConfig):
    """Measure what a language model loses when it runs on the reconstruction of an SAE, whole and by source."""

    GROUP: ClassVar[str] = "SAE"

    saes: tyro.conf.Positional[tuple[Path, ...]] = ()
    """SAE directories, or the directory of a run for all of it."""
    hook: str | None = None
    """Hook point. Default: the one in the SAE's metadata."""

    def check(self) -> None:
        """ConfigError where there are no SAEs."""
        for path in self.saes:
            expect(path, "sae", "run")


@dataclass(frozen=True)
class ActivationsConfig(Resumable, TextConfig):
    """Write activations at any hook points to a cache, all of them in one pass over the text."""

    GROUP: ClassVar[str] = "Activations"

    hook: tuple[str, ...] = ()
    """Hook points. Default: mlp.hook_post of a model of one layer."""


@dataclass(frozen=True)
class GenerateConfig(ModelConfig):
    """Continue texts."""

    GROUP: ClassVar[str] = "Text"

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
        """ConfigError for no prompt at all, and a seed that is given twice."""
        if not self.prompt:
            raise ConfigError("--prompt takes at least one text; '' begins with nothing")
        distinct("seed", self.seed)
