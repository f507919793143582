"""What can be refused before JAX is imported: names, ranges, files that are not there or are something else.

Importing JAX takes seconds. The recipes and readers check again, for scripts that have no command line.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from superposition._internal.registry import listed
from superposition.cli.features.config import (
    SMALL_LM_SAE,
    AblateConfig,
    OnSAE,
    PageConfig,
    ServeConfig,
    SteerConfig,
)
from superposition.cli.llm.config import ActivationsConfig, LMDataConfig, LMEvalConfig
from superposition.cli.sae.commands import ConvertConfig, EvalConfig, ShowSAEConfig
from superposition.cli.sae.config import DataConfig, TrainSettings, choose
from superposition.cli.toy.config import ShowConfig
from superposition.cli.toy.sweep_config import SweepConfig
from superposition.errors import ConfigError

# What a path may hold: by which file it is known, what it is called, and what opens it.
KINDS = {
    "sweep": (("zarr.json", "loss/zarr.json"), "a sweep of toy models", "superposition show"),
    "run": (("results.json",), "a run of SAEs", "superposition sae show"),
    "sae": (("cfg.json",), "an SAE", "superposition sae show"),
    "pages": (("index.html",), "feature pages (`superposition page` writes them)", "a browser"),
    "model": (("config.json", "tokenizer.json"), "a language model", "--model"),
    "cache": (("MANIFEST.json",), "a cache that `llm activations` wrote", "--cache"),
    "array": ((), "a .npy, .npz, .safetensors or Zarr array", "--activations"),
}


def check(command: Any) -> None:
    """ConfigError for what is wrong with a command's settings."""
    if isinstance(command, SweepConfig):
        _sweep(command)
    if isinstance(command, ShowConfig):
        expect(command.results, "sweep")
    if isinstance(command, DataConfig):
        _data(command)
    if isinstance(command, TrainSettings):
        _training(command)
    if isinstance(command, EvalConfig | LMEvalConfig):
        _free(command.json, command.overwrite, "--overwrite to replace it, or another --json")
        for path in command.saes:
            expect(path, "sae", "run")
    if isinstance(command, ConvertConfig):
        choose("to", command.to, listed("storage.formats", "FORMATS"))
        expect(command.source, "sae")
        _free(command.destination, False, "another destination")
    if isinstance(command, ShowSAEConfig):
        expect(command.path, "sae", "run")
    if isinstance(command, OnSAE | ServeConfig) and command.sae != SMALL_LM_SAE:
        expect(Path(command.sae), "sae", "run")
    if isinstance(command, LMDataConfig | PageConfig) and command.cache is not None:
        expect(command.cache, "cache")
    _features(command)


def expect(path: Path, *kinds: str) -> None:
    """ConfigError where there is nothing, or something that is known to be of another kind."""
    wanted = " or ".join(KINDS[kind][1] for kind in kinds)
    if not os.path.lexists(path):
        store = ", so not a Zarr store" if kinds == ("sweep",) else ""
        raise ConfigError(f"{path}: no such file or directory{store}; give {wanted}")
    found = kind_of(path)
    if found is not None and found not in kinds:
        _, name, opener = KINDS[found]
        given = f"{opener} {path}" if opener.startswith("superposition") else opener
        raise ConfigError(f"{path} is {name}, not {wanted}; what opens it is {given}")
    if kinds == ("sweep",) and not (path / "zarr.json").is_file():
        raise ConfigError(f"{path} is not a Zarr store of a sweep; give the --out of a `superposition sweep`")


def kind_of(path: Path) -> str | None:
    """Which of KINDS a directory holds, by its files."""
    for kind, (files, _, _) in KINDS.items():
        if files and all((path / file).is_file() for file in files):
            return kind
    return None


