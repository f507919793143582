"""One latent from every side: what fires it, what it promotes, what happens when it is moved or taken away."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.lab.claim import Result
from experiments.language_model.shared.small_lm import HOOK
from superposition import interventions
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, INK, MUTED, Figure, fitted, styled
from superposition.sae import SAE, Params


def cache(lm: LanguageModel, sae: SAE, params: Params, prompt: str) -> tuple[list[int], np.ndarray]:
    """The latents on a prompt, (pos, d_sae)."""
    ids = lm.prompt_ids(prompt)
    return ids, np.asarray(interventions.latents_of(interventions.Attached(lm, HOOK, sae, params), [ids])[0])


def contrast(lm: LanguageModel, sae: SAE, params: Params, prompts: tuple[str, str]) -> interventions.Contrast:
    """The latents that differ most between two prompts, at their last tokens."""
    a, b = (cache(lm, sae, params, prompt)[1][-1] for prompt in prompts)
    return interventions.contrast(a, b, top=5)


def examples(
    lm: LanguageModel, sae: SAE, params: Params, text: Tokens, latent: int
) -> tuple[np.ndarray, list[str]]:
    """All activations of a latent on a text, and the text around the strongest."""
    f = interventions.activations_of(interventions.Attached(lm, HOOK, sae, params), text, latent)[:, 0]
    best = np.argwhere(text.usable)[np.argsort(-f)[:10]]
    return f, [str(lm.tokenizer.decode(text.tokens[row, max(at - 5, 1) : at + 4])) for row, at in best]


def draw(result: Result) -> Figure:
    """Six panels, one a step that has numbers."""
    return tutorial(result.numbers, result.arrays)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    n = result.numbers
    return (
        f"Latent {n['latent']} of the small model's SAE on {n['tokens'][1:]}: strongest examples {n['examples'][:3]}, "
        f"promotes {[t for t, _ in n['logits'][:5]]}, next token {n['target']!r} at probability {n['standing']['model']:.2f}."
    )


def tutorial(numbers: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Figure:
    """Six panels of a latent.

    numbers: latent, ablated, tokens, logits [(token, weight)], target, standing {name: probability}. arrays: counts and edges of
    its activations, contrast (3, k): latents and their activations on two prompts, strengths and kl, by_token (pos,).
    """
    with styled():
        figure = Figure(figsize=(13, 7), dpi=DPI, facecolor="white", layout="constrained")
        top, bottom = figure.subplots(2, 3)
        edges = np.asarray(arrays["edges"])
        top[0].bar(edges[:-1], arrays["counts"], np.diff(edges), align="edge", color=LINES[0])
        _title(top[0], f"Latent {numbers['latent']}: activations", "Activation where it fires", "Tokens")
        whole = [(token, weight) for token, weight in numbers["logits"] if not token.startswith("⟨")]
        tokens, weights = zip(*whole, strict=True)
        _bars(top[1], [_shown(t) for t in tokens], weights, LINES[2])
        parts = len(numbers["logits"]) - len(whole)
        _title(top[1], "Tokens it promotes", f"Logit weight ({parts} more are parts of letters)", "")
        latents, a, b = np.asarray(arrays["contrast"], float)
        y = np.arange(len(latents))
        top[2].barh(y - 0.2, a, 0.38, color=LINES[0], label="first prompt")
        top[2].barh(y + 0.2, b, 0.38, color=LINES[1], label="second prompt")
        top[2].set(yticks=y, yticklabels=[f"{int(i)}" for i in latents])
        top[2].invert_yaxis()
        top[2].legend(frameon=False, fontsize=8.5)
        _title(top[2], "Latents that tell two prompts apart", "Activation at the last token", "Latent")
        bottom[0].plot(arrays["strengths"], arrays["kl"], color=LINES[0], marker="o", markersize=4)
        _title(
            bottom[0], "Steered: distance from the model itself", "Strength (largest activations)", "KL, nats"
        )
        names = list(numbers["standing"])
        _bars(bottom[1], names, list(numbers["standing"].values()), LINES[3])
        _title(
            bottom[1],
            f"Latent {numbers['ablated']} ablated: probability of {_shown(numbers['target'])}",
            "Probability",
            "",
        )
        own = [_shown(t) for t in numbers["tokens"]]
        _bars(bottom[2], own, arrays["by_token"], LINES[4])
        _title(
            bottom[2],
            f"Logit of {_shown(numbers['target'])}: latents, by token",
            "Integrated gradients (attention comes first)",
            "",
        )
    return figure


def _shown(token: str) -> str:
    return fitted(repr(token), 9, 90)


def _bars(axes: Axes, names: list[str], values: Any, colour: str) -> None:
    axes.barh(range(len(names)), values, color=colour)
    axes.set(yticks=range(len(names)))
    axes.set_yticklabels([fitted(n, 9, 150) for n in names], parse_math=False)
    axes.invert_yaxis()


def _title(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(fitted(title, 10.5, 330), fontsize=10.5, loc="left", color=INK, parse_math=False)
    axes.set_xlabel(x, color=MUTED)
    axes.set_ylabel(y, color=MUTED)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0, labelsize=8.5)
