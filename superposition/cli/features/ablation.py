"""`superposition ablate`: the next token of a prompt with latents taken out, and which latents it rests on."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superposition._internal import validate
from superposition._internal.memory import enough_memory
from superposition.cli.features.config import AblateConfig
from superposition.cli.features.on_sae import about, draw, open_sae, shown
from superposition.cli.llm.needs import text_for, within
from superposition.errors import ConfigError
from superposition.interventions import (
    At,
    Attached,
    Logit,
    ablation_effects,
    activations_of,
    attribute,
    effect,
    firing,
    splice,
)
from superposition.interventions import ablate as ablated
from superposition.interventions.steering import ABLATIONS, indices
from superposition.llm.model import LanguageModel
from superposition.llm.tokens import usable_positions


def ablate(config: AblateConfig) -> dict[str, Any]:
    """Print the target before and after and the attribution, and return the numbers. Raises ConfigError, StoreError."""
    assert config.prompt is not None
    validate.choice("to", config.to, ABLATIONS)
    with enough_memory("give a shorter --prompt, or less text with --max-tokens"):
        attached = open_sae(config)
        if config.latent:
            indices(attached.sae, config.latent)
        prompt = attached.lm.prompt_ids(config.prompt)
        attached.lm.prepared([prompt])  # refuses before text is read
        within(attached, len(prompt))
        where = _counted(config, attached, prompt)
        target = _target(attached.lm, config, prompt)
        means, ways = _values(config, attached)
        effects = _effects(config, attached, prompt, where, target, ways)
        attribution, sums = _attribution(config, attached, prompt, where, target, means)
    about(attached, prompt)
    token = shown(attached.lm, [target])[0]
    print(f"target  {token!r} (token {target}){'' if config.target else ', the likeliest'}")
    draw(
        "The next token. Rank 0 is the likeliest; KL in nats from the model as it is",
        ["run", "rank", "logit", "probability", "KL"],
        [[r["run"], r["rank"], r["logit"], r["probability"], r["kl"]] for r in effects],
    )
    against = "their means" if means is not None else "0"
    draw(
        f"What the target's logit rests on: latents against {against}, summed over the prompt, the SAE's error kept",
        ["latent", "activation", "at token", "gradient x activation", "integrated gradients", "true effect"],
        [
            [r["latent"], r["activation"], r["token"], r["gradient"], r["integrated"], r["true"]]
            for r in attribution
        ],
    )
    print(
        f"Integrated gradients of all latents add up to {sums['integrated']:.4g}; the logit is {sums['logit']:.4g}, "
        f"with all latents at {against} {sums['baseline']:.4g}. True effect: what the logit loses when that latent "
        "alone is ablated."
    )
    for row in attribution:
        if row["latent"] in config.latent and row["activation"] == 0:
            print(f"latent {row['latent']} does not fire on this prompt")
    return {
        "model": config.model,
        "sae": attached.name,
        "hook": attached.hook,
        "prompt_tokens": prompt,
        "target": target,
        "effects": effects,
        "attribution": attribution,
        "sums": sums,
    }


def _counted(config: AblateConfig, attached: Attached, prompt: list[int]) -> np.ndarray:
    """Where latents are ablated, (1, pos): tokens such as SAEs are trained on; ConfigError for a prompt of none."""
    if config.keep_bos:
        return np.ones((1, len(prompt)), bool)
    lm, ids = attached.lm, np.array([prompt])
    usable = usable_positions(ids, lm.token_facts.special, skip_first=True)
    usable = attached.requirements.trained_on(lm, ids, usable)
    if not usable.any() and attached.requirements.seqpos_slice not in (None, slice(None), slice(1, None)):
        raise ConfigError(
            f"{attached.name} was trained on the positions {attached.requirements.slice_text()}, and the prompt has {len(prompt)}"
            " tokens; give a longer --prompt, or --keep-bos"
        )
    if not usable.any():
        raise ConfigError("the prompt yields no token after the first; give a longer --prompt, or --keep-bos")
    return usable


def _target(lm: LanguageModel, config: AblateConfig, prompt: list[int]) -> int:
    if config.target is None:
        return int(np.asarray(lm([prompt])[0, -1]).argmax())
    ids = lm.token_ids(config.target)
    if len(ids) != 1:
        listed = f": {'|'.join(shown(lm, ids))}" if ids else ""
        raise ConfigError(f"--target must be one token; {config.target!r} is {len(ids)}{listed}")
    return ids[0]


def _values(config: AblateConfig, attached: Attached) -> tuple[np.ndarray | None, dict[str, dict[str, Any]]]:
    """Means over the text if that is what latents are set to, and what `interventions.ablate` takes, by what is done."""
    if config.to == "zero" or (config.to == "resample" and not config.latent):
        return None, {config.to: {}}
    tokens = text_for(config, attached)
    if config.to == "mean":
        means = firing(attached, tokens).mean
        return means, {config.to: {"values": means}}
    pool = activations_of(attached, tokens, config.latent)
    named = {"resample" if len(config.seed) == 1 else f"resample, seed {seed}": seed for seed in config.seed}
    return None, {name: {"values": pool, "key": jax.random.key(seed)} for name, seed in named.items()}


def _effects(
    config: AblateConfig,
    attached: Attached,
    prompt: list[int],
    where: np.ndarray,
    target: int,
    ways: dict[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """The target in the model as it is and in every edited run."""
    lm = attached.lm
    kept: list[tuple[str, dict[str, Any]]] = [("the model as it is", {})]
    spliced: list[tuple[str, dict[str, Any]]] = [("on the SAE's reconstruction", splice(attached))]
    if config.latent:
        plural = "s" * (len(config.latent) > 1)
        for way, options in ways.items():
            name = f"latent{plural} {', '.join(map(str, config.latent))} to {way}"
            ablate_to = partial(ablated, attached, config.latent, config.to, **options)
            kept.append((name, ablate_to(error_term=True)))
            spliced.append((f"on it, {name}", ablate_to(error_term=False)))
    before, rows = lm([prompt])[0, -1], []
    for name, edit in [*kept, *spliced]:
        after = lm([prompt], edits={h: At(e, jnp.asarray(where)) for h, e in edit.items()})[0, -1]
        seen = effect(before, after, target)
        row = {"run": name, "rank": int(seen.after.rank), "kl": float(seen.kl)}
        rows.append(
            row | {n: float(getattr(seen.after, n)) for n in ("logit", "probability", "log_probability")}
        )
    return rows


def _attribution(
    config: AblateConfig,
    attached: Attached,
    prompt: list[int],
    where: np.ndarray,
    target: int,
    means: np.ndarray | None,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The latents asked about and those of most weight: what is attributed to each, beside the true effect."""
    baseline: Any = 0.0 if means is None else means
    problem = (attached, [prompt], Logit(target))
    found = attribute(*problem, steps=config.steps, baseline=baseline, where=where)
    gradient, integrated = (np.asarray(a[0], np.float64).sum(0) for a in (found.gradient, found.integrated))
    sums = {
        "integrated": float(integrated.sum()),
        "logit": float(found.metric),
        "baseline": float(found.at_baseline),
    }
    latents = np.where(where[0][:, None], np.asarray(found.latents[0]), 0.0)
    weight = np.argsort(-np.abs(integrated), kind="stable")
    heavy = [int(j) for j in weight if integrated[j] != 0 and j not in config.latent][: config.top]
    chosen = [*config.latent, *heavy]
    if not chosen:
        return [], sums
    true = np.asarray(ablation_effects(*problem, chosen, baseline=baseline, where=where))
    pieces, rows = shown(attached.lm, prompt), []
    for j, effected in zip(chosen, true, strict=True):
        at = int(np.abs(latents[:, j]).argmax())
        rows.append(
            {
                "latent": j,
                "activation": float(latents[at, j]),
                "token": pieces[at] if latents[at, j] else "",
                "gradient": float(gradient[j]),
                "integrated": float(integrated[j]),
                "true": float(effected),
            }
        )
    return rows, sums
