"""What `page`, `serve`, `steer` and `ablate` begin with: a language model, an SAE, its hook point, and a prompt."""

from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from superposition import formats
from superposition.errors import ConfigError
from superposition.formats import Loaded
from superposition.interventions.splice import fits
from superposition.llm.model import LanguageModel
from superposition.llm_cli.data import hook_of, open_model
from superposition.llm_cli.feature_config import SMALL_LM_SAE, OnSAE
from superposition.page.pieces import pieces
from superposition.sae import SAE, Params
from superposition.sae_cli.report import console, load_all, visible


class Opened(NamedTuple):
    """An SAE at its hook point of a model; name is where it came from."""

    lm: LanguageModel
    hook: str
    sae: SAE
    params: Params
    name: str


def open_sae(config: OnSAE) -> Opened:
    """The model and the SAE that settings name; ConfigError where they do not fit, StoreError for what is no SAE."""
    if config.sae == SMALL_LM_SAE:
        name, loaded = config.sae, formats.load(config.sae)
    else:
        found = load_all([Path(config.sae)], allow_pt=config.allow_pt)
        if len(found) > 1:
            raise ConfigError(
                f"{config.sae} holds {len(found)} SAEs; give one of them, such as {found[0].path}"
            )
        name, loaded = str(found[0].path), found[0].loaded
    lm = open_model(config)
    return Opened(lm, hook_for(lm, loaded, name, config.hook), loaded.sae, loaded.params, name)


def other_world(metadata: dict[str, Any]) -> str | None:
    """What an SAE was trained on that is no language model: a toy model's store or a planted world."""
    own = metadata.get("superposition")
    data = own.get("data") if isinstance(own, dict) else None
    if not isinstance(data, dict):
        return None
    if "toy" in data:
        return f"the toy model {data['toy']} (`superposition page SAE --toy` shows it)"
    return f"the planted world {data['planted']}" if "planted" in data else None


def hook_for(lm: LanguageModel, loaded: Loaded, name: str | Path, asked: str | None) -> str:
    """Where an SAE goes: its metadata say, or the settings do; ConfigError if they differ or it does not fit."""
    stored = loaded.metadata.get("hook_name")
    try:
        own = hook_of(lm, stored) if isinstance(stored, str) else None
        given = None if asked is None else hook_of(lm, asked)
        if made_of := other_world(loaded.metadata):
            raise ConfigError(
                f"is an SAE of {made_of}, which no language model has; give an SAE of a hook point"
            )
        if own is None and given is None:
            raise ConfigError("nothing in it says which hook point it is for; give --hook")
        if own is not None and given not in (None, own):
            raise ConfigError(f"is for the hook point {own}; leave --hook {asked} out")
        hook = own or given
        assert hook is not None
        fits(lm, hook, loaded.sae)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    return hook


def prompt_ids(lm: LanguageModel, text: str) -> list[int]:
    """A prompt's tokens, after BOS where the model has one; ConfigError for text that yields no token."""
    ids = ([] if lm.spec.bos is None else [lm.spec.bos]) + text_ids(lm, text)
    if not ids:
        raise ConfigError("the model has no BOS token to begin with; give a --prompt that is not empty")
    return ids


def text_ids(lm: LanguageModel, text: str) -> list[int]:
    """Tokens of a text, none added."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"text must be valid Unicode; got {text!r}") from error
    return [int(i) for i in lm.tokenizer(text, add_special_tokens=False)["input_ids"]] if text else []


def shown(lm: LanguageModel, ids: list[int]) -> list[str]:
    """Tokens as a terminal may show them, one each."""
    return [visible(piece) for piece in pieces(lm.tokenizer, ids)]


def about(opened: Opened, ids: list[int]) -> None:
    """Print what was run: the model, the SAE, the hook point and the prompt's tokens."""
    lm, hook, sae, _, name = opened
    layers = f"{lm.spec.n_layers} layer{'s' if lm.spec.n_layers > 1 else ''}"
    print(f"model   {visible(lm.name)} ({layers} of {lm.spec.d_model} dimensions)")
    print(f"SAE     {visible(name)} ({type(sae).__name__}, {sae.d_sae:,} latents)")
    print(f"hook    {hook} ({lm.width(hook):,} numbers a token)")
    print(f"prompt  {len(ids)} token{'s' if len(ids) > 1 else ''}: {'|'.join(shown(lm, ids))}")


def draw(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """A table of numbers and text, as it is: nothing in a cell is markup."""
    print(f"\n{title}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        left = any(isinstance(row[i], str) for row in rows)
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(_cell(cell))) for cell in row))
    console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
