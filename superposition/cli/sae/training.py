"""`sae train` and `llm train-sae`: a grid of SAEs from settings to directories, resumable after a kill at any instant.

All is written beside its place, in OUT.partial, and takes the name OUT in one rename once it is complete.
"""

import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal import atomic
from superposition._internal.lock import held
from superposition._internal.strict_json import strict_json
from superposition.cli.sae.config import TrainSettings
from superposition.cli.sae.data import Data
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.evaluation.sae import evaluate, shortcomings, target_l0
from superposition.storage import formats
from superposition.storage.provenance import differences, provenance, recipe
from superposition.storage.sae_runs import DICTIONARY, FORMAT, HISTORY, RESULTS, finite, read_results
from superposition.training import SAERun, Trained, loop
from superposition.training.fitting import fit_grid
from superposition.training.sae import bytes_per_sae
from superposition.training.sae_blocks import block_size

DATA, TRAINING = "data.json", "training"


def train_saes(config: TrainSettings, opener: Callable[[Path], Data]) -> dict[str, Any]:
    """Train what the settings say and return the results, as in OUT/results.json.

    opener: the data, given the working directory, in which what is to be the same after a kill may be kept.
    Raises ConfigError for settings and data, StoreError for the disk, TrainingError if the only SAE of a run
    diverges, Interrupted after SIGINT, SIGTERM or SIGHUP once everything is saved.
    """
    assert config.out is not None
    out = Path(os.path.abspath(config.out))
    work = out.with_name(f"{out.name}.partial")
    if os.path.lexists(out) and not (out / RESULTS).is_file():
        raise ConfigError(f"{out} is not the directory of a run; choose another --out")
    data = opener(work)
    n_features = None if data.dictionary is None else len(data.dictionary)
    run, axes = config.plan(data.d_in, data.d_out, n_features)
    settings = json.loads(json.dumps({"run": recipe(run), "axes": axes, "data": data.about}))
    with loop.interruptible() as stop, held(work, out):
        if out.exists():
            results = read_results(out)
            _same(out, {k: results.get(k) for k in settings}, settings)
            shutil.rmtree(work, ignore_errors=True)
            return results
        if data.keep is not None:
            with _writing(work):
                data.keep(work)
        begun = time.monotonic()
        try:
            trained = _fit(config, run, axes, data, work, stop)
        except ConfigError:
            if not any((work / TRAINING).glob("block-*")):  # refused before it began: leave nothing behind
                shutil.rmtree(work, ignore_errors=True)
            raise
        seconds = time.monotonic() - begun
        results = _publish(config, run, data, settings, trained, work, out, stop)
        shutil.rmtree(work, ignore_errors=True)
    print(f"{len(trained)} SAE{'s' if len(trained) > 1 else ''} in {seconds:.1f} s")
    return results


def _same(where: Path, stored: Any, wanted: Any) -> None:
    lines = differences(stored, wanted)
    if lines:
        raise ConfigError(
            f"{where} was begun with other settings: {'; '.join(lines)}; give those, or another --out"
        )


def _remember(path: Path, settings: dict[str, Any]) -> None:
    """Write what the run is of, or compare with what is there."""
    if path.exists():
        try:
            stored = strict_json(path, path.read_bytes())
        except CorruptError as error:
            raise CorruptError(f"{error}; choose another --out") from error
        return _same(path.parent, stored, settings)
    temporary = path.with_name(f".{path.name}.new")  # one name: the next run writes over what a kill left
    with _writing(path):
        atomic.write_file(path, json.dumps(settings, indent=1).encode(), temporary=temporary)
    return None


