"""The `superposition` command: a table from the words of a command to its settings and the function that runs it.

JAX is imported only once there is work: settings that can be judged without it are judged before.
"""

import contextlib
import io
import signal
import sys
from collections.abc import Sequence
from dataclasses import make_dataclass
from importlib import import_module
from typing import Annotated, Any, NamedTuple, TypeVar, Union

import tyro

from superposition._version import __version__
from superposition.cli import command_line, help, settings
from superposition.cli.features.config import AblateConfig, PageConfig, ServeConfig, SteerConfig
from superposition.cli.llm.config import ActivationsConfig, GenerateConfig, LMEvalConfig, LMTrainConfig
from superposition.cli.sae.config import ConvertConfig, EvalConfig, ShowSAEConfig, TrainConfig
from superposition.cli.toy.config import DemoConfig, ExploreConfig, ShowConfig, SweepConfig
from superposition.errors import ConfigError, SuperpositionError

T = TypeVar("T")


class Command(NamedTuple):
    """A dataclass of settings, whose fields are the flags, and `module:function` in `superposition.cli`."""

    settings: type
    function: str


COMMANDS = {
    "demo": Command(DemoConfig, "toy.demo:demo"),
    "explore": Command(ExploreConfig, "toy.explore:explore"),
    "sweep": Command(SweepConfig, "toy.run:sweep"),
    "show": Command(ShowConfig, "toy.run:show"),
    "sae train": Command(TrainConfig, "sae.run:train"),
    "sae eval": Command(EvalConfig, "sae.run:eval_saes"),
    "sae convert": Command(ConvertConfig, "sae.run:convert_sae"),
    "sae show": Command(ShowSAEConfig, "sae.run:show_saes"),
    "llm train-sae": Command(LMTrainConfig, "sae.run:train"),
    "llm eval-sae": Command(LMEvalConfig, "llm.run:eval_saes"),
    "llm activations": Command(ActivationsConfig, "llm.run:write_activations"),
    "llm generate": Command(GenerateConfig, "llm.run:generate"),
    "page": Command(PageConfig, "features.page:write_pages"),
    "serve": Command(ServeConfig, "features.page:serve"),
    "steer": Command(SteerConfig, "features.acts:steer"),
    "ablate": Command(AblateConfig, "features.acts:ablate"),
}
GROUPS = {
    "sae": "Train, measure, convert and show sparse autoencoders.",
    "llm": "Train and measure SAEs on a language model, cache its activations, continue texts.",
}
TITLE = """Toy models of superposition and sparse autoencoders.

New here? `superposition demo` trains the lecture's figure in small and opens it, within 15 seconds; `superposition explore`
is a live page. Toy models: sweep, show. Autoencoders: sae. Language models: llm. Their features: page, serve, steer, ablate.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (2 for a usage error, 128 + n after signal n)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given[:1] in (["--version"], ["-V"]):
            print(f"superposition {__version__}")
        elif (shown := _help(given)) is not None:
            print(shown, end="")
        elif given[0] in command_line.COMPLETION:
            tyro.cli(_all_commands(), prog="superposition", args=given, config=(tyro.conf.OmitArgPrefixes,))
        else:
            name = command_named(given)
            chosen = read(given)
            settings.check(chosen)
            module, _, function = COMMANDS[name].function.partition(":")
            said = getattr(import_module(f"superposition.cli.{module}"), function)(chosen)
            if isinstance(said, str) and said:
                print(said)
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


def command_named(given: Sequence[str]) -> str:
    """The command that a line begins with; ConfigError, with the nearest, where there is none."""
    within = given[0] if given and given[0] in GROUPS else ""
    names = [*names_in(within)]
    path, words = f"superposition {within}".strip(), given[bool(within) :]
    if not words or words[0].startswith("-"):
        flag = words[0] if words else "a flag"
        raise ConfigError(f"{flag} stands before the command; write {path} {{{','.join(names)}}} {flag} ...")
    if words[0] not in names:
        near = command_line.near(words[0], names) or "."
        raise ConfigError(f"no command {words[0]!r}{near} The commands of {path} are {', '.join(names)}")
    return f"{within} {words[0]}".strip()


def names_in(group: str) -> dict[str, str]:
    """The commands of a group, or with "" the first words of all: name -> what it does."""
    names: dict[str, str] = {}
    for name, command in COMMANDS.items():
        first, _, last = name.partition(" ")
        if first == group or not group:
            about = help.first_line(command.settings)
            names.setdefault(last if group else first, about if group or not last else GROUPS[first])
    return names


def read(given: Sequence[str]) -> Any:
    """The settings that a command line means; ConfigError where it means none."""
    name = command_named(given)
    return parse(COMMANDS[name].settings, given[len(name.split()) :], prog=f"superposition {name}")


def parse(kind: type[T], arguments: Sequence[str], *, prog: str, **options: Any) -> T:
    """Settings of a `kind` from a command line; ConfigError, in one line, where they cannot be read from it."""
    known = command_line.checked(kind, arguments, prog)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=known, prog=prog, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        # The parser's complaint is a box, which begins with a title and ends with where to find help.
        lines = [line.strip("│ ") for line in complaint.getvalue().splitlines()]
        title, *rest = [line for line in lines if line.strip("╰╯─-")] or [""]
        words = " ".join(rest or [title]).split("For full helptext")[0].strip()
        raise ConfigError(f"{words.removeprefix('Error parsing Config: ')} (see {prog} --help)") from stop


def _help(given: Sequence[str]) -> str | None:
    """The help that a command line asks for: by -h or --help, or by no command, or half of one."""
    within = given[0] if given and given[0] in GROUPS else ""
    words = given[bool(within) :]
    if not words or words[0] in command_line.ASKS:
        first = [help.examples_of(COMMANDS[name].settings)[0] for name in ("demo", "sweep", "show")]
        path, about = f"superposition {within}".strip(), GROUPS.get(within, TITLE)
        return help.of_commands(path, about, names_in(within), [] if within else first)
    name = f"{within} {words[0]}".strip()
    if name not in COMMANDS or not {*command_line.ASKS} & {*words}:
        return None
    return help.of_command(f"superposition {name}", COMMANDS[name].settings)


def _all_commands() -> Any:
    """The type of all commands, of which the parser makes a completion script."""
    parts: dict[str, list[Any]] = {}
    for name, command in COMMANDS.items():
        first, _, last = name.partition(" ")
        named = tyro.conf.subcommand(last or first, prefix_name=False)
        parts.setdefault(first, []).append(Annotated[command.settings, named])
    for group in GROUPS:
        kind = make_dataclass(group, [("command", Union[tuple(parts[group])])], frozen=True)  # noqa: UP007
        parts[group] = [Annotated[kind, tyro.conf.subcommand(group, prefix_name=False)]]
    return Union[tuple(part for several in parts.values() for part in several)]  # noqa: UP007 - known only now


def entry() -> None:
    """The installed `superposition` command."""
    sys.exit(main())
