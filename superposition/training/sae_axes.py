"""The axes that an SAE run takes: which one program can carry, which need one each, and the run at a grid point."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from superposition.errors import ConfigError
from superposition.training.optimizer import swept_fields

if TYPE_CHECKING:
    from superposition.training.sae import SAERun

MAX_SAES = 100_000
OF_RUN = ("steps", "batch_size", "penalty_warmup", "normalize")
# Of the architecture, what decides shapes, and what the data decide or training works out.
NO_AXES = ("d_in", "d_sae", "d_out", "skip", "width", "slots", "normalize_activations")


def sweepable(run: "SAERun") -> tuple[str, ...]:
    """The names that one program can carry, beside seed: float fields of sae and optimizer, k, width, l0_target.

    >>> from superposition.training import SAERun, sweepable
    >>> sorted(sweepable(SAERun()))
    ['aux_coefficient', 'b1', 'b2', 'clip', 'decay', 'eps', 'k', 'learning_rate', 'warmup', 'width']
    """
    names = [f.name for f in fields(run.sae) if isinstance(getattr(run.sae, f.name), float)]
    names += swept_fields(run.optimizer)
    names += ["k"] if hasattr(run.sae, "k") else []
    names += ["l0_target"] if run.sae.penalised else []
    return (*dict.fromkeys(names), "width")


def static_names(run: "SAERun") -> tuple[str, ...]:
    """The axes of which every value takes a program of its own: of the run, and of the architecture but its shapes."""
    carried = sweepable(run)
    of_sae = [f.name for f in fields(run.sae) if f.name not in (*carried, *NO_AXES)]
    schedule = ("schedule",) if hasattr(run.optimizer, "schedule") else ()
    return (*OF_RUN, *schedule, *of_sae)


def check(models: int) -> None:
    """Raise ConfigError for more SAEs than a grid may train."""
    if models > MAX_SAES:
        raise ConfigError(f"a grid trains at most {MAX_SAES} SAEs; got {models}: give shorter axes")


def at(run: "SAERun", settings: Mapping[str, Any]) -> "SAERun":
    """The run of one grid point: the settings in their places; seeds have none in a recipe."""
    placed = {name: value for name, value in settings.items() if name != "seed"}
    mine: dict[str, Any] = {name: placed.pop(name) for name in OF_RUN if name in placed}
    sae = {name: value for name, value in placed.items() if name == "width" or hasattr(run.sae, name)}
    sae |= {"slots": None} if hasattr(run.sae, "slots") else {}
    optimizer = {name: value for name, value in placed.items() if name not in sae and name != "l0_target"}
    mine |= {"l0_target": placed["l0_target"]} if "l0_target" in placed else {}
    if optimizer:
        mine["optimizer"] = replace(run.optimizer, **optimizer)  # type: ignore[type-var]
    return replace(run, sae=replace(run.sae, **sae), **mine)
