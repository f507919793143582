"""The settings of `superposition page | serve | steer | ablate`. Importing this does not import JAX."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from superposition.cli.llm.config import ModelConfig, TextConfig

SMALL_LM_SAE = "superposition/small-lm-sae"


@dataclass(frozen=True)
class OnSAE(TextConfig):
    """A language model and an SAE of it; text, where it is needed, says how strongly latents fire."""

    sae: tyro.conf.Positional[str] = SMALL_LM_SAE
    """SAE directory, file of weights, or the SAE that ships."""
    hook: str | None = None
    """Hook point. Default: the one in the SAE's metadata."""
    allow_pt: bool = False
    """Read PyTorch checkpoints (tensors only; nothing in them runs)."""


@dataclass(frozen=True)
class PageConfig(OnSAE):
    """Write feature pages: HTML that opens as a file, of an SAE on a language model or of a toy model's features."""

    out: Path | None = None
    """Folder to write, for example pages/. Required."""
    overwrite: bool = False
    """Replace that folder, if it holds pages."""
    latents: tuple[int, ...] = ()
    """Which latents. Default: all."""
    cache: Path | None = None
    """Cache of activations that `llm activations` wrote, in place of text."""
    other: str | None = None
    """A second SAE, in which each latent's likeness is looked for."""
    toy: Path | None = None
    """Zarr store of a sweep: pages of its model's features, beside the latents of an SAE trained on it (if given)."""
    cell: tuple[str, ...] = ()
    """With toy: which model of a sweep of several, as density=0.05 seed=3. Without a seed: the lowest loss of all."""
    density: float | None = None
    """With toy: density of the features. Default: the cell's."""


@dataclass(frozen=True)
class ServeConfig(ModelConfig):
    """Serve feature pages on this machine alone, with steering and a box for text of one's own."""

    sae: tyro.conf.Positional[str] = SMALL_LM_SAE
    """The SAE that the pages are of: a directory, a file of weights, or the one that ships."""
    hook: str | None = None
    """Hook point. Default: the one in the SAE's metadata."""
    allow_pt: bool = False
    """Read PyTorch checkpoints (tensors only; nothing in them runs)."""
    pages: Path | None = None
    """Folder that `superposition page` wrote. Required."""
    port: int = 8017
    """Port on 127.0.0.1; 0 for any that is free."""


@dataclass(frozen=True)
class SteerConfig(OnSAE):
    """Continue a prompt while a latent is steered: continuations side by side, with KL and the latent's activation."""

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
    seed: int = 0
    """Seed of the draws, the same for every strength."""


@dataclass(frozen=True)
class AblateConfig(OnSAE):
    """Ablate latents on a prompt: the next token before and after, and which latents it rests on."""

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
    seed: int = 0
    """Seed of the resampling."""
