"""What served pages may ask of the model: which latents fire on a text, and how a prompt goes on when one is steered."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition._internal.memory import enough_memory
from superposition.errors import ConfigError
from superposition.interventions import Attached, From, kl, steer
from superposition.llm.forward import capture
from superposition.llm.hooks import stop_after
from superposition.llm.spec import Spec
from superposition.llm.tokens import usable_positions
from superposition.pages.pieces import pieces as display
from superposition.pages.server import Answer
from superposition.sae import SAE, Params

Pieces = Callable[[Sequence[int]], list[str]]

POSITIONS = 1024  # a text for a look; models with more positions would take memory for them
TOP = 10  # latents listed for a token
ROWS = 64  # tokens that the SAE reads at once
STRENGTHS, STRONGEST, HOTTEST = 9, 100.0, 10.0
STEP = 16  # lengths are filled up to some multiple: a program is compiled once a shape


def answers(
    attached: Attached, maxima: Mapping[int, float | None], pieces: Pieces | None = None
) -> dict[str, Answer]:
    """What the pages may ask: {"/api/activations": ..., "/api/steer": ...}, functions of a request's JSON.

    maxima: largest activation by latent, of those that have pages; None or 0 for one that never fired. pieces: how
    tokens are shown; by default as in the pages. Requests outside their limits raise ConfigError.
    """
    live = _Live(attached, maxima, pieces or partial(display, attached.lm.tokenizer))
    return {"/api/activations": live.activations, "/api/steer": live.steer}


class _Live:
    """The model, the SAE and what is known of its latents."""

    def __init__(self, attached: Attached, maxima: Mapping[int, float | None], pieces: Pieces) -> None:
        self.attached, self.lm, self.hook, self.sae = attached, attached.lm, attached.hook, attached.sae
        self.params, self.maxima, self.pieces = dict(attached.params), dict(maxima), pieces
        self.facts = self.lm.token_facts
        self.begin = self.facts.begin

    def activations(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"text"} -> {"tokens", "top": of each token [id, activation, share of its maximum], strongest share first}.

        Of latents that have pages. A token that the SAE was not trained on (special, or first without BOS) has none.
        """
        _fields(request, "text")
        ids = self._ids("text", request["text"])
        if not ids:
            raise ConfigError("text gives no tokens; write something")
        whole = [*self.begin, *ids]
        with enough_memory("give a shorter text"):
            x = _activations(self.lm.spec, self.lm.params, self.hook, self._filled(whole))
            x = np.asarray(x)[len(self.begin) : len(whole)]
            latents = [
                np.asarray(_encode(self.sae, self.params, _fill(x[i : i + ROWS])))
                for i in range(0, len(x), ROWS)
            ]
        top = [self._top(row) for row in np.concatenate(latents)[: len(ids)]]
        rows = np.array([whole])
        usable = usable_positions(rows, self.facts.special, skip_first=True)
        kept = self.attached.requirements.trained_on(self.lm, rows, usable)[0, len(self.begin) :]
        top = [one if counts else [] for counts, one in zip(kept, top, strict=True)]
        return {"tokens": self.pieces(ids), "top": top}

    def steer(self, request: dict[str, Any]) -> dict[str, Any]:
        """{"prompt", "id", "strengths", "n", "temperature", "seed"} -> {"rows": one a strength}, as `superposition steer`.

        A row: strength, tokens (prompt and continuation, to the end of the text), act (the latent on each as the
        unsteered model reads them), prompt_length, kl (steered from unsteered, mean over the new tokens, nats).
        """
        _fields(request, "prompt", "id", "strengths", "n", "temperature", "seed")
        latent = validate.integer("id", request["id"], 0, self.sae.d_sae)
        n = validate.integer("n", request["n"], 1)
        seed = validate.integer("seed", request["seed"], 0, validate.MAX_SEED)
        validate.in_range("temperature", _number("temperature", request["temperature"]), 0.0, HOTTEST)
        strengths = request["strengths"]
        if not isinstance(strengths, list) or not 1 <= len(strengths) <= STRENGTHS:
            raise ConfigError(f"strengths must be a list of 1 to {STRENGTHS} numbers")
        for strength in strengths:
            validate.in_range("strengths", _number("strengths", strength), -STRONGEST, STRONGEST)
        if latent not in self.maxima:
            raise ConfigError(f"latent {latent} has no page here; ask for one that has")
        if not (largest := self.maxima[latent]):
            raise ConfigError(
                f"latent {latent} never fired on the pages' text, so that there is no unit to steer it by"
            )
        prompt = self._ids("prompt", request["prompt"])
        whole = [*self.begin, *prompt]
        if not whole:
            raise ConfigError("the model has no BOS token to begin with; write a prompt")
        if len(whole) + n > self._positions:
            raise ConfigError(
                f"n must be at most {self._positions - len(whole)} after a prompt of {len(prompt)} tokens; got {n}"
            )
        draw = {"key": jax.random.key(seed), "temperature": float(request["temperature"])}
        with enough_memory("give a shorter prompt, or fewer new tokens"):
            rows = [self._steered(whole, latent, strength * largest, n, draw) for strength in strengths]
        return {"rows": [{"strength": s} | row for s, row in zip(strengths, rows, strict=True)]}

    def _steered(
        self, prompt: list[int], latent: int, amount: float, n: int, draw: dict[str, Any]
    ) -> dict[str, Any]:
        lm, begun, last = self.lm, len(self.begin), len(prompt) - 1
        edit = steer(self.attached, latent, amount)[self.hook]
        # From the prompt's last token on, as the command steers: it decides the first new token.
        edits = {self.hook: From(edit, jnp.int32(last))}
        filled = np.roll(self._filled(prompt), -len(prompt), 1)  # prompts are filled up on their left
        mask = np.arange(filled.shape[1])[None] >= filled.shape[1] - len(prompt)
        more = min(math.ceil(n / STEP) * STEP, self._positions - len(prompt))
        new = lm.generate(filled, more, mask=mask, edits=edits, **draw)[0, :n].tolist()
        count = len(self.facts.until_eos(new))
        chosen = min(count + 1, n)  # the end of the text is a token that was chosen, and not shown
        row = [*prompt, *new[:count]]
        ids = self._filled(row)
        apart, act = _compared(lm.spec, lm.params, self.hook, self.sae, self.params, ids, edits, latent)
        return {
            "tokens": self.pieces(row[begun:]),
            "act": [_short(a) for a in np.asarray(act)[begun : len(row)]],
            "prompt_length": len(prompt) - begun,
            "kl": _short(np.asarray(apart, np.float64)[last : last + chosen].mean()),
        }

    @property
    def _positions(self) -> int:
        return min(self.lm.spec.n_ctx, POSITIONS)

    def _ids(self, name: str, text: Any) -> list[int]:
        if not isinstance(text, str):
            raise ConfigError(f"{name} must be a string; got {type(text).__name__}")
        ids = self.lm.token_ids(text)
        most = self._positions - len(self.begin)
        if len(ids) > most:
            raise ConfigError(f"{name} may have {most} tokens; got {len(ids)}: give a shorter one")
        return ids

    def _filled(self, ids: list[int]) -> np.ndarray:
        """(1, length) with what does not matter to its right, of few lengths."""
        length = STEP
        while length < len(ids):
            length *= 2
        return np.array([ids + [0] * (min(length, self._positions) - len(ids))])

    def _top(self, latents: np.ndarray) -> list[list[float]]:
        """The latents with pages that are on, by share of their maximum; one that never fired before is at its own."""
        on = [(int(i), float(latents[i])) for i in np.flatnonzero(latents > 0) if int(i) in self.maxima]
        ones = [[i, _short(a), _short(a / (self.maxima[i] or a))] for i, a in on]
        return sorted(ones, key=lambda one: -one[2])[:TOP]


