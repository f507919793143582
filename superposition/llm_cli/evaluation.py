"""`superposition llm eval-sae`: what a language model loses when it runs on the reconstruction of an SAE."""

from typing import Any

import numpy as np

from superposition.interventions import Ablations, ablations, evaluate
from superposition.llm_cli.config import LMEvalConfig
from superposition.llm_cli.data import about_text, open_model, put_together
from superposition.llm_cli.memory import enough_memory
from superposition.llm_cli.on_sae import hook_for
from superposition.llm_cli.text import check_text, read_tokens
from superposition.provenance import provenance
from superposition.sae_cli.evaluation import finite
from superposition.sae_cli.report import free, load_all, log10_density, table, write_json

TABLES = 4  # SAEs whose sources are listed in the terminal
BINS = 20


def eval_saes(config: LMEvalConfig) -> dict[str, Any]:
    """Measure SAEs, print tables, write JSON; returns what is written. Raises ConfigError and StoreError."""
    free(config.json, overwrite=config.overwrite)
    check_text(config)
    saes = load_all(config.saes, allow_pt=config.allow_pt)
    with enough_memory("give a smaller --ctx or --max-tokens"):
        lm = open_model(config)
        hooks = [hook_for(lm, one.loaded, one.path, config.hook) for one in saes]
        tokens = read_tokens(config, lm)
        floors: dict[str, Ablations] = {}
        records: list[dict[str, Any]] = []
        for one, hook in zip(saes, hooks, strict=True):
            if hook not in floors:
                floors[hook] = ablations(lm, hook, tokens)
            measured = evaluate(lm, one.loaded.sae, one.loaded.params, tokens, floors[hook])
            norms = decoder_norms(np.asarray(one.loaded.params["W_dec"]))
            records.append(
                {
                    "name": one.name,
                    "path": str(one.path),
                    "hook": hook,
                    "metrics": measured.numbers | {"decoder_norm": norms["median"]},
                    "by_source": measured.by_source,
                    "log10_density": log10_density(measured.densities),
                    "decoder_norms": norms,
                }
            )
    print(put_together(config, lm, tokens))
    table(records, f"{config.model}, {', '.join(floors)}: {int(tokens.usable.sum())} usable tokens")
    for record in records[:TABLES]:
        sources = [{"name": name, "metrics": losses} for name, losses in record["by_source"].items()]
        if len(sources) > 1:
            table(sources, record["name"], "source")
    result = {"data": about_text(config, lm, tokens), "provenance": provenance(), "saes": records}
    if config.json is not None:
        write_json(config.json, result)
        print(f"numbers in {config.json}")
    return finite(result)


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
