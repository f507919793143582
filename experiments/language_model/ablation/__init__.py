"""Ablating latents of the shipped SAE: does attribution foretell the effect, and is the damage where it should be?

One by one: at positions of text that neither model nor SAE was trained on, the latents that gradient x activation
puts first for the logit of the true next token; each is ablated for real, and what was attributed to it (gradient x
activation, integrated gradients) is held against the change of the logit. By kind: all latents that fire nine times
in ten on one script or format are ablated together, with the error term kept, to zero, to their mean over the text,
and to values drawn from other tokens; what the loss of every kind of text does is the question. The same without
the error term shows what the SAE leaves out.

Command:  python -m experiments ablation
Time:     about a minute on two free cores
Expect:   gradient x activation foretells effects with r = 0.93; the loss rises where the latents' own kind is and
          nowhere else
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.claim import Result
from experiments.language_model.ablation.claims import claims
from experiments.language_model.ablation.config import TO, Config
from experiments.language_model.ablation.draw import alt, draw
from experiments.language_model.shared.latents import by_kind, shipped
from experiments.language_model.shared.small_lm import HOOK, material, small_lm
from superposition import interventions
from superposition.interventions import At, Logit
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.sae import SAE, Params

__all__ = ["SHARED", "Config", "alt", "draw", "run"]
PURE = 0.9
LEAST = 20  # firings below which a latent's kind is not known
POOL = 4096  # tokens whose values are drawn from
SHARED = "60 rows of sampled text"


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
    pool = interventions.activations_of(interventions.Attached(lm, HOOK, sae, params), held.train, every)
    columns = np.split(pool, np.cumsum([len(pure[k]) for k in kinds])[:-1], 1)
    change = np.stack([
        _by_kind(lm, sae, params, held.test, pure[k], own, config) - clean for k, own in zip(kinds, columns, strict=True)
    ])  # fmt: skip
    spliced = (
        _losses(
            lm,
            held.test,
            interventions.splice(interventions.Attached(lm, HOOK, sae, params)),
            edited_only=True,
        )
        - clean
    )
    untouched = interventions.splice(
        interventions.Attached(lm, HOOK, sae, params), lambda f: f, error_term=True
    )
    rows = held.test.tokens[:8]
    difference = float(jnp.abs(lm(rows) - lm(rows, edits=untouched)).max())
    arrays = {"attributed": attributed, "sums": sums, "change": change, "clean": clean, "spliced": spliced,
              "latents": np.array([len(pure[k]) for k in kinds])}  # fmt: skip
    numbers = {"kinds": list(held.test.sources), "ablated": [held.test.sources[k] for k in kinds],
               "largest difference of an unedited splice": difference}  # fmt: skip
    return Result(config, claims(config, arrays, numbers, kinds), arrays, numbers)


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
        a = interventions.attribute(interventions.Attached(lm, HOOK, sae, params), ids, metric)
        gradient, integrated = np.asarray(a.gradient.sum((0, 1))), np.asarray(a.integrated.sum((0, 1)))
        top = np.argsort(-np.abs(gradient))[: config.top]
        truth = np.asarray(
            interventions.ablation_effects(interventions.Attached(lm, HOOK, sae, params), ids, metric, top)
        )
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
    edits = [
        interventions.ablate(interventions.Attached(lm, HOOK, sae, params), latents, to, **values[to])
        for to in TO
    ]
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
