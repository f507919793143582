"""What the metadata of an SAE say, obeyed in the commands that run it on a model; flags win, and it is said which did."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superposition.cli.llm.config import TextConfig
from superposition.cli.llm.data import hook_of
from superposition.cli.llm.text import read_tokens
from superposition.cli.sae.report import visible
from superposition.errors import ConfigError
from superposition.interventions import Requirements, requirements
from superposition.interventions.splice import fits
from superposition.llm.model import LanguageModel
from superposition.llm.packing import RanDryError, Tokens
from superposition.storage.formats import Loaded


class Placed(NamedTuple):
    """A model as an SAE expects it, the hook point, and what else the SAE requires."""

    lm: LanguageModel
    hook: str
    needs: Requirements


def place(
    lm: LanguageModel,
    loaded: Loaded,
    name: str | Path,
    config: TextConfig,
    asked: str | None,
    models: dict[Any, LanguageModel] | None = None,
) -> Placed:
    """Where an SAE goes and on which model; what was decided, and what cannot be obeyed, is noted on stderr.

    models: those made for other SAEs, so that none is made twice. ConfigError, which names the SAE, for metadata of a
    wrong type, for what cannot be done, and as `hook_for` does.
    """
    needs = requirements_of(loaded, name)
    hook = hook_for(lm, loaded, name, asked)
    for line in needs.notes(lm):
        note(line, name, "warning")
    if flag := flag_of_bos(config):
        if needs.prepend_bos is not None and needs.prepend_bos is not (flag == "--bos"):
            note(f"{flag} wins over prepend_bos {str(needs.prepend_bos).lower()} in its metadata", name)
        needs = replace(needs, prepend_bos=None)
    if config.no_keep_bos and needs.exclude_special_tokens is False:
        note("--no-keep-bos wins over exclude_special_tokens false in its metadata", name)
        needs = replace(needs, exclude_special_tokens=None)
    models, changes = {} if models is None else models, needs.changes(hook)
    try:
        needs.check(hook)
        if changes not in models:
            models[changes] = needs.model(lm, hook)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    for line in needs.obeyed(lm, hook):
        note(line, name)
    return Placed(models[changes], hook, needs)


def requirements_of(loaded: Loaded, name: str | Path) -> Requirements:
    """What an SAE's metadata say; ConfigError, which names it, for a wrong type."""
    try:
        return requirements(loaded.metadata)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def other_world(metadata: Mapping[str, Any]) -> str | None:
    """What an SAE was trained on that is no language model: a toy model's store or a planted world."""
    own = metadata.get("superposition")
    data = own.get("data") if isinstance(own, dict) else None
    if not isinstance(data, dict):
        return None
    if "toy" in data:
        return f"the toy model {data['toy']} (`superposition page SAE --toy` shows it)"
    return f"the planted world {data['planted']}" if "planted" in data else None


def hook_for(lm: LanguageModel, loaded: Loaded, name: str | Path, asked: str | None) -> str:
    """The hook point of an SAE: its metadata say, or the settings do where the model has no such hook point.

    ConfigError if they differ, if neither says, or if the SAE does not fit.
    """
    stored = loaded.metadata.get("hook_name")
    try:
        given = None if asked is None else hook_of(lm, asked)
        if made_of := other_world(loaded.metadata):
            raise ConfigError(
                f"is an SAE of {made_of}, which no language model has; give an SAE of a hook point"
            )
        own = None
        if isinstance(stored, str):
            try:
                own = hook_of(lm, stored)
            except ConfigError as error:
                if given is None:
                    raise ConfigError(
                        f"{error}; or give --hook, the hook point of the model that it means"
                    ) from error
                note(
                    f"--hook {given} stands for the hook point {stored} of its metadata, which the model lacks",
                    name,
                )
        hook = own or given
        if hook is None:
            raise ConfigError("nothing in it says which hook point it is for; give --hook")
        if given not in (None, hook):
            raise ConfigError(f"is for the hook point {own}; leave --hook {asked} out")
        fits(lm, hook, loaded.sae)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    return hook


def text_for(config: TextConfig, placed: Placed, name: str | Path) -> Tokens:
    """The text that settings name, in rows and at positions such as the SAE was trained on; flags win.

    Raises what `read_tokens` does; RanDryError holds tokens that are cut to these positions, too.
    """
    lm, _, needs = placed
    if needs.context_size is not None and config.ctx is None and config.tokens is None:
        config = replace(config, ctx=max(2, min(needs.context_size, lm.spec.n_ctx)))
    try:
        tokens = read_tokens(config, lm)
    except RanDryError as error:
        error.tokens = counted(config, placed, error.tokens, name)
        raise
    rows = tokens.tokens.shape[1]
    if needs.context_size is not None and rows > needs.context_size:
        flag = f"--ctx {rows}" if config.tokens is None else f"--tokens, whose rows have {rows} tokens,"
        note(
            f"{flag} wins over context_size {needs.context_size} in its metadata: later positions are new to it",
            name,
            "warning",
        )
    if (
        config.tokens is not None
        and needs.prepend_bos is not None
        and (bos := lm.token_facts.bos_id) is not None
    ):
        start = 0 if tokens.valid is None else tokens.valid.argmax(1)
        wrong = int(((tokens.tokens[np.arange(len(tokens.tokens)), start] == bos) != needs.prepend_bos).sum())
        if wrong:
            said = (
                "begin without BOS, and prepend_bos is true"
                if needs.prepend_bos
                else "begin with BOS, and prepend_bos is false"
            )
            note(f"{wrong:,} rows of --tokens {said} in its metadata", name, "warning")
    return counted(config, placed, tokens, name)


def counted(config: TextConfig, placed: Placed, tokens: Tokens, name: str | Path) -> Tokens:
    """The tokens, usable where the SAE was trained; with keep_bos as they are."""
    needs = placed.needs
    if not config.keep_bos:
        try:
            return needs.positions(placed.lm, tokens)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
    lost = {
        f"seqpos_slice {needs.slice_text()}": needs.seqpos_slice not in (None, slice(None)),
        "exclude_special_tokens": needs.exclude_special_tokens not in (None, False),
    }
    if any(lost.values()):
        note(f"--keep-bos wins over {' and '.join(k for k, v in lost.items() if v)} in its metadata", name)
    return tokens


def within(placed: Placed, length: int, name: str | Path) -> None:
    """Note a prompt, with what is to come, that is longer than the rows the SAE was trained on."""
    most = placed.needs.context_size
    if most is not None and length > most:
        note(
            f"{length} tokens exceed context_size {most} in its metadata: later positions are new to it",
            name,
            "warning",
        )


def flag_of_bos(config: TextConfig) -> str | None:
    """The flag about BOS that was given."""
    return "--bos" if config.bos else "--no-bos" if config.no_bos else None


def note(line: str, name: str | Path, kind: str = "note") -> None:
    """A line on stderr about an SAE."""
    print(visible(f"{kind}: {name}: {line}"), file=sys.stderr, flush=True)
