"""A language model at hand: tokens to logits, activations at hook points, edits, generation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm import generation, hooks, prompts, sharding
from superposition.llm.decoder import Decoder, shapes
from superposition.llm.hooks import Edit, Taps
from superposition.llm.spec import Spec
from superposition.llm.token_facts import TokenFacts
from superposition.typing import PRNGKey

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from superposition.llm.fast_tokenizer import FastTokenizer

SMALL_LM = "superposition/small-lm"
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A Spec (static), flat parameters named as `decoder.shapes` has them, and the names it is known by.

    tokens are integers (batch, pos), or text: a prompt, or several. mask is False (or 0) for padding, whose
    positions do not count. facts: special tokens and how text is put together, in place of what the folder says.
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
        """The model in a folder (config.json, *.safetensors), of a name on the hub, or the one we ship.

        Raises ConfigError for what is not there, not supported or does not fit, CorruptError for damage.
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

    def __call__(self, tokens: Any, *, mask: Any = None, edits: Mapping[str, Edit] | None = None) -> Array:
        """Logits (batch, pos, d_vocab)."""
        return self.run_with_cache(tokens, (), mask=mask, edits=edits)[0]  # type: ignore[return-value]

    def run_with_cache(
        self,
        tokens: Any,
        names: Sequence[str] | Callable[[str], bool],
        *,
        stop_at_layer: int | None = None,
        mask: Any = None,
        edits: Mapping[str, Edit] | None = None,
    ) -> tuple[Array | None, dict[str, Array]]:
        """Logits and the activations at the named hook points (or those a predicate accepts).

        stop_at_layer: run blocks 0 .. stop_at_layer - 1 only; the logits are then None. edits: what to do to
        the activation at a hook point, `edit(x, context) -> x`, a pytree (its arrays are traced, so a new
        vector compiles nothing) or a plain function; records come after edits.
        Raises ConfigError for names that are unknown or never fire, and for tokens outside the vocabulary.
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
        out, seen = _run(
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
    ) -> np.ndarray:
        """`n` tokens after each row of tokens (batch, pos): greedy at temperature 0, else drawn with `key`.

        Rows of unequal length are padded on the left, mask False there. After a token of `end` a row repeats it.
        Edits act on the prompt and on every new token. Raises ConfigError as the forward pass does, and where
        the model has no positions for so many tokens.
        """
        validate.integer("n", n, 1)
        validate.in_range("temperature", temperature, 0.0, float("inf"))
        validate.in_range("top_p", top_p, 0.0, 1.0, open_low=True)
        ends = () if end is None else tuple(np.atleast_1d(np.asarray(end, int)).tolist())
        if temperature > 0 and key is None:
            raise ConfigError("drawing at a temperature above 0 needs a key; give key=jax.random.key(0)")
        tokens, _, valid = self.prepared(tokens, mask, more=n)
        if valid is None:
            valid = jnp.ones(tokens.shape, bool)
        elif not bool(valid[:, -1].all()):
            raise ConfigError("prompts must be padded on the left; got a mask that ends with padding")
        drawn = generation.generate(
            self.spec,
            self.params,
            jax.random.key(0) if key is None else key,
            tokens,
            valid,
            self.edits(edits),
            jnp.float32(temperature),
            None if top_p == 1 else jnp.float32(top_p),
            n=n,
            greedy=temperature == 0,
            end=ends,
        )
        return np.asarray(drawn)

    def prepared(self, tokens: Any, mask: Any = None, more: int = 0) -> tuple[Array, Array, Array | None]:
        """Tokens as int32, positions and validity, or ConfigError for what cannot be run."""
        ids, mask = prompts.rows_of(self, tokens, mask)
        if ids.ndim != 2 or 0 in ids.shape or ids.dtype.kind not in "iu":
            raise ConfigError(
                f"tokens must be integers (batch, pos) or text; got shape {ids.shape}, {ids.dtype}"
            )
        if ids.min() < 0 or ids.max() >= self.spec.d_vocab:
            row, column = np.argwhere((ids < 0) | (ids >= self.spec.d_vocab))[0]
            raise ConfigError(
                f"tokens must lie in [0, {self.spec.d_vocab}); row {row}, position {column} is {ids[row, column]}"
            )
        length = ids.shape[1]
        valid = None
        if mask is not None:
            valid = np.asarray(mask).astype(bool)
            if valid.shape != ids.shape:
                raise ConfigError(f"mask must have the shape of tokens, {ids.shape}; got {valid.shape}")
            length = int(valid.sum(1).max())
        if self.spec.learned_positions and length + more > self.spec.n_ctx:
            raise ConfigError(
                f"the model has {self.spec.n_ctx} positions; got {length}"
                + (f" and {more} to come" if more else "")
                + ": give fewer tokens"
            )
        row, seen = jnp.asarray(ids, jnp.int32), None if valid is None else jnp.asarray(valid)
        return row, positions(row, seen), seen

    def edits(self, edits: Mapping[str, Edit] | None) -> dict[str, Any]:
        """Edits by hook point, each a pytree."""
        result: dict[str, Any] = {}
        for name, edit in (edits or {}).items():
            own = self.resolve(name)
            if own in result:
                raise ConfigError(f"two edits at {own}; make them one")
            leaf = jax.tree_util.all_leaves([edit])  # a plain function is no pytree: hold it as static
            result[own] = jax.tree_util.Partial(edit) if leaf else edit
        return result


def positions(tokens: Array, valid: Array | None) -> Array:
    """Positions (batch or 1, pos) of tokens, which count those of a row that are no padding."""
    if valid is None:
        return jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
    return jnp.maximum(jnp.cumsum(valid, 1) - 1, 0).astype(jnp.int32)


@partial(jax.jit, static_argnames=("spec", "names", "stop_at_layer"))
def _run(
    spec: Spec,
    params: Mapping[str, Array],
    tokens: Array,
    positions: Array,
    valid: Array | None,
    edits: Mapping[str, Edit],
    *,
    names: tuple[str, ...],
    stop_at_layer: int | None,
) -> tuple[Array, dict[str, Array]]:
    return capture(spec, params, tokens, positions, valid, names, edits=edits, stop_at_layer=stop_at_layer)


def capture(
    spec: Spec,
    params: Mapping[str, Array],
    tokens: Array,
    positions: Array,
    valid: Array | None,
    names: Iterable[str],
    *,
    edits: Mapping[str, Edit] | None = None,
    stop_at_layer: int | None = None,
) -> tuple[Array, dict[str, Array]]:
    """The forward pass as a pure function: output, and activations by (resolved) name."""
    taps = Taps(names, edits or {}, positions, valid)
    out, _ = Decoder(spec, params)(tokens, positions, valid, tap=taps, stop_at_layer=stop_at_layer)
    return out, taps.finish(stop_at_layer)
