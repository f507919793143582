"""A prompt continued while a latent is moved, side by side over amounts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from superposition._internal import notebook, validate
from superposition.interventions.at import From
from superposition.interventions.effects import kl
from superposition.interventions.latents import latents_of
from superposition.interventions.steering import clamp, steer

if TYPE_CHECKING:
    from superposition.interventions.attach import Attached


class Continuation(NamedTuple):
    """Text under one edit: ids of the prompt and of what followed, up to the end of the text.

    text: what was added. activations (tokens,): of the latent at every token, as the model reads the text without
    the edit. kl: of the edited next-token distribution from the unedited on this same text, mean nats a new token.

    >>> Continuation([5, 7, 2], " there", np.array([0.0, 0.0, 1.5]), kl=0.25).text
    ' there'
    """

    tokens: list[int]
    text: str
    activations: np.ndarray
    kl: float

    def numbers(self, begin: int) -> dict[str, Any]:
        """All of it as JSON, with the largest and the mean activation after the first `begin` tokens, the prompt's."""
        new = self.activations[begin:].tolist()
        return {
            "continuation": self.text,
            "tokens": self.tokens,
            "kl": self.kl,
            "activations": self.activations.tolist(),
            "max": max(new, default=None),
            "mean": float(np.mean(new)) if new else None,
        }


class Steering(NamedTuple):
    """Continuations of one prompt (ids), one for each amount that a latent was moved by or set to.

    >>> rows = [Continuation([5, 7], " there", np.zeros(2), kl=0.0), Continuation([5, 9], " here", np.ones(2), kl=0.5)]
    >>> Steering(136, [0.0, 20.0], prompt=[5], rows=rows)
    Steering(latent 136, 2 amounts from 0 to 20, KL up to 0.5 nats a token)
    """

    latent: int
    amounts: list[float]
    prompt: list[int]
    rows: list[Continuation]

    def __repr__(self) -> str:
        low, high = min(self.amounts), max(self.amounts)
        most = max(row.kl for row in self.rows)
        return (
            f"Steering(latent {self.latent}, {len(self.amounts)} amounts from {low:.4g} to {high:.4g}, "
            f"KL up to {most:.3g} nats a token)"
        )

    def _repr_html_(self) -> str:
        rows = [
            [float(amount), row.kl, max(row.activations[len(self.prompt) :], default=0.0), row.text]
            for amount, row in zip(self.amounts, self.rows, strict=True)
        ]
        head = ["amount", "KL (nats)", "largest activation", "continuation"]
        return notebook.table(f"Latent {self.latent}, steered", rows, head)


def continuations(
    attached: "Attached",
    latent: int,
    amounts: Sequence[float],
    prompt: Any,
    n: int = 40,
    *,
    clamped: bool = False,
    prompt_too: bool = False,
    temperature: float = 0.0,
    seed: int = 0,
) -> Steering:
    """`n` tokens after a prompt for each amount that a latent is moved by, with the same draws for all.

    Args:
        attached: The SAE on its model.
        latent: Which latent, below d_sae.
        amounts: How far it is moved, in units of its activation; customarily a strength times its largest activation.
        prompt: Text, or its ids.
        n: Tokens to add, fewer where the model ends its text before.
        clamped: Set the latent to each amount, instead of adding it.
        prompt_too: Act at all of the prompt's tokens but BOS, and not only from its last on, from which the first new
            token follows.
        temperature: 0 always takes the likeliest token.
        seed: Of the draws.

    Raises:
        ConfigError: As `steer` and `LanguageModel.generate` do.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> texts = continuations(attached, 136, [0.0, 20.0], "Once upon a time", 6)
        >>> texts.rows[0].text, texts.rows[0].kl
        (', there was a little girl', 0.0)
        >>> texts.rows[1].kl > 0.5
        True
    """
    validate.integer("seed", seed, 0, validate.MAX_SEED)
    lm = attached.lm
    ids = lm.prompt_ids(prompt) if isinstance(prompt, str) else list(prompt)
    facts, begin = lm.token_facts, len(ids) - 1
    first = min(begin, int(ids[:1] == facts.begin)) if prompt_too else begin
    rows = []
    for amount in amounts:
        edit = (clamp if clamped else steer)(attached, latent, amount)
        edits = {name: From(one, first) for name, one in edit.items()}
        new = lm.generate(
            [ids], n, key=jax.random.key(seed), temperature=temperature, edits=edits, end=facts.eos
        )[0].tolist()
        whole = [[*ids, *new]]
        apart = np.asarray(kl(lm(whole, edits=edits)[0], lm(whole)[0]))
        activations = np.asarray(latents_of(attached, whole)[0, :, latent])
        count = len(facts.until_eos(new))
        chosen = min(count + 1, n)  # the end of the text is a token that was chosen, and not shown
        rows.append(
            Continuation(
                whole[0][: len(ids) + count],
                lm.continuation(ids, new[:count]),
                activations[: len(ids) + count],
                float(apart[begin : begin + chosen].mean()),
            )
        )
    return Steering(latent, list(amounts), ids, rows)
