"""`superposition ablate`: the next token of a prompt with latents taken out, and which latents it rests on."""

from typing import Any

import numpy as np

from superposition._internal.memory import enough_memory
from superposition.cli.features.config import AblateConfig
from superposition.cli.features.on_sae import open_sae, shown, told
from superposition.cli.llm.needs import text_for, within
from superposition.cli.terminal import draw
from superposition.errors import ConfigError
from superposition.interventions import Attached
from superposition.interventions.next_token import ablated_runs, resting_on, ways_to_ablate
from superposition.interventions.steering import indices
from superposition.llm.model import LanguageModel

EFFECT = ("run", "rank", "logit", "probability", "kl")
ROW = {
    "latent": "latent",
    "activation": "activation",
    "token": "at token",
    "gradient": "gradient x activation",
    "integrated": "integrated gradients",
    "true": "true effect",
}


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
    pieces = shown(lm, prompt)
    for row in attribution:
        row["token"] = pieces[row.pop("position")] if row["activation"] else ""
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
