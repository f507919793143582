"""Runs one experiment from the command line or from Python, and writes its picture, its JSON and the report."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.lab import files, gallery, report, stored
from experiments.lab.claim import Result
from experiments.lab.find import first_line, name_of
from experiments.lab.settings import check


def execute(module: ModuleType, config: Any, folder: Path) -> Result:
    """Run and draw an experiment, write pictures and JSON into `folder`, then report and gallery of everything there."""
    from superposition import plot

    check(config)
    name, title = name_of(module), first_line(module.__doc__)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{name}: {title}", file=sys.stderr)
    begun = time.monotonic()
    result: Result = module.run(config)
    result = replace(result, claims=stored.with_record(name, result.claims))
    seconds = time.monotonic() - begun
    alt = module.alt(result)
    plot.save(module.draw(result), folder / f"{name}.png", alt=alt, title=title)
    if hasattr(module, "animate"):
        plot.save_animation(module.animate(result), folder / f"{name}.gif", alt=alt, title=title)
    files.write_json(folder / f"{name}.json", stored.result_to_json(name, title, result, seconds))
    for number, (picture, shows) in enumerate(more_pictures(module, result), 2):
        plot.save(picture, folder / f"{name}-{number}.png", alt=shows, title=title)
    report.write(folder)
    gallery.write(folder)
    print(f"{name}: {seconds:.1f} s -> {folder / name}.png", file=sys.stderr)
    return result


def more_pictures(module: ModuleType, result: Result) -> Sequence[tuple[Any, str]]:
    """Return the pictures that follow an experiment's first one, each with its alt text."""
    return module.more(result) if hasattr(module, "more") else ()


def folder_of(module: ModuleType, config: Any, quick: bool) -> Path:
    """Return where a run's files go: what is committed is replaced only by what was made with the same settings."""
    if quick:
        return files.FIGURES / "quick"
    return files.FIGURES if config == module.Config() else files.FIGURES / "other"


def main(module_name: str, arguments: Sequence[str] | None = None) -> None:
    """Run the experiment in the module of this name by `[--quick] [flags]`; leave with its exit status."""
    from superposition.errors import SuperpositionError

    module = _named(sys.modules[module_name])
    arguments = sys.argv[1:] if arguments is None else arguments
    quick = "--quick" in arguments
    try:
        config = configured(module, arguments)
        result = execute(module, config, folder_of(module, config, quick))
    except SuperpositionError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    report.show(result.claims)
    sys.exit(0 if quick else report.status(result.claims))


def configured(module: ModuleType, arguments: Sequence[str]) -> Any:
    """Return the Config that a command line means, checked; ConfigError where it means none."""
    from superposition.cli.main import parse

    flags = [a for a in arguments if a != "--quick"]
    config = parse(
        module.Config,
        flags,
        prog=f"python -m experiments {name_of(module)}",
        description=(
            f"{module.__doc__}\n\n--quick runs a small version, into figures/quick/; with settings of your own the "
            "pictures go into figures/other/."
        ),
        default=module.Config() if len(flags) == len(arguments) else module.Config.quick(),
    )
    check(config)
    return config


def script(module_name: str) -> None:
    """Run a script that makes a model, by its flags: its `run(config)` does the work, and there is no figure."""
    from superposition.cli.main import parse
    from superposition.errors import SuperpositionError

    module = _named(sys.modules[module_name])
    program = f"python -m experiments {name_of(module)}"
    try:
        config = parse(module.Config, sys.argv[1:], prog=program, description=module.__doc__)
        check(config)
        module.run(config)
    except SuperpositionError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


def _named(module: ModuleType) -> ModuleType:
    """Return the module under its own name: run with -m it is called __main__."""
    spec = module.__spec__
    if spec is not None:
        module.__name__ = spec.name
    return module
