"""A trained model as one value: what `fit`, `sweep` and `load` give, and everything else takes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import html, validate
from superposition.activations import Stream, toy_stream
from superposition.errors import ConfigError
from superposition.sae import SAE
from superposition.storage.provenance import Environment
from superposition.toy import ToyModel
from superposition.typing import PRNGKey, PyTree

if TYPE_CHECKING:
    from superposition.training.sae import SAERun
    from superposition.training.toy import ToyRun

Model: TypeAlias = SAE | ToyModel


@dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """A model with its parameters, and how they came about; a pytree whose leaves are the parameters.

    model: an SAE in the form used after training, or a toy model. params: its parameters, for an SAE a dict of arrays,
    for a toy model the NamedTuple of its `init_params`. recipe: what was trained (`SAERun` or `ToyRun`), None where a
    file does not say. settings: the place on the axes of a sweep. metadata: what the files of an SAE say (model_name,
    hook_name ...). loss: of a toy model the expected loss, in float64; of an SAE the last logged value of its loss.
    steps, history: one array a logged quantity, at `steps`. fault: None, or the step and term at which it stopped being
    finite (the parameters are those before). environments: those it was trained in. warnings: in words, what it fell
    short in on a sample apart from training. log_firing_rates: log10 of how often each latent fires (d_sae,), where
    the files of an SAE say so.

    >>> import superposition as sp
    >>> toy = sp.fit(sp.ToyRun(sp.ReLUOutput(5, 2), sp.SparseUniform(density=0.1), steps=20, batch_size=64))
    >>> toy.W.shape, toy.apply([1.0, 0, 0, 0, 0]).shape
    ((2, 5), (5,))
    """

    model: Model
    params: PyTree
    recipe: "SAERun | ToyRun | None" = None
    settings: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    loss: float = float("nan")
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    history: dict[str, np.ndarray] = field(default_factory=dict)
    fault: str | None = None
    environments: tuple[Environment, ...] = ()
    warnings: tuple[str, ...] = ()
    log_firing_rates: np.ndarray | None = None

    @property
    def is_sae(self) -> bool:
        """Whether it is an SAE, and not a toy model."""
        return isinstance(self.model, SAE)

    @property
    def sae(self) -> SAE:
        """The model, of an SAE; AttributeError of a toy model."""
        return self.model if isinstance(self.model, SAE) else self._lacks("sae")

    # -- parameters

    @property
    def W_enc(self) -> Array:
        """Encoder weights of an SAE, (d_in, d_sae)."""
        return self._parameter("W_enc")

    @property
    def b_enc(self) -> Array:
        """Encoder bias of an SAE, (d_sae,)."""
        return self._parameter("b_enc")

    @property
    def W_dec(self) -> Array:
        """Decoder weights of an SAE, a direction a row, (d_sae, d_out)."""
        return self._parameter("W_dec")

    @property
    def b_dec(self) -> Array:
        """Decoder bias of an SAE, (d_out,)."""
        return self._parameter("b_dec")

    @property
    def W(self) -> Array:
        """Weights of a toy model with tied weights, a feature's direction a column, (n_hidden, n_features)."""
        return self._parameter("W")

    @property
    def b(self) -> Array:
        """Output bias of a toy model, (n_features,)."""
        return self._parameter("b")

    def parameters(self) -> Mapping[str, Any]:
        """The parameters by name."""
        return self.params if isinstance(self.params, Mapping) else self.params._asdict()

    def _parameter(self, name: str) -> Any:
        named = self.parameters()
        return named[name] if name in named else self._lacks(name)

    def _lacks(self, name: str) -> NoReturn:
        kind = type(self.model).__name__
        raise AttributeError(f"{kind} has no {name}; its parameters are {', '.join(self.parameters())}")

    # -- the map

    def encode(self, x: Any) -> Array:
        """Latents of activations x, (..., d_in) -> (..., d_sae); of a toy model the hidden activations of features."""
        x = self._input(x)
        if isinstance(self.model, SAE):
            return self.model.encode(self._arrays(), x)
        return self._each(self.model.encode, x)

    def decode(self, latents: Any, x: Any = None) -> Array:
        """Reconstruction from latents, (..., d_sae) -> (..., d_out); x is the input, for transcoders with a skip."""
        return self.sae.decode(self._arrays(), jnp.asarray(latents), None if x is None else jnp.asarray(x))

    def reconstruct(self, x: Any) -> tuple[Array, Array]:
        """Latents (..., d_sae) and reconstruction (..., d_out) of activations x (..., d_in)."""
        return self.sae.reconstruct(self._arrays(), self._input(x))

    def apply(self, x: Any) -> Array:
        """A toy model's outputs, (..., n_features) -> (..., n_features); an SAE's reconstruction of x."""
        if isinstance(self.model, SAE):
            return self.reconstruct(x)[1]
        return self._each(self.model.apply, self._input(x))

    def _arrays(self) -> PyTree:
        return jax.tree.map(jnp.asarray, self.params)

    def _each(self, one: Any, x: Array) -> Array:
        params = self._arrays()
        return jnp.vectorize(lambda row: one(params, row), signature="(n)->(m)")(x)

    def _input(self, x: Any) -> Array:
        x = validate.array("x", x)
        name, width = ("d_in", self.model.d_in) if self.is_sae else ("n_features", self.model.n_features)  # type: ignore[union-attr]
        if x.ndim == 0 or x.shape[-1] != width:
            raise ConfigError(f"x must be (..., {name}={width}); got shape {x.shape}")
        return jnp.asarray(x)

    def activations(self, seed: int = 0, *, key: PRNGKey | None = None, target: str = "hidden") -> Stream:
        """A toy model's hidden activations h = W x as a stream to train an SAE on, x drawn from its law of features.

        seed, or a key in its place: of the draws. target: "hidden", or "output" for transcoders from h to the outputs
        x'. The stream knows the truth: the columns of W of norm over 1/2. Raises ConfigError for a model without tied
        weights, and where the recipe is not known.
        """
        from superposition.training.toy import ToyRun

        if not isinstance(self.model, ToyModel):
            raise ConfigError("a stream of hidden activations is of a toy model; this is an SAE")
        if not isinstance(self.recipe, ToyRun):
            raise ConfigError("the law of features is not known without a recipe; use activations.toy_stream")
        if key is None:
            key = jax.random.key(validate.integer("seed", seed, 0, validate.MAX_SEED))
        return toy_stream(key, self.model, self.params, self.recipe.features, target=target)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it to a directory that `superposition.load` reads: an SAE as SAELens has it, a toy model as our own."""
        from superposition.training.files import save

        return save(self, path, overwrite=overwrite)

    # -- for people

    def __repr__(self) -> str:
        parts = [_sizes(self.model)]
        if np.isfinite(self.loss):
            parts.append(f"loss={self.loss:.4g}")
        parts += [f"{name}={_short(value)}" for name, value in self.settings.items()]
        parts += [
            f"{name}={self.metadata[name]!r}" for name in ("model_name", "hook_name") if name in self.metadata
        ]
        if self.fault is not None:
            parts.append(f"fault={self.fault!r}")
        return f"Trained({', '.join(parts)})"

    def _repr_html_(self) -> str:
        rows = [("model", _sizes(self.model))]
        if np.isfinite(self.loss):
            rows.append(("loss", f"{self.loss:.4g}"))
        rows += [(name, _short(value)) for name, value in self.settings.items()]
        if self.recipe is not None:
            rows.append(("steps", f"{self.recipe.steps:,} of {self.recipe.batch_size:,} examples"))
        rows += [
            (name, str(self.metadata[name])) for name in ("model_name", "hook_name") if name in self.metadata
        ]
        rows += [("fault", self.fault)] if self.fault else []
        rows += [("warning", warning) for warning in self.warnings]
        W = None if self.is_sae else self.parameters().get("W")
        return html.beside(html.table(rows, "Trained"), "" if W is None else html.weights(W))


def _sizes(model: Model) -> str:
    """The class and its sizes: TopK(d_in=5, d_sae=40, k=1), ReLUOutput(n_features=20, n_hidden=5)."""
    names = ("d_in", "d_sae", "d_out", "k") if isinstance(model, SAE) else ("n_features", "n_hidden")
    shown = [f"{n}={_short(getattr(model, n))}" for n in names if getattr(model, n, None) is not None]
    return f"{type(model).__name__}({', '.join(shown)})"


def _short(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 3:
        return f"({_short(value[0])}, ... {len(value)} numbers)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class _About:
    """All of a Trained but its parameters, for the pytree: equal to itself alone, so that no other's is taken for it."""

    def __init__(self, trained: Trained) -> None:
        self.fields = {name: value for name, value in vars(trained).items() if name != "params"}


def _flatten(trained: Trained) -> tuple[list[tuple[Any, PyTree]], _About]:
    about = trained.__dict__.get("_about") or _About(trained)
    object.__setattr__(trained, "_about", about)  # one object a model, so that its own copies fit together
    return [(jax.tree_util.GetAttrKey("params"), trained.params)], about


def _unflatten(about: _About, children: Any) -> Trained:
    trained = object.__new__(Trained)
    for name, value in {**about.fields, "params": next(iter(children)), "_about": about}.items():
        object.__setattr__(trained, name, value)
    return trained


jax.tree_util.register_pytree_with_keys(Trained, _flatten, _unflatten)
