"""Trained models on disk: SAEs in the formats of the field, toy models in a small directory of our own."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from superposition._internal import atomic, validate
from superposition._internal.sealed_json import decode, digest, encode
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.storage import formats
from superposition.storage.provenance import differences, provenance, recipe
from superposition.training.sae import SAERun
from superposition.training.sae_results import rebuilt_run as rebuilt_sae_run
from superposition.training.sae_results import sae_sweep
from superposition.training.store.reading import is_of_saes, open_sweep, said
from superposition.training.store.records import ROOT, STORE
from superposition.training.sweeps import Sweep
from superposition.training.told import of_optimizer
from superposition.training.toy import ToyRun
from superposition.training.toy_results import rebuilt_run, toy_sweep
from superposition.training.trained import Trained

FORMAT = 1
WEIGHTS, ABOUT = "params.safetensors", "toy.json"


def save(trained: Trained, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a trained model to a directory that appears whole or not at all; returns its path.

    An SAE becomes a SAELens v6 directory, a toy model `params.safetensors` and `toy.json`, which holds its recipe and
    the digests of all. `load` gives the same numbers to the bit. Raises ConfigError where something is in the way,
    StoreError where the system refuses.

    >>> import superposition as sp, tempfile
    >>> toy = sp.fit(sp.ToyRun(sp.ReLUOutput(5, 2), steps=20, batch_size=64))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sp.load(sp.save(toy, folder + "/toy"))
    Trained(ReLUOutput(n_features=5, n_hidden=2), loss=..., seed=0)
    """
    validate.instance("trained", trained, Trained)
    path = Path(path)
    if trained.is_sae:
        about = dict(trained.metadata)
        if trained.recipe is not None:
            about["superposition"] = {**about.get("superposition", {}), **_about(trained)}
        return formats.save(
            path, trained.sae, trained.params, about, sparsity=trained.log_firing_rates, overwrite=overwrite
        )
    weights = safetensors.numpy.save({n: np.asarray(a) for n, a in trained.parameters().items()})
    body = {"superposition": FORMAT, **_about(trained), "loss": trained.loss.hex(), "fault": trained.fault}
    try:
        text = encode({**body, "metadata": trained.metadata, "files": {WEIGHTS: digest(weights)}})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"metadata must be JSON, numbers finite and keys strings: {error}") from error

    def ours() -> bool:
        names = atomic.names_in(path)
        if names is not None and (not overwrite or set(names) - {WEIGHTS, ABOUT}):
            raise ConfigError(f"{path} exists; give overwrite=True to replace a toy model, or another path")
        return names is not None

    ours()
    with atomic.system(path):
        atomic.create(path.parent)
        with atomic.replacing(path, check=ours) as new:
            atomic.put(new / WEIGHTS, weights)
            atomic.put(new / ABOUT, text)
    return path


def load(path: str | os.PathLike[str], format: str | None = None, **options: Any) -> Trained | Sweep:
    """What is at `path`: an SAE in any format (a `Trained`), a saved toy model (a `Trained`), a sweep's store (a `Sweep`).

    path: a directory, a file of weights, or the name of an SAE that ships, "superposition/small-lm-sae". format and
    other options are those of `storage.formats.load`. Raises StoreError for what is missing or unreadable, CorruptError
    for bytes that are not what was written, ConfigError for settings that are not accepted.

    >>> import superposition as sp
    >>> sp.load("superposition/small-lm-sae").metadata["hook_name"]
    'blocks.0.mlp.hook_post'
    """
    place = Path(path)
    if format is None and not options and os.fspath(path) not in formats.SHIPPED:
        if (place / ABOUT).is_file():
            return _toy(place)
        if (place / ROOT).is_file() or (place / STORE).is_file():
            results = open_sweep(place)
            return sae_sweep(results) if is_of_saes(results) else toy_sweep(results)
    sae, params, metadata, sparsity = formats.load(path, format, **options)
    run, settings, fault = _trained_by(metadata)
    return Trained(sae, params, run, settings, metadata=metadata, fault=fault, log_firing_rates=sparsity)


def _trained_by(metadata: dict[str, Any]) -> tuple[SAERun | None, dict[str, Any], str | None]:
    """The recipe, the settings and the fault that the files of an SAE of ours say; nothing where others wrote them."""
    about = metadata.get("superposition")
    if not isinstance(about, dict):
        return None, {}, None
    run = None
    # Of a version that had other fields: the SAE itself is read all the same.
    with contextlib.suppress(ConfigError, KeyError, TypeError):
        run = rebuilt_sae_run(about.get("run"))
    settings, fault = about.get("settings"), about.get("fault")
    return (
        run,
        settings if isinstance(settings, dict) else {},
        fault if isinstance(fault, str) else None,
    )


def open_trained(path: Path, run: ToyRun | SAERun, seed: int) -> Trained:
    """The model that `fit(run, seed=seed, out=path)` wrote; ConfigError where another one is there."""
    found = load(path)
    if not isinstance(found, Trained):
        raise ConfigError(f"{path} holds a sweep; choose another out")
    if found.recipe is None:
        raise ConfigError(f"{path} does not say what trained it; choose another out")
    if of_optimizer(run):
        raise ConfigError(
            f"{path} does not say which optax transformation trained it, so that it is not taken for this run's; choose"
            " another out, or load it"
        )
    held = {"run": recipe(found.recipe), "settings": found.settings}
    wanted = json.loads(json.dumps({"run": recipe(run), "settings": {"seed": seed}}))
    if lines := differences(json.loads(json.dumps(held)), wanted):
        raise ConfigError(f"{path} was trained with other settings: {'; '.join(lines)}; choose another out")
    return found


def _about(trained: Trained) -> dict[str, Any]:
    return {"run": recipe(trained.recipe), "settings": _plain(trained.settings), "provenance": provenance()}


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _toy(path: Path) -> Trained:
    """A saved toy model, every byte of it checked."""
    with atomic.system(path):
        try:
            about, weights = (path / ABOUT).read_bytes(), (path / WEIGHTS).read_bytes()
        except FileNotFoundError as error:
            raise StoreError(f"{error.filename} is missing; save the model again") from error
    try:
        body = decode(about)
        if digest(weights) != body["files"][WEIGHTS]:
            raise ValueError(f"{WEIGHTS} is not what was written")
        run = rebuilt_run(body["run"])
        kind: Any = type(jax.eval_shape(run.model.init_params, jax.random.key(0)))
        params = kind(**safetensors.numpy.load(weights))
        settings = {name: validate.plain(value) for name, value in body["settings"].items()}
        loss = float.fromhex(body["loss"])
        return Trained(run.model, params, run, settings, body["metadata"], loss=loss, fault=body["fault"])
    except (ConfigError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise CorruptError(f"{path} is damaged: {said(error)}; save the model again") from error
