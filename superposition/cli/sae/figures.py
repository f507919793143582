"""`superposition sae show`: what is in an SAE's directory, or a run's, as a table and as pictures."""

from dataclasses import fields
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from superposition import metrics, plot
from superposition._internal.strict_json import strict_json
from superposition.activations.read import read_array
from superposition.cli.sae.commands import ShowSAEConfig
from superposition.cli.sae.report import Named, console, load_all, table, visible
from superposition.errors import ConfigError, CorruptError
from superposition.plot.sae import nearest_cosines
from superposition.sae import SAE
from superposition.storage.sae_runs import DICTIONARY, HISTORY, RESULTS, read_results

MAX_MATRICES = 12  # pictures of single SAEs of a run
MAX_DRAWN = 1024  # rows of a cosine matrix; beyond it a pixel is less than a row


def show_saes(config: ShowSAEConfig) -> str:
    """Print tables and draw figures; returns the files' names. Raises ConfigError, StoreError, CorruptError."""
    path = config.path
    saes = load_all([path], allow_pt=config.allow_pt)
    is_run = (path / RESULTS).is_file()
    if is_run:
        results = read_results(path)
        recipe = results["run"]["sae"]
        title = f"{recipe['recipe']} d_in={recipe['d_in']}, {results['run']['steps']} steps"
        table(results["records"], title)
    else:
        _summary(saes[0])
    resolved = path.resolve()
    folder = config.figures or resolved.with_name(f"{resolved.name}.figures")
    run = resolved if is_run else resolved.parent
    return "\n".join(map(str, _figures(saes, run, folder, single=not is_run)))


def _summary(one: Named) -> None:
    """Config, norms and densities of one SAE, a row each."""
    sae, params, metadata, sparsity = one.loaded
    drawn = Table(title=escape(visible(str(one.path))), show_header=False)
    rows = [("architecture", type(sae).__name__), *_fields(sae)]
    for name in ("W_enc", "W_dec"):
        if name in params:
            norms = np.linalg.norm(np.asarray(params[name]), axis=0 if name == "W_enc" else 1)
            low, mid, high = np.quantile(norms, [0, 0.5, 1])
            rows.append((f"||{name}|| min, median, max", f"{low:.4g}, {mid:.4g}, {high:.4g}"))
    if sparsity is not None:
        dead = float((sparsity <= -9.5).mean())
        alive = sparsity[sparsity > -9.5]
        middle = f"{10 ** float(np.median(alive)):.3g}" if len(alive) else "-"
        rows += [("dead", f"{dead:.4g}"), ("median density of the alive", middle)]
        rows.append(("l0", f"{np.sum(10.0**sparsity):.4g}"))
    own = metadata.get("superposition", {})
    if isinstance(own, dict):
        measured = own.get("metrics", {})
        rows += [(k, f"{v:.4g}") for k, v in measured.items() if isinstance(v, int | float) and k != "l0"]
    rows += [(k, str(v)[:100]) for k, v in metadata.items() if k != "superposition" and v is not None]
    for name, value in rows:
        drawn.add_row(*(escape(visible(text)) for text in (name, value)))
    console().print(drawn)


def _fields(sae: SAE) -> list[tuple[str, str]]:
    values = ((f.name, getattr(sae, f.name)) for f in fields(sae))
    return [(name, str(value)) for name, value in values if value is not None]


def _figures(saes: list[Named], run: Path, folder: Path, *, single: bool) -> list[Path]:
    written = []
    curves = _history(run, {one.path.resolve().name for one in saes})
    if curves:
        figure = plot.history(curves)
        ends = "; ".join(
            f"{name}: l0 {values['l0'][-1]:.3g}, FVU {values['fvu'][-1]:.3g}, dead {values['dead'][-1]:.3g}"
            for name, (_, values) in list(curves.items())[:12]
        )
        alt = f"Training curves of {len(curves)} SAE: loss, l0, FVU and dead fraction by step. At the end {ends}."
        written.append(plot.save(figure, folder / "history.png", alt=alt, title="Training history"))
    nearest = {
        one.name: nearest_cosines(one.loaded.params["W_dec"]) for one in saes if one.loaded.sae.d_sae > 1
    }
    if nearest:
        medians = "; ".join(
            f"{n}: median {np.median(v):.3g}, {np.mean(v > 0.9):.0%} over 0.9" for n, v in nearest.items()
        )
        alt = f"Histogram of each decoder row's largest cosine with another row. {medians}."
        figure = plot.decoder_cosines(nearest)
        written.append(plot.save(figure, folder / "decoder_cosines.png", alt=alt, title="Decoder cosines"))
    if (run / DICTIONARY).is_file():
        dictionary = read_array(run / DICTIONARY)
        for one in saes[:MAX_MATRICES]:
            sae = one.loaded.sae
            if sae.d_out is None and dictionary.ndim == 2 and dictionary.shape[1] == sae.d_in:
                name = "matched_cosines.png" if single else f"matched_cosines,{one.path.name}.png"
                written.append(_matrix(one, dictionary, folder / name))
    return written


def _matrix(one: Named, dictionary: np.ndarray, path: Path) -> Path:
    W = np.asarray(one.loaded.params["W_dec"], np.float64)
    cosines = np.asarray(metrics.cosines(W, dictionary), np.float64)
    matched = metrics.match(W, dictionary)
    partners = [int(i) for i in matched.latent_of_feature if i >= 0]
    order = [*partners, *sorted(set(range(len(W))) - set(partners))]
    features = [
        *np.flatnonzero(matched.latent_of_feature >= 0),
        *np.flatnonzero(matched.latent_of_feature < 0),
    ]
    shown = cosines[:, features][order][:MAX_DRAWN, :MAX_DRAWN]
    found = int(metrics.found(W, dictionary).sum())
    title = f"{one.name}: {found} of {len(dictionary)} features found, mcc {metrics.mcc(W, dictionary):.3g}"
    figure = plot.matched_cosines(shown, range(len(shown)), title=title)
    alt = f"Cosine of every decoder row with every true feature, matched ones on the diagonal. {title}."
    return plot.save(figure, path, alt=alt, title="Matched cosines")


def _history(run: Path, names: set[str]) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Training curves of the SAEs in `names`, the loss summed from its terms."""
    path = run / HISTORY
    if not path.is_file():
        return {}
    result = {}
    try:
        for name, entry in strict_json(path, path.read_bytes()).items():
            if name in names and len(entry["steps"]):
                steps = np.array(entry["steps"], float)
                values = {k: np.array(v, float) for k, v in entry.items() if k != "steps"}
                if wrong := [k for k, v in values.items() if steps.ndim != 1 or v.shape != steps.shape]:
                    raise ValueError(f"expected a number a step, got others of {wrong[:8]}")
                if missing := {"l0", "fvu", "dead"} - values.keys():
                    raise ValueError(f"{sorted(missing)} are missing")
                own = ("l0", "fvu", "penalty", "dead")
                values["loss"] = np.sum([v for k, v in values.items() if k not in own], 0) + 0 * steps
                result[name] = (steps, values)
    except ConfigError:
        raise
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CorruptError(f"{path} is damaged: {error}; remove it, or train again") from error
    return result
