"""What `page`, `serve`, `steer` and `ablate` begin with: a language model, an SAE, its hook point, and a prompt."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from superposition.cli.features.config import SMALL_LM_SAE, OnSAE
from superposition.cli.llm.data import begun, open_model
from superposition.cli.llm.needs import Placed, place
from superposition.cli.sae.report import console, load_all, visible
from superposition.errors import ConfigError
from superposition.interventions import Requirements
from superposition.llm.model import LanguageModel
from superposition.pages.pieces import pieces
from superposition.sae import SAE, Params
from superposition.storage import formats


@dataclass(frozen=True)
class Opened:
    """An SAE at its hook point of the model it expects; name is where it came from, needs what its metadata say.

    It unpacks as (lm, hook, sae, params, name).
    """

    lm: LanguageModel
    hook: str
    sae: SAE
    params: Params
    name: str
    needs: Requirements = field(default_factory=Requirements)

    def __iter__(self) -> Iterator[Any]:
        """Lm, hook, sae, params, name."""
        return iter((self.lm, self.hook, self.sae, self.params, self.name))

    @property
    def placed(self) -> Placed:
        """Where it is."""
        return Placed(self.lm, self.hook, self.needs)


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
    lm, hook, needs = place(open_model(config), loaded, name, config, config.hook)
    return Opened(lm, hook, loaded.sae, loaded.params, name, needs)


def prompt_ids(lm: LanguageModel, text: str) -> list[int]:
    """A prompt's tokens, after BOS where prompts begin with it; ConfigError for text that yields no token."""
    return lm.prompt_ids(text)


def text_ids(lm: LanguageModel, text: str) -> list[int]:
    """Tokens of a text, none added."""
    return lm.token_ids(text)


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
    print(f"        {begun(lm)}")


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
