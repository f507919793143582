"""`superposition llm eval-sae`: what a language model loses when it runs on the reconstruction of an SAE."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from superposition._internal.memory import enough_memory
from superposition.cli.llm.config import LMEvalConfig
from superposition.cli.llm.data import about_text, open_model, put_together
from superposition.cli.llm.needs import place, text_for
from superposition.cli.sae.report import Named, load_all, log10_density, table, write_json
from superposition.interventions import Ablations, Attached, ablations, evaluate
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.storage.provenance import provenance
from superposition.storage.sae_runs import finite

TABLES = 4  # SAEs whose sources are listed in the terminal
BINS = 20


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
    for line in dict.fromkeys(put_together(config, view.lm, view.tokens) for view in views):
        print(line)
    hooks = list(dict.fromkeys(view.floor.hook for view in views))
    counts = list(dict.fromkeys(int(view.tokens.usable.sum()) for view in views))
    table(records, f"{config.model}, {', '.join(hooks)}: {' or '.join(map(str, counts))} usable tokens")
    for record in records[:TABLES]:
        sources = [{"name": name, "metrics": losses} for name, losses in record["by_source"].items()]
        if len(sources) > 1:
            table(sources, record["name"], "source")
    about = [about_text(config, view.lm, view.tokens) for view in views]
    if any(one != about[0] for one in about):  # SAEs that ask for text in other rows, or for another model
        records = [record | {"data": one} for record, one in zip(records, about, strict=True)]
    result = {"data": about[0], "provenance": provenance(), "saes": records}
    if config.json is not None:
        write_json(config.json, result)
        print(f"numbers in {config.json}")
    return finite(result)


class _View(NamedTuple):
    """An SAE on the model and the text that it expects, and the losses between which it is measured."""

    attached: Attached
    tokens: Tokens
    floor: Ablations

    @property
    def lm(self) -> LanguageModel:
        """The model."""
        return self.attached.lm


def _views(config: LMEvalConfig, saes: Sequence[Named]) -> list[_View]:
    """One an SAE, on the same text for SAEs that ask for the same; refused before text is read where one cannot be run."""
    lm = open_model(config)
    models: dict[Any, LanguageModel] = {}
    placed = [place(lm, one.loaded, one.path, config, config.hook, models) for one in saes]
    read: list[tuple[tuple[Any, ...], Tokens, Ablations]] = []
    views = []
    for one in placed:
        key = (one.hook, replace(one.requirements, hook_name=None, model_name=None))
        known = next(((tokens, floor) for other, tokens, floor in read if other == key), None)
        if known is None:
            tokens = text_for(config, one)
            known = tokens, ablations(one.lm, one.hook, tokens)
            read.append((key, *known))
        views.append(_View(one, *known))
    return views


def decoder_norms(W_dec: np.ndarray) -> dict[str, Any]:
    """Norms of the decoder's rows as JSON: min, median, max, and how many lie in which of equal bins."""
    norms = np.linalg.norm(W_dec.astype(np.float64), axis=1)
    counts, edges = np.histogram(norms, BINS, (0.0, max(norms.max(), 1e-30)))
    low, middle, high = np.quantile(norms, [0, 0.5, 1])
    return {
        "min": float(low),
        "median": float(middle),
        "max": float(high),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }
