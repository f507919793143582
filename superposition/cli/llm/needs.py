"""What the metadata of an SAE say, obeyed in the commands that run it on a model; flags win, and it is said which did."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from superposition.cli.llm.config import ModelConfig, TextConfig
from superposition.cli.llm.data import open_model, read_tokens
from superposition.cli.sae.saes import load_one
from superposition.cli.settings import SMALL_LM_SAE
from superposition.cli.terminal import visible
from superposition.errors import ConfigError
from superposition.interventions import Attached, Requirements, hook_point, requirements
from superposition.llm.model import LanguageModel
from superposition.llm.packing import RanDryError, Tokens
from superposition.storage import formats
from superposition.storage.formats import Loaded


def open_sae(config: Any) -> Attached:
    """The model and the SAE that settings name; ConfigError where they do not fit, StoreError for what is no SAE."""
    if config.sae == SMALL_LM_SAE:
        name, loaded = config.sae, formats.load(config.sae)
    else:
        one = load_one(config.sae, allow_pt=config.allow_pt)
        name, loaded = str(one.path), one.loaded
    return place(open_model(config), loaded, name, config, config.hook)


def place(
    lm: LanguageModel,
    loaded: Loaded,
    name: str | Path,
    config: ModelConfig,
    asked: str | None,
    models: dict[Any, LanguageModel] | None = None,
) -> Attached:
    """An SAE attached to the model that it expects; what was decided, and what cannot be obeyed, is noted on stderr.

    models: those made for other SAEs, so that none is made twice. ConfigError, which names the SAE, for metadata of a
    wrong type, for what cannot be done, and as `hook_for` does.
    """
    hook, needs = hook_for(lm, loaded, name, asked)
    for line in needs.notes(lm):
        note(line, name, "warning")
    if config.bos is not None:
        if needs.prepend_bos is not None and needs.prepend_bos is not config.bos:
            flag = "--bos" if config.bos else "--no-bos"
            note(f"{flag} wins over prepend_bos {str(needs.prepend_bos).lower()} in its metadata", name)
        needs = replace(needs, prepend_bos=None)
    if isinstance(config, TextConfig) and config.keep_bos is False and needs.exclude_special_tokens is False:
        note("--no-keep-bos wins over exclude_special_tokens false in its metadata", name)
        needs = replace(needs, exclude_special_tokens=None)
    models, changes = {} if models is None else models, needs.changes(hook)
    with named(name):
        needs.check(hook)
        if changes not in models:
            models[changes] = needs.model(lm, hook)
    done = tuple(needs.obeyed(lm, hook))
    for line in done:
        note(line, name)
    return Attached(models[changes], hook, loaded.sae, loaded.params, needs, str(name), done)


def hook_for(
    lm: LanguageModel, loaded: Loaded, name: str | Path, asked: str | None
) -> tuple[str, Requirements]:
    """The hook point of an SAE: its metadata say, or --hook does where the model has no such; and what else they say.

    ConfigError, which names the SAE, if the two differ, if neither says, if the SAE does not fit, or for metadata of a
    wrong type.
    """
    with named(name):
        needs = requirements(loaded.metadata)
        hook, line = hook_point.hook_for(lm, loaded.sae, loaded.metadata, asked, "--hook")
    if line is not None:
        note(line, name)
    return hook, needs


@contextmanager
def named(name: str | Path) -> Iterator[None]:
    """What is refused, with the name of the SAE."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def text_for(config: TextConfig, attached: Attached) -> Tokens:
    """The text that settings name, in rows and at positions such as the SAE was trained on; flags win.

    Raises what `read_tokens` does; RanDryError holds tokens that are cut to these positions, too.
    """
    lm, needs, name = attached.lm, attached.requirements, attached.name
    if needs.context_size is not None and config.ctx is None and config.tokens is None:
        config = replace(config, ctx=max(2, min(needs.context_size, lm.spec.n_ctx)))
    try:
        tokens = read_tokens(config, lm)
    except RanDryError as error:
        error.tokens = counted(config, attached, error.tokens)
        raise
    rows = tokens.tokens.shape[1]
    if needs.context_size is not None and rows > needs.context_size:
        flag = f"--ctx {rows}" if config.tokens is None else f"--tokens, whose rows have {rows} tokens,"
        note(
            f"{flag} wins over context_size {needs.context_size} in its metadata: later positions are new to it",
            name,
            "warning",
        )
    if config.tokens is not None and (wrong := needs.rows_against_bos(lm, tokens)):
        word, truth = ("without", "true") if needs.prepend_bos else ("with", "false")
        line = f"{wrong:,} rows of --tokens begin {word} BOS, and prepend_bos is {truth} in its metadata"
        note(line, name, "warning")
    return counted(config, attached, tokens)


def counted(config: TextConfig, attached: Attached, tokens: Tokens) -> Tokens:
    """The tokens, usable where the SAE was trained; with keep_bos as they are."""
    needs, name = attached.requirements, attached.name
    if not config.keep_bos:
        with named(name):
            return needs.positions(attached.lm, tokens)
    if lost := needs.restrictions():
        note(f"--keep-bos wins over {' and '.join(lost)} in its metadata", name)
    return tokens


def within(attached: Attached, length: int) -> None:
    """Note a prompt, with what is to come, that is longer than the rows the SAE was trained on."""
    most = attached.requirements.context_size
    if most is not None and length > most:
        note(
            f"{length} tokens exceed context_size {most} in its metadata: later positions are new to it",
            attached.name,
            "warning",
        )


def note(line: str, name: str | Path, kind: str = "note") -> None:
    """A line on stderr about an SAE."""
    print(visible(f"{kind}: {name}: {line}"), file=sys.stderr, flush=True)
