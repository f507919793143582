"""`superposition sae eval`, `convert` and `show`: SAEs on disk, measured, written in another format, and drawn."""

import itertools
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from superposition.activations.opened import ActivationData
from superposition.activations.read import read_array
from superposition.cli.sae.config import ConvertConfig, EvalConfig, ShowSAEConfig
from superposition.cli.sae.data import open_data
from superposition.cli.sae.saes import Named, load_all, log10_density, published
from superposition.cli.settings import choose
from superposition.cli.terminal import draw, draw_records, visible
from superposition.errors import ConfigError
from superposition.evaluation.pairs import splitting, universality
from superposition.evaluation.sae import evaluate
from superposition.evaluation.sae_directory import batches_of
from superposition.storage import convert, formats
from superposition.storage.sae_runs import DICTIONARY, RESULTS, read_history, read_results

PAIR = ("a", "b", "mmcs_ab", "mmcs_ba", "mmcs_by_chance", "a_in_b", "b_in_a")


def eval_saes(config: EvalConfig) -> dict[str, Any]:
    """Measure SAEs, print tables, write JSON; returns what is written. Raises ConfigError and StoreError."""
    saes = load_all(config.saes, allow_pt=config.allow_pt)
    data = open_data(config, train=False)
    for one in saes:
        _refuse_other_widths(one, data)
    records = []
    for name, path, (sae, params, *_) in saes:
        batches = batches_of(data, config.examples, sae.d_sae)
        measured = evaluate(sae, params, batches, data.dictionary if sae.d_out is None else None)
        numbers = {"metrics": measured.numbers, "log10_density": log10_density(measured.firing_rates)}
        records.append({"name": name, "path": str(path), **numbers})
    examples = int(measured.numbers["examples"])
    draw_records(records, f"{len(saes)} SAE{'s' if len(saes) > 1 else ''} on {examples} examples")
    compared = _compared(saes, data, config.examples) if len(saes) > 1 else {}
    return published(config.json, {"data": data.about, "saes": records, **compared})


def _refuse_other_widths(one: Named, data: ActivationData) -> None:
    """ConfigError, before anything is measured, for an SAE of other widths than the data."""
    sae = one.loaded.sae
    if sae.d_in != data.d_in:
        raise ConfigError(f"{one.path}: d_in is {sae.d_in}, and the activations have {data.d_in} columns")
    if sae.d_out is not None and sae.d_out != data.d_out:
        has = "none" if data.d_out is None else f"{data.d_out} columns"
        raise ConfigError(f"{one.path}: a transcoder to {sae.d_out} numbers, and the targets have {has}")
    if sae.d_out is None and data.d_out is not None:
        raise ConfigError(f"{one.path}: reconstructs its input; leave the targets out")


def _compared(saes: Sequence[Named], data: ActivationData, examples: int) -> dict[str, Any]:
    """Universality of every pair, and splitting from each SAE to the next where that is wider."""
    pairs = universality([s.name for s in saes], [np.asarray(s.loaded.params["W_dec"]) for s in saes])
    if not pairs:
        return {"universality": [], "splitting": []}
    title = f"Universality: latents with a partner of cosine >= {pairs[0]['threshold']:g}"
    draw(title, [name.replace("_", " ") for name in PAIR], [[pair[c] for c in PAIR] for pair in pairs])
    split = []
    for a, b in itertools.pairwise(saes):
        narrow, wide = a.loaded[:2], b.loaded[:2]
        if narrow[0].d_sae < wide[0].d_sae:
            shares = splitting(narrow, wide, batches_of(data, examples, wide[0].d_sae))
            split.append({"narrow": a.name, "wide": b.name, **shares})
            print(
                f"splitting {a.name} -> {b.name}: {100 * shares['split_fraction']:.1f} % of its latents split, "
                f"{100 * shares['novel_fraction']:.1f} % of the wide ones are new"
            )
    return {"universality": pairs, "splitting": split}


def convert_sae(config: ConvertConfig) -> str:
    """Write an SAE in another format and say what it has no place for; returns where it is."""
    if config.from_format is not None:
        choose("from", config.from_format, formats.FORMATS)
    notes = convert.convert(
        config.source,
        config.destination,
        config.to,
        format=config.from_format,
        dtype=config.dtype,
        fold_b_dec=config.fold_b_dec,
        drop_metadata=config.drop_metadata,
        allow_pt=config.allow_pt,
    )
    return "\n".join([*notes, str(config.destination)])


def show_saes(config: ShowSAEConfig) -> str:
    """Print tables and draw figures; returns the files' names. Raises ConfigError, StoreError, CorruptError."""
    from superposition.plot.overview import save_saes

    saes = load_all([config.path], allow_pt=config.allow_pt)
    is_run = (config.path / RESULTS).is_file()
    if is_run:
        results = read_results(config.path)
        recipe = results["run"]["sae"]
        title = f"{recipe['recipe']} d_in={recipe['d_in']}, {results['run']['steps']} steps"
        draw_records(results["records"], title)
    else:
        _draw_one(saes[0])
    place = config.path.resolve()
    run = place if is_run else place.parent
    shown = {one.path.resolve().name for one in saes}
    curves = {name: curve for name, curve in read_history(run).items() if name in shown}
    truth = read_array(run / DICTIONARY) if (run / DICTIONARY).is_file() else None
    folder = config.figures or place.with_name(f"{place.name}.figures")
    named = {one.name: one.loaded for one in saes}
    return "\n".join(map(str, save_saes(named, Path(folder), curves=curves, dictionary=truth)))


def _draw_one(one: Named) -> None:
    """Settings, norms, firing rates and metrics of one SAE, a row each."""
    sae, params, metadata, sparsity = one.loaded
    rows: list[tuple[str, Any]] = [("architecture", type(sae).__name__)]
    rows += [(f.name, getattr(sae, f.name)) for f in fields(sae) if getattr(sae, f.name) is not None]
    for name, axis in (("W_enc", 0), ("W_dec", 1)):
        if name in params:
            norms = np.quantile(np.linalg.norm(np.asarray(params[name]), axis=axis), [0, 0.5, 1])
            rows.append((f"||{name}|| min, median, max", ", ".join(f"{norm:.4g}" for norm in norms)))
    if sparsity is not None:
        alive = sparsity[sparsity > -9.5]
        rows.append(("dead", float((sparsity <= -9.5).mean())))
        rows.append(("median density of the alive", 10 ** float(np.median(alive)) if len(alive) else None))
        rows.append(("l0", float(np.sum(10.0**sparsity))))
    ours = metadata.get("superposition", {})
    measured = ours.get("metrics", {}) if isinstance(ours, dict) else {}
    rows += [(k, float(v)) for k, v in measured.items() if isinstance(v, int | float) and k != "l0"]
    rows += [(k, str(v)[:100]) for k, v in metadata.items() if k != "superposition" and v is not None]
    draw(visible(str(one.path)), ["", ""], rows)
