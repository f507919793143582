"""The next token of a prompt with latents ablated, and which latents it rests on, as rows of numbers."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superposition.interventions.at import At
from superposition.interventions.attach import Attached
from superposition.interventions.attribution import Logit, ablation_effects, attribute
from superposition.interventions.effects import effect
from superposition.interventions.latents import activations_of, firing
from superposition.interventions.splice import splice
from superposition.interventions.steering import ablate


def ways_to_ablate(
    attached: Attached, latents: Sequence[int], to: str, tokens: Any = None, seeds: Sequence[int] = (0,)
) -> tuple[np.ndarray | None, dict[str, dict[str, Any]]]:
    """The latents' means on a text (d_sae,), None unless they are set to these, and name -> what `ablate` takes.

    to: zero, mean or resample, as `ablate` takes it. tokens: the text, not needed for zero. seeds: of the resampling,
    each a way of its own.
    """
    if to == "zero" or tokens is None:
        return None, {to: {}}
    if to == "mean":
        means = firing(attached, tokens).mean
        return means, {to: {"values": means}}
    pool = activations_of(attached, tokens, latents)
    named = {"resample" if len(seeds) == 1 else f"resample, seed {seed}": seed for seed in seeds}
    return None, {name: {"values": pool, "key": jax.random.key(seed)} for name, seed in named.items()}


def ablated_runs(
    attached: Attached,
    prompt: Sequence[int],
    target: int,
    latents: Sequence[int],
    to: str,
    ways: Mapping[str, Mapping[str, Any]],
    where: Any,
) -> list[dict[str, Any]]:
    """How a target token fares in the model as it is, on the SAE's reconstruction, and in both with latents ablated.

    prompt: token ids. to: what latents are set to, as `ablate` takes it. ways: name -> the further arguments of
    `ablate` (its values and key), a run each. where: positions at which latents are ablated, (1, pos). A row has the
    run, the target's rank (0 is the likeliest), logit, probability and log_probability, and the KL (nats) from the model
    as it is.
    """
    runs: list[tuple[str, Mapping[str, Any]]] = [("the model as it is", {})]
    spliced: list[tuple[str, Mapping[str, Any]]] = [("on the SAE's reconstruction", splice(attached))]
    if latents:
        for way, options in ways.items():
            name = f"latent{'s' * (len(latents) > 1)} {', '.join(map(str, latents))} to {way}"
            edit = partial(ablate, attached, latents, to, **options)
            runs.append((name, edit(error_term=True)))
            spliced.append((f"on it, {name}", edit(error_term=False)))
    lm, rows = attached.lm, []
    before = lm([prompt])[0, -1]
    for name, edits in [*runs, *spliced]:
        after = lm([prompt], edits={hook: At(e, jnp.asarray(where)) for hook, e in edits.items()})[0, -1]
        moved = effect(before, after, target)
        numbers = {n: float(getattr(moved.after, n)) for n in ("logit", "probability", "log_probability")}
        rows.append({"run": name, "rank": int(moved.after.rank), "kl": float(moved.kl), **numbers})
    return rows


def resting_on(
    attached: Attached,
    prompt: Sequence[int],
    target: int,
    latents: Sequence[int] = (),
    *,
    top: int = 10,
    steps: int = 32,
    baseline: Any = 0.0,
    where: Any = None,
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Which latents the logit of a target token rests on: those asked about, then the `top` of most weight.

    The SAE's error is kept; latents are compared with `baseline`, 0 or the means (d_sae,). A row has the latent, its
    largest activation in the prompt and the position of it, gradient x activation and integrated gradients summed over
    the prompt, and the true effect: what the logit loses when that latent alone is ablated. Also returns sums: integrated
    gradients of all latents, the logit, and the logit with all latents at the baseline.
    """
    problem = (attached, [prompt], Logit(target))
    parts = attribute(*problem, steps=steps, baseline=baseline, where=where)
    gradient, integrated = (np.asarray(a[0], np.float64).sum(0) for a in (parts.gradient, parts.integrated))
    sums = {
        "integrated": float(integrated.sum()),
        "logit": float(parts.metric),
        "baseline": float(parts.at_baseline),
    }
    active = np.asarray(parts.latents[0])
    active = active if where is None else np.where(np.asarray(where)[0][:, None], active, 0.0)
    weight = np.argsort(-np.abs(integrated), kind="stable")
    heavy = [int(j) for j in weight if integrated[j] != 0 and j not in latents][:top]
    if not (chosen := [*latents, *heavy]):
        return [], sums
    true = np.asarray(ablation_effects(*problem, chosen, baseline=baseline, where=where))
    rows = []
    for j, loses in zip(chosen, true, strict=True):
        position = int(np.abs(active[:, j]).argmax())
        row = {"latent": j, "activation": float(active[position, j]), "position": position}
        row |= {"gradient": float(gradient[j]), "integrated": float(integrated[j]), "true": float(loses)}
        rows.append(row)
    return rows, sums
