"""A transcoder in place of the part of a language model that it imitates, such as an MLP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import notebook
from superposition.errors import ConfigError
from superposition.interventions import evaluation
from superposition.interventions.at import At, Replace
from superposition.interventions.attach import parts_of
from superposition.interventions.latents import latents_of
from superposition.interventions.requirements import Requirements, requirements
from superposition.interventions.splice import Latents, fits_width
from superposition.llm.forward import capture
from superposition.llm.model import LanguageModel
from superposition.llm.prompts import rows_given
from superposition.llm.spec import Spec
from superposition.llm.tokens import Tokens
from superposition.sae import SAE, Params


@dataclass(frozen=True, eq=False, repr=False)
class AttachedTranscoder:
    r"""A transcoder that reads one hook point of a language model and predicts another: what `attach_transcoder` gives.

    $f = \mathrm{encode}(x)$ of the activation x at `hook`, and $\hat y = \mathrm{decode}(f)$ stands for the activation y
    at `target` (Dunefsky et al. 2024, "Transcoders Find Interpretable LLM Feature Circuits"). Where a method takes
    tokens, a string is a prompt, strings are prompts, and ids (batch, pos) or `Tokens` are rows.

    Attributes:
        lm: The model as the transcoder expects it.
        hook: The hook point that it reads.
        target: The hook point that it predicts, which the model computes after `hook`.
        sae: The recipe, with its d_out.
        params: Its parameters: W_enc (d_in, d_sae), W_dec (d_sae, d_out), ...
        requirements: What its metadata say of the model and the text.

    Raises:
        ConfigError: There is no such hook point, it is no transcoder, its widths are not those of the hook points, or
            the target comes first.

    Example:
        >>> import jax
        >>> from superposition.llm import LanguageModel
        >>> from superposition.sae import TopK
        >>> sae = TopK(d_in=128, d_sae=64, d_out=128, k=4)
        >>> params = sae.init_params(jax.random.key(0))
        >>> AttachedTranscoder(LanguageModel.from_hf(), "ln2.hook_normalized", "hook_mlp_out", sae, params)
        AttachedTranscoder(TopK(128 -> 64 latents -> 128) from blocks.0.ln2.hook_normalized to blocks.0.hook_mlp_out)
    """

    lm: LanguageModel
    hook: str
    target: str
    sae: SAE
    params: Params
    requirements: Requirements = field(default_factory=Requirements)

    def __post_init__(self) -> None:
        if self.sae.d_out is None:
            raise ConfigError("the SAE reconstructs what it reads and is no transcoder; give it to attach")
        order = self.lm.hook_names()
        for name, width, does in (("hook", self.sae.d_in, "reads"), ("target", self.sae.d_out, "predicts")):
            resolved = self.lm.resolve(getattr(self, name))
            fits_width(self.lm, resolved, width, f"the transcoder {does}")
            object.__setattr__(self, name, resolved)
        if order.index(self.target) <= order.index(self.hook):
            raise ConfigError(
                f"the target {self.target} does not come after {self.hook}, which the transcoder reads; exchange them"
            )
        object.__setattr__(self, "params", {name: jnp.asarray(v) for name, v in self.params.items()})

    def rows(self, tokens: Any) -> Tokens:
        """Tokens as they are; prompts and ids as rows that are usable where the transcoder was trained."""
        if isinstance(tokens, Tokens):
            return tokens
        return self.requirements.positions(self.lm, rows_given(self.lm, tokens))

    def encode(self, tokens: Any, *, mask: Any = None) -> Array:
        """Latents f (batch, pos, d_sae) at every position, BOS and padding among them."""
        return latents_of(self, tokens, mask=mask)

    def edits(self, tokens: Any, edit: Latents | None = None, *, error_term: bool = False) -> dict[str, At]:
        r"""Put the transcoder in place of what it imitates on these tokens: {target: edit}, for the model's `edits`.

        $y' = \mathrm{decode}(g(f))$ at the usable positions, or with error_term $y' = y + \mathrm{decode}(g(f)) -
        \mathrm{decode}(f)$, where f are the latents of these tokens and y is the model's own activation. One pass reads
        what the edit writes, and so the edit is of these tokens alone and does not reach into generated ones.

        Args:
            tokens: A prompt, several, ids (batch, pos) or `Tokens`.
            edit: g, from latents (..., d_sae) to latents, such as one that sets some of them to 0.
            error_term: Keep what the transcoder leaves out of y.
        """
        rows = self.rows(tokens)
        ids, positions, valid = self.lm.prepared(rows.tokens, rows.valid)
        problem = (dict(self.params), ids, positions, valid)
        x, y = _both(self.lm.spec, self.hook, self.target, self.lm.params, *problem[1:])
        latents = self.sae.encode(problem[0], x)
        new = self.sae.decode(problem[0], latents if edit is None else edit(latents), x)
        if error_term:
            new = y - (self.sae.decode(problem[0], latents, x) - new)
        new = new.reshape(*ids.shape, *(n for n in self.lm.shape(self.target) if isinstance(n, int)))
        return {self.target: At(Replace(new), jnp.asarray(rows.usable))}

    def logits(self, tokens: Any, edit: Latents | None = None, *, error_term: bool = False) -> Array:
        """Logits (batch, pos, d_vocab) with the transcoder in place; arguments are those of `edits`."""
        rows = self.rows(tokens)
        edits = self.edits(rows, edit, error_term=error_term)
        return self.lm(rows.tokens, mask=rows.valid, edits=edits)

    def evaluate(self, tokens: Any, floor: evaluation.Ablations | None = None) -> evaluation.Spliced:
        """What the model loses with the transcoder in place, as `interventions.evaluate` measures it.

        fvu, cosine and the like are of y; floor: `ablations` at `target`.
        """
        return evaluation.evaluate(self, tokens, floor)

    @property
    def title(self) -> str:
        """The transcoder and its hook points in a few words."""
        what = f"{type(self.sae).__name__}({self.sae.d_in:,} -> {self.sae.d_sae:,} latents -> {self.sae.d_out:,})"
        return f"{what} from {self.hook} to {self.target}"

    def __repr__(self) -> str:
        return f"AttachedTranscoder({self.title})"

    def _repr_html_(self) -> str:
        rows = [["model", self.lm.name or "a language model"], ["reads", self.hook], ["predicts", self.target],
                ["transcoder", f"{type(self.sae).__name__}, {self.sae.d_sae:,} latents"]]  # fmt: skip
        return notebook.table("AttachedTranscoder", rows)


def attach_transcoder(
    lm: LanguageModel, transcoder: Any, hook: str | None = None, target: str | None = None
) -> AttachedTranscoder:
    """A transcoder at its two hook points of a language model, which is made as its metadata expect it.

    Args:
        lm: The model.
        transcoder: What `load`, `fit` or `sweep` gives.
        hook: The hook point that it reads. Default: `hook_name` of the metadata.
        target: The hook point that it predicts. Default: `hook_name_out` of the metadata.

    Returns:
        The value that encodes, takes the place of an MLP, and is evaluated there.

    Raises:
        ConfigError: Neither the metadata nor the arguments say which hook points, or they differ; it is no transcoder;
            it does not fit.

    Example:
        >>> import jax
        >>> import superposition as sp
        >>> from superposition.llm.stream import lm_stream
        >>> lm, text = sp.LanguageModel.from_hf(), ["Once upon a time, there was a little girl.", "He said that he would go."]
        >>> stream = lm_stream(jax.random.key(0), lm, text, "ln2.hook_normalized", "hook_mlp_out", mixing=0)
        >>> transcoder = sp.fit(sp.SAERun(sp.TopK(d_sae=64, k=4), stream, steps=20, batch_size=16))
        >>> attached = attach_transcoder(lm, transcoder, "ln2.hook_normalized", "hook_mlp_out")
        >>> attached.evaluate(text).numbers["l0"]
        4.0
    """
    recipe, params, metadata = parts_of(transcoder)
    needs = requirements(metadata)
    read = _named(metadata, "hook_name", hook, "hook")
    written = _named(metadata, "hook_name_out", target, "target")
    return AttachedTranscoder(needs.model(lm, lm.resolve(read)), read, written, recipe, params, needs)


def _named(metadata: Mapping[str, Any], key: str, asked: str | None, argument: str) -> str:
    stored = metadata.get(key)
    if asked is None and not isinstance(stored, str):
        raise ConfigError(f"nothing in the transcoder's metadata says its {key}; give {argument}")
    if asked is not None and isinstance(stored, str) and asked != stored:
        raise ConfigError(f"{key} of the transcoder's metadata is {stored}; leave {argument} {asked} out")
    return str(stored if asked is None else asked)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _both(
    spec: Spec, hook: str, target: str, params: Any, ids: Array, positions: Array, valid: Array | None
) -> tuple[Array, Array]:
    """Activations (batch, pos, width) at both hook points, heads flattened."""
    seen = capture(spec, params, ids, positions, valid, (hook, target))[1]
    x, y = (seen[name].reshape(*ids.shape, -1).astype(jnp.float32) for name in (hook, target))
    return x, y
