"""The activations that settings name: a stream to train on, batches to measure on, and the truth if known."""

import sys
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from superposition.activations import planted_stream
from superposition.activations.opened import ActivationData, array_digest, open_activations
from superposition.cli.sae.config import DataConfig, ToyData
from superposition.errors import ConfigError
from superposition.features import PLANTED
from superposition.storage.provenance import recipe
from superposition.toy import require_tied
from superposition.training import Trained, open_sweep
from superposition.training.toy_results import toy_sweep


def open_data(config: DataConfig, *, train: bool) -> ActivationData:
    """The data that settings name; arrays become a stream only to `train`. Raises ConfigError, CorruptError."""
    DataConfig.check(config)
    if config.toy is not None:
        return _toy(config)
    if config.planted is not None:
        world = PLANTED[config.planted].scaled(config.n_features, config.d_in)
        stream = planted_stream(jax.random.key(config.data_seed), world)
        about = {"planted": config.planted, "world": recipe(world), "data_seed": config.data_seed}
        return ActivationData(world.d_in, None, about, stream, dictionary=stream.dictionary)
    assert config.activations is not None
    return open_activations(
        config.activations,
        config.array,
        targets=config.targets,
        targets_array=config.targets_array,
        seed=config.data_seed,
        stream=train,
    )


def _toy(config: DataConfig) -> ActivationData:
    one = toy_of(config)
    stream = one.activations(config.data_seed, target=config.target)
    about = {
        "toy": str(config.toy),
        "cell": one.settings,
        "features": recipe(one.recipe.features),  # type: ignore[union-attr]
        "target": config.target,
        "data_seed": config.data_seed,
        **array_digest("W", np.asarray(one.W)),
    }
    return ActivationData(
        stream.source.d_in, stream.source.d_out, about, stream, dictionary=stream.dictionary
    )


def toy_of(config: ToyData) -> Trained:
    """The model of --toy that --cell names, of seeds that it leaves open the lowest loss; ConfigError.

    Seeds are the same problem over again. Models of other axes are not: of these the lowest loss is only the easiest
    problem, so that one has to be named.
    """
    assert config.toy is not None
    toys, labels = toy_sweep(open_sweep(config.toy)), {}
    for text in config.cell:
        name, equals, value = text.partition("=")
        if not equals or name not in toys.axes:
            raise ConfigError(
                f"--cell takes NAME=VALUE with NAME one of {', '.join(toys.axes)}; got {text!r}"
            )
        labels[name] = value
    several = [name for name, values in toys.axes.items() if len(values) > 1 and name not in labels]
    if several and (several != ["seed"] or not labels):
        example = " ".join((*config.cell, *(f"{name}={toys.axes[name][0]}" for name in several)))
        values = "; ".join(f"{name}: {_listed(toys.axes[name])}" for name in several)
        raise ConfigError(
            f"{config.toy} holds {len(toys)} models; choose one with --cell, for example --cell {example} ({values})"
        )
    try:
        one = toys.best(**labels)
    except ConfigError as error:
        raise ConfigError(f"{config.toy}: {error}") from error
    if several:
        named = " ".join(f"{name}={_label(value)}" for name, value in one.settings.items())
        print(f"{config.toy}: {named}, the lowest loss of {len(toys.axes['seed'])} seeds", file=sys.stderr)
    require_tied(one.model, "--toy")  # type: ignore[arg-type]
    if config.density is None:
        return one
    run: Any = one.recipe
    return replace(one, recipe=replace(run, features=replace(run.features, density=config.density)))


def _listed(labels: tuple[Any, ...]) -> str:
    shown = ", ".join(map(_label, labels[:20]))
    return shown if len(labels) <= 20 else f"{shown} ... ({len(labels)} in all)"


def _label(value: Any) -> str:
    """A value of an axis, as short as --cell finds it again."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
