"""Activations of a language model as a stream for SAEs: capture, mixing and the SAE's step in one program."""

from dataclasses import dataclass
from typing import Any

from jax import Array

from superposition.activations import Stream
from superposition.errors import ConfigError
from superposition.llm.forward import capture, positions
from superposition.llm.hooks import stop_after
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.prompts import rows_given
from superposition.llm.rows import MIXED, RowActivations, row_stream, some_usable
from superposition.llm.spec import Spec
from superposition.typing import PRNGKey, PyTree


@dataclass(frozen=True)
class LMActivations(RowActivations):
    """Activations of our own decoder, whose parameters are among the inputs."""

    spec: Spec | None = None

    def run(self, inputs: PyTree, tokens: Array, valid: Array | None) -> list[Array]:
        """One forward pass, no further than the last of `hooks`."""
        assert self.spec is not None
        places, stop = positions(tokens, valid), stop_after(self.hooks, self.spec.n_layers)
        _, seen = capture(self.spec, inputs["params"], tokens, places, valid, self.hooks, stop_at_layer=stop)
        return [seen[name] for name in self.hooks]


def fits(lm: LanguageModel, tokens: Tokens) -> None:
    """The model can run these tokens, and there is something to look at; or ConfigError."""
    if not isinstance(tokens, Tokens):
        raise ConfigError(f"rows of text are Tokens, as `pack_text` gives them; got {type(tokens).__name__}")
    rows, ctx = tokens.tokens.shape
    if tokens.usable.shape != (rows, ctx) or not tokens.usable.any():
        raise ConfigError("tokens have no usable position; every one is special: give text")
    if lm.spec.learned_positions and ctx > lm.spec.n_ctx:
        raise ConfigError(
            f"rows of {ctx} tokens exceed the model's {lm.spec.n_ctx} positions; pack them shorter"
        )
    if int(tokens.tokens.max()) >= lm.spec.d_vocab:
        raise ConfigError(
            f"tokens must lie in [0, {lm.spec.d_vocab}); got {int(tokens.tokens.max())}: "
            "they are of another tokenizer"
        )


def lm_source(lm: LanguageModel, tokens: Tokens, hook: str, target: str | None = None) -> LMActivations:
    """The static half of `lm_stream`; ConfigError for hook points and tokens that do not fit the model."""
    fits(lm, tokens)
    rows, ctx = tokens.tokens.shape
    own = {name: lm.resolve(name) for name in (hook, target) if name is not None}
    return LMActivations(
        own[hook],
        lm.width(hook),
        rows,
        ctx,
        float(tokens.usable.sum() / rows),
        None if target is None else own[target],
        None if target is None else lm.width(target),
        lm.spec,
    )


def lm_stream(
    key: PRNGKey,
    lm: LanguageModel,
    tokens: Any,
    hook: str,
    target: str | None = None,
    *,
    mixing: int = MIXED,
) -> Stream:
    """Activations of `lm` at `hook` (and `target`, for a transcoder) over `tokens`, mixed over `mixing` batches.

    tokens: Tokens, as `pack_text` and `token_array` give them, or rows of ids or prompts as a model takes them.
    The order is a function of the key alone. mixing=0 takes batches as they come, tokens of a row together.
    """
    tokens = rows_given(lm, tokens)
    fits(lm, tokens)
    tokens = some_usable(tokens)
    source = lm_source(lm, tokens, hook, target)
    return row_stream(key, source, tokens, mixing, params=dict(lm.params))
