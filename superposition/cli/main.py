"""The command line: a toy model's `sweep` and `show`, `sae ...`, `llm ...`, and features: `page`, `serve`, `steer`, `ablate`.

JAX is imported only once there is work: settings that can be judged without it are judged before.
"""

import contextlib
import io
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from superposition._version import __version__
from superposition.cli import command_line, early
from superposition.cli.features.config import AblateConfig, PageConfig, ServeConfig, SteerConfig
from superposition.cli.llm.config import ActivationsConfig, LLMCommand, LMEvalConfig, LMTrainConfig
from superposition.cli.sae.commands import ConvertConfig, EvalConfig, SAECommand
from superposition.cli.sae.config import TrainConfig, TrainSettings
from superposition.cli.toy.sweep_config import SweepConfig
from superposition.errors import ConfigError, SuperpositionError


@dataclass(frozen=True)
class ShowConfig:
    """Show the results of a sweep: a table in the terminal, figures to files."""

    results: tyro.conf.Positional[Path]
    """Zarr store that a sweep wrote."""
    figures: Path | None = None
    """Folder for the figures. Default: beside the store, named after it."""


Command = (
    Annotated[SweepConfig, tyro.conf.subcommand("sweep", prefix_name=False)]
    | Annotated[ShowConfig, tyro.conf.subcommand("show", prefix_name=False)]
    | Annotated[SAECommand, tyro.conf.subcommand("sae", prefix_name=False)]
    | Annotated[LLMCommand, tyro.conf.subcommand("llm", prefix_name=False)]
    | Annotated[PageConfig, tyro.conf.subcommand("page", prefix_name=False)]
    | Annotated[ServeConfig, tyro.conf.subcommand("serve", prefix_name=False)]
    | Annotated[SteerConfig, tyro.conf.subcommand("steer", prefix_name=False)]
    | Annotated[AblateConfig, tyro.conf.subcommand("ablate", prefix_name=False)]
)
TITLE = """Toy models of superposition and sparse autoencoders.

Toy models: sweep, show. Autoencoders: sae. Language models: llm. Their features: page, serve, steer, ablate.
"""
FeatureConfig = PageConfig | ServeConfig | SteerConfig | AblateConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (2 for a usage error, 128 + n after signal n)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] in (["--version"], ["-V"]):
        print(f"superposition {__version__}")
        return 0
    try:
        _run(
            parse(
                Command, given, prog="superposition", description=TITLE, config=(tyro.conf.OmitArgPrefixes,)
            )
        )
    except SuperpositionError as error:
        print(f"superposition: error: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        return 1
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"superposition: error: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("superposition: error: stopped before there was anything to save", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _run(command: SweepConfig | ShowConfig | SAECommand | LLMCommand | FeatureConfig) -> None:
    early.check(command.command if isinstance(command, SAECommand | LLMCommand) else command)
    if isinstance(command, SweepConfig):
        _sweep(command)
    elif isinstance(command, ShowConfig):
        _show(command)
    elif isinstance(command, SAECommand):
        _sae(command)
    elif isinstance(command, LLMCommand):
        _llm(command)
    else:
        _features(command)


def parse(kind: Any, arguments: Sequence[str], *, prog: str, **options: Any) -> Any:
    """What tyro makes of a command line; ConfigError, in one line, where it makes nothing of it."""
    known = command_line.checked(kind, arguments, prog)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=known, prog=prog, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(f"{_sentences(complaint.getvalue())} (see {prog} --help)") from stop


def _sentences(boxed: str) -> str:
    """What a parser's boxed complaint says, in one line: without its title, rules, and where to find help."""
    lines = [line.strip("│ ") for line in boxed.splitlines()]
    title, *rest = [line for line in lines if line.strip("╰╯─-")] or [
        ""
    ]  # an ASCII box is rules of hyphens alone
    words = " ".join(rest or [title]).split("For full helptext")[0].strip()
    return words.removeprefix("Error parsing Config: ")  # a Config's own words say what is wrong


def _sweep(config: SweepConfig) -> None:
    if min(config.n_hidden) >= min(config.n_features):
        print(
            f"n_hidden={min(config.n_hidden)} is no less than n_features={min(config.n_features)}: every feature has"
            " room for a dimension of its own, and none needs superposition",
            file=sys.stderr,
        )
    from superposition.cli.toy.show import summary
    from superposition.training.progress import terminal

    summary(config.run(progress=terminal))
    print(f"results in {config.out}; see them with: superposition show {config.out}")


def _show(config: ShowConfig) -> None:
    early.expect(config.results, "sweep")
    from superposition.cli.toy.show import figures, summary
    from superposition.training import open_sweep

    results = open_sweep(config.results)
    summary(results)
    folder = config.figures or config.results.with_suffix(".figures")
    for path in figures(results, folder):
        print(path)


def _sae(config: SAECommand) -> None:
    command = config.command
    if isinstance(command, TrainConfig):
        from superposition.cli.sae.data import open_data
        from superposition.cli.sae.training import train_saes

        _trained(command, train_saes(command, lambda work: open_data(command, train=True)))
    elif isinstance(command, EvalConfig):
        from superposition.cli.sae.report import eval_saes

        eval_saes(command)
    elif isinstance(command, ConvertConfig):
        from superposition.cli.sae.report import convert_sae

        print(convert_sae(command))
    else:
        from superposition.cli.sae.figures import show_saes

        for path in show_saes(command):
            print(path)


def _trained(config: TrainSettings, results: dict[str, Any]) -> None:
    from superposition.cli.sae.report import table

    sae = results["run"]["sae"]
    sizes = " ".join(f"{name}={sae[name]:g}" for name in ("d_in", "d_sae", "k") if sae.get(name) is not None)
    table(results["records"], f"{config.architecture}, {sizes}, {config.steps} steps")
    print(f"SAEs in {config.out}; see them with: superposition sae show {config.out}")


def _llm(config: LLMCommand) -> None:
    command = config.command
    if isinstance(command, LMTrainConfig):
        from superposition.cli.llm.training import train

        _trained(command, train(command))
    elif isinstance(command, LMEvalConfig):
        from superposition.cli.llm.evaluation import eval_saes

        eval_saes(command)
    elif isinstance(command, ActivationsConfig):
        from superposition.cli.llm.activations import write_activations

        print(write_activations(command))
    else:
        from superposition.cli.llm.generation import generate

        print("\n---\n".join(generate(command)))


def _features(command: FeatureConfig) -> None:
    if isinstance(command, PageConfig):
        from superposition.cli.features.page import write_pages

        print(write_pages(command))
    elif isinstance(command, ServeConfig):
        from superposition.cli.features.serve import serve

        serve(command)
    elif isinstance(command, SteerConfig):
        from superposition.cli.features.steering import steer

        steer(command)
    else:
        from superposition.cli.features.ablation import ablate

        ablate(command)


def entry() -> None:
    """The installed `superposition` command."""
    sys.exit(main())
