"""Hidden activations of a toy model: the features an SAE should find are columns of W."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.activations._base import Batch, Source, Stream
from superposition.errors import ConfigError
from superposition.features import FeatureLaw, SparseUniform, key_words
from superposition.toy import ReLUOutput, ToyModel, require_tied
from superposition.typing import PRNGKey, PyTree, ToyParams

TARGETS = ("hidden", "output")
LEAST_NORM = 0.5  # a feature is represented, and can be found, from this norm of its column of W on


@dataclass(frozen=True)
class ToyActivations(Source):
    """x = W a for features a of a law; y = x, or the model's output a' for a transcoder (target="output").

    >>> from superposition import ReLUOutput
    >>> from superposition.activations import ToyActivations
    >>> source = ToyActivations(ReLUOutput(n_features=20, n_hidden=5), target="output")
    >>> source.d_in, source.d_out
    (5, 20)
    """

    model: ToyModel = ReLUOutput()
    features: FeatureLaw = SparseUniform(density=0.05)
    target: str = "hidden"

    def __post_init__(self) -> None:
        validate.choice("target", self.target, TARGETS)

    @property
    def d_in(self) -> int:
        """n_hidden."""
        return self.model.n_hidden

    @property
    def d_out(self) -> int | None:
        """n_features for a transcoder."""
        return self.model.n_features if self.target == "output" else None

    def batch(self, inputs: PyTree, step: Array, size: int) -> Batch:
        """A fresh draw, hashed from (key words, step)."""
        n = self.model.n_features
        a = self.features.draw(inputs["at"], inputs["words"], step, n, size)
        x = a.T @ inputs["params"].W.T
        y = (
            x
            if self.target == "hidden"
            else jax.vmap(self.model.apply, in_axes=(None, 1))(inputs["params"], a)
        )
        return Batch(x, y, a.T)


def toy_stream(
    key: PRNGKey, model: ToyModel, params: ToyParams, features: FeatureLaw, *, target: str = "hidden"
) -> Stream:
    """The stream of a trained toy model's hidden activations.

    Its dictionary has the columns of W of norm over 1/2, (n_represented, n_hidden): what the model left out cannot be
    found in its activations. A transcoder's stream has none: its decoder lives in another space than W.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> from superposition import ReLUOutput, SparseUniform, ToyParams
    >>> from superposition.activations import toy_stream
    >>> params = ToyParams(jnp.array([[1.0, -1.0, 0.1]]), jnp.zeros(3))  # the third feature is left out
    >>> stream = toy_stream(jax.random.key(0), ReLUOutput(3, 1), params, SparseUniform(density=0.1))
    >>> stream.dictionary.tolist()
    [[1.0], [-1.0]]
    """
    require_tied(model, "a stream of hidden activations")
    validate.instance("features", features, FeatureLaw)
    validate.instance("params", params, ToyParams)
    W = np.asarray(validate.array("params.W", params.W))
    if W.shape != (model.n_hidden, model.n_features):
        raise ConfigError(f"W must be ({model.n_hidden}, {model.n_features}) for this model; got {W.shape}")
    at = features.constants(features.densities(model.n_features))
    source = ToyActivations(model, replace(features, density=1.0), target)
    inputs = {"words": key_words(key), "at": at, "params": jax.tree.map(jnp.asarray, params)}
    represented = np.flatnonzero(np.linalg.norm(W, axis=0) > LEAST_NORM)
    if target == "output" or not len(represented):
        return Stream(source, inputs)
    return Stream(source, inputs, W.T[represented].copy(), represented)
