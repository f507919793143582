"""Ablating latents of the shipped SAE: does attribution foretell the effect, and is the damage where it should be?

One by one: at positions of text that neither model nor SAE was trained on, the latents that gradient x activation
puts first for the logit of the true next token; each is ablated for real, and what was attributed to it (gradient x
activation, integrated gradients) is held against the change of the logit. By kind: all latents that fire nine times
in ten on one script or format are ablated together, with the error term kept, to zero, to their mean over the text,
and to values drawn from other tokens; what the loss of every kind of text does is the question. The same without
the error term shows what the SAE leaves out.

Command:  python -m experiments.ablation
Time:     about a minute on two free cores
Expect:   gradient x activation foretells effects with r = 0.93; the loss rises where the latents' own kind is and
          nowhere else
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from experiments._latents import by_kind, shipped
from experiments._small_lm import HOOK, material, small_lm
from superposition import interventions
from superposition.interventions import At, Logit
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.plot.ablation import ablation
from superposition.sae import SAE, Params

PURE = 0.9
LEAST = 20  # firings below which a latent's kind is not known
TO = ("zero", "mean", "resample")
POOL = 4096  # tokens whose values are drawn from

SHARED = "60 rows of sampled text"


@dataclass(frozen=True)
class Config:
    """Text, positions and latents."""

    text: tuple[Path, ...] = ()
    rows: int = 60
    """Rows of each kind that tell a latent's kind, its mean and values to draw from."""
    test_rows: int = 10
    """Rows of each kind to measure losses on."""
    prompts: int = 60
    """Positions at which latents are ablated one by one."""
    ctx: int = 64
    """Tokens before such a position."""
    top: int = 8
    """Latents ablated at each."""
    seed: int = 0

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=4, prompts=3, ctx=8, top=2)


def run(config: Config) -> Result:
    """One by one against attribution, then kind by kind."""
    lm = small_lm()
    sae, params = shipped()
    held = material(lm, config.text, rows=config.rows, test_rows=config.test_rows)
    attributed, sums = _one_by_one(lm, sae, params, held.test, config)
    found = by_kind(lm, sae, params, held.train)
    known = found.fired.sum(1) >= LEAST
    pure = [np.flatnonzero(known & (found.purity[:, k] >= PURE)) for k in range(len(held.train.sources))]
    kinds = [k for k, latents in enumerate(pure) if len(latents)]
    clean = _losses(lm, held.test, {})
    every = np.concatenate([pure[k] for k in kinds])
    pool = interventions.activations_of(lm, HOOK, sae, params, held.train, every)
    columns = np.split(pool, np.cumsum([len(pure[k]) for k in kinds])[:-1], 1)
    change = np.stack([
        _by_kind(lm, sae, params, held.test, pure[k], own, config) - clean for k, own in zip(kinds, columns, strict=True)
    ])  # fmt: skip
    spliced = _losses(lm, held.test, interventions.splice(lm, HOOK, sae, params), edited_only=True) - clean
    untouched = interventions.splice(lm, HOOK, sae, params, lambda f: f, error_term=True)
    rows = held.test.tokens[:8]
    difference = float(jnp.abs(lm(rows) - lm(rows, edits=untouched)).max())
    arrays = {"attributed": attributed, "sums": sums, "change": change, "clean": clean, "spliced": spliced,
              "latents": np.array([len(pure[k]) for k in kinds])}  # fmt: skip
    numbers = {"kinds": list(held.test.sources), "ablated": [held.test.sources[k] for k in kinds],
               "largest difference of an unedited splice": difference}  # fmt: skip
    return Result(config, _claims(config, arrays, numbers, kinds), arrays, numbers)


def _one_by_one(
    lm: LanguageModel, sae: SAE, params: Params, text: Tokens, config: Config
) -> tuple[np.ndarray, np.ndarray]:
    """On the true next token's logit: gradient x activation, integrated gradients, true effect (prompts, top, 3).

    And what the first two sum to over all latents, beside the metric less its baseline (prompts, 3).
    """
    rng = np.random.default_rng(config.seed)
    found, sums = [], []
    for row in rng.choice(len(text.tokens), config.prompts, replace=config.prompts > len(text.tokens)):
        ids = text.tokens[row : row + 1, : config.ctx]
        metric = Logit(jnp.asarray(int(text.tokens[row, config.ctx])))
        a = interventions.attribute(lm, HOOK, sae, params, ids, metric)
        gradient, integrated = np.asarray(a.gradient.sum((0, 1))), np.asarray(a.integrated.sum((0, 1)))
        top = np.argsort(-np.abs(gradient))[: config.top]
        truth = np.asarray(interventions.ablation_effects(lm, HOOK, sae, params, ids, metric, top))
        found.append(np.stack([gradient[top], integrated[top], truth], 1))
        sums.append([gradient.sum(), integrated.sum(), float(a.metric - a.at_baseline)])
    return np.stack(found), np.array(sums)


def _by_kind(lm: LanguageModel, sae: SAE, params: Params, text: Tokens, latents: np.ndarray, pool: np.ndarray,
             config: Config) -> np.ndarray:  # fmt: skip
    """Losses (ways to ablate, kinds) without these latents, whose values on other tokens are pool (tokens, latents)."""
    drawn = np.random.default_rng(config.seed).permutation(len(pool))[:POOL]
    values: dict[str, dict[str, Any]] = {
        "zero": {}, "mean": {"values": pool.mean(0)},
        "resample": {"values": pool[drawn], "key": jax.random.key(config.seed)},
    }  # fmt: skip
    edits = [interventions.ablate(lm, HOOK, sae, params, latents, to, **values[to]) for to in TO]
    return np.stack([_losses(lm, text, one, edited_only=True) for one in edits])