def _fit(
    config: TrainSettings,
    run: SAERun,
    axes: Mapping[str, Sequence[Any]],
    data: Data,
    work: Path,
    stop: loop.Stop,
) -> list[Trained]:
    assert data.stream is not None
    cells = len(list(itertools.product(*axes.values())))
    need = bytes_per_sae(run) / 1e9
    if need > config.memory_gb:
        raise ConfigError(
            f"one SAE of d_sae={run.sae.d_sae} needs about {need:.3g} GB; give --memory-gb {need:.3g} or more,"
            " or a smaller d_sae or batch_size"
        )
    size = block_size(run, cells, config.memory_gb)
    blocks = -(-cells // size)
    # Blocks are known by number: with another size a number would stand for other SAEs.
    _remember(work / DATA, {"data": json.loads(json.dumps(data.about)), "block": size})
    with progress(run.steps * blocks, run.batch_size, data.unit) as advance, _writing(work):
        return fit_grid(
            run,
            data.stream,
            axes,
            directory=work / TRAINING,
            memory_gb=config.memory_gb,
            checkpoint_seconds=config.checkpoint_seconds,
            progress=advance,
            stop=stop,
            allow_mixed=config.allow_mixed,
        )


def _publish(
    config: TrainSettings,
    run: SAERun,
    data: Data,
    settings: dict[str, Any],
    trained: list[Trained],
    work: Path,
    out: Path,
    stop: loop.Stop,
) -> dict[str, Any]:
    """Everything under work/new, then one rename."""
    assert data.stream is not None
    again = f"{work} holds what is done; run the same with --resume to continue"
    new = work / "new"
    shutil.rmtree(new, ignore_errors=True)
    scales = list(data.stream.scales(run.batch_size)) if run.normalize else [1.0, 1.0]
    records, history = [], {}
    for one in trained:
        if stop():
            raise stop.interrupted(again)
        name = ",".join(f"{k}={_exact(v)}" for k, v in one.settings.items())
        measured = evaluate(
            one.sae, one.params, data.batches(config.examples, one.sae.d_sae), data.dictionary
        )
        record: dict[str, Any] = {
            "name": name,
            "settings": one.settings,
            "metrics": measured.numbers,
            "fault": one.fault,
            "warnings": shortcomings(measured.numbers, target_l0(one.sae, one.settings, run.l0_target)),
            "scales": scales,
        }
        if len(one.environments) > 1:
            record["environments"] = list(one.environments)
        records.append(finite(record))
        about = {**settings, **records[-1], "provenance": provenance()}
        formats.save(
            new / name,
            one.sae,
            one.params,
            {**(data.metadata or {}), "superposition": finite(about)},
            sparsity=np.log10(measured.firing_rates + 1e-10).astype(
                np.float32
            ),  # -10 for the dead, as SAELens
        )
        history[name] = {"steps": one.steps.tolist()} | {
            term: [float(f"{v:.6g}") for v in values] for term, values in one.history.items()
        }
    if stop():
        raise stop.interrupted(again)
    results = {"superposition": FORMAT, **settings, "provenance": provenance(), "records": records}
    with _writing(out):
        for file, value in ((RESULTS, results), (HISTORY, history)):
            (new / file).write_text(json.dumps(finite(value), indent=1, allow_nan=False))
        if data.dictionary is not None:
            np.save(new / DICTIONARY, data.dictionary)
        for path in (*(p for p in new.iterdir() if p.is_file()), new):
            atomic.fsync(path)
        os.rename(new, out)
        atomic.fsync(out.parent)
    return results


def _exact(value: float) -> str:
    """A number as short as it can be said without loss."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Refusals of the system as one error."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; what was saved is kept: free space and --resume"
        ) from error


@contextmanager
def progress(total: int, each: int, unit: str, doing: str = "training") -> Iterator[Callable[[int], None]]:
    """A bar on standard error with steps and units a second, `each` a step; plain and rare when that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(doing, total=total, rate="")
        done, begun, start = 0, time.monotonic(), 0
        one = threading.Lock()  # blocks train in threads of their own

        def advance(steps: int) -> None:
            nonlocal done, begun, start
            with one:
                if done == 0:  # a resumed start, or the first chunk, whose time is mostly compilation
                    begun, start = time.monotonic(), steps
                done += steps
                rate = (done - start) / max(time.monotonic() - begun, 1e-9)
                words = f"{rate:.4g} steps/s {rate * each:.3g} {unit}/s" if done > start else ""
                bar.update(task, completed=done, rate=words)

        yield advance
