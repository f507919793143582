"""What `page`, `serve`, `steer` and `ablate` begin with: a language model, an SAE, its hook point, and a prompt."""

from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from superposition.cli.features.config import OnSAE, ServeConfig
from superposition.cli.llm.data import begun, open_model
from superposition.cli.llm.needs import place
from superposition.cli.sae.report import console, load_all, visible
from superposition.cli.settings import SMALL_LM_SAE
from superposition.errors import ConfigError
from superposition.interventions import Attached
from superposition.llm.model import LanguageModel
from superposition.pages.pieces import pieces
from superposition.storage import formats


def open_sae(config: OnSAE | ServeConfig) -> Attached:
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
    return place(open_model(config), loaded, name, config, config.hook)


def shown(lm: LanguageModel, ids: list[int]) -> list[str]:
    """Tokens as a terminal may show them, one each."""
    return [visible(piece) for piece in pieces(lm.tokenizer, ids)]


def about(attached: Attached, ids: list[int]) -> None:
    """Print what was run: the model, the SAE, the hook point and the prompt's tokens."""
    lm, hook, sae, name = attached.lm, attached.hook, attached.sae, attached.name
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
