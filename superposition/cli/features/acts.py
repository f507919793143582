"""`superposition steer` and `ablate`: what a language model says when latents of an SAE are moved, or taken out."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from superposition._internal.memory import enough_memory
from superposition.cli.features.config import AblateConfig, SteerConfig
from superposition.cli.llm.needs import open_sae, text_for, within
from superposition.cli.terminal import draw, visible
from superposition.errors import ConfigError
from superposition.interventions import Attached, continuations, firing
from superposition.interventions.next_token import ablated_runs, resting_on, ways_to_ablate
from superposition.interventions.steering import indices
from superposition.llm.model import LanguageModel
from superposition.llm.place import bos_note
from superposition.pages.pieces import pieces

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.:-=+*#"  # where the terminal's encoding lacks the others
COLUMNS = ("seed", "strength", "KL", "largest", "mean", "along the text", "continuation")
EFFECT = ("run", "rank", "logit", "probability", "kl")
ROW = {
    "latent": "latent",
    "activation": "activation",
    "token": "at token",
    "gradient": "gradient x activation",
    "integrated": "integrated gradients",
    "true": "true effect",
}


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


def ablate(config: AblateConfig) -> dict[str, Any]:
    """Print the target before and after and the attribution, and return the numbers. Raises ConfigError, StoreError."""
    assert config.prompt is not None
    with enough_memory("give a shorter --prompt, or less text with --max-tokens"):
        attached = open_sae(config)
        lm = attached.lm
        if config.latent:
            indices(attached.sae, config.latent)
        prompt = lm.prompt_ids(config.prompt)
        lm.prepared([prompt])  # refuses before text is read
        within(attached, len(prompt))
        where = _counted(config, attached, prompt)
        target = _target(lm, config, prompt)
        reads = config.to == "mean" or (config.to == "resample" and config.latent)
        tokens = text_for(config, attached) if reads else None
        means, ways = ways_to_ablate(attached, config.latent, config.to, tokens, config.seed)
        effects = ablated_runs(attached, prompt, target, config.latent, config.to, ways, where)
        attribution, sums = resting_on(
            attached,
            prompt,
            target,
            config.latent,
            top=config.top,
            steps=config.steps,
            baseline=0.0 if means is None else means,
            where=where,
        )
    about = told(config.model, attached, prompt)
    spelled = shown(lm, prompt)
    for row in attribution:
        row["token"] = spelled[row.pop("position")] if row["activation"] else ""
    print(f"target  {shown(lm, [target])[0]!r} (token {target}){'' if config.target else ', the likeliest'}")
    draw(
        "The next token. Rank 0 is the likeliest; KL in nats from the model as it is",
        ["run", "rank", "logit", "probability", "KL"],
        [[row[name] for name in EFFECT] for row in effects],
    )
    against = "their means" if means is not None else "0"
    draw(
        f"What the target's logit rests on: latents against {against}, summed over the prompt, the SAE's error kept",
        list(ROW.values()),
        [[row[name] for name in ROW] for row in attribution],
    )
    print(
        f"Integrated gradients of all latents add up to {sums['integrated']:.4g}; the logit is {sums['logit']:.4g}, "
        f"with all latents at {against} {sums['baseline']:.4g}. True effect: what the logit loses when that latent "
        "alone is ablated."
    )
    for row in attribution:
        if row["latent"] in config.latent and row["activation"] == 0:
            print(f"latent {row['latent']} does not fire on this prompt")
    return {**about, "target": target, "effects": effects, "attribution": attribution, "sums": sums}


def _counted(config: AblateConfig, attached: Attached, prompt: list[int]) -> np.ndarray:
    """Where latents are ablated, (1, pos): tokens such as SAEs are trained on; ConfigError for a prompt of none."""
    if config.keep_bos:
        return np.ones((1, len(prompt)), bool)
    try:
        return attached.tokens([prompt]).usable
    except ConfigError as error:
        needs, where = attached.requirements, "after the first"
        if needs.seqpos_slice not in (None, slice(None), slice(1, None)):
            where = f"at the positions {needs.slice_text()} that {attached.name} was trained on"
        raise ConfigError(
            f"the prompt has {len(prompt)} tokens, and yields no token {where}; give a longer --prompt, or --keep-bos"
        ) from error


def _target(lm: LanguageModel, config: AblateConfig, prompt: list[int]) -> int:
    if config.target is None:
        return int(np.asarray(lm([prompt])[0, -1]).argmax())
    ids = lm.token_ids(config.target)
    if len(ids) == 1:
        return ids[0]
    listed = f": {'|'.join(shown(lm, ids))}" if ids else ""
    raise ConfigError(f"--target must be one token; {config.target!r} is {len(ids)}{listed}")


def shown(lm: LanguageModel, ids: list[int]) -> list[str]:
    """Tokens as a terminal may show them, one each."""
    return [visible(piece) for piece in pieces(lm.tokenizer, ids)]


def told(model: str, attached: Attached, ids: list[int]) -> dict[str, Any]:
    """Print what was run: the model, the SAE, the hook point and the prompt's tokens; returns the same for JSON."""
    lm, hook, sae, name = attached.lm, attached.hook, attached.sae, attached.name
    layers = f"{lm.spec.n_layers} layer{'s' if lm.spec.n_layers > 1 else ''}"
    print(f"model   {visible(lm.name)} ({layers} of {lm.spec.d_model} dimensions)")
    print(f"SAE     {visible(name)} ({type(sae).__name__}, {sae.d_sae:,} latents)")
    print(f"hook    {hook} ({lm.width(hook):,} numbers a token)")
    print(f"prompt  {len(ids)} token{'s' if len(ids) > 1 else ''}: {'|'.join(shown(lm, ids))}")
    print(f"        {visible(bos_note(lm))}")
    return {"model": model, "sae": name, "hook": hook, "prompt_tokens": ids}
