"""`superposition steer`: a prompt continued while a latent is steered, side by side over strengths."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from superposition._internal import validate
from superposition._internal.memory import enough_memory
from superposition.cli.features.config import SteerConfig
from superposition.cli.features.on_sae import Opened, about, draw, open_sae, prompt_ids
from superposition.cli.llm.needs import text_for, within
from superposition.cli.llm.text import check_text
from superposition.errors import ConfigError
from superposition.interventions import From, clamp, firing, kl, latents_of
from superposition.interventions import steer as steered
from superposition.interventions.steering import indices

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.:-=+*#"  # where the terminal's encoding lacks the others


class Continuation(NamedTuple):
    """Text under one edit: the prompt's tokens and those that followed, up to the end of the text.

    activations: of the latent at every token, as the unedited model reads the text. kl: of the edited next-token
    distribution from the unedited on this same text, mean nats a new token.
    """

    tokens: list[int]
    activations: np.ndarray
    kl: float


def steer(config: SteerConfig) -> dict[str, Any]:
    """Print continuations by strength, and return the numbers. Raises ConfigError and StoreError."""
    if config.latent is None:
        raise ConfigError("steer needs --latent, which latent to steer; for example --latent 7")
    if not config.strength or not np.isfinite(config.strength).all():
        raise ConfigError(f"strength takes finite numbers, at least one; got {list(config.strength)}")
    if config.largest is not None:
        validate.in_range("largest", config.largest, 0.0, 1e30, open_low=True)
    validate.integer("seed", config.seed, 0, validate.MAX_SEED)
    check_text(config)
    with enough_memory("give a smaller --n, or --max-tokens"):
        opened = open_sae(config)
        indices(opened.sae, config.latent)
        prompt = prompt_ids(opened.lm, config.prompt)
        opened.lm.prepared([prompt], more=config.n)  # refuses before text is read
        within(opened.placed, len(prompt) + config.n, opened.name)
        largest, known = _largest(config, opened, config.latent)
        amounts = [strength * largest for strength in config.strength]
        texts = continuations(
            opened,
            config.latent,
            amounts,
            prompt,
            config.n,
            clamped=config.clamp,
            prompt_too=config.prompt_too,
            temperature=config.temperature,
            seed=config.seed,
        )
    rows = []
    for strength, amount, text in zip(config.strength, amounts, texts, strict=True):
        new = text.activations[len(prompt) :].tolist()
        rows.append(
            {
                "strength": strength,
                "amount": amount,
                "continuation": opened.lm.continuation(prompt, text.tokens[len(prompt) :]),
                "tokens": text.tokens,
                "kl": text.kl,
                "activations": text.activations.tolist(),
                "max": max(new, default=None),
                "mean": float(np.mean(new)) if new else None,
            }
        )
    about(opened, prompt)
    way = "set to" if config.clamp else "moved by"
    print(f"latent  {config.latent}, {way} strength x {largest:.4g}, {known}")
    _table(rows, largest, len(prompt))
    return {
        "model": config.model,
        "sae": opened.name,
        "hook": opened.hook,
        "latent": config.latent,
        "largest": largest,
        "prompt_tokens": prompt,
        "rows": rows,
    }


def continuations(
    opened: Opened,
    latent: int,
    amounts: Sequence[float],
    prompt: Sequence[int],
    n: int,
    *,
    clamped: bool = False,
    prompt_too: bool = False,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Continuation]:
    """`n` tokens after a prompt for each amount the latent is moved by (or clamped at), with the same draws for all.

    From the prompt's last token on, or at all of its tokens but BOS. Raises ConfigError as `generate` does.
    """
    lm, hook, sae, params, _ = opened
    facts = lm.token_facts
    begin = len(prompt) - 1
    first = min(begin, int(prompt[:1] == facts.begin)) if prompt_too else begin
    found = []
    for amount in amounts:
        edit = (clamp if clamped else steered)(lm, hook, sae, params, latent, amount)
        edits = {name: From(own, first) for name, own in edit.items()}
        new = lm.generate(
            [prompt], n, key=jax.random.key(seed), temperature=temperature, edits=edits, end=facts.eos
        )
        whole = [[*prompt, *new[0].tolist()]]
        apart = np.asarray(kl(lm(whole, edits=edits)[0], lm(whole)[0]))
        activations = np.asarray(latents_of(lm, hook, sae, params, whole)[0, :, latent])
        row = new[0].tolist()
        count = len(facts.until_eos(row))
        chosen = min(count + 1, n)  # the end of the text is a token that was chosen, and not shown
        end = len(prompt) + count
        found.append(
            Continuation(whole[0][:end], activations[:end], float(apart[begin : begin + chosen].mean()))
        )
    return found


def _largest(config: SteerConfig, opened: Opened, latent: int) -> tuple[float, str]:
    """The latent's largest activation and how it is known; ConfigError for a latent that never fires."""
    if config.largest is not None:
        return config.largest, "the largest activation given"
    tokens = text_for(config, opened.placed, opened.name)
    seen = firing(opened.lm, opened.hook, opened.sae, opened.params, tokens)
    largest, share = float(seen.largest[latent]), float(seen.density[latent])
    if largest <= 0:
        raise ConfigError(
            f"latent {latent} never fires on the {seen.tokens:,} tokens of text, so there is no largest activation to "
            "scale by; choose another latent, give more text, or --largest"
        )
    return largest, f"its largest activation on {seen.tokens:,} tokens, of which it fires on {share:.3%}"


def _table(rows: list[dict[str, Any]], largest: float, begin: int) -> None:
    top = max([largest, *(row["max"] or 0.0 for row in rows)])
    draw(
        "KL: nats a new token from the unsteered model. Activation: of the latent, as the unsteered model reads the text",
        ["strength", "KL", "largest", "mean", "along the text", "continuation"],
        [
            [
                float(row["strength"]),
                row["kl"],
                row["max"],
                row["mean"],
                sparkline(row["activations"][begin:], top),
                row["continuation"].replace("\n", "↵"),
            ]
            for row in rows
        ],
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
