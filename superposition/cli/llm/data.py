"""The language model, the text and the stream of activations that settings name."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax

from superposition.activations.cache import Cache
from superposition.activations.opened import ActivationData, cache_data
from superposition.cli.llm.config import LMTrainConfig, ModelConfig, TextConfig
from superposition.cli.settings import changed
from superposition.cli.terminal import visible
from superposition.errors import ConfigError
from superposition.llm import place, reading
from superposition.llm.kept_tokens import keep, kept
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.stream import lm_stream

TOKENS = "tokens.npz"
ONE_LAYER = "mlp.hook_post"
READ = ("text", "dataset", "split", "column", "config", "tokens", "ctx", "max_tokens")


def open_model(config: ModelConfig) -> LanguageModel:
    """The model, with BOS and separators as settings say; or ConfigError."""
    lm = LanguageModel.from_hf(config.model, dtype=config.dtype)
    separator = config.sequence_separator if isinstance(config, TextConfig) else None
    if config.bos is None and separator is None and not config.special_tokens:
        return lm
    facts = lm.token_facts.with_bos(config.bos).with_separator(separator)
    return lm.with_facts(replace(facts, parse_special=config.special_tokens))


def read_tokens(config: TextConfig, lm: LanguageModel) -> Tokens:
    """Rows of tokens that the model can run; RanDryError, which holds what there is, for too few of them."""
    source = {name: getattr(config, name) for name in READ}
    return reading.read_tokens(lm, **source, keep_bos=bool(config.keep_bos), seed=config.data_seed)


def rows_note(config: TextConfig, lm: LanguageModel, tokens: Tokens) -> str:
    """How rows were made of documents, in words."""
    if config.tokens is None:
        return visible(place.rows_note(lm))
    padding = 0 if tokens.valid is None else int((~tokens.valid).sum())
    return visible(f"rows as they are in {config.tokens}, {padding:,} positions of them padding")


def hook_of(lm: LanguageModel, name: str | None) -> str:
    """The hook point asked for, by the model's name for it; of a model of one layer its neurons where none is."""
    if name is None and lm.spec.n_layers > 1:
        near = f"blocks.{lm.spec.n_layers // 2}.hook_resid_post"
        raise ConfigError(f"a model of {lm.spec.n_layers} layers needs --hook, for example {near}")
    hook = lm.resolve(ONE_LAYER if name is None else name)
    lm.width(hook)  # refuses what is no activation of a token
    return hook


def open_lm(config: LMTrainConfig, work: Path, tell: Callable[[str], None]) -> ActivationData:
    """The stream of activations that settings name, of the tokens kept in `work` where they are.

    tell: is given how rows were made of documents, in words.
    Raises ConfigError for settings, models and text, CorruptError for tokens that were kept and are damaged.
    """
    if config.cache is not None:
        return _cached(config, config.cache)
    lm = open_model(config)
    hook = hook_of(lm, config.hook)
    target = None if config.target_hook is None else hook_of(lm, config.target_hook)
    width, target_width = lm.width(hook), None if target is None else lm.width(target)
    _buffer_fits(config, width, target_width)
    tokens = kept(work / TOKENS) if (work / TOKENS).exists() else read_tokens(config, lm)
    tell(rows_note(config, lm, tokens))
    stream = lm_stream(jax.random.key(config.data_seed), lm, tokens, hook, target, mixing=config.mixing)
    about = {
        "hook": hook,
        "target_hook": target,
        "mixing": config.mixing,
        "max_tokens": config.max_tokens,
        **about_text(config, lm, tokens),
    }
    return ActivationData(
        width,
        target_width,
        about,
        stream,
        metadata=place.placed(place_of(config, lm, tokens), hook, target),
        unit="tokens",
        available=int(tokens.usable.sum()),
        keep=lambda work: keep(tokens, work / TOKENS),
    )


def _cached(config: LMTrainConfig, directory: Path) -> ActivationData:
    """The stream of a cache that `llm activations` wrote."""
    names = [field.name for field in fields(TextConfig) if field.name != "data_seed"]
    if given := changed(config, names):
        raise ConfigError(f"--cache holds the activations of a model on a text; leave {given[0]} out")
    cache = Cache(directory)
    if config.hook is None and len(cache.hooks) > 1:
        raise ConfigError(f"{directory} holds {', '.join(cache.hooks)}; choose one with --hook")
    names = [config.hook or next(iter(cache.hooks)), *([config.target_hook] if config.target_hook else [])]
    # Of a model of one layer "mlp.hook_post" is enough.
    hook, target = [*(f"blocks.0.{n}" if f"blocks.0.{n}" in cache.hooks else n for n in names), None][:2]
    assert hook is not None
    data = cache_data(cache, hook, target, seed=config.data_seed, mixing=config.mixing)
    _buffer_fits(config, data.d_in, data.d_out)
    origin = cache.manifest.settings["about"].get("place")
    metadata = None if origin is None else place.placed(origin, hook, target)
    return data._replace(metadata=metadata, unit="tokens")


def _buffer_fits(config: LMTrainConfig, d_in: int, d_out: int | None) -> None:
    need = 4e-9 * config.mixing * config.batch_size * (d_in + (d_out or 0))
    if need > config.memory_gb:
        raise ConfigError(
            f"mixing {config.mixing} batches of {config.batch_size} takes {need:.3g} GB; give a smaller --mixing or "
            f"--batch-size, or --memory-gb {need:.3g} or more"
        )


def about_text(config: TextConfig, lm: LanguageModel, tokens: Tokens) -> dict[str, Any]:
    """JSON by which a resumed run knows its model and its text."""
    dataset = [config.dataset, config.config, config.split, config.column] if config.dataset else None
    return {
        "model": config.model,
        "dtype": config.dtype,
        "text": [str(path) for path in config.text],
        "dataset": dataset,
        "tokens": None if config.tokens is None else str(config.tokens),
        "keep_bos": bool(config.keep_bos),
        "data_seed": config.data_seed,
        **place.digests(lm, tokens),
    }


def place_of(config: TextConfig, lm: LanguageModel, tokens: Tokens) -> dict[str, Any]:
    """Where activations are from, in SAELens's words."""
    text = config.dataset or ", ".join(map(str, config.text or (config.tokens or (),)))
    return place.place_of(
        lm,
        tokens,
        model=config.model,
        text=text,
        packed=config.tokens is None,
        keep_bos=bool(config.keep_bos),
    )
