"""Feature pages of a toy model as `fit`, `sweep` and `load` give it."""

from typing import Any

import jax
import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.pages.toy.build import toy_pages
from superposition.pages.write import Pages
from superposition.sae import SAE
from superposition.toy import require_tied
from superposition.training import ToyRun, Trained


def trained_pages(toy: Trained, sae: Any = None, *, seed: int = 0) -> Pages:
    """A page for every feature of a trained toy model and, with an SAE of its hidden activations, for its latents.

    Args:
        toy: A trained model with tied weights.
        sae: What `fit`, `load` or `formats.load` gives; without it only the truth is shown.
        seed: Of the examples, of which are shown, and of the random directions that steering is held against.

    Raises:
        ConfigError: What is given is no toy model, or the SAE does not read its hidden activations.

    Example:
        >>> import superposition as sp
        >>> from superposition.pages.toy import trained_pages
        >>> toy = sp.fit(sp.ToyRun(sp.ReLUOutput(3, 2), sp.SparseUniform(density=0.1), steps=5, batch_size=16))
        >>> trained_pages(toy).index["title"]
        'Features of a toy model: seed 0'
    """
    validate.instance("toy", toy, Trained)
    run = toy.recipe
    if not isinstance(run, ToyRun):
        raise ConfigError("these pages are of a toy model; give what `fit` or `sweep` trained of a ToyRun")
    model: Any = toy.model
    require_tied(model, "a toy model's pages")
    recipe = getattr(sae, "model", None) or getattr(sae, "sae", None)
    if sae is not None and not isinstance(recipe, SAE):
        raise ConfigError(
            f"sae must be a trained SAE, as `fit` or `load` gives it; got {type(sae).__name__}: leave it out, or give one"
        )
    if recipe is not None and (recipe.d_out is not None or recipe.d_in != run.model.n_hidden):
        raise ConfigError(
            f"the SAE reads {recipe.d_in} numbers{'' if recipe.d_out is None else ' and is a transcoder'}; pages of this"
            f" toy model take an SAE of its {run.model.n_hidden} hidden activations"
        )
    values = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in toy.settings.items())
    return toy_pages(
        model,
        np.asarray(toy.W),
        np.asarray(toy.b),
        run.features,
        run.importance_vector(),
        recipe,
        None if sae is None else sae.params,
        key=jax.random.key(seed),
        title=": ".join(filter(None, ("Features of a toy model", ", ".join(values)))),
    )
