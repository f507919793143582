"""A language model with edits through an SAE: continue a prompt, read logits, add one more edit."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import notebook, validate
from superposition.interventions.at import From
from superposition.interventions.effects import Effect, effect
from superposition.interventions.splice import Latents, splice
from superposition.interventions.steering import ablate, clamp, steer
from superposition.llm.hooks import Context
from superposition.llm.prompts import completed, target_ids

if TYPE_CHECKING:
    from superposition.interventions.attach import Attached


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class InOrder:
    """Several edits at one hook point, each of which reads what the one before it wrote."""

    edits: tuple[Any, ...]

    def __call__(self, x: Array, context: Context) -> Array:
        """The activation (batch, pos, ...)."""
        for edit in self.edits:
            x = edit(x, context).astype(x.dtype)
        return x


class Step(NamedTuple):
    """An edit, and what it does in words."""

    words: str
    edit: Any


class Editing(ABC):
    """What an SAE on a language model, with edits or none yet, can do: one more edit, a continuation, logits."""

    @abstractmethod
    def edited(self) -> "Edited":
        """The model with the edits so far."""

    def steer(
        self, latent: Any, amount: Any, *, first: int | None = None, last: int | None = None
    ) -> "Edited":
        """Also add amount x the latent's decoder direction (or several of each), as `interventions.steer` does."""
        edited = self.edited()
        words = f"steer {_named(latent)} by {_number(amount)}"
        return edited.then(words, steer(edited.attached, latent, amount), first, last)

    def clamp(
        self,
        latent: Any,
        value: Any,
        *,
        error_term: bool = True,
        first: int | None = None,
        last: int | None = None,
    ) -> "Edited":
        """Also set a latent (or several) to a value, as `interventions.clamp` does."""
        edited = self.edited()
        words = f"clamp {_named(latent)} to {_number(value)}{'' if error_term else ' on the reconstruction'}"
        return edited.then(words, clamp(edited.attached, latent, value, error_term=error_term), first, last)

    def ablate(
        self,
        latents: Any,
        to: str = "zero",
        *,
        values: Any = None,
        seed: int = 0,
        error_term: bool = True,
        first: int | None = None,
        last: int | None = None,
    ) -> "Edited":
        """Also take latents out, as `interventions.ablate` does; seed: of the rows that "resample" draws."""
        edited = self.edited()
        validate.integer("seed", seed, 0, validate.MAX_SEED)
        key = jax.random.key(seed) if to == "resample" else None
        edits = ablate(edited.attached, latents, to, values=values, key=key, error_term=error_term)
        words = f"ablate {_named(latents)}{'' if to == 'zero' else f' to {to}'}"
        return edited.then(words + ("" if error_term else " on the reconstruction"), edits, first, last)

    def splice(
        self,
        edit: Latents | None = None,
        *,
        error_term: bool = False,
        first: int | None = None,
        last: int | None = None,
    ) -> "Edited":
        """Also replace the activation by the SAE's reconstruction, as `interventions.splice` does."""
        edited = self.edited()
        words = "run on the reconstruction" if edit is None else "run on edited latents"
        return edited.then(words, splice(edited.attached, edit, error_term=error_term), first, last)

    @overload
    def generate(
        self, prompt: str, n: int = ..., *, seed: int = ..., temperature: float = ..., top_p: float = ...
    ) -> str: ...
    @overload
    def generate(
        self,
        prompt: list[str],
        n: int = ...,
        *,
        seed: int = ...,
        temperature: float = ...,
        top_p: float = ...,
    ) -> list[str]: ...
    @overload
    def generate(
        self, prompt: Any, n: int = ..., *, seed: int = ..., temperature: float = ..., top_p: float = ...
    ) -> Any: ...
    def generate(
        self, prompt: Any, n: int = 40, *, seed: int = 0, temperature: float = 0.0, top_p: float = 1.0
    ) -> Any:
        """A prompt with at most n tokens added to it: text for text, texts for texts, ids (batch, n) for ids.

        Texts end where the model ends them. Greedy at temperature 0, else drawn with `seed`, from the least set of
        tokens that holds the probability `top_p`. Raises ConfigError as `LanguageModel.generate` does.
        """
        validate.integer("seed", seed, 0, validate.MAX_SEED)
        edited = self.edited()
        lm = edited.attached.lm
        new = lm.generate(
            prompt,
            n,
            key=jax.random.key(seed),
            temperature=temperature,
            top_p=top_p,
            edits=edited.edits,
            end=lm.token_facts.eos,
        )
        if isinstance(prompt, str):
            return completed(lm, [prompt], new)[0]
        texts = isinstance(prompt, list | tuple) and all(isinstance(one, str) for one in prompt)
        return completed(lm, prompt, new) if texts else new

    def logits(self, prompt: Any, *, mask: Any = None) -> Array:
        """Logits (batch, pos, d_vocab) of a prompt, or of rows of ids."""
        edited = self.edited()
        return edited.attached.lm(prompt, mask=mask, edits=edited.edits)

    def effect(self, prompt: Any, target: Any = None) -> Effect:
        """What the edits do to the next token of each prompt (batch,): rank, logit, probability; and the KL.

        target: text of one token, or an id; one a prompt, or one for all. Default: the likeliest without the edits.
        """
        lm = self.edited().attached.lm
        before, after = lm(prompt)[:, -1], self.logits(prompt)[:, -1]
        chosen = jnp.argmax(before, -1) if target is None else target_ids(lm, target)
        return effect(before, after, chosen)


