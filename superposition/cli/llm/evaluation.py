"""`superposition llm eval-sae`: what a language model loses when it runs on the reconstruction of an SAE."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from superposition._internal.memory import enough_memory
from superposition.cli.llm.config import LMEvalConfig
from superposition.cli.llm.data import about_text, open_model, rows_note
from superposition.cli.llm.needs import place, text_for
from superposition.cli.sae.saes import Named, load_all, published
from superposition.cli.terminal import draw_records
from superposition.evaluation.histograms import decoder_norms, log10_density
from superposition.interventions import Ablations, Attached, ablations, evaluate
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens

TABLES = 4  # SAEs whose sources are listed in the terminal


def eval_saes(config: LMEvalConfig) -> dict[str, Any]:
    """Measure SAEs, print tables, write JSON; returns what is written. Raises ConfigError and StoreError."""
    saes = load_all(config.saes, allow_pt=config.allow_pt)
    with enough_memory("give a smaller --ctx or --max-tokens"):
        views = _views(config, saes)
        records: list[dict[str, Any]] = []
        for one, view in zip(saes, views, strict=True):
            measured = evaluate(view.attached, view.tokens, view.floor)
            norms = decoder_norms(np.asarray(one.loaded.params["W_dec"]))
            records.append(
                {
                    "name": one.name,
                    "path": str(one.path),
                    "hook": view.floor.hook,
                    "metrics": measured.numbers | {"decoder_norm": norms["median"]},
                    "by_source": measured.by_source,
                    "log10_density": log10_density(measured.densities),
                    "decoder_norms": norms,
                }
            )
    for line in dict.fromkeys(rows_note(config, view.attached.lm, view.tokens) for view in views):
        print(line)
    hooks = dict.fromkeys(view.floor.hook for view in views)
    counts = dict.fromkeys(str(int(view.tokens.usable.sum())) for view in views)
    draw_records(records, f"{config.model}, {', '.join(hooks)}: {' or '.join(counts)} usable tokens")
    for record in records[:TABLES]:
        sources = [{"name": name, "metrics": losses} for name, losses in record["by_source"].items()]
        if len(sources) > 1:
            draw_records(sources, record["name"], "source")
    about = [about_text(config, view.attached.lm, view.tokens) for view in views]
    if any(one != about[0] for one in about):  # SAEs that ask for text in other rows, or for another model
        records = [record | {"data": one} for record, one in zip(records, about, strict=True)]
    return published(config.json, {"data": about[0], "saes": records})


class _View(NamedTuple):
    """An SAE on the model and the text that it expects, and the losses between which it is measured."""

    attached: Attached
    tokens: Tokens
    floor: Ablations


def _views(config: LMEvalConfig, saes: Sequence[Named]) -> list[_View]:
    """One an SAE, on the same text for SAEs that ask for the same; refused before text is read where one cannot be run."""
    lm = open_model(config)
    models: dict[Any, LanguageModel] = {}
    placed = [place(lm, one.loaded, one.path, config, config.hook, models) for one in saes]
    read: dict[Any, tuple[Tokens, Ablations]] = {}
    views = []
    for one in placed:
        needs = replace(one.requirements, hook_name=None, model_name=None)
        if (key := repr((one.hook, needs))) not in read:
            tokens = text_for(config, one)
            read[key] = tokens, ablations(one.lm, one.hook, tokens)
        views.append(_View(one, *read[key]))
    return views
