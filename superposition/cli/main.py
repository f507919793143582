"""The `superposition` command: a table of commands, each with its settings and the function that runs it.

JAX is imported only once there is work: settings that can be judged without it are judged before.
"""

import contextlib
import io
import signal
import sys
from collections.abc import Sequence
from dataclasses import make_dataclass
from importlib import import_module
from typing import Annotated, Any, NamedTuple, Union

import tyro

from superposition._version import __version__
from superposition.cli import command_line, early
from superposition.cli.features.config import AblateConfig, PageConfig, ServeConfig, SteerConfig
from superposition.cli.llm.config import ActivationsConfig, GenerateConfig, LMEvalConfig, LMTrainConfig
from superposition.cli.sae.commands import ConvertConfig, EvalConfig, ShowSAEConfig
from superposition.cli.sae.config import TrainConfig
from superposition.cli.toy.config import ShowConfig
from superposition.cli.toy.sweep_config import SweepConfig
from superposition.errors import ConfigError, SuperpositionError


class Command(NamedTuple):
    """A dataclass of settings, whose fields are the flags, and `module:function` in `superposition.cli` that takes it."""

    settings: type
    function: str


class Group(NamedTuple):
    """Commands under one word."""

    help: str
    commands: dict[str, Command]


COMMANDS: dict[str, Command | Group] = {
    "sweep": Command(SweepConfig, "toy.run:sweep"),
    "show": Command(ShowConfig, "toy.run:show"),
    "sae": Group(
        "Train, measure, convert and show sparse autoencoders.",
        {
            "train": Command(TrainConfig, "sae.run:train"),
            "eval": Command(EvalConfig, "sae.report:eval_saes"),
            "convert": Command(ConvertConfig, "sae.run:convert"),
            "show": Command(ShowSAEConfig, "sae.run:show"),
        },
    ),
    "llm": Group(
        "Train and measure SAEs on a language model, cache its activations, continue texts.",
        {
            "train-sae": Command(LMTrainConfig, "llm.run:train"),
            "eval-sae": Command(LMEvalConfig, "llm.evaluation:eval_saes"),
            "activations": Command(ActivationsConfig, "llm.run:activations"),
            "generate": Command(GenerateConfig, "llm.run:continuations"),
        },
    ),
    "page": Command(PageConfig, "features.run:page"),
    "serve": Command(ServeConfig, "features.serve:serve"),
    "steer": Command(SteerConfig, "features.steering:steer"),
    "ablate": Command(AblateConfig, "features.ablation:ablate"),
}
TITLE = """Toy models of superposition and sparse autoencoders.

Toy models: sweep, show. Autoencoders: sae. Language models: llm. Their features: page, serve, steer, ablate.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (2 for a usage error, 128 + n after signal n)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] in (["--version"], ["-V"]):
        print(f"superposition {__version__}")
        return 0
    try:
        settings = parse(
            settings_type(COMMANDS),
            given,
            prog="superposition",
            description=TITLE,
            config=(tyro.conf.OmitArgPrefixes,),
        )
        settings = getattr(settings, "command", settings)
        early.check(settings)
        _function(type(settings))(settings)
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


def parse(kind: Any, arguments: Sequence[str], *, prog: str, **options: Any) -> Any:
    """Settings of a `kind` from a command line; ConfigError, in one line, where they cannot be read from it."""
    known = command_line.checked(kind, arguments, prog)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=known, prog=prog, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(f"{_sentences(complaint.getvalue())} (see {prog} --help)") from stop


def settings_type(commands: dict[str, Any]) -> Any:
    """The type that tyro reads: one named alternative a command, a group as a dataclass of its own alternatives."""
    parts = []
    for name, entry in commands.items():
        kind = entry.settings if isinstance(entry, Command) else _group(name, entry)
        parts.append(Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)])
    return Union[tuple(parts)]  # noqa: UP007 - the alternatives are known only when this runs


def _group(name: str, group: Group) -> type:
    return make_dataclass(
        name, [("command", settings_type(group.commands))], frozen=True, namespace={"__doc__": group.help}
    )


def _function(settings: type) -> Any:
    """What runs the command that has these settings, imported now."""
    groups = (entry.commands if isinstance(entry, Group) else {"": entry} for entry in COMMANDS.values())
    place = next(c.function for group in groups for c in group.values() if c.settings is settings)
    module, _, name = place.partition(":")
    return getattr(import_module(f"superposition.cli.{module}"), name)


def _sentences(boxed: str) -> str:
    """What a parser's boxed complaint says, in one line: without its title, rules, and where to find help."""
    lines = [line.strip("│ ") for line in boxed.splitlines()]
    title, *rest = [line for line in lines if line.strip("╰╯─-")] or [
        ""
    ]  # an ASCII box is rules of hyphens alone
    words = " ".join(rest or [title]).split("For full helptext")[0].strip()
    return words.removeprefix("Error parsing Config: ")  # a Config's own words say what is wrong


def entry() -> None:
    """The installed `superposition` command."""
    sys.exit(main())