def _fields(request: dict[str, Any], *names: str) -> None:
    if set(request) != set(names):
        raise ConfigError(
            f"the request must have {', '.join(names)}; got {', '.join(sorted(request))[:200] or 'nothing'}"
        )


def _number(name: str, value: Any) -> float:
    """A plain number: JSON has lists and objects, too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number; got {type(value).__name__}")
    return value


def _short(value: Any) -> float:
    return float(f"{float(value):.5g}")


def _fill(x: np.ndarray) -> np.ndarray:
    return np.pad(x, ((0, ROWS - len(x)), (0, 0)))


@partial(jax.jit, static_argnums=(0, 2))
def _activations(spec: Spec, params: Any, hook: str, ids: Array) -> Array:
    """(length, width) in float32."""
    positions = jnp.arange(ids.shape[1])[None]
    stop = stop_after([hook], spec.n_layers)
    x = capture(spec, params, ids, positions, None, (hook,), stop_at_layer=stop)[1][hook]
    return x.reshape(ids.shape[1], -1).astype(jnp.float32)


@partial(jax.jit, static_argnums=0)
def _encode(sae: SAE, params: Params, x: Array) -> Array:
    return sae.encode(params, x)


@partial(jax.jit, static_argnums=(0, 2, 3))
def _compared(
    spec: Spec, params: Any, hook: str, sae: SAE, own: Params, ids: Array, edits: Any, latent: Array
) -> tuple[Array, Array]:
    """KL of the edited from the unedited next-token distribution, and the latent without the edit, (length,) each."""
    positions = jnp.arange(ids.shape[1])[None]
    clean, seen = capture(spec, params, ids, positions, None, (hook,))
    edited, _ = capture(spec, params, ids, positions, None, (), edits=edits)
    x = seen[hook].reshape(ids.shape[1], -1).astype(jnp.float32)
    return kl(edited[0], clean[0]), sae.encode(own, x)[:, latent]
