"""`superposition sae train`, `eval`, `convert` and `show`, and `llm train-sae`: SAEs trained, measured, converted, drawn."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superposition._internal.memory import enough_memory
from superposition.activations.opened import ActivationData
from superposition.activations.read import read_array
from superposition.cli.llm.config import LMTrainConfig
from superposition.cli.sae.config import ConvertConfig, EvalConfig, ShowSAEConfig, TrainConfig
from superposition.cli.sae.data import open_data
from superposition.cli.sae.saes import Named, load_all, published
from superposition.cli.settings import choose
from superposition.cli.terminal import draw, draw_records
from superposition.evaluation.histograms import log10_density
from superposition.evaluation.pairs import compared
from superposition.evaluation.sae import evaluate
from superposition.evaluation.sae_directory import batches_of, refuse_other_widths, train_saes
from superposition.storage import convert, formats
from superposition.storage.sae_runs import DICTIONARY, RESULTS, read_history, read_results

PAIR = ("a", "b", "mmcs_ab", "mmcs_ba", "mmcs_by_chance", "a_in_b", "b_in_a")


def train(config: TrainConfig | LMTrainConfig) -> str:
    """Train a grid of SAEs and print a table of them; returns where they are."""
    assert config.out is not None
    out, notes = Path(os.path.abspath(config.out)), list[str]()
    smaller = "--batch-size" if isinstance(config, TrainConfig) else "--batch-size, --mixing or --ctx"
    with enough_memory(f"give a smaller {smaller}; --resume goes on from what was saved"):
        if isinstance(config, TrainConfig):
            data = open_data(config, train=True)
        else:
            from superposition.cli.llm.data import open_lm

            data = open_lm(config, out.with_name(f"{out.name}.partial"), notes.append)
        n_features = None if data.dictionary is None else len(data.dictionary)
        run, axes = config.plan(data.d_in, data.d_out, n_features)
        start, is_new = time.monotonic(), not out.exists()
        results = train_saes(
            run,
            axes,
            data,
            out,
            resume=config.resume,
            examples=config.examples,
            memory_gb=config.memory_gb,
            checkpoint_seconds=config.checkpoint_seconds,
            allow_mixed=config.allow_mixed,
        )
    records, sae = results["records"], results["run"]["sae"]
    if is_new:
        print(f"{len(records)} SAE{'s' if len(records) > 1 else ''} in {time.monotonic() - start:.1f} s")
    print(*notes, sep="\n", end="\n" * bool(notes))
    sizes = " ".join(f"{name}={sae[name]:g}" for name in ("d_in", "d_sae", "k") if sae.get(name) is not None)
    draw_records(records, f"{config.architecture}, {sizes}, {config.steps} steps")
    return f"SAEs in {config.out}; see them with: superposition sae show {config.out}"


def eval_saes(config: EvalConfig) -> dict[str, Any]:
    """Measure SAEs, print tables, write JSON; returns what is written. Raises ConfigError and StoreError."""
    saes = load_all(config.saes, allow_pt=config.allow_pt)
    data = open_data(config, train=False)
    for one in saes:
        refuse_other_widths(one.loaded.sae, data, str(one.path))
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


def _compared(saes: Sequence[Named], data: ActivationData, examples: int) -> dict[str, Any]:
    """Universality of every pair, and splitting from each SAE to the next where that is wider."""
    named = {one.name: one.loaded[:2] for one in saes}
    result = compared(named, lambda width: batches_of(data, examples, width))
    if pairs := result["universality"]:
        title = f"Universality: latents with a partner of cosine >= {pairs[0]['threshold']:g}"
        draw(title, [name.replace("_", " ") for name in PAIR], [[pair[c] for c in PAIR] for pair in pairs])
    for one in result["splitting"]:
        print(
            f"splitting {one['narrow']} -> {one['wide']}: {100 * one['split_fraction']:.1f} % of its latents split, "
            f"{100 * one['novel_fraction']:.1f} % of the wide ones are new"
        )
    return result


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
        draw(str(config.path), ["", ""], [*saes[0].loaded.summary().items()])
    place = config.path.resolve()
    run = place if is_run else place.parent
    shown = {one.path.resolve().name for one in saes}
    curves = {name: curve for name, curve in read_history(run).items() if name in shown}
    truth = read_array(run / DICTIONARY) if (run / DICTIONARY).is_file() else None
    folder = config.figures or place.with_name(f"{place.name}.figures")
    named = {one.name: one.loaded for one in saes}
    return "\n".join(map(str, save_saes(named, Path(folder), curves=curves, dictionary=truth)))
