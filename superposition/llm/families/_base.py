"""What a model family is: how its config.json reads as a Spec, and its tensors as our parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from superposition.llm import hooks
from superposition.llm.spec import Spec

HEAD = "lm_head.weight"


def unchanged(array: np.ndarray) -> np.ndarray:
    """The tensor itself."""
    return array


def transposed(array: np.ndarray) -> np.ndarray:
    """A torch Linear stores (out, in) and computes W x; ours is x @ W."""
    return array.T


@dataclass(frozen=True)
class Tensor:
    """Where a parameter comes from: a tensor's name (below the family's prefix), its shape there, what to take.

    >>> import numpy as np
    >>> Tensor("mlp.c_fc.weight", shape=(8, 2), take=np.transpose).take(np.zeros((8, 2))).shape
    (2, 8)
    """

    name: str
    shape: tuple[int, ...]
    take: Callable[[np.ndarray], np.ndarray] = unchanged


@dataclass(frozen=True)
class Family:
    """A model_type of Hugging Face.

    spec: config.json -> Spec, or ConfigError naming every key it does not understand. tensors: the source of
    every parameter of `decoder.shapes(spec)`. prefixes: what may stand before a tensor's name, the first that
    fits is cut off. ignored: pattern of (cut) names that hold no weight. renamed: other names of tensors.
    block: module path of a block; attn, mlp: its parts whose outputs are added to the residual.

    >>> from superposition.llm.families import FAMILIES
    >>> FAMILIES["gpt2"].name("transformer.wte.weight")
    'wte.weight'
    """

    spec: Callable[[Mapping[str, Any]], Spec]
    tensors: Callable[[Spec], dict[str, Tensor]]
    prefixes: tuple[str, ...]
    ignored: str
    block: str
    attn: str
    mlp: str = "mlp"
    renamed: Mapping[str, str] = field(default_factory=dict)

    def name(self, key: str) -> str:
        """A tensor's name without the prefix, as in `tensors`."""
        for prefix in self.prefixes:
            if key.startswith(prefix):
                key = key.removeprefix(prefix)
                break
        return self.renamed.get(key, key)

    def aliases(self, spec: Spec) -> dict[str, str]:
        """Hook points by the family's module paths."""
        return hooks.aliases(spec, self.block, self.attn, self.mlp)


def linear(ours: str, name: str, wide: int, high: int, bias: bool = False) -> dict[str, Tensor]:
    """A torch Linear from `wide` to `high`: weight (high, wide), and bias where it has one."""
    room, _, part = ours.rpartition(".")
    result = {f"{room}.W_{part}": Tensor(f"{name}.weight", (high, wide), transposed)}
    return result | ({f"{room}.b_{part}": Tensor(f"{name}.bias", (high,))} if bias else {})


def norm(spec: Spec, ours: str, name: str, width: int | None = None) -> dict[str, Tensor]:
    """A norm's weight, and its bias where it is a layer norm."""
    shape = (spec.d_model if width is None else width,)
    result = {f"{ours}.w": Tensor(f"{name}.weight", shape)}
    return result | ({f"{ours}.b": Tensor(f"{name}.bias", shape)} if spec.norm == "layer" else {})


def ends(spec: Spec, embed: str, final: str) -> dict[str, Tensor]:
    """Embedding, final norm, and the unembedding where it is not tied."""
    table = (spec.d_vocab, spec.d_model)
    result = {"embed.W": Tensor(f"{embed}.weight", table)} | norm(spec, "ln_final", final)
    return result if spec.tied else result | {"unembed.W": Tensor(HEAD, table, transposed)}