def _sweep(config: SweepConfig) -> None:
    from superposition._internal import validate

    if config.out is None:
        raise ConfigError("sweep needs --out, the Zarr store to write; for example --out runs/lecture.zarr")
    choose("model", config.model, listed("toy", "TOY_MODELS"))
    choose("features", config.features, listed("features", "FEATURES"))
    choose("objective", config.objective, listed("training.toy", "OBJECTIVES"))
    choose("sampling", config.sampling, listed("training.toy", "SAMPLINGS"))
    choose("schedule", config.schedule, listed("training.optimizer", "SCHEDULES"))
    for name in ("n_features", "n_hidden"):
        for value in getattr(config, name):
            validate.integer(name, value, 1)
    for name in ("n_sets", "seeds", "steps", "batch_size"):
        validate.integer(name, getattr(config, name), 1)
    validate.integer("first_seed", config.first_seed, 0, validate.MAX_SEED)
    _each("density", config.densities, high=1.0, open_low=True)
    _each("sparsity", config.sparsities, high=1.0, open_high=True)
    _each("importance", config.importance, high=1e30)
    _each("importance_base", config.importance_base, high=1e6)
    _each("learning_rate", config.learning_rate, high=1e3)
    _each("weight_decay", config.weight_decay, high=1e3)
    if config.densities and config.sparsities:
        raise ConfigError(
            f"give densities or sparsities, not both; got {list(config.densities)} and {list(config.sparsities)}"
        )
    validate.positive("memory_gb", config.memory_gb)
    _free(config.out, config.resume, "--resume to continue it, or another --out")


def _data(config: DataConfig) -> None:
    from superposition._internal import validate

    config.check()
    if config.density is not None:
        _each("density", (config.density,), high=1.0, open_low=True)
    if config.toy is not None:
        validate.choice("target", config.target, listed("activations.toy", "TARGETS"))
        expect(config.toy, "sweep")
    if config.planted is not None:
        choose("planted", config.planted, listed("features", "PLANTED"))
    for path in (config.activations, config.targets):
        if path is not None:
            expect(path, "cache", "array")
    validate.integer("data_seed", config.data_seed, 0, validate.MAX_SEED)


def _training(config: TrainSettings) -> None:
    from superposition._internal import validate

    if config.out is None:
        raise ConfigError("training needs --out, the directory to write; for example --out runs/topk")
    for path in (config.out, config.out.with_name(f"{config.out.name}.partial")):
        _free(path, config.resume, "--resume to continue it, or another --out")
    trained = [name for name in listed("sae", "ARCHITECTURES") if name not in listed("sae", "BASELINES")]
    choose("architecture", config.architecture, trained)
    if config.sparsity is not None and _is_number(config.sparsity):
        raise ConfigError(
            f"sparsity is jumprelu's step, tanh or quadratic; got {config.sparsity}: how often a toy's features are"
            " there is --density (density = 1 - sparsity)"
        )
    for name, low in (("steps", 1), ("batch_size", 2), ("examples", 1), ("d_sae", 1)):
        if getattr(config, name) is not None:
            validate.integer(name, getattr(config, name), low)
    for seed in config.seed:
        validate.integer("seed", seed, 0, validate.MAX_SEED)
    _each("learning_rate", config.learning_rate, high=1e3)
    _each("l0_target", config.l0_target, high=1e30, open_low=True)
    _each("k", config.k, high=1e30, open_low=True)
    validate.positive("memory_gb", config.memory_gb)


def _features(command: Any) -> None:
    if isinstance(command, PageConfig):
        if command.out is None:
            raise ConfigError("page needs --out, the folder to write; for example --out pages/")
        if command.density is not None:
            _each("density", (command.density,), high=1.0, open_low=True)
        if command.toy is not None and (kind_of(command.toy) or not os.path.lexists(command.toy)):
            expect(command.toy, "sweep")
        empty = command.out.is_dir() and not os.listdir(command.out)
        _free(
            command.out,
            command.overwrite or empty,
            "--overwrite to replace the pages there, or another --out",
        )
    if isinstance(command, ServeConfig):
        if command.pages is None:
            raise ConfigError(
                "serve needs --pages, the folder of the pages; `superposition page SAE --out pages/` writes them"
            )
        expect(command.pages, "pages")
    if isinstance(command, SteerConfig) and command.latent is None:
        raise ConfigError("steer needs --latent, which latent to steer; for example --latent 7")
    if isinstance(command, AblateConfig) and command.prompt is None:
        raise ConfigError('ablate needs --prompt, text whose next token is looked at; for example "In the"')
    if isinstance(command, ActivationsConfig) and command.out is None:
        raise ConfigError(
            "activations need --out, the directory to write; for example --out runs/activations"
        )


def _free(path: Path | None, allowed: bool, mend: str) -> None:
    if path is not None and os.path.lexists(path) and not allowed:
        raise ConfigError(f"{path} exists; give {mend}")


def _each(name: str, values: Iterable[float], **limits: Any) -> None:
    from superposition._internal import validate

    for value in values:
        validate.in_range(name, value, 0.0, **limits)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
