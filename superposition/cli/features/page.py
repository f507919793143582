"""`superposition page`: feature pages of an SAE on a language model, or of a toy model's features."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal.memory import enough_memory
from superposition.activations.cache import Cache
from superposition.cli.features.config import PageConfig
from superposition.cli.features.on_sae import open_sae
from superposition.cli.llm.config import TextConfig
from superposition.cli.llm.data import put_together
from superposition.cli.llm.needs import hook_for, requirements_of, text_for
from superposition.cli.sae.report import visible
from superposition.cli.sae.training import progress
from superposition.cli.settings import SMALL_LM_SAE
from superposition.errors import ConfigError, StoreError
from superposition.interventions import Attached
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.place import digest
from superposition.pages.server.belong import made_of
from superposition.pages.stopped import stopped
from superposition.pages.write import replaceable, write
from superposition.storage import formats

TEXT = tuple(field.name for field in fields(TextConfig) if field.name not in ("model", "dtype"))
NOT_TOY = (
    "model",
    "dtype",
    *(name for name in TEXT if name != "data_seed"),
    "hook",
    "cache",
    "other",
    "latents",
)


def write_pages(config: PageConfig) -> str:
    """Write the pages and say where they are; on SIGINT, SIGTERM and SIGHUP nothing is left behind.

    Raises ConfigError for settings, models, SAEs and text, StoreError for what cannot be read or written, Interrupted.
    """
    out = _free(config)
    if config.toy is not None:
        _leave_out(config, NOT_TOY, "--toy has pages of a toy model")
    else:
        _leave_out(config, ("cell", "density"), "there is no --toy")
        if config.cache is not None:
            _leave_out(config, TEXT, "--cache holds the activations of a text")
    if repeated := [latent for latent in dict.fromkeys(config.latents) if config.latents.count(latent) > 1]:
        raise ConfigError(f"--latents names {repeated[0]} twice; name each once")
    with stopped(out), enough_memory("give a smaller --ctx or --max-tokens, or fewer --latents"):
        if config.toy is None:
            return _language_model(config, out)
        from superposition.cli.features.toy_page import pages_of

        index, features, texts = pages_of(config)
        n = _write(config, out, index, features, texts)
    return _where(n, out)


def _language_model(config: PageConfig, out: Path) -> str:
    from superposition.pages.llm import feature_pages

    attached = open_sae(config)
    lm, hook, sae, name = attached.lm, attached.hook, attached.sae, attached.name
    wrong = [latent for latent in config.latents if not 0 <= latent < sae.d_sae]
    if wrong:
        raise ConfigError(f"there is no latent {wrong[0]}: {name} has latents 0 to {sae.d_sae - 1}")
    other = None if config.other is None else _other(config, config.other, attached)
    cache = None if config.cache is None else Cache(config.cache)
    if cache is None:
        tokens = text_for(config, attached)
    else:
        if (setting := attached.requirements.processed(hook)) is not None:
            raise ConfigError(f"{name}: {setting} in its metadata changes activations, and --cache holds those of the model"
                              " as it is; leave --cache out")  # fmt: skip
        tokens = cached_tokens(cache, lm)
    print(
        f"measuring {sae.d_sae:,} latents on {int(tokens.usable.sum()):,} tokens"
        + ("" if cache is not None else f": {put_together(config, lm, tokens)}"),
        file=sys.stderr,
        flush=True,
    )
    pages = feature_pages(
        attached,
        tokens,
        cache=cache,
        features=config.latents or None,
        other=other,
        seed=config.data_seed,
    )
    n = _write(config, out, pages.index | {"of": made_of(attached)}, pages.features, pages.texts)
    return f"{_where(n, out)}\nto steer, and to read text of your own: {_serving(config, out)}"


def cached_tokens(cache: Cache, lm: LanguageModel) -> Tokens:
    """The tokens that a cache has activations of; ConfigError for a cache without tokens or of another model."""
    about = cache.manifest.settings["about"]
    if (theirs := about.get("model_sha256")) is not None and theirs != digest(lm):
        raise ConfigError(
            f"{cache.directory} was written with {about.get('model')} in {about.get('dtype')}; give that --model and --dtype"
        )
    ids = cache.tokens()
    usable = np.zeros(ids.shape, bool)
    usable[cache.places()] = True
    sources = about.get("sources") or []
    source = (sources[0] if len(sources) == 1 else "cache",)
    return Tokens(ids, usable, np.zeros(len(ids), np.int32), source, lm.token_facts.valid(ids))


def _other(config: PageConfig, path: str, attached: Attached) -> Attached:
    loaded = formats.load(path, allow_pt=config.allow_pt)
    said = isinstance(loaded.metadata.get("hook_name"), str)
    hook = hook_for(attached.lm, loaded, path, None if said else attached.hook)
    if hook != attached.hook:
        raise ConfigError(
            f"{path} is for {hook}, and the pages are of {attached.hook}; give --other of that hook point"
        )
    needs = requirements_of(loaded, path)
    if needs.processed(hook) != attached.requirements.processed(hook):
        setting = needs.processed(hook) or attached.requirements.processed(hook)
        raise ConfigError(f"{path} and {attached.name} differ in {setting}, so that they read other activations; give"
                          " --other of a model that was loaded alike")  # fmt: skip
    return Attached(attached.lm, hook, loaded.sae, loaded.params, needs, path)


def _write(
    config: PageConfig, out: Path, index: dict[str, Any], features: Iterable[Any], texts: Iterable[Any]
) -> int:
    n = len(index["columns"]["id"])
    with progress(n, 1, "pages", "writing") as advance:

        def counted() -> Iterator[Any]:
            for page in features:
                yield page
                advance(1)

        write(out, index, counted(), texts, overwrite=config.overwrite)
    return n


def _free(config: PageConfig) -> Path:
    """Where the pages go; refused before anything is read if they cannot."""
    assert config.out is not None
    out = Path(os.path.abspath(config.out))
    replaceable(out, overwrite=True)
    parent = next(path for path in out.parents if os.path.lexists(path))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise StoreError(f"{config.out}: cannot write in {parent}; give another --out")
    return out


def _leave_out(config: PageConfig, names: Iterable[str], why: str) -> None:
    plain = PageConfig()
    for name in names:
        if getattr(config, name) != getattr(plain, name):
            raise ConfigError(f"{why}; leave --{name.replace('_', '-')} out")


def _where(n: int, out: Path) -> str:
    return visible(f"{n} pages in {out}: open {out / 'index.html'}")


def _serving(config: PageConfig, out: Path) -> str:
    words = ["superposition", "serve", *([] if config.sae == SMALL_LM_SAE else [config.sae])]
    plain = PageConfig()
    for name in ("model", "dtype", "hook"):
        if getattr(config, name) != getattr(plain, name):
            words += [f"--{name}", str(getattr(config, name))]
    flags = ("allow_pt", "bos", "no_bos", "special_tokens")
    words += [f"--{name.replace('_', '-')}" for name in flags if getattr(config, name)]
    return visible(shlex.join([*words, "--pages", str(out)]))
