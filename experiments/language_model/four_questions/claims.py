"""The verdicts of four_questions, one function a question."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.lab.architectures import NAMES
from experiments.lab.claim import Claim, Source, at_least, more_than
from experiments.lab.seeds import above, spread
from experiments.language_model.four_questions.found_again import LEVELS, SAME, Again
from experiments.language_model.shared.detectors import PURE

Arrays = Mapping[str, np.ndarray]


def claims_1(config: Any, kinds: list[str], a: Arrays) -> list[Claim]:
    """Meaningful and monosemantic?"""
    widest, neuron = a["latent_f1"][-1], a["neuron_f1"]
    won = (widest > neuron).all(0)
    table = "; ".join(
        f"{k} neuron {a['neuron_recall'][i]:.2f}/{a['neuron_specificity'][i]:.2f} F1 {neuron[i]:.2f}, latent "
        f"{a['latent_recall'][-1, :, i].mean():.2f}/{a['latent_specificity'][-1, :, i].mean():.2f} F1 {widest[:, i].mean():.2f}"
        for i, k in enumerate(kinds)
    )
    means = "; ".join(
        f"{w} latents {spread(f.mean(1))}" for w, f in zip(config.widths, a["latent_f1"], strict=True)
    )
    pure = "; ".join(f"{w} latents {spread(p)}" for w, p in zip(config.widths, a["latent_pure"], strict=True))
    return [
        Claim("Question 1", "the best single latent of the widest SAE detects a kind of text better than the best single "
              "neuron, for most kinds and every seed", "a feature is a better detector than any neuron",
              f"{won.sum()} of {len(kinds)} kinds ({', '.join(k for k, w in zip(kinds, won, strict=True) if w)}); "
              f"sensitivity/specificity: {table}", more_than(won.mean(), 0.5), source=Source.READING),
        Claim("Question 1", "mean F1 over the kinds of the best latents is above that of the best neurons, at some width",
              "features are better detectors", f"neurons {neuron.mean():.3f}; {means}",
              bool((a["latent_f1"].mean(2).min(1) > neuron.mean()).any()), source=Source.READING),
        Claim("Question 1", f"a larger share of the widest SAE's latents than of the neurons fires {100 * PURE:.0f} % of the "
              f"time on one kind of text, at every seed, and than of neurons made as sparse (the {config.k} largest a token)",
              "features are monosemantic, neurons are not",
              f"neurons {float(a['neuron_pure']):.3f}, as sparse {float(a['sparse_pure']):.3f}; {pure}",
              bool((a["latent_pure"][-1] > max(a["neuron_pure"], a["sparse_pure"])).all()), source=Source.READING),
    ]  # fmt: skip


def claims_2(config: Any, again: Mapping[str, Again]) -> list[Claim]:
    """Found again?"""
    share = {k: v.shares[:, SAME] for k, v in again.items()}
    chance = {k: float(v.chance[SAME]) for k, v in again.items()}
    *_, middle, wide = config.widths

    def cosine(name: str) -> str:
        both = again[name].cosine
        return "" if both is None else f", mean best cosine {both[0]:.2f}, turned {both[1]:.2f}"

    def said(names: list[str]) -> str:
        return "; ".join(
            f"{n}: {_several(share[n])}, by chance {chance[n]:.3f}, median correlation "
            f"{again[n].median.mean():.2f}{cosine(n)}"
            for n in names
        )

    def beats(names: list[str]) -> bool:
        return all((share[n] > chance[n]).all() for n in names)

    seeds, models = ([f"another {what}, {w} latents" for w in (middle, wide)] for what in ("seed", "model"))
    other, blank = "neurons, another model", f"untrained SAEs, {wide} latents"
    kinds = [f"{middle} latents in {NAMES[n]}" for n in config.architectures]
    across = [f"{middle} latents in {wide}", f"{wide} latents in {middle}"]
    level = f"correlation {LEVELS[SAME]} or more"
    return [
        Claim("Question 2", f"another seed has most of the latents of an SAE, at both widths ({level})",
              "features are found again", said([*seeds, blank]),
              beats(seeds) and all((share[n] > 0.5).all() for n in seeds), source=Source.READING),
        Claim("Question 2", f"another architecture has the latents far more often than untrained SAEs share theirs ({level})",
              "features do not depend on the method", said([*kinds, blank]),
              beats(kinds) and all(share[n].min() > 3 * share[blank].max() for n in kinds), source=Source.READING),
        Claim("Question 2", f"a wider SAE has what a narrow one has, more often than the other way round ({level})",
              "a wide dictionary holds the narrow one's features and more", said(across),
              (more_than(share[across[0]].min(), share[across[1]].max()), beats(across)), source=Source.READING),
        Claim("Question 2", "a second, independently trained model has the same latents more often than the same neurons, at "
              f"both widths and every seed ({level})", "features are more universal than neurons",
              said([*models, other]), beats(models) and all(share[n].min() > share[other].max() for n in models),
              source=Source.READING),
    ]  # fmt: skip


def claims_3(config: Any, a: Arrays) -> list[Claim]:
    """Splitting and coalescing."""
    steps = [f"{i} to {j}" for i, j in zip(config.widths, config.widths[1:], strict=False)]
    steps.append(f"{config.widths[0]} to {config.widths[-1]}")

    def said(name: str) -> str:
        value = 1 - a["tree_descended"] if name == "lost" else a[f"tree_{name}"]
        return "; ".join(f"{s}: {spread(v)}" for s, v in zip(steps, value, strict=True))

    chance = ", ".join(f"{c:.3f}" for c in a["tree_chance"])
    descended = a["tree_descended"]
    return [
        Claim("Question 3", "latents of a wide SAE descend from those of a narrow one (what fires with it, and resembles it) "
              "more often than by chance, at every step and seed", "features split as the dictionary grows",
              f"share with a parent, {said('descended')}; by chance {chance}",
              bool((descended > a["tree_chance"][:, None]).all() and (descended.mean(1) > 2 * a["tree_chance"]).all()),
              source=Source.READING),
        Claim("Question 3", "the wider the other SAE, the more descendants a latent of the narrowest has",
              "features split as the dictionary grows",
              f"children a latent, {said('children')}; two or more have a share of, {said('split')}",
              above(a["tree_children"][-1], a["tree_children"][0]), source=Source.READING),
        Claim("Question 3", "most latents of a wider SAE have no parent in the one before: by this rule they are new, not parts",
              "some features are new", f"with a parent, {said('descended')}", bool((descended[:-1] < 0.5).all()),
              source=Source.READING),
        Claim("Question 3", "where several latents coalesce as the dictionary shrinks, the narrow one is their sum: in most "
              "cases one of them fires on 80 % of its occasions", "features coalesce",
              f"such a sum, {said('whole')}; how many coalesce, {said('merging')}; occasions covered, {said('covered')}; with "
              f"no narrow counterpart, {said('lost')}",
              bool((a["tree_whole"][:-1].mean(1) > 0.5).all()), source=Source.READING),
    ]  # fmt: skip


def claims_4(config: Any, a: Arrays) -> list[Claim]:
    """Predictable intervention?"""

    def quartiles(values: np.ndarray) -> str:
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        return f"{middle:.2f} (quartiles {low:.2f} to {high:.2f})"

    n = a["steer_up"].size
    zero, one = (list(config.strengths).index(s) for s in (0, 1))
    rise, other = (
        a[f"dose_{name}"][..., one] - a[f"dose_{name}"][..., zero] for name in ("promoted", "others")
    )
    drop = a["ablated_promoted"]
    (latent, of_latent), (neuron, of_neuron), (noise, of_noise) = (
        _standard_error(a[f"meant_{unit}"]) for unit in ("latent", "neuron", "random")
    )
    shares = (
        f"latents {latent:.3f} ± {of_latent:.3f}, neurons {neuron:.3f} ± {of_neuron:.3f}, random directions {noise:.3f} "
        f"± {of_noise:.3f} (standard errors over {a['meant_latent'].size} units; chance 0.5)"
    )
    return [
        Claim("Question 4", "steering by one largest activation changes the logits as the logit weights say (correlation over "
              "the vocabulary above 0.8 for 9 latents in 10, either sign)", "the direct path predicts the effect",
              f"up {quartiles(a['steer_up'])}, down {quartiles(a['steer_down'])}, slope {quartiles(a['steer_slope'])}; a "
              f"random direction of the same length {quartiles(a['steer_random'])}; neurons, by their own weights, "
              f"{quartiles(a['steer_neuron'])}: with one layer only the final norm is between",
              at_least(min((a[f"steer_{s}"] > 0.8).mean() for s in ("up", "down")), 0.9), source=Source.IDENTITY),
        Claim("Question 4", "dose and response: the probability of what a latent promotes rises with every strength, for 9 "
              "latents in 10", "monotone", f"{100 * a['dose_monotone'].mean():.0f} % of {n} latents over strengths "
              f"{', '.join(f'{s:g}' for s in config.strengths)}", at_least(a["dose_monotone"].mean(), 0.9),
              source=Source.IDENTITY),
        Claim("Question 4", "steering is selective: what a latent promotes gains more than random other tokens do, for 9 "
              "latents in 10", "its own tokens, not others",
              f"log-probability {quartiles(rise)} against {quartiles(other)}, {100 * (rise > other).mean():.0f} % of {n}",
              at_least((rise > other).mean(), 0.9), source=Source.IDENTITY),
        Claim("Question 4", "a latent taken out where it is strongest lowers what it promotes more than random other tokens, for "
              "9 latents in 10", "ablation is steering backwards",
              f"log-probability {quartiles(drop)} against {quartiles(a['ablated_others'])}, "
              f"{100 * (drop < a['ablated_others']).mean():.0f} % of {n}; loss there {quartiles(a['ablated_loss'])} nats, raised "
              f"for {100 * (a['ablated_loss'] > 0).mean():.0f} %", at_least((drop < a["ablated_others"]).mean(), 0.9),
              source=Source.IDENTITY),
        Claim("Question 4", "what it means says what it does: steered on unrelated text, latents raise the tokens of the kind "
              "of text they fire on more than those of other kinds (share of other kinds that gain less, two standard "
              "errors above chance)", "meaning and effect agree", shares, more_than(latent, 0.5, 2 * of_latent),
              source=Source.READING),
        Claim("Question 4", "what latents fire on says what they do more often than what neurons fire on does (the same "
              "share, two standard errors of the difference)", "meaning and effect agree", shares,
              more_than(latent - neuron, 0, 2 * np.hypot(of_latent, of_neuron)), source=Source.READING),
    ]  # fmt: skip


def _several(values: np.ndarray) -> str:
    """Mean and interval over seeds; two values, both directions of one pair, as they are."""
    return spread(values) if len(values) > 2 else " and ".join(f"{v:.3f}" for v in values)


def _standard_error(values: np.ndarray) -> tuple[float, float]:
    """Mean of independent values and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))
