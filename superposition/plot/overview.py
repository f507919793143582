"""All the pictures that a sweep of toy models, or SAEs, allow: drawn and written by one call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from superposition import geometry, metrics
from superposition.plot.columns import columns
from superposition.plot.models import _model, dataset_of, decoder, grid_of, toy_models
from superposition.plot.neurons import neurons
from superposition.plot.phase import phase_diagram
from superposition.plot.sae import decoder_cosines, history, matched_cosines, nearest_cosines
from superposition.plot.save import save
from superposition.training.toy_results import stored, title_of

MONOSEMANTIC = 0.9  # share of a neuron's squared weights from which one feature has it
MAX_MATRICES = 12  # pictures of single SAEs
MAX_DRAWN = 1024  # rows of a cosine matrix; beyond it a pixel is less than a row


def save_sweep(results: Any, folder: str | Path) -> list[Path]:
    """Draw what the axes of a sweep of toy models allow into `folder`; returns the files.

    Over density alone, or of one setting: W^T W, b and norms of the best seed, a column a density; of models with a
    hidden activation what each neuron is made of. Over density and importance_base at n_features = 2: the phase diagram
    of the second feature.

    >>> import tempfile
    >>> import superposition as sp
    >>> toys = sp.sweep(sp.ToyRun(sp.ReLUOutput(5, 2), steps=20, batch_size=64), {"seed": range(2)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save_sweep(toys, folder)]
    ['columns.png']
    """
    data, drawn = dataset_of(results), None
    run = stored(data)[0]
    model, axes = run.model, {str(d) for d in data["loss"].dims} - {"seed"}
    title = title_of(data)
    rates = axes & {"density", "sparsity"}
    if axes == rates and (models := toy_models(data)) is not None:
        W = np.nan_to_num(models.W)
        if model.linear_hidden:
            drawn = "columns", columns(data, groups=[(type(model).__name__, 0, len(W) - 1, "")])
            alt, counts = "W^T W, b and feature norms. Features with norm over 1/2", geometry.represented(W)
        else:
            drawn = "neurons", neurons(data, signed=True, scale="neuron")
            alt = "Input weights of every neuron. Neurons with one weight of over 0.9 of their square"
            counts = (geometry.concentration(W) > MONOSEMANTIC).sum(-1)
        where = [t if isinstance(t, str) else f"1-S={t:g}" for t in models.titles]
        alt += f": {', '.join(f'{c} at {t}' for c, t in zip(counts, where, strict=True))}."
    elif (
        axes == {*rates, "importance_base"}
        and model.linear_hidden
        and model.n_features == 2
        and min(data.sizes[axis] for axis in axes) > 1
        and (grid := grid_of(data)) is not None
    ):
        share = float(((grid.norm > 0.5) & (grid.interference > 0.5)).mean())
        drawn = "phase_diagram", phase_diagram(data)
        alt = f"Phase diagram of the second feature; it is in superposition in {100 * share:.0f} % of cells."
    return [] if drawn is None else [save(drawn[1], Path(folder) / f"{drawn[0]}.png", alt=alt, title=title)]


def save_saes(
    saes: Mapping[str, Any],
    folder: str | Path,
    *,
    curves: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]] | None = None,
    dictionary: np.ndarray | None = None,
) -> list[Path]:
    """Draw what is known of SAEs into `folder`; returns the files.

    saes: name -> SAE, as `load`, `fit` or `formats.load` give it. curves: name -> (steps, term -> values), as
    `plot.history` takes them. dictionary: the true features (n_features, d_in), where they are known: then the cosines of
    up to 12 SAEs with it are drawn, too.

    >>> import tempfile
    >>> from superposition.storage import formats
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save_saes({"a": formats.load("superposition/small-lm-sae")}, folder)]
    ['decoder_cosines.png']
    """
    folder, written = Path(folder), []
    if curves:
        ends = "; ".join(
            f"{name}: l0 {values['l0'][-1]:.3g}, FVU {values['fvu'][-1]:.3g}, dead {values['dead'][-1]:.3g}"
            for name, (_, values) in list(curves.items())[:12]
        )
        alt = f"Training curves of {len(curves)} SAE: loss, l0, FVU and dead fraction by step. At the end {ends}."
        written.append(save(history(curves), folder / "history.png", alt=alt, title="Training history"))
    decoders = {name: decoder(one) for name, one in saes.items()}
    if nearest := {name: nearest_cosines(W) for name, W in decoders.items() if len(W) > 1}:
        medians = "; ".join(
            f"{n}: median {np.median(v):.3g}, {np.mean(v > 0.9):.0%} over 0.9" for n, v in nearest.items()
        )
        alt = f"Histogram of each decoder row's largest cosine with another row. {medians}."
        path = folder / "decoder_cosines.png"
        written.append(save(decoder_cosines(nearest), path, alt=alt, title="Decoder cosines"))
    if dictionary is not None and dictionary.ndim == 2:
        for name, W in list(decoders.items())[:MAX_MATRICES]:
            if _model(saes[name]).d_out is None and dictionary.shape[1] == W.shape[1]:
                file = "matched_cosines.png" if len(saes) == 1 else f"matched_cosines,{Path(name).name}.png"
                written.append(_matrix(name, np.asarray(W, np.float64), dictionary, folder / file))
    return written


def _matrix(name: str, W: np.ndarray, dictionary: np.ndarray, path: Path) -> Path:
    """Cosines of every latent with every true feature, matched ones on the diagonal."""
    matched = metrics.match(W, dictionary).latent_of_feature
    partners = [int(i) for i in matched if i >= 0]
    order: Sequence[int] = [*partners, *sorted(set(range(len(W))) - set(partners))]
    features = [*np.flatnonzero(matched >= 0), *np.flatnonzero(matched < 0)]
    cosines = np.asarray(metrics.cosines(W, dictionary), np.float64)
    shown = cosines[:, features][order][:MAX_DRAWN, :MAX_DRAWN]
    found = int(metrics.found(W, dictionary).sum())
    title = f"{name}: {found} of {len(dictionary)} features found, mcc {metrics.mcc(W, dictionary):.3g}"
    figure = matched_cosines(shown, range(len(shown)), title=title)
    alt = f"Cosine of every decoder row with every true feature, matched ones on the diagonal. {title}."
    return save(figure, path, alt=alt, title="Matched cosines")
