"""The language model and the stream of its activations that settings name."""

import hashlib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from superposition.activations.cache import Cache
from superposition.cli.llm.config import LMTrainConfig, ModelConfig, TextConfig
from superposition.cli.llm.text import read_tokens
from superposition.cli.sae.data import Data, cache_data
from superposition.cli.sae.report import visible
from superposition.errors import ConfigError
from superposition.llm import place
from superposition.llm.kept_tokens import keep, kept
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.stream import lm_stream

TOKENS = "tokens.npz"
ONE_LAYER = "mlp.hook_post"


def open_model(config: ModelConfig) -> LanguageModel:
    """The model, with BOS and separators as settings say; or ConfigError."""
    lm = LanguageModel.from_hf(config.model, dtype=config.dtype)
    bos = True if config.bos else False if config.no_bos else None
    separator = config.sequence_separator if isinstance(config, TextConfig) else None
    if bos is None and separator is None and not config.special_tokens:
        return lm
    facts = lm.token_facts.with_bos(bos).with_separator(separator)
    return lm.with_facts(replace(facts, parse_special=config.special_tokens))


def begun(lm: LanguageModel) -> str:
    """Whether prompts and rows begin with BOS, and why, in words."""
    facts = lm.token_facts
    return f"{'no BOS' if facts.bos is None else f'BOS {_spelled(lm, facts.bos)}'} in front ({facts.why_bos})"


def put_together(config: TextConfig, lm: LanguageModel, tokens: Tokens) -> str:
    """How rows were made of documents, in words."""
    padding = 0 if tokens.valid is None else int((~tokens.valid).sum())
    if config.tokens is not None:
        return visible(f"rows as they are in {config.tokens}, {padding:,} positions of them padding")
    separator = lm.token_facts.separator_id
    joined = (
        "nothing" if separator is None else f"{lm.token_facts.separator.upper()} {_spelled(lm, separator)}"
    )
    return f"rows with {begun(lm)}, documents joined by {joined}"


def _spelled(lm: LanguageModel, id: int) -> str:
    """A special token as it is written, or its id without a tokenizer."""
    try:
        return visible(repr(lm.tokenizer.convert_ids_to_tokens(id)))
    except ConfigError:
        return str(id)


def hook_of(lm: LanguageModel, name: str | None) -> str:
    """The hook point asked for, by its own name; of a model of one layer its neurons where none is."""
    if name is None and lm.spec.n_layers > 1:
        near = f"blocks.{lm.spec.n_layers // 2}.hook_resid_post"
        raise ConfigError(f"a model of {lm.spec.n_layers} layers needs --hook, for example {near}")
    own = lm.resolve(ONE_LAYER if name is None else name)
    lm.width(own)  # refuses what is no activation of a token
    return own


def open_lm(config: LMTrainConfig, work: Path, tell: Callable[[str], None] | None = None) -> Data:
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
    if tell is not None:
        tell(put_together(config, lm, tokens))
    key = jax.random.key(config.data_seed)
    stream = lm_stream(key, lm, tokens, hook, target, mixing=config.mixing)
    about = {
        "hook": hook,
        "target_hook": target,
        "mixing": config.mixing,
        "max_tokens": config.max_tokens,
        **about_text(config, lm, tokens),
    }
    return Data(
        width,
        target_width,
        about,
        stream,
        metadata=place.placed(place_of(config, lm, tokens), hook, target),
        unit="tokens",
        available=int(tokens.usable.sum()),
        keep=lambda work: keep(tokens, work / TOKENS),
    )


def _cached(config: LMTrainConfig, directory: Path) -> Data:
    """The stream of a cache that `llm activations` wrote."""
    plain = TextConfig()
    wrong = [f.name for f in fields(TextConfig) if getattr(config, f.name) != getattr(plain, f.name)]
    if given := [name for name in wrong if name != "data_seed"]:
        flag = given[0].replace("_", "-")
        raise ConfigError(f"--cache holds the activations of a model on a text; leave --{flag} out")
    cache = Cache(directory)
    if config.hook is None and len(cache.hooks) > 1:
        raise ConfigError(f"{directory} holds {', '.join(cache.hooks)}; choose one with --hook")
    hook = _held(cache, config.hook or next(iter(cache.hooks)))
    target = None if config.target_hook is None else _held(cache, config.target_hook)
    data = cache_data(cache, hook, target, config.data_seed, config.mixing)
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


def _held(cache: Cache, name: str) -> str:
    """The hook point meant; of a model of one layer "mlp.hook_post" is enough."""
    return name if name in cache.hooks else next((h for h in cache.hooks if h == f"blocks.0.{name}"), name)


def about_text(config: TextConfig, lm: LanguageModel, tokens: Tokens) -> dict[str, Any]:
    """JSON by which a resumed run knows its model and its text."""
    n, ctx = tokens.tokens.shape
    return {
        "model": config.model,
        "model_sha256": place.digest(lm),
        "dtype": config.dtype,
        "text": [str(path) for path in config.text],
        "dataset": [config.dataset, config.config, config.split, config.column] if config.dataset else None,
        "tokens": None if config.tokens is None else str(config.tokens),
        "rows": n,
        "ctx": ctx,
        "keep_bos": config.keep_bos,
        "usable": int(tokens.usable.sum()),
        "tokens_sha256": hashlib.sha256(np.ascontiguousarray(tokens.tokens).tobytes()).hexdigest(),
        "sources": list(tokens.sources),
        "data_seed": config.data_seed,
    }


def place_of(config: TextConfig, lm: LanguageModel, tokens: Tokens) -> dict[str, Any]:
    """Where activations are from, in SAELens's words."""
    text = config.dataset or ", ".join(map(str, config.text or (config.tokens or (),)))
    packed = config.tokens is None
    return place.place_of(lm, tokens, model=config.model, text=text, packed=packed, keep_bos=config.keep_bos)
