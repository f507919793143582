"""`superposition page` and `serve`: feature pages of an SAE on a language model, or of a toy model's features."""

import shlex
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from superposition._internal.memory import enough_memory
from superposition.activations.cache import Cache
from superposition.cli.features.config import PageConfig, ServeConfig
from superposition.cli.llm.data import rows_note
from superposition.cli.llm.needs import hook_for, named, open_sae, text_for
from superposition.cli.sae.saes import load_one
from superposition.cli.settings import SMALL_LM_SAE, changed
from superposition.cli.terminal import visible
from superposition.errors import ConfigError
from superposition.interventions import Attached
from superposition.llm.cache import cached_tokens
from superposition.pages.server.belong import made_of
from superposition.pages.server.of_sae import llm_index, sae_server
from superposition.pages.stopped import stopped
from superposition.pages.write import Pages, writable, write
from superposition.storage import formats
from superposition.training import loop
from superposition.training.progress import terminal


def write_pages(config: PageConfig) -> str:
    """Write the pages and say where they are; on SIGINT, SIGTERM and SIGHUP nothing is left behind.

    Raises ConfigError for settings, models, SAEs and text, StoreError for what cannot be read or written, Interrupted.
    """
    assert config.out is not None
    out = writable(config.out)  # refused before anything is read
    with stopped(out), enough_memory("give a smaller --ctx or --max-tokens, or fewer --latents"):
        pages = _of_llm(config) if config.toy is None else _of_toy(config)
        n = len(pages.index["columns"]["id"])
        with terminal(n, doing="writing") as bar:

            def counted() -> Iterator[Any]:
                for page in pages.features:
                    yield page
                    bar.advance(1)

            write(out, pages.index, counted(), pages.texts, overwrite=config.overwrite)
    where = visible(f"{n} pages in {out}: open {out / 'index.html'}")
    return (
        where if config.toy else f"{where}\nto steer, and to read text of your own: {_serving(config, out)}"
    )


def _of_llm(config: PageConfig) -> Pages:
    from superposition.pages.llm import feature_pages

    attached = open_sae(config)
    lm, sae, name = attached.lm, attached.sae, attached.name
    if wrong := [latent for latent in config.latents if not 0 <= latent < sae.d_sae]:
        raise ConfigError(f"there is no latent {wrong[0]}: {name} has latents 0 to {sae.d_sae - 1}")
    other = None if config.other is None else _other(config, config.other, attached)
    if config.cache is None:
        cache, tokens = None, text_for(config, attached)
        made = f": {rows_note(config, lm, tokens)}"
    elif (setting := attached.requirements.processed(attached.hook)) is not None:
        raise ConfigError(
            f"{name}: {setting} in its metadata changes activations, and --cache holds those of the model as it is; leave"
            " --cache out"
        )
    else:
        cache, made = Cache(config.cache), ""
        tokens = cached_tokens(cache, lm)
    usable = int(tokens.usable.sum())
    print(f"measuring {sae.d_sae:,} latents on {usable:,} tokens{made}", file=sys.stderr, flush=True)
    pages = feature_pages(
        attached,
        tokens,
        cache=cache,
        features=config.latents or None,
        other=other,
        seed=config.data_seed,
    )
    return pages._replace(index=pages.index | {"of": made_of(attached)})


def _other(config: PageConfig, path: str, attached: Attached) -> Attached:
    """The second SAE, of the same hook point."""
    loaded = formats.load(path, allow_pt=config.allow_pt)
    says = isinstance(loaded.metadata.get("hook_name"), str)
    hook, needs = hook_for(attached.lm, loaded, path, None if says else attached.hook)
    other = Attached(attached.lm, hook, loaded.sae, loaded.params, needs, path)
    other.refuse_other_activations(attached, "--other")
    return other


def _of_toy(config: PageConfig) -> Pages:
    """Pages of the toy model in a cell, beside the latents of an SAE where one is given."""
    from superposition.cli.sae.data import toy_of
    from superposition.pages.toy import trained_pages

    toy = toy_of(config)
    if config.sae == SMALL_LM_SAE:
        return trained_pages(toy, seed=config.data_seed)
    sae = load_one(config.sae, allow_pt=config.allow_pt).loaded
    with named(config.sae):
        return trained_pages(toy, sae, seed=config.data_seed)


def _serving(config: PageConfig, out: Path) -> str:
    """The command that serves the pages."""
    words = ["superposition", "serve", *([] if config.sae == SMALL_LM_SAE else [config.sae])]
    for flag in changed(config, ("model", "dtype", "hook", "allow_pt", "bos", "special_tokens")):
        value = getattr(config, flag[2:].replace("-", "_"), True)
        words += [flag] if isinstance(value, bool) else [flag, value]
    return visible(shlex.join([*words, "--pages", str(out)]))


def serve(config: ServeConfig) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. Raises ConfigError for settings, and for pages that are not of this SAE."""
    assert config.pages is not None
    n = len(llm_index(config.pages)["columns"]["id"])  # refused before a model is read
    with enough_memory("give --dtype bfloat16, or a smaller model"):
        attached = open_sae(config)
    server = sae_server(config.pages, attached, config.port)
    with loop.interruptible() as stop:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        where = f"{n} pages of {visible(attached.name)} at {server.url}"
        print(f"{where} (on this machine alone; Ctrl-C ends it)", flush=True)
        while thread.is_alive() and not stop():
            thread.join(0.2)
        server.close()
