"""`superposition steer`: a prompt continued while a latent is steered, side by side over strengths."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from superposition._internal.memory import enough_memory
from superposition.cli.features.config import SteerConfig
from superposition.cli.features.on_sae import open_sae, told
from superposition.cli.llm.needs import text_for, within
from superposition.cli.terminal import draw
from superposition.errors import ConfigError
from superposition.interventions import Attached, continuations, firing
from superposition.interventions.steering import indices

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.:-=+*#"  # where the terminal's encoding lacks the others
COLUMNS = ("seed", "strength", "KL", "largest", "mean", "along the text", "continuation")


def steer(config: SteerConfig) -> dict[str, Any]:
    """Print continuations by strength, and return the numbers. Raises ConfigError and StoreError."""
    assert config.latent is not None
    if not config.strength or not np.isfinite(config.strength).all():
        raise ConfigError(f"strength takes finite numbers, at least one; got {list(config.strength)}")
    with enough_memory("give a smaller --n, or --max-tokens"):
        attached = open_sae(config)
        indices(attached.sae, config.latent)
        prompt = attached.lm.prompt_ids(config.prompt)
        attached.lm.prepared([prompt], more=config.n)  # refuses before text is read
        within(attached, len(prompt) + config.n)
        largest, known = _largest(config, attached, config.latent)
        amounts = [strength * largest for strength in config.strength]
        rows = []
        for seed in config.seed:
            made = continuations(
                attached,
                config.latent,
                amounts,
                prompt,
                config.n,
                clamped=config.clamp,
                prompt_too=config.prompt_too,
                temperature=config.temperature,
                seed=seed,
            )
            for strength, amount, text in zip(config.strength, amounts, made.rows, strict=True):
                about = {"seed": seed, "strength": strength, "amount": amount}
                rows.append(about | text.numbers(len(prompt)))
    about = told(config.model, attached, prompt)
    way = "set to" if config.clamp else "moved by"
    print(f"latent  {config.latent}, {way} strength x {largest:.4g}, {known}")
    _table(rows, largest, len(prompt))
    return {**about, "latent": config.latent, "largest": largest, "rows": rows}


def _largest(config: SteerConfig, attached: Attached, latent: int) -> tuple[float, str]:
    """The latent's largest activation and how it is known; ConfigError for a latent that never fires."""
    if config.largest is not None:
        return config.largest, "the largest activation given"
    tokens = text_for(config, attached)
    seen = firing(attached, tokens)
    largest, share = float(seen.largest[latent]), float(seen.density[latent])
    if largest <= 0:
        raise ConfigError(
            f"latent {latent} never fires on the {seen.tokens:,} tokens of text, so there is no largest activation to "
            "scale by; choose another latent, give more text, or --largest"
        )
    return largest, f"its largest activation on {seen.tokens:,} tokens, of which it fires on {share:.3%}"


def _table(rows: list[dict[str, Any]], largest: float, begin: int) -> None:
    top = max([largest, *(row["max"] or 0.0 for row in rows)])
    first = 0 if len({row["seed"] for row in rows}) > 1 else 1  # one seed needs no column
    cells = [
        [
            row["seed"],
            float(row["strength"]),
            row["kl"],
            row["max"],
            row["mean"],
            sparkline(row["activations"][begin:], top),
            row["continuation"].replace("\n", "↵"),
        ]
        for row in rows
    ]
    draw(
        "KL: nats a new token from the unsteered model. Activation: of the latent, as the unsteered model reads the text",
        COLUMNS[first:],
        [line[first:] for line in cells],
    )


def sparkline(values: Sequence[float], top: float) -> str:
    """Values in [0, top] as bars, one a value; only 0 and less is the lowest."""
    try:
        BARS.encode(sys.stdout.encoding or "utf-8")
        bars = BARS
    except UnicodeEncodeError:
        bars = PLAIN_BARS
    shares = np.clip(np.asarray(values, float) / top, 0, 1)
    return "".join(bars[i] for i in np.ceil(shares * (len(bars) - 1)).astype(int))
