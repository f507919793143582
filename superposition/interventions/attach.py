"""An SAE attached to a language model at its hook point: the value that everything here takes first."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition._internal import notebook
from superposition.errors import ConfigError
from superposition.interventions import evaluation
from superposition.interventions.attribution import Attribution, Metric, ablation_effects, attribute
from superposition.interventions.continuations import Steering, continuations
from superposition.interventions.dose import DoseResponse, dose_response
from superposition.interventions.edited import Edited, Editing
from superposition.interventions.hook_point import hook_for
from superposition.interventions.latents import Firing, firing, latents_of
from superposition.interventions.requirements import Requirements, requirements
from superposition.interventions.splice import fits
from superposition.llm.model import LanguageModel
from superposition.llm.prompts import rows_given
from superposition.llm.tokens import Tokens
from superposition.sae import SAE, Params


@dataclass(frozen=True, eq=False, repr=False)
class Attached(Editing):
    """An SAE at a hook point of a language model: what `lm.attach(sae)` gives, and the functions here take first.

    Every method is the function of that name in `superposition.interventions`. Where it takes tokens, a string is a
    prompt, strings are prompts, and ids (batch, pos) or `Tokens` are rows. `steer`, `clamp`, `ablate` and `splice` give the
    model with an edit (`Edited`); `generate` and `logits` are those without any.

    Attributes:
        lm: The model as the SAE expects it: with BOS, centred weights, where its metadata say so.
        hook: The hook point, by the model's own name for it.
        sae: The recipe: its sizes and its activation.
        params: Its parameters: W_enc (d_in, d_sae), W_dec (d_sae, d_in), ...
        requirements: What its metadata say of the model and the text.
        name: Where it came from, for tables and errors.
        notes: What was done to the model, and which positions count, because the metadata say so.

    Raises:
        ConfigError: There is no such hook point, or the SAE does not read and write its width.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> lm = LanguageModel.from_hf()
        >>> attached = lm.attach(formats.load("superposition/small-lm-sae"))
        >>> attached
        Attached(TopK(512 -> 1,024 latents) at blocks.0.mlp.hook_post of superposition/small-lm)
        >>> attached.encode("Once upon a time").shape
        (1, 5, 1024)
    """

    lm: LanguageModel
    hook: str
    sae: SAE
    params: Params
    requirements: Requirements = field(default_factory=Requirements)
    name: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        fits(self.lm, self.hook, self.sae)
        object.__setattr__(self, "hook", self.lm.resolve(self.hook))
        object.__setattr__(self, "params", {name: jnp.asarray(v) for name, v in self.params.items()})

    def refuse_other_activations(self, first: "Attached", asked: str = "the second") -> None:
        """ConfigError where this SAE and `first` read other activations; asked: how the user named this one."""
        if self.hook != first.hook:
            raise ConfigError(
                f"{self.name} is for {self.hook}, and {first.name} for {first.hook}; give {asked} of that hook point"
            )
        theirs, ours = self.requirements.processed(self.hook), first.requirements.processed(first.hook)
        if theirs != ours:
            raise ConfigError(
                f"{self.name} and {first.name} differ in {theirs or ours}, so that they read other activations; give {asked} of"
                " a model that was loaded alike"
            )

    @property
    def target(self) -> str:
        """The hook point that it writes: the one that it reads."""
        return self.hook

    @property
    def title(self) -> str:
        """The SAE, the hook point and the model in a few words."""
        what = f"{type(self.sae).__name__}({self.sae.d_in:,} -> {self.sae.d_sae:,} latents)"
        return f"{what} at {self.hook} of {self.lm.name or 'a language model'}"

    def tokens(self, tokens: Any) -> Tokens:
        """Rows of text, usable where the SAE was trained; ConfigError where that is nowhere."""
        return self.requirements.positions(self.lm, rows_given(self.lm, tokens))

    def rows(self, tokens: Any) -> Tokens:
        """Tokens as they are, which say themselves where they are usable; prompts and ids as `tokens` makes them."""
        return tokens if isinstance(tokens, Tokens) else self.tokens(tokens)

    def encode(self, tokens: Any, *, mask: Any = None) -> Float[Array, "batch pos d_sae"]:
        """Latents f (batch, pos, d_sae) at every position, BOS and padding among them."""
        return latents_of(self, tokens, mask=mask)

    def firing(self, tokens: Any) -> Firing:
        """How strongly and how often each latent fires on a text."""
        return firing(self, tokens)

    def edited(self) -> Edited:
        """The model without any edit, to which the methods that edit add theirs."""
        return Edited(self)

    def continuations(
        self,
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
        """A prompt continued for each amount that a latent is moved by, side by side."""
        return continuations(
            self,
            latent,
            amounts,
            prompt,
            n,
            clamped=clamped,
            prompt_too=prompt_too,
            temperature=temperature,
            seed=seed,
        )

    def attribute(
        self,
        tokens: Any,
        metric: Metric,
        *,
        steps: int = 32,
        baseline: Any = 0.0,
        where: Any = None,
        at: str | None = None,
        mask: Any = None,
    ) -> Attribution:
        """Which latents a number of the model's output rests on."""
        return attribute(self, tokens, metric, steps=steps, baseline=baseline, where=where, at=at, mask=mask)

    def ablation_effects(
        self,
        tokens: Any,
        metric: Metric,
        latents: Any,
        *,
        baseline: Any = 0.0,
        where: Any = None,
        at: str | None = None,
        mask: Any = None,
    ) -> Float[Array, "k"]:
        """What the metric loses when a latent is ablated, one latent at a time: (k,)."""
        return ablation_effects(
            self, tokens, metric, latents, baseline=baseline, where=where, at=at, mask=mask
        )

    def dose_response(self, tokens: Any, latent: Any, amounts: Any, sets: Sequence[Any]) -> DoseResponse:
        """How the predictions answer to a latent that is steered ever more strongly."""
        return dose_response(self, tokens, latent, amounts, sets)

    def ablations(self, tokens: Any) -> evaluation.Ablations:
        """The losses between which an SAE is measured: of the clean model, at zero, at the mean activation."""
        return evaluation.ablations(self.lm, self.hook, self.rows(tokens))

    def evaluate(self, tokens: Any, floor: evaluation.Ablations | None = None) -> evaluation.Spliced:
        """What the model loses on the SAE's reconstruction: ce, kl, ce_recovered, l0, fvu, ..."""
        return evaluation.evaluate(self, tokens, floor)

    def __repr__(self) -> str:
        return f"Attached({self.title})"

    def _repr_html_(self) -> str:
        rows = [
            ["model", self.lm.name or "a language model"],
            ["hook point", f"{self.hook}, {self.sae.d_in:,} numbers a token"],
            ["SAE", f"{self.name or 'an SAE'}: {type(self.sae).__name__}, {self.sae.d_sae:,} latents"],
            *(["note", line] for line in self.notes),
        ]
        return notebook.table("Attached", rows)


