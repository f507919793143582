"""`superposition llm eval-sae`, `activations` and `generate`: an SAE measured on a model, activations cached, texts."""

import sys
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from superposition._internal.memory import enough_memory
from superposition.activations.cache import manifest
from superposition.cli.llm.config import ActivationsConfig, GenerateConfig, LMEvalConfig
from superposition.cli.llm.data import (
    about_text,
    hook_of,
    open_model,
    place_of,
    read_tokens,
    rows_note,
)
from superposition.cli.llm.needs import place, text_for
from superposition.cli.sae.saes import load_all, published
from superposition.cli.terminal import draw_records, visible
from superposition.evaluation.histograms import decoder_norms, log10_density
from superposition.interventions import Ablations, ablations, evaluate
from superposition.llm.cache import write_cache
from superposition.llm.model import LanguageModel
from superposition.llm.packing import RanDryError, Tokens
from superposition.llm.place import bos_note
from superposition.training import loop
from superposition.training.progress import terminal

TABLES = 4  # SAEs whose sources are listed in the terminal


def eval_saes(config: LMEvalConfig) -> dict[str, Any]:
    """Measure SAEs, print tables, write JSON; returns what is written. Raises ConfigError and StoreError."""
    saes = load_all(config.saes, allow_pt=config.allow_pt)
    with enough_memory("give a smaller --ctx or --max-tokens"):
        lm, models = open_model(config), dict[Any, LanguageModel]()
        # Refused before text is read where one cannot be run.
        placed = [place(lm, one.loaded, one.path, config, config.hook, models) for one in saes]
        texts: dict[str, tuple[Tokens, Ablations]] = {}  # one for all SAEs that ask for the same
        keys = [repr((a.hook, replace(a.requirements, hook_name=None, model_name=None))) for a in placed]
        for attached, key in zip(placed, keys, strict=True):
            if key not in texts:
                tokens = text_for(config, attached)
                texts[key] = tokens, ablations(attached.lm, attached.hook, tokens)
        records: list[dict[str, Any]] = []
        for one, attached, key in zip(saes, placed, keys, strict=True):
            measured = evaluate(attached, *texts[key])
            norms = decoder_norms(np.asarray(one.loaded.params["W_dec"]))
            records.append(
                {
                    "name": one.name,
                    "path": str(one.path),
                    "hook": attached.hook,
                    "metrics": measured.numbers | {"decoder_norm": norms["median"]},
                    "by_source": measured.by_source,
                    "log10_density": log10_density(measured.densities),
                    "decoder_norms": norms,
                }
            )
    tokens_of = [texts[key][0] for key in keys]
    models_and_tokens = [(a.lm, tokens) for a, tokens in zip(placed, tokens_of, strict=True)]
    print(*dict.fromkeys(rows_note(config, *both) for both in models_and_tokens), sep="\n")
    hooks = dict.fromkeys(attached.hook for attached in placed)
    counts = dict.fromkeys(str(int(tokens.usable.sum())) for tokens in tokens_of)
    draw_records(records, f"{config.model}, {', '.join(hooks)}: {' or '.join(counts)} usable tokens")
    for record in records[:TABLES]:
        sources = [{"name": name, "metrics": losses} for name, losses in record["by_source"].items()]
        if len(sources) > 1:
            draw_records(sources, record["name"], "source")
    about = [about_text(config, *both) for both in models_and_tokens]
    if any(one != about[0] for one in about):  # SAEs that ask for text in other rows, or for another model
        records = [record | {"data": one} for record, one in zip(records, about, strict=True)]
    return published(config.json, {"data": about[0], "saes": records})


def write_activations(config: ActivationsConfig) -> str:
    """Write the cache, or what is missing of it, and say what is there.

    Raises ConfigError for settings, models and text, StoreError for the disk, Interrupted after SIGINT, SIGTERM or SIGHUP;
    where the text runs dry, RanDryError once the cache of what there was is finished.
    """
    out = config.out
    assert out is not None
    with enough_memory("give a smaller --ctx or fewer hook points; --resume goes on from what was saved"):
        lm = open_model(config)
        hooks = [hook_of(lm, name) for name in dict.fromkeys(config.hook or (None,))]
        dry = None
        try:
            tokens = read_tokens(config, lm)
        except RanDryError as error:
            tokens, dry = error.tokens, error
        origin = place_of(config, lm, tokens)
        if manifest.is_cache(
            out
        ):  # what the rows are is in the rest; an older version may have said this otherwise
            origin = manifest.read(out).settings["about"].get("place", origin)
        about, (n, ctx) = {**about_text(config, lm, tokens), "place": origin}, tokens.tokens.shape
        with loop.interruptible() as stop, terminal(n, ctx, "tokens", "capturing") as bar:
            if not write_cache(
                lm, tokens, hooks, out, about, dtype=config.dtype, progress=bar.advance, stop=stop
            ):
                raise stop.interrupted(f"{out} holds what is done; run the same with --resume to continue")
    if dry is not None:
        raise RanDryError(f"{dry}; {out} holds the activations of what there is", tokens) from dry
    return (
        f"{rows_note(config, lm, tokens)}\n"
        f"{int(tokens.usable.sum())} tokens at {', '.join(hooks)} in {out}; train on them with: "
        f"superposition llm train-sae --cache {out} --hook {hooks[0]}"
    )


def generate(config: GenerateConfig) -> str:
    """Each prompt with its continuation by each seed, up to the model's end of text; invisible characters as escapes.

    Raises ConfigError for settings, and for prompts and n that exceed the model's positions.
    """
    with enough_memory("give fewer prompts, or a smaller --n"):
        lm = open_model(config)
        prompts = [lm.prompt_ids(text) for text in config.prompt]
        drawn = [
            lm.generate(
                list(config.prompt),
                config.n,
                key=jax.random.key(seed),
                temperature=config.temperature,
                top_p=config.top_p,
                end=lm.token_facts.eos,
            ).tolist()
            for seed in config.seed
        ]
    print(visible(bos_note(lm)), file=sys.stderr, flush=True)
    return "\n---\n".join(
        visible(f"{text}{lm.continuation(prompt, lm.token_facts.until_eos(row))}")
        for text, prompt, rows in zip(config.prompt, prompts, zip(*drawn, strict=True), strict=True)
        for row in rows
    )
