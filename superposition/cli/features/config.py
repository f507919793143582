"""The settings of `superposition page | serve | steer | ablate`. Importing this does not import JAX."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tyro

from superposition.cli.llm.config import ModelConfig, TextConfig
from superposition.cli.sae.config import ToyData
from superposition.cli.settings import SMALL_LM_SAE, Output, ReadsSAEs, distinct, expect, free, kind_of
from superposition.errors import ConfigError


@dataclass(frozen=True)
class OneSAE(ReadsSAEs):
    """An SAE of a language model."""

    GROUP: ClassVar[str] = "SAE"

    sae: tyro.conf.Positional[str] = SMALL_LM_SAE
    """SAE directory, file of weights, or the SAE that ships."""
    hook: str | None = None
    """Hook point. Default: the one in the SAE's metadata."""

    def check(self) -> None:
        """ConfigError where there is no SAE."""
        if self.sae != SMALL_LM_SAE:
            expect(Path(self.sae), "sae", "run")


@dataclass(frozen=True)
class OnSAE(OneSAE, TextConfig):
    """A language model and an SAE of it; text, where it is needed, says how strongly latents fire."""


@dataclass(frozen=True)
class Pages(Output):
    """A folder of pages."""

    GROUP: ClassVar[str] = "Output"

    overwrite: bool = False
    """Replace that folder, if it holds pages."""

    def check(self) -> None:
        """ConfigError where the folder would replace something unasked."""
        assert self.out is not None
        empty = self.out.is_dir() and not os.listdir(self.out)
        free(self.out, self.overwrite or empty, "--overwrite to replace the pages there, or another --out")


@dataclass(frozen=True)
class PageConfig(Pages, ToyData, OnSAE):
    """Write feature pages: HTML that opens as a file, of an SAE on a language model or of a toy model's features."""

    GROUP: ClassVar[str] = "Activations"

    latents: tuple[int, ...] = ()
    """Which latents. Default: all."""
    cache: Path | None = None
    """Cache of activations that `llm activations` wrote, in place of text."""
    other: str | None = None
    """A second SAE, in which each latent's likeness is looked for."""

    def check(self) -> None:
        """ConfigError for what is no cache, or no sweep."""
        if self.cache is not None:
            expect(self.cache, "cache")
        if self.toy is not None and (kind_of(self.toy) or not os.path.lexists(self.toy)):
            expect(self.toy, "sweep")


@dataclass(frozen=True)
class ServeConfig(OneSAE, ModelConfig):
    """Serve feature pages on this machine alone, with steering and a box for text of one's own."""

    GROUP: ClassVar[str] = "Pages"

    pages: Path | None = None
    """Folder that `superposition page` wrote. Required."""
    port: int = 8017
    """Port on 127.0.0.1; 0 for any that is free."""

    def check(self) -> None:
        """ConfigError where there are no pages."""
        if self.pages is None:
            raise ConfigError(
                "serve needs --pages, the folder of the pages; `superposition page SAE --out pages/` writes them"
            )
        expect(self.pages, "pages")


@dataclass(frozen=True)
class SteerConfig(OnSAE):
    """Continue a prompt while a latent is steered: continuations side by side, with KL and the latent's activation."""

    GROUP: ClassVar[str] = "Steering"

    latent: int | None = None
    """Which latent. Required."""
    strength: tuple[float, ...] = (-4, -2, 0, 2, 4)
    """How much of the latent's largest activation to add."""
    clamp: bool = False
    """Set the latent to strength times its largest activation, instead of adding that."""
    largest: float | None = None
    """The latent's largest activation. Default: measured on the text (less of it, with --max-tokens, is faster)."""
    prompt: str = ""
    """Beginning of the text."""
    prompt_too: bool = False
    """Steer at every token of the prompt but BOS, not only from its last on, which the first new token follows from."""
    n: int = 30
    """Tokens to add."""
    temperature: float = 0.0
    """0 always takes the likeliest token; 1 draws as the model says."""
    seed: tuple[int, ...] = (0,)
    """Seeds of the draws, each a continuation; the same for every strength."""

    def check(self) -> None:
        """ConfigError where no latent is named, and for a seed that is given twice."""
        if self.latent is None:
            raise ConfigError("steer needs --latent, which latent to steer; for example --latent 7")
        distinct("seed", self.seed)


@dataclass(frozen=True)
class AblateConfig(OnSAE):
    """Ablate latents on a prompt: the next token before and after, and which latents it rests on."""

    GROUP: ClassVar[str] = "Ablation"

    latent: tuple[int, ...] = ()
    """Which latents, ablated together. Default: none; only the attribution is shown."""
    prompt: str | None = None
    """Text whose next token is looked at. Required."""
    target: str | None = None
    """The next token. Default: the model's likeliest."""
    to: str = "zero"
    """zero, mean (over the text) or resample (from tokens of the text)."""
    top: int = 10
    """Latents listed in the attribution, beside those of --latent."""
    steps: int = 32
    """Steps of integrated gradients."""
    seed: tuple[int, ...] = (0,)
    """Seeds of the resampling, each a run."""

    def check(self) -> None:
        """ConfigError where there is no prompt, and for a seed that is given twice."""
        if self.prompt is None:
            raise ConfigError(
                'ablate needs --prompt, text whose next token is looked at; for example "In the"'
            )
        distinct("seed", self.seed)
