"""Pages of a toy model's features, from the store of the sweep that trained it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from superposition.activations.toy import ToyActivations
from superposition.cli.features.config import SMALL_LM_SAE, PageConfig
from superposition.cli.sae.config import DataConfig
from superposition.cli.sae.data import open_data
from superposition.cli.sae.report import load_all
from superposition.errors import ConfigError
from superposition.features import FEATURES
from superposition.features.stored import from_recipe
from superposition.pages.llm import Pages
from superposition.pages.toy import toy_pages
from superposition.toy import require_tied
from superposition.training import open_sweep

if TYPE_CHECKING:
    import xarray as xr


def pages_of(config: PageConfig) -> Pages:
    """Pages of the model in a cell, beside the latents of an SAE where one is given."""
    assert config.toy is not None
    data = open_data(DataConfig(toy=config.toy, cell=config.cell, density=config.density), train=False)
    assert data.stream is not None
    source = data.stream.source
    assert isinstance(source, ToyActivations)
    sae = params = None
    if config.sae != SMALL_LM_SAE:
        found = load_all([Path(config.sae)], allow_pt=config.allow_pt)
        if len(found) > 1:
            raise ConfigError(
                f"{config.sae} holds {len(found)} SAEs; give one of them, such as {found[0].path}"
            )
        sae, params = found[0].loaded.sae, found[0].loaded.params
        if sae.d_out is not None or sae.d_in != source.model.n_hidden:
            raise ConfigError(
                f"{config.sae} reads {sae.d_in} numbers{'' if sae.d_out is None else ' and is a transcoder'}; pages of this"
                f" toy model take an SAE of its {source.model.n_hidden} hidden activations"
            )
    law = from_recipe(data.about["features"], FEATURES)
    toy = data.stream.inputs["params"]
    cell = ", ".join(f"{name} {_plain(value)}" for name, value in data.about["cell"].items())
    return toy_pages(
        require_tied(source.model, "a toy model's pages"),
        np.asarray(toy.W),
        np.asarray(toy.b),
        law,
        importance(open_sweep(config.toy), data.about["cell"], source.model.n_features),
        sae,
        params,
        key=jax.random.key(config.data_seed),
        title=f"Features of a toy model: {cell}" if cell else "Features of a toy model",
    )


def importance(results: "xr.Dataset", cell: dict[str, Any], n: int) -> np.ndarray:
    """I (n,) of a cell: importance x importance_base^i, each the run's own or the cell's."""
    run = json.loads(results.attrs["config"])["run"]

    def own(name: str) -> Any:
        if f"{name}_values" in results:  # vectors are labelled by their number
            return results[f"{name}_values"].values[cell[name]]
        return cell.get(name, run[name])

    scale = np.asarray(own("importance"), float)
    return np.broadcast_to(scale, (n,)) * np.asarray(own("importance_base"), float) ** np.arange(n)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
