"""Activations of any PyTorch model of transformers, through forward hooks, into the same stream as our own decoder's.

For architectures that `FAMILIES` has not. Hook points are module paths, as `model.named_modules()` lists them
(`transformer.h.5`, `model.layers.3.mlp`); the activation is the module's output, the first of them where it gives
several. The forward pass runs on the host, stops after the last module asked for, and its tensors are detached and
copied: JAX takes arrays to be immutable, and a tensor shared with torch is not.
"""

import difflib
import inspect
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax import Array

from superposition._internal.optional import needed_for
from superposition.activations import Stream
from superposition.errors import ConfigError
from superposition.llm.packing import Tokens, token_array
from superposition.llm.rows import MIXED, RowActivations, row_stream, some_usable
from superposition.typing import PRNGKey, PyTree


class _Enough(Exception):
    """Raised inside the last hook: what comes after it is not needed."""


class TorchModel:
    """A model of transformers, or any module called with input_ids, and its activations by module path.

    Raises ConfigError where torch is not installed.
    """

    def __init__(self, model: Any) -> None:
        with needed_for("a PyTorch model", "torch"):
            import torch  # noqa: F401
        self.model = model.eval()
        self.modules = {name: module for name, module in model.named_modules() if name}

    @classmethod
    def from_hf(cls, source: str, **settings: Any) -> "TorchModel":
        """AutoModelForCausalLM.from_pretrained(source); code from the hub is never run."""
        with needed_for("a PyTorch model", "torch"):
            import torch  # noqa: F401

        import transformers

        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                source, **settings | {"trust_remote_code": False}
            )
        except (ImportError, OSError, ValueError) as error:
            raise ConfigError(
                f"{source} cannot be loaded by transformers: {' '.join(str(error).split())[:300]}"
            ) from error
        return cls(model)

    def resolve(self, name: str) -> str:
        """The module path, or ConfigError with near ones."""
        if name in self.modules:
            return name
        near = difflib.get_close_matches(name, self.modules, n=5, cutoff=0.4)
        hint = (
            f"did you mean {', '.join(near)}?"
            if near
            else f"modules are {', '.join(list(self.modules)[:5])} ..."
        )
        raise ConfigError(f"no module named {name!r}; {hint}")

    def run(
        self, tokens: np.ndarray, names: tuple[str, ...], valid: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Outputs of the named modules on tokens (rows, ctx), float32, copied; ConfigError for one that never runs.

        valid: False at padding, which no token sees and no position counts.
        """
        import torch

        seen: dict[str, np.ndarray] = {}

        def record(name: str) -> Any:
            def hook(module: Any, inputs: Any, output: Any) -> None:
                tensor = output[0] if isinstance(output, tuple | list) else output
                seen[name] = np.array(tensor.detach().to("cpu", torch.float32).numpy())  # a copy of our own
                if len(seen) == len(set(names)):
                    raise _Enough

            return hook

        handles = [self.modules[name].register_forward_hook(record(name)) for name in set(names)]
        try:
            device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
            ids = torch.from_numpy(np.array(tokens, np.int64)).to(device)
            with torch.no_grad():
                self.model(input_ids=ids, use_cache=False, **self._padding(valid, device))
        except _Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()
        silent = [name for name in names if name not in seen]
        if silent:
            raise ConfigError(f"{', '.join(silent)} never ran in the forward pass; choose another module")
        return [seen[name] for name in names]

    def _padding(self, valid: np.ndarray | None, device: Any) -> dict[str, Any]:
        """What tells the model of padding; ConfigError for a model that cannot be told of padding before a token."""
        if valid is None:
            return {}
        import torch

        given = {"attention_mask": valid.astype(np.int64)}
        given["position_ids"] = np.maximum(np.cumsum(valid, 1) - 1, 0)
        taken = inspect.signature(self.model.forward).parameters
        if "attention_mask" not in taken and (valid[:, 1:] & ~valid[:, :-1]).any():
            raise ConfigError(
                f"{type(self.model).__name__} takes no attention_mask, so that it reads padding as text; pad rows on "
                "their right, or give rows without padding"
            )
        return {name: torch.from_numpy(a).to(device) for name, a in given.items() if name in taken}


@dataclass(frozen=True)
class TorchActivations(RowActivations):
    """Activations of a PyTorch model, called back from the device's program."""

    model: TorchModel | None = field(default=None, repr=False)

    def run(self, inputs: PyTree, tokens: Array, valid: Array | None) -> list[Array]:
        """A forward pass on the host."""
        del inputs
        model, names = self.model, self.hooks
        assert model is not None
        widths = (self.width,) if self.target_width is None else (self.width, self.target_width)
        shapes = [jax.ShapeDtypeStruct((*tokens.shape, width), np.float32) for width in widths]

        def call(tokens: Any, *valid: Any) -> list[np.ndarray]:
            outputs = model.run(np.asarray(tokens), names, *map(np.asarray, valid))
            return [a.reshape(*a.shape[:2], -1) for a in outputs]

        return list(jax.pure_callback(call, shapes, tokens, *([] if valid is None else [valid])))


def torch_stream(
    key: PRNGKey,
    model: TorchModel,
    tokens: Tokens,
    hook: str,
    target: str | None = None,
    *,
    mixing: int = MIXED,
) -> Stream:
    """The stream of a PyTorch model's activations at module `hook` (and `target`), as `lm_stream` is of ours.

    Raises ConfigError for modules that are not there, never run, or give nothing per token.
    """
    if not isinstance(tokens, Tokens):
        tokens = token_array(tokens, vocab=2**31 - 1)
    tokens = some_usable(tokens)
    names = tuple(model.resolve(name) for name in (hook, target) if name is not None)
    rows, ctx = tokens.tokens.shape
    widths = []
    two = np.repeat(tokens.tokens[:1], 2, 0)  # one row cannot tell what is given once for all rows
    for name, a in zip(names, model.run(two, names), strict=True):
        if a.ndim < 3 or a.shape[:2] != (2, ctx):
            raise ConfigError(
                f"{name} gives {a.shape} for 2 rows of {ctx} tokens, no activation per token; choose another module"
            )
        widths.append(int(np.prod(a.shape[2:])))
    source = TorchActivations(
        names[0],
        widths[0],
        rows,
        ctx,
        float(tokens.usable.sum() / rows),
        None if target is None else names[1],
        None if target is None else widths[1],
        model,
    )
    return row_stream(key, source, tokens, mixing)
