"""The language model and the stream of its activations that settings name."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from superposition._internal import arrays, atomic
from superposition.activations.cache import Cache
from superposition.cli.llm.config import LMTrainConfig, ModelConfig, TextConfig
from superposition.cli.llm.text import read_tokens
from superposition.cli.sae.data import Data, cache_data
from superposition.cli.sae.report import visible
from superposition.errors import ConfigError, CorruptError
from superposition.llm.hub import SHIPPED
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.stream import lm_stream

TOKENS = "tokens.npz"
SAMPLES = 4096  # numbers of each parameter that its digest is of
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
    tokens = _kept(work / TOKENS) if (work / TOKENS).exists() else read_tokens(config, lm)
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
        metadata=placed(place_of(config, lm, tokens), hook, target),
        unit="tokens",
        available=int(tokens.usable.sum()),
        keep=partial(_keep, tokens),
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
    place = cache.manifest.settings["about"].get("place")
    metadata = None if place is None else placed(place, hook, target)
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
        "model_sha256": _digest(lm),
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
    """Where activations are from, in SAELens's words (its LanguageModelSAERunnerConfig), as the rows themselves are."""
    facts, ids, usable = lm.token_facts, tokens.tokens, tokens.usable
    first = 0 if tokens.valid is None else tokens.valid.argmax(1)
    begun = facts.bos_id is not None and bool((ids[np.arange(len(ids)), first] == facts.bos_id).all())
    special = np.isin(ids, list(facts.special))
    hub = not (Path(lm.name).expanduser().is_dir() or lm.name in SHIPPED)
    return {
        "model_name": config.model,
        # TransformerLens loads models by their names on the hub and gives the same activations; folders it cannot.
        "model_class_name": "HookedTransformer" if hub else "superposition.llm.LanguageModel",
        "hook_head_index": None,
        "context_size": ids.shape[1],
        "dataset_path": config.dataset or ", ".join(map(str, config.text or (config.tokens or (),))),
        "model_from_pretrained_kwargs": {},
        "prepend_bos": begun,
        "exclude_special_tokens": not (config.keep_bos or bool((special & usable).any())),
        "seqpos_slice": [None] if begun or usable[:, 0].any() else [1, None],
        "sequence_separator_token": None if config.tokens is not None else separator_of(lm),
        "disable_concat_sequences": False,
    }


def separator_of(lm: LanguageModel) -> str | int | None:
    """What documents are joined by, in SAELens's words; an id where its "eos" is another token than ours."""
    facts = lm.token_facts
    if facts.separator_id is None:
        return None
    theirs = getattr(lm.tokenizer, f"{facts.separator}_token_id", None)
    return facts.separator if theirs in (None, facts.separator_id) else facts.separator_id


def placed(place: dict[str, Any], hook: str, target: str | None) -> dict[str, Any]:
    """The metadata of an SAE at a hook point, heads flattened as SAELens flattens them."""
    result = {**place, "hook_name": hook}
    result |= {} if target is None else {"hook_name_out": target}
    return result | ({"reshape_activations": "hook_z"} if hook.endswith("hook_z") else {})


def _digest(lm: LanguageModel) -> str:
    """A hash of numbers spread over every parameter."""
    total = hashlib.sha256()
    for name, value in sorted(lm.params.items()):
        spread = np.asarray(value.reshape(-1)[:: max(1, value.size // SAMPLES)])
        total.update(f"{name} {value.shape} {value.dtype}".encode())
        total.update(spread.tobytes())
    return total.hexdigest()


def _keep(tokens: Tokens, work: Path) -> None:
    """Write the tokens where a resumed run finds them: a dataset may give others by then."""
    path = work / TOKENS
    if path.exists():
        return
    given = {name: value for name, value in tokens._asdict().items() if value is not None}
    buffer = io.BytesIO()
    np.savez(buffer, **{**given, "sources": np.array(tokens.sources)})
    atomic.write_file(path, buffer.getbuffer())


def _kept(path: Path) -> Tokens:
    try:
        with arrays.open_npz(path) as archive:
            rows, usable, source, sources = (archive.read(name) for name in Tokens._fields[:4])
            valid = archive.read("valid") if "valid" in archive.names else None
        tokens = Tokens(rows, usable, source, tuple(map(str, sources)), valid)
        shapes = [a.shape for a in (tokens.usable, tokens.valid) if a is not None]
        if {*shapes} != {tokens.tokens.shape} or tokens.source.shape != tokens.tokens.shape[:1]:
            raise CorruptError(f"expected arrays of one length, got {shapes} for {tokens.tokens.shape}")
    except (ConfigError, CorruptError, KeyError) as error:
        raise CorruptError(f"{path} is damaged: {error}; choose another --out") from error
    return tokens