@dataclass(frozen=True, eq=False, repr=False)
class Edited(Editing):
    """A language model whose activations are edited through an SAE; each method that edits gives a new value.

    Edits act in the order in which they are given, each on what the one before it left, at every position from `first`
    to `last` (absolute positions of a row's tokens, both included; all of them without these two).

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> edited = attached.steer(136, 2.0).ablate([12, 7])
        >>> edited  # doctest: +NORMALIZE_WHITESPACE
        Edited(steer latent 136 by 2, then ablate latents 12, 7; TopK(512 -> 1,024 latents) at
        blocks.0.mlp.hook_post of superposition/small-lm)
        >>> edited.logits("Once upon a time").shape
        (1, 5, 3072)
        >>> edited.generate("Once upon a time", 8)
        'Once upon a time, there was a little girl named Lily'
    """

    attached: "Attached"
    steps: tuple[Step, ...] = ()

    @property
    def edits(self) -> dict[str, Any]:
        """{hook: edit}, as the model takes them: `lm(tokens, edits=edited.edits)`."""
        if not self.steps:
            return {}
        all_edits = tuple(step.edit for step in self.steps)
        return {self.attached.hook: all_edits[0] if len(all_edits) == 1 else InOrder(all_edits)}

    def edited(self) -> "Edited":
        """Itself."""
        return self

    def then(self, words: str, edits: Mapping[str, Any], first: int | None, last: int | None) -> "Edited":
        """Also one more edit, between two positions where they are given; words: what it does."""
        (edit,) = edits.values()
        if first is not None or last is not None:
            start = 0 if first is None else validate.integer("first", first, 0)
            end = None if last is None else validate.integer("last", last, start)
            edit = From(edit, start, end)
            words += f" from position {start}" + ("" if end is None else f" to {end}")
        return Edited(self.attached, (*self.steps, Step(words, edit)))

    def __repr__(self) -> str:
        done = ", then ".join(step.words for step in self.steps) or "no edit"
        return f"Edited({done}; {self.attached.title})"

    def _repr_html_(self) -> str:
        rows = [[i, step.words] for i, step in enumerate(self.steps, 1)] or [["", "no edit"]]
        return notebook.table(f"Edited: {self.attached.title}", rows)


def _named(latents: Any) -> str:
    listed = np.atleast_1d(np.asarray(latents)).tolist()
    some = ", ".join(map(str, listed[:8])) + (", ..." if len(listed) > 8 else "")
    return f"latent{'s' * (len(listed) > 1)} {some}"


def _number(value: Any) -> str:
    """One number as it is, several by their shape; what is traced has no number yet."""
    if callable(value) or np.shape(value) or isinstance(value, jax.core.Tracer):
        return "given values"
    return f"{float(value):g}"
