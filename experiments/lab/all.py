"""Runs every experiment in a few processes at once, longest first: one alone leaves most of a second core idle.

Experiments that share costly work (a trained sweep, a sampled text) name it in `SHARED`, and run in one process, which
keeps it. Every group has a process of its own, since a process cannot hold the programs of all of them.
"""

import importlib
import json
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from types import ModuleType

from experiments.lab import files
from experiments.lab.claim import Claim
from experiments.lab.run import execute


def run(modules: Iterable[ModuleType], size: str, folder: Path, jobs: int) -> list[Claim]:
    """Run the experiments in `jobs` processes, two cores' worth of work each; return the claims of all.

    Size: "full", "quick" for `Config.quick()`, "lecture" for `Config.lecture()` where an experiment has one.
    """
    groups = grouped(modules, size)
    claims: list[Claim] = []
    context = multiprocessing.get_context("spawn")  # XLA's threads do not survive a fork
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        running = [pool.submit(_run_group, group, size, folder) for group in groups]
        try:
            for future in as_completed(running):
                claims += future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return claims


def grouped(modules: Iterable[ModuleType], size: str) -> list[list[str]]:
    """Return names of modules by the work they share, the group that took longest when last run first.

    An experiment whose version of another size shares other work says so too: `SHARED_LECTURE` for size "lecture".
    """
    groups: dict[str, list[str]] = {}
    for module in modules:
        shared = getattr(module, "SHARED", module.__name__)
        groups.setdefault(getattr(module, f"SHARED_{size.upper()}", shared), []).append(module.__name__)
    return sorted(groups.values(), key=lambda names: -sum(_seconds(name) for name in names))


def _seconds(name: str) -> float:
    path = files.FIGURES / f"{name.rsplit('.', 1)[-1]}.json"
    return float(json.loads(path.read_text())["seconds"]) if path.exists() else 0.0


def _run_group(names: list[str], size: str, folder: Path) -> list[Claim]:
    claims: list[Claim] = []
    for name in names:
        module = importlib.import_module(name)
        config = getattr(module.Config, size, module.Config)()
        claims += execute(module, config, folder).claims
    return claims
