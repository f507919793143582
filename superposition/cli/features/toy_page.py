"""Pages of a toy model's features, from the store of the sweep that trained it."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from superposition.cli.features.config import PageConfig
from superposition.cli.sae.config import DataConfig
from superposition.cli.sae.data import open_data
from superposition.cli.sae.report import load_all
from superposition.cli.settings import SMALL_LM_SAE
from superposition.errors import ConfigError
from superposition.pages.toy import toy_pages
from superposition.pages.write import Pages
from superposition.toy import require_tied
from superposition.training import ToyRun


def pages_of(config: PageConfig) -> Pages:
    """Pages of the model in a cell, beside the latents of an SAE where one is given."""
    assert config.toy is not None
    data = open_data(DataConfig(toy=config.toy, cell=config.cell, density=config.density), train=False)
    assert data.toy is not None
    model, run = require_tied(data.toy.model, "a toy model's pages"), data.toy.recipe  # type: ignore[arg-type]
    assert isinstance(run, ToyRun)
    sae = params = None
    if config.sae != SMALL_LM_SAE:
        found = load_all([Path(config.sae)], allow_pt=config.allow_pt)
        if len(found) > 1:
            raise ConfigError(
                f"{config.sae} holds {len(found)} SAEs; give one of them, such as {found[0].path}"
            )
        sae, params = found[0].loaded.sae, found[0].loaded.params
        if sae.d_out is not None or sae.d_in != model.n_hidden:
            raise ConfigError(
                f"{config.sae} reads {sae.d_in} numbers{'' if sae.d_out is None else ' and is a transcoder'}; pages of this"
                f" toy model take an SAE of its {model.n_hidden} hidden activations"
            )
    cell = ", ".join(f"{name} {_plain(value)}" for name, value in data.about["cell"].items())
    return toy_pages(
        model,
        np.asarray(data.toy.W),
        np.asarray(data.toy.b),
        run.features,
        run.importance_vector(),
        sae,
        params,
        key=jax.random.key(config.data_seed),
        title=f"Features of a toy model: {cell}" if cell else "Features of a toy model",
    )


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
