"""A language model at hand: tokens to logits, activations at hook points, edits, generation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jax import Array
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Integer

from superposition._internal import notebook, validate
from superposition.errors import ConfigError
from superposition.llm import generation, hooks, prompts, sharding
from superposition.llm.decoder import Decoder, shapes
from superposition.llm.forward import capture, positions, run
from superposition.llm.hooks import Edit
from superposition.llm.spec import Spec
from superposition.llm.token_facts import TokenFacts
from superposition.typing import PRNGKey

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from superposition.interventions.attach import Attached
    from superposition.llm.fast_tokenizer import FastTokenizer

__all__ = ["DTYPES", "SMALL_LM", "LanguageModel", "capture", "positions"]

# The name of the language model that ships with the library.
SMALL_LM = "superposition/small-lm"
# The dtypes that a model can be loaded in.
DTYPES = ("float32", "bfloat16")
SHOWN = (
    "family",
    "d_model",
    "n_heads",
    "n_kv_heads",
    "d_head",
    "d_mlp",
    "d_vocab",
    "n_ctx",
    "norm",
    "activation",
)


@dataclass(frozen=True, eq=False, repr=False)
class LanguageModel:
    """A decoder-only language model: a Spec (static) and flat parameters named as `decoder.shapes` has them.

    Wherever it takes tokens they are integers (batch, pos), `Tokens`, or text: a prompt, or several, which begin with
    BOS where the tokenizer puts it. mask is False (or 0) for padding, whose positions do not count.

    Attributes:
        spec: The architecture.
        params: Weights by name.
        name: What it is called: a folder, or a name on the hub.
        folder: Where its files are, the tokenizer among them; None for a model made from parameters alone.
        aliases: Other names of its hook points, such as Hugging Face module paths.
        facts: Special tokens and how text is put together, in place of what the folder says.

    Example:
        >>> lm = LanguageModel.from_hf()
        >>> lm
        LanguageModel('superposition/small-lm': 1 layer of width 128, vocabulary 3,072, context 128, 0.608M parameters)
        >>> lm("Once upon a time").shape
        (1, 5, 3072)
        >>> logits, seen = lm.run_with_cache("Once upon a time", ["blocks.0.mlp.hook_post"])
        >>> seen["blocks.0.mlp.hook_post"].shape
        (1, 5, 512)
        >>> prompt = lm.prompt_ids("Once upon a time")
        >>> lm.continuation(prompt, lm.generate([prompt], 4)[0])
        ', there was a'
    """

    spec: Spec
    params: Mapping[str, Array]
    name: str = ""
    folder: Path | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    facts: TokenFacts | None = None

    @classmethod
    def from_hf(
        cls,
        source: str | Path = SMALL_LM,
        *,
        dtype: str = "float32",
        mesh: Mesh | None = None,
        revision: str | None = None,
    ) -> "LanguageModel":
        """The model in a folder, of a name on the Hugging Face hub, or the one that ships.

        Args:
            source: A folder (config.json, *.safetensors, the tokenizer's files), or a name such as "gpt2".
            dtype: "float32" or "bfloat16", of the parameters and of the computation.
            mesh: Devices that the parameters are spread over.
            revision: Branch, tag or commit of a name on the hub.

        Raises:
            ConfigError: It is not there, is of a family or has a setting that is not supported, or does not fit.
            CorruptError: A file is damaged.
        """
        from superposition.llm.hub import read, resolve

        validate.choice("dtype", dtype, DTYPES)
        folder = resolve(source, revision=revision)
        spec, family, params = read(folder, dtype, partial(sharding.put, mesh))
        return cls.of(spec, params, name=str(source), folder=folder, aliases=family.aliases(spec))

    @classmethod
    def of(cls, spec: Spec, params: Mapping[str, Any], **about: Any) -> "LanguageModel":
        """The model with flat parameters, named and shaped as `decoder.shapes(spec)`."""
        wanted = shapes(spec)
        wrong = list(wanted.keys() ^ params.keys())
        wrong += [n for n in wanted.keys() & params.keys() if np.shape(params[n]) != wanted[n]]
        if wrong:
            raise ConfigError(f"parameters that are missing, surplus or of another shape: {sorted(wrong)}")
        return cls(spec, dict(params), **about)

    @property
    def module(self) -> Decoder:
        """The model as a Flax NNX module."""
        return Decoder(self.spec, self.params)

    @cached_property
    def tokenizer(self) -> "FastTokenizer | PreTrainedTokenizerBase":
        """The tokenizer in the model's folder."""
        from superposition.llm.hub import load_tokenizer

        if self.folder is None:
            raise ConfigError("this model was not read from a folder and has no tokenizer; give token ids")
        return load_tokenizer(self.folder)

    @cached_property
    def token_facts(self) -> TokenFacts:
        """Special tokens and how rows and prompts are put together: `facts`, or what the model's folder says."""
        return prompts.facts_of(self) if self.facts is None else self.facts

    def with_facts(self, facts: TokenFacts) -> "LanguageModel":
        """The same model with other choices, for example `lm.with_facts(lm.token_facts.with_bos(True))`."""
        other = replace(self, facts=facts)
        if "tokenizer" in vars(self):  # reading a large one takes seconds
            vars(other)["tokenizer"] = self.tokenizer
        return other

    def token_ids(self, text: str) -> list[int]:
        """Tokens of a text, none added; what it spells of special tokens is text, unless `token_facts` parse it."""
        return prompts.token_ids(self, text)

    def prompt_ids(self, text: str) -> list[int]:
        """A prompt's tokens, after BOS where prompts begin with it; ConfigError for text that yields no token."""
        return prompts.prompt_ids(self, text)

    def continuation(self, prompt: Sequence[int], new: Sequence[int]) -> str:
        """The text that new tokens add to a prompt's, as it reads after it."""
        return prompts.continuation(self, prompt, new)

    def attach(self, sae: Any, hook: str | None = None, *, name: str = "") -> "Attached":
        """An SAE at its hook point of this model, to steer, ablate, attribute and evaluate with.

        The hook point is the one in the SAE's metadata, or `hook`. What the metadata ask of the model is done (BOS,
        centred weights) or refused; `interventions.attach` says more.

        Example:
            >>> from superposition.storage import formats
            >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
            >>> attached.steer(136, 2.0).generate("Once upon a time", 8)
            'Once upon a time, there was a little girl named Lily'
        """
        from superposition.interventions.attach import attach

        return attach(self, sae, hook, name=name)

    def hook_names(self) -> list[str]:
        """Every hook point, in the order of firing."""
        return list(hooks.hook_shapes(self.spec))

    def shape(self, name: str) -> tuple[int | str, ...]:
        """Shape of what passes a hook point: "batch", "pos" ("query", "key"), then sizes."""
        return hooks.hook_shapes(self.spec)[self.resolve(name)]

    def width(self, name: str) -> int:
        """Numbers a token at a hook point, heads flattened; ConfigError where activations are not per token."""
        shape = self.shape(name)
        if "query" in shape:
            raise ConfigError(f"{name} holds {shape}, no activation per token: choose another hook point")
        return int(np.prod([n for n in shape if isinstance(n, int)]))

    def resolve(self, name: str) -> str:
        """The hook point a name or alias means; ConfigError lists near ones."""
        return hooks.resolve(name, self.hook_names(), self.aliases, self.spec.n_layers)

    def __call__(
        self, tokens: Any, *, mask: Any = None, edits: Mapping[str, Edit] | None = None
    ) -> Float[Array, "batch pos d_vocab"]:
        """Logits (batch, pos, d_vocab); arguments and errors as for `run_with_cache`."""
        return self.run_with_cache(tokens, (), mask=mask, edits=edits)[0]  # type: ignore[return-value]

    def run_with_cache(
        self,
        tokens: Any,
        names: Sequence[str] | Callable[[str], bool],
        *,
        stop_at_layer: int | None = None,
        mask: Any = None,
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Float[Array, "batch pos d_vocab"] | None, dict[str, Float[Array, "batch pos *width"]]]:
        """Logits (batch, pos, d_vocab), and activations by the names asked for.

        Args:
            tokens: Ids (batch, pos), a prompt or several.
            names: Hook points, or a predicate over them; see `hook_names`, and `shape` for what passes there.
            stop_at_layer: Run blocks 0 .. stop_at_layer - 1 only; the logits are then None.
            mask: False for padding, (batch, pos).
            edits: What to do to the activation at a hook point, `edit(x, context) -> x`: a pytree (its arrays are
                traced, so that a new vector compiles nothing) or a plain function. Records come after edits.

        Raises:
            ConfigError: Names are unknown or never fire, tokens lie outside the vocabulary, or there are more of them
                than the model has positions.
        """
        if callable(names):
            wanted = [n for n in self.hook_names() if names(n)]
            if not wanted:
                raise ConfigError("the predicate accepts no hook point; see hook_names()")
        else:
            wanted = [names] if isinstance(names, str) else list(names)
        own = {name: self.resolve(name) for name in wanted}
        if stop_at_layer is not None:
            validate.integer("stop_at_layer", stop_at_layer, 0, self.spec.n_layers + 1)
        tokens, places, valid = self.prepared(tokens, mask)
        out, seen = run(
            self.spec,
            self.params,
            tokens,
            places,
            valid,
            self.edits(edits),
            names=tuple(own.values()),
            stop_at_layer=stop_at_layer,
        )
        return (None if stop_at_layer is not None else out), {n: seen[o] for n, o in own.items()}

    def generate(
        self,
        tokens: Any,
        n: int,
        *,
        key: PRNGKey | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        mask: Any = None,
        edits: Mapping[str, Edit] | None = None,
        end: int | Sequence[int] | None = None,
    ) -> Integer[np.ndarray, "batch length"]:
        """`n` tokens after each row of tokens, as ids (batch, n).

        Args:
            tokens: Ids (batch, pos), a prompt or several.
            n: How many to add.
            key: Of the draws; needed above temperature 0.
            temperature: 0 takes the likeliest token; else the softmax is of logits / temperature.
            top_p: Draw from the least set of tokens that holds this much probability (Holtzman et al. 2020).
            mask: False for padding, (batch, pos), which must be on the left.
            edits: As for `run_with_cache`; they act on the prompt and on every new token.
            end: Tokens after which a row repeats that token.

        Raises:
            ConfigError: As the forward pass does, and where the model has no positions for so many tokens.
        """
        return generation.continued(
            self, tokens, n, key, temperature=temperature, top_p=top_p, mask=mask, edits=edits, end=end
        )

    def prepared(
        self, tokens: Any, mask: Any = None, more: int = 0
    ) -> tuple[Integer[Array, "batch pos"], Integer[Array, "batch pos"], Bool[Array, "batch pos"] | None]:
        """Tokens as int32 (batch, pos), their positions and validity, or ConfigError for what cannot be run."""
        return prompts.prepared(self, tokens, mask, more)

    def __repr__(self) -> str:
        spec, count = self.spec, sum(np.size(value) for value in self.params.values())
        layers = f"{spec.n_layers} layer{'s' * (spec.n_layers > 1)} of width {spec.d_model}"
        return (
            f"LanguageModel({self.name!r}: {layers}, vocabulary {spec.d_vocab:,}, context {spec.n_ctx:,}, "
            f"{count / 1e6:.3g}M parameters)"
        )

    def _repr_html_(self) -> str:
        spec = self.spec
        rows = [[name, getattr(spec, name)] for name in SHOWN] + [["n_layers", spec.n_layers]]
        return notebook.table(repr(self), rows)

    def edits(self, edits: Mapping[str, Edit] | None) -> dict[str, Any]:
        """Edits by hook point, each a pytree."""
        return hooks.as_pytrees(edits or {}, self.resolve)
