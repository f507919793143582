"""Which hook point of a model an SAE belongs to: its metadata say, or the caller does."""

from collections.abc import Mapping
from typing import Any

from superposition.errors import ConfigError
from superposition.interventions.splice import fits
from superposition.llm.model import LanguageModel
from superposition.sae import SAE


def other_world(metadata: Mapping[str, Any]) -> str | None:
    """What an SAE was trained on that is no language model: a toy model's store or a planted world."""
    ours = metadata.get("superposition")
    data = ours.get("data") if isinstance(ours, dict) else None
    if not isinstance(data, dict):
        return None
    if "toy" in data:
        return f"the toy model {data['toy']} (`superposition page SAE --toy` shows it)"
    return f"the planted world {data['planted']}" if "planted" in data else None


def hook_for(
    lm: LanguageModel, sae: SAE, metadata: Mapping[str, Any], asked: str | None, flag: str = "hook"
) -> tuple[str, str | None]:
    """The hook point of an SAE, and a note where `asked` stands for one that the model lacks.

    The metadata say which it is; where the model has no such hook point, `asked` does. flag: how `asked` is called
    where the user gives it. ConfigError if the two differ, if neither says, or if the SAE does not fit.
    """
    stored, note = metadata.get("hook_name"), None
    given = None if asked is None else _per_token(lm, asked)
    if made_of := other_world(metadata):
        raise ConfigError(f"is an SAE of {made_of}, which no language model has; give an SAE of a hook point")
    named = None
    if isinstance(stored, str):
        try:
            named = _per_token(lm, stored)
        except ConfigError as error:
            if given is None:
                raise ConfigError(
                    f"{error}; or give {flag}, the hook point of the model that it means"
                ) from error
            note = f"{flag} {given} stands for the hook point {stored} of its metadata, which the model lacks"
    hook = named or given
    if hook is None:
        raise ConfigError(f"nothing in it says which hook point it is for; give {flag}")
    if given not in (None, hook):
        raise ConfigError(f"is for the hook point {named}; leave {flag} {asked} out")
    fits(lm, hook, sae)
    return hook, note


def _per_token(lm: LanguageModel, name: str) -> str:
    """A hook point by the model's name for it; ConfigError where activations are not per token."""
    hook = lm.resolve(name)
    lm.width(hook)
    return hook