def _losses(
    lm: LanguageModel, text: Tokens, edits: Any, batch: int = 16, *, edited_only: bool = False
) -> np.ndarray:
    """Nats a usable next token, by kind (kinds,); edited_only: edits at usable positions alone, as SAEs are trained."""
    losses = []
    for start in range(0, len(text.tokens), batch):
        ids, usable = text.tokens[start : start + batch], text.usable[start : start + batch]
        fill = ((0, batch - len(ids)), (0, 0))
        where = jnp.asarray(np.pad(usable, fill))
        own = {hook: At(edit, where) for hook, edit in edits.items()} if edited_only else edits
        log_p = jax.nn.log_softmax(lm(np.pad(ids, fill), edits=own))
        picked = np.take_along_axis(np.asarray(log_p)[: len(ids), :-1], ids[:, 1:, None].astype(int), 2)[
            ..., 0
        ]
        losses.append(-np.where(usable[:, 1:], picked, 0).sum(1))
    scored = text.usable[:, 1:].sum(1)
    n = len(text.sources)
    return np.bincount(text.source, np.concatenate(losses), n) / np.bincount(text.source, scored, n)


def _claims(
    config: Config, a: dict[str, np.ndarray], numbers: dict[str, Any], kinds: list[int]
) -> list[Claim]:
    gradient, integrated, truth = a["attributed"].reshape(-1, 3).T
    strong = np.abs(truth) > 0.1
    sign = float((np.sign(gradient) == np.sign(truth))[strong].mean()) if strong.any() else float("nan")
    off = [
        float(np.abs(a["sums"][:, i] - a["sums"][:, 2]).mean() / np.abs(a["sums"][:, 2]).mean())
        for i in (0, 1)
    ]
    r = [float(np.corrcoef(x, truth)[0, 1]) for x in (gradient, integrated)]
    error = [float(np.abs(x - truth).mean()) for x in (gradient, integrated)]
    zero = a["change"][:, 0]
    own = zero[np.arange(len(kinds)), kinds]
    other = np.array([np.delete(row, k).max() for row, k in zip(zero, kinds, strict=True)])
    told = "; ".join(
        f"{n} ({c} latents) {o:+.2f}, elsewhere at most {e:+.2f}"
        for n, c, o, e in zip(numbers["ablated"], a["latents"], own, other, strict=True)
    )
    worst = a["change"][np.arange(len(kinds)), :, kinds].mean(0)
    difference = numbers["largest difference of an unedited splice"]
    return [
        Claim("SAE Lens", "with the error term and nothing edited the model is itself (logits to 1e-5)",
              "the error term restores the output", f"largest difference of a logit {difference:.1e}", difference <= 1e-5),
        Claim("SAE Lens", "gradient x activation foretells what ablating a latent does to the next token's logit "
              "(correlation above 0.95)", "attribution finds the latents that matter",
              f"r = {r[0]:.3f} over {len(truth)} latents at {config.prompts} positions, mean error {error[0]:.3f} of a mean "
              f"effect {np.abs(truth).mean():.3f}; of effects above 0.1 it has the sign right in {100 * sign:.1f} %",
              r[0] > 0.95, expected=False),
        Claim("Sundararajan 2017", "integrated gradients add up to the metric less its value with all latents at 0 (to 1 %); "
              "gradient x activation does not", "completeness",
              f"mean shortfall {100 * off[1]:.2f} % against {100 * off[0]:.0f} %", off[1] < 0.01 < off[0]),
        Claim("Sundararajan 2017", "integrated gradients, from all latents at 0, foretell single ablations better than "
              "gradient x activation (less mean error)", "the path's average, not one point's slope",
              f"mean error {error[1]:.3f} against {error[0]:.3f}; r = {r[1]:.3f} against {r[0]:.3f}", error[1] < error[0],
              expected=False),
        Claim("Bricken 2023", "latents of one kind of text carry that kind: ablating them all to zero costs their own kind "
              "more than any other, for every kind that has some", "features are specific in effect too",
              f"nats a token: {told}", bool((own > other).all())),
        Claim("SAE Lens", "the loss of the own kind rises by as much again when latents are set to their mean over all text, "
              "or to other tokens' values, as to zero (within a quarter)", "the kinds of ablation agree",
              f"mean rise {', '.join(f'{t} {w:.3f}' for t, w in zip(TO, worst, strict=True))}; the SAE alone, without its "
              f"error term and nothing ablated, costs {a['spliced'].mean():+.3f}",
              bool((np.abs(worst / worst[0] - 1) < 0.25).all()), expected=False),
    ]  # fmt: skip


def draw(result: Result) -> Figure:
    """Attribution against effect, and the loss by kind ablated and kind of text."""
    a, n = result.arrays, result.numbers
    names = [f"{k} ({c})" for k, c in zip(n["ablated"], a["latents"], strict=True)]
    return ablation(a["attributed"].reshape(-1, 3), a["change"][:, 0], names, n["kinds"])


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a, n = result.arrays, result.numbers
    own = [a["change"][i, 0, n["kinds"].index(k)] for i, k in enumerate(n["ablated"])]
    r = np.corrcoef(a["attributed"][..., 0].ravel(), a["attributed"][..., 2].ravel())[0, 1]
    rises = ", ".join(f"{k} {v:+.2f}" for k, v in zip(n["ablated"], own, strict=True))
    return f"Gradient x activation against the true effect of ablating single latents, r = {r:.3f}; loss of a kind of text " \
           f"without its own latents, nats: {rises}."  # fmt: skip


if __name__ == "__main__":
    main(__name__)
