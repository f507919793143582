"""The settings of `superposition page | serve | steer | ablate`. Importing this does not import JAX."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import tyro

from superposition.cli.llm.config import ModelConfig, TextConfig
from superposition.cli.sae.config import ToyData
from superposition.cli.settings import (
    SMALL_LM_SAE,
    CachePath,
    Holds,
    Needed,
    OneOf,
    Output,
    ReadsSAEs,
    changed,
    expect,
    free,
    group,
)
from superposition.errors import ConfigError

TEXT = tuple(field.name for field in fields(TextConfig) if field.name not in ("model", "dtype"))
NOT_TOY = ("model", "dtype", *(n for n in TEXT if n != "data_seed"), "hook", "cache", "other", "latents")


@group("SAE")
class OneSAE(ReadsSAEs):
    """An SAE of a language model."""

    sae: tyro.conf.Positional[str] = SMALL_LM_SAE
    """SAE directory, file of weights, or the SAE that ships."""
    hook: str | None = None
    """Hook point. Default: the one in the SAE's metadata."""

    def check(self) -> None:
        """ConfigError where there is no SAE."""
        if self.sae != SMALL_LM_SAE:
            expect(Path(self.sae), "sae", "run")


@group("SAE")
class OnSAE(OneSAE, TextConfig):
    """A language model and an SAE of it; text, where it is needed, says how strongly latents fire."""


@group("Output")
class Pages(Output):
    """A folder of pages."""

    overwrite: bool = False
    """Replace that folder, if it holds pages."""

    def check(self) -> None:
        """ConfigError where the folder would replace something unasked."""
        assert self.out is not None
        empty = self.out.is_dir() and not os.listdir(self.out)
        free(self.out, self.overwrite or empty, "--overwrite to replace the pages there, or another --out")


@group("Activations")
class PageConfig(Pages, ToyData, OnSAE):
    """Write feature pages: HTML that opens as a file, of an SAE on a language model or of a toy model's features.

    $ superposition page --latents 0..9 --max-tokens 20000 --out runs/pages
    $ superposition page --toy runs/toys.zarr --cell density=0.1 --out runs/toy-pages
    """

    latents: tuple[int, ...] = ()
    """Which latents. Default: all."""
    cache: CachePath | None = None
    """Cache of activations that `llm activations` wrote, in place of text."""
    other: str | None = None
    """A second SAE, in which each latent's likeness is looked for."""

    def check(self) -> None:
        """ConfigError for settings that do not go together, and for a latent that is named twice."""
        for names, why, is_so in (
            (NOT_TOY, "--toy has pages of a toy model", self.toy is not None),
            (("cell", "density"), "there is no --toy", self.toy is None),
            (TEXT, "--cache holds the activations of a text", self.toy is None and self.cache is not None),
        ):
            if is_so and (wrong := changed(self, names)):
                raise ConfigError(f"{why}; leave {wrong[0]} out")
        if repeated := [latent for latent in self.latents if self.latents.count(latent) > 1]:
            raise ConfigError(f"--latents names {repeated[0]} twice; name each once")


@group("Pages")
class ServeConfig(OneSAE, ModelConfig):
    """Serve feature pages on this machine alone, with steering and a box for text of one's own.

    $ superposition serve --pages runs/pages
    """

    pages: Annotated[Path | None, Needed("--pages runs/pages"), Holds(("pages",))] = None
    """Folder that `superposition page` wrote."""
    port: int = 8017
    """Port on 127.0.0.1; 0 for any that is free."""


@group("Steering")
class SteerConfig(OnSAE):
    """Continue a prompt while a latent is steered: continuations side by side, with KL and the latent's activation.

    $ superposition steer --latent 136 --strength -2 0 2 --prompt "Once upon a time" --max-tokens 20000
    """

    latent: Annotated[int | None, Needed("--latent 7")] = None
    """Which latent."""
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


@group("Ablation")
class AblateConfig(OnSAE):
    """Ablate latents on a prompt: the next token before and after, and which latents it rests on.

    $ superposition ablate --latent 317 --prompt "Once upon a time, there was a little girl named"
    """

    latent: tuple[int, ...] = ()
    """Which latents, ablated together. Default: none; only the attribution is shown."""
    prompt: Annotated[str | None, Needed('--prompt "In the"')] = None
    """Text whose next token is looked at."""
    target: str | None = None
    """The next token. Default: the model's likeliest."""
    to: Annotated[str, OneOf("interventions.steering", "ABLATIONS")] = "zero"
    """zero, mean (over the text) or resample (from tokens of the text)."""
    top: int = 10
    """Latents listed in the attribution, beside those of --latent."""
    steps: int = 32
    """Steps of integrated gradients."""
    seed: tuple[int, ...] = (0,)
    """Seeds of the resampling, each a run."""
