"""What `page`, `serve`, `steer` and `ablate` begin with: a language model, an SAE, its hook point, and a prompt."""

from typing import Any

from superposition.cli.features.config import OnSAE, ServeConfig
from superposition.cli.llm.data import open_model
from superposition.cli.llm.needs import place
from superposition.cli.sae.saes import load_one
from superposition.cli.settings import SMALL_LM_SAE
from superposition.cli.terminal import visible
from superposition.interventions import Attached
from superposition.llm.model import LanguageModel
from superposition.llm.place import bos_note
from superposition.pages.pieces import pieces
from superposition.storage import formats


def open_sae(config: OnSAE | ServeConfig) -> Attached:
    """The model and the SAE that settings name; ConfigError where they do not fit, StoreError for what is no SAE."""
    if config.sae == SMALL_LM_SAE:
        name, loaded = config.sae, formats.load(config.sae)
    else:
        one = load_one(config.sae, allow_pt=config.allow_pt)
        name, loaded = str(one.path), one.loaded
    return place(open_model(config), loaded, name, config, config.hook)


def shown(lm: LanguageModel, ids: list[int]) -> list[str]:
    """Tokens as a terminal may show them, one each."""
    return [visible(piece) for piece in pieces(lm.tokenizer, ids)]


def told(model: str, attached: Attached, ids: list[int]) -> dict[str, Any]:
    """Print what was run: the model, the SAE, the hook point and the prompt's tokens; returns the same for JSON."""
    lm, hook, sae, name = attached.lm, attached.hook, attached.sae, attached.name
    layers = f"{lm.spec.n_layers} layer{'s' if lm.spec.n_layers > 1 else ''}"
    print(f"model   {visible(lm.name)} ({layers} of {lm.spec.d_model} dimensions)")
    print(f"SAE     {visible(name)} ({type(sae).__name__}, {sae.d_sae:,} latents)")
    print(f"hook    {hook} ({lm.width(hook):,} numbers a token)")
    print(f"prompt  {len(ids)} token{'s' if len(ids) > 1 else ''}: {'|'.join(shown(lm, ids))}")
    print(f"        {visible(bos_note(lm))}")
    return {"model": model, "sae": name, "hook": hook, "prompt_tokens": ids}
