"""The `superposition` command: a table of commands, each with its settings, the function that runs it, and examples.

JAX is imported only once there is work: settings that can be judged without it are judged before.
"""

import contextlib
import inspect
import io
import signal
import sys
from collections.abc import Sequence
from dataclasses import make_dataclass
from importlib import import_module
from typing import Annotated, Any, NamedTuple, Union

import tyro

from superposition._version import __version__
from superposition.cli import command_line, help, settings
from superposition.cli.explore.config import ExploreConfig
from superposition.cli.features.config import AblateConfig, PageConfig, ServeConfig, SteerConfig
from superposition.cli.llm.config import ActivationsConfig, GenerateConfig, LMEvalConfig, LMTrainConfig
from superposition.cli.sae.config import ConvertConfig, EvalConfig, ShowSAEConfig, TrainConfig
from superposition.cli.toy.config import DemoConfig, ShowConfig, SweepConfig
from superposition.errors import ConfigError, SuperpositionError


class Command(NamedTuple):
    """A dataclass of settings, whose fields are the flags, `module:function` in `superposition.cli`, and examples."""

    settings: type
    function: str
    examples: tuple[str, ...]


class Group(NamedTuple):
    """Commands under one word."""

    help: str
    commands: dict[str, Command]


COMMANDS: dict[str, Command | Group] = {
    "demo": Command(
        DemoConfig, "toy.demo:demo", ("superposition demo", "superposition demo --out lecture.png --no-open")
    ),
    "explore": Command(
        ExploreConfig,
        "explore.run:explore",
        (
            "superposition explore --n-features 8 --n-hidden 3 --density 0.03 --importance-base 1",
            "superposition explore --view phase --out runs/live.html --no-open",
        ),
    ),
    "sweep": Command(
        SweepConfig,
        "toy.run:sweep",
        (
            "superposition sweep --density 1 0.1 0.01 --importance-base 0.7 --seed 0..2 --steps 2000 --out runs/toys.zarr",
            "superposition sweep --features copula --n-features 8 --law density=zipf --steps 500 --out runs/zipf.zarr",
        ),
    ),
    "show": Command(ShowConfig, "toy.run:show", ("superposition show runs/toys.zarr",)),
    "sae": Group(
        "Train, measure, convert and show sparse autoencoders.",
        {
            "train": Command(
                TrainConfig,
                "sae.train:train",
                (
                    "superposition sae train --toy runs/toys.zarr --cell density=0.1 --k 1 --steps 2000 --out runs/sae",
                    "superposition sae train --planted orthogonal --k 4 --seed 0 1 --steps 500 --out runs/planted",
                ),
            ),
            "eval": Command(
                EvalConfig,
                "sae.measure:eval_saes",
                ("superposition sae eval runs/planted --planted orthogonal --json runs/planted.json",),
            ),
            "convert": Command(
                ConvertConfig,
                "sae.measure:convert_sae",
                ("superposition sae convert runs/sae/seed=0 runs/theirs --to sparsify",),
            ),
            "show": Command(ShowSAEConfig, "sae.measure:show_saes", ("superposition sae show runs/sae",)),
        },
    ),
    "llm": Group(
        "Train and measure SAEs on a language model, cache its activations, continue texts.",
        {
            "train-sae": Command(
                LMTrainConfig,
                "sae.train:train",
                (
                    "superposition llm train-sae --hook mlp.hook_post --k 16 --d-sae 512 --steps 100 --out runs/lm",
                    "superposition llm train-sae --cache runs/activations --k 16 --d-sae 512 --steps 100 --out runs/cached",
                ),
            ),
            "eval-sae": Command(
                LMEvalConfig,
                "llm.evaluation:eval_saes",
                ("superposition llm eval-sae runs/lm --max-tokens 20000",),
            ),
            "activations": Command(
                ActivationsConfig,
                "llm.run:write_activations",
                (
                    "superposition llm activations --hook mlp.hook_post --max-tokens 50000 --out runs/activations",
                ),
            ),
            "generate": Command(
                GenerateConfig,
                "llm.run:generate",
                ('superposition llm generate --prompt "The king" "Once upon a time" --seed 0 1',),
            ),
        },
    ),
    "page": Command(
        PageConfig,
        "features.page:write_pages",
        (
            "superposition page --latents 0..9 --max-tokens 20000 --out runs/pages",
            "superposition page --toy runs/toys.zarr --cell density=0.1 --out runs/toy-pages",
        ),
    ),
    "serve": Command(ServeConfig, "features.page:serve", ("superposition serve --pages runs/pages",)),
    "steer": Command(
        SteerConfig,
        "features.steering:steer",
        (
            'superposition steer --latent 136 --strength -2 0 2 --prompt "Once upon a time" --max-tokens 20000',
        ),
    ),
    "ablate": Command(
        AblateConfig,
        "features.ablation:ablate",
        ('superposition ablate --latent 317 --prompt "Once upon a time, there was a little girl named"',),
    ),
}
TITLE = """Toy models of superposition and sparse autoencoders.

New here? `superposition demo` trains the lecture's figure in small and opens it, within 15 seconds; `superposition explore`
is a live page. Toy models: sweep, show. Autoencoders: sae. Language models: llm. Their features: page, serve, steer, ablate.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status (2 for a usage error, 128 + n after signal n)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] in (["--version"], ["-V"]):
        print(f"superposition {__version__}")
        return 0
    try:
        if (shown := _help(given)) is not None:
            print(shown, end="")
            return 0
        chosen = parse(
            settings_type(COMMANDS),
            given,
            prog="superposition",
            description=TITLE,
            config=(tyro.conf.OmitArgPrefixes,),
        )
        chosen = getattr(chosen, "command", chosen)
        settings.check(chosen)
        said = _function(type(chosen))(chosen)
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


def _help(given: Sequence[str]) -> str | None:
    """The help that a command line asks for: by -h or --help, or by no command, or half of one."""
    path, about, commands, words = "superposition", TITLE, dict(COMMANDS), list(given)
    shown = [entry for entry in map(COMMANDS.get, ("demo", "sweep", "show")) if isinstance(entry, Command)]
    examples: tuple[str, ...] = tuple(entry.examples[0] for entry in shown)
    while True:
        if not words or words[0] in command_line.ASKS:
            whats = {
                name: entry.help if isinstance(entry, Group) else _first(entry.settings)
                for name, entry in commands.items()
            }
            return help.of_commands(path, about, whats, examples)
        entry = commands.get(words.pop(0))
        if entry is None:
            return None
        path += f" {given[len(given) - len(words) - 1]}"
        if isinstance(entry, Command):
            leaf = command_line.tree(entry.settings)
            assert isinstance(leaf, command_line.Leaf)
            asked = any(word in command_line.ASKS for word in words)
            return help.of_command(path, entry.settings, entry.examples, leaf.flag_of) if asked else None
        about, commands, examples = entry.help, dict(entry.commands), ()


def _first(settings: type) -> str:
    """The first line of what a command does."""
    return inspect.cleandoc(settings.__doc__ or "").partition("\n")[0]


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