def attach(lm: LanguageModel, sae: Any, hook: str | None = None, *, name: str = "") -> Attached:
    """An SAE at its hook point of a language model, which is made as the SAE's metadata expect it.

    Args:
        lm: The model.
        sae: What `load`, `fit` or `sweep` gives: anything with a recipe (`model`), `params` and, where it has any,
            `metadata`.
        hook: The hook point. Default: the one in the metadata.
        name: Where the SAE came from, for tables and errors.

    Returns:
        The value that steers, clamps, ablates, attributes and evaluates.

    Raises:
        ConfigError: Neither the metadata nor `hook` say which hook point it is, or they differ; the SAE does not fit
            it; the metadata have a value of another type, or ask for what cannot be done here.

    Warns:
        UserWarning: The metadata name another model, or other weights of it.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attach(LanguageModel.from_hf(), formats.load("superposition/small-lm-sae")).hook
        'blocks.0.mlp.hook_post'
    """
    recipe, params, metadata = parts_of(sae)
    needs = requirements(metadata)
    hook, note = hook_for(lm, recipe, metadata, hook)
    for line in ([] if note is None else [note]) + needs.notes(lm):
        warnings.warn(line, stacklevel=3)
    model, notes = needs.model(lm, hook), tuple(needs.obeyed(lm, hook))
    return Attached(model, hook, recipe, params, needs, name, notes)


def parts_of(sae: Any) -> tuple[SAE, Params, Mapping[str, Any]]:
    """The recipe, the parameters and the metadata of a trained SAE, or ConfigError for what is none."""
    recipe = getattr(sae, "model", None) or getattr(sae, "sae", None)
    params = getattr(sae, "params", None)
    if not isinstance(recipe, SAE) or not isinstance(params, Mapping):
        raise ConfigError(
            f"attach takes a trained SAE, with its recipe and its parameters; got {type(sae).__name__}: give what "
            "`load` or `fit` returned"
        )
    metadata = getattr(sae, "metadata", None)
    return recipe, dict(params), metadata if isinstance(metadata, Mapping) else {}
