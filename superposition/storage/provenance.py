"""What a run was: its recipe as JSON, the versions and the machine that trained it, and how two of them differ."""

import json
import math
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jaxlib.version

from superposition._version import __version__
from superposition.errors import ConfigError

Environment = dict[str, Any]

# Flags of XLA that say how many devices there are or what is written down, and change no bit of a result.
HARMLESS = re.compile("--xla_(force_host_platform_device_count|dump_|hlo_profile|cpu_parallel_codegen)")
# Settings of JAX that change the bits of a result.
SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_disable_jit",
)
# Fields of recipes that were called otherwise when files were written: class -> name there -> name here.
RENAMED = {"JumpReLU": {"sparsity": "sparsity_loss"}}
# Multiplications in a matrix product up to which XLA leaves it to one thread, measured with 1, 2 and 16 threads.
SHARED_PRODUCT = 2**19
# Vector instructions by which XLA chooses the order of its sums: names in /proc/cpuinfo, on x86 and on ARM.
INSTRUCTIONS = re.compile("sse4_2|avx.*|fma|f16c|amx.*|asimd.*|sve.*|sme[0-9_].*|sme|bf16|i8mm|fphp")


def recipe(value: Any) -> Any:
    """A recipe as JSON: its class and the fields that are compared, which leaves out data, and optional ones only if set."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = [
            f.name
            for f in fields(value)
            if f.compare and not (f.metadata.get("optional") and getattr(value, f.name) is None)
        ]
        return {"recipe": type(value).__name__} | {name: recipe(getattr(value, name)) for name in kept}
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return [recipe(v) for v in value]
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # functions: their names, not where they lie today


def renamed(recipe: Any, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a file has of a recipe, by class name, under the names that they have now."""
    names = RENAMED.get(recipe, {}) if isinstance(recipe, str) else {}
    return {names.get(name, name): value for name, value in stored.items()}


def rebuilt(stored: Any, kinds: Mapping[str, Callable[..., Any]]) -> Any:
    """The recipe that `recipe` made JSON of; kinds: class by name. Raises KeyError and TypeError for what is none."""
    if isinstance(stored, dict):
        kind = stored["recipe"]
        values = {name: rebuilt(value, kinds) for name, value in renamed(kind, stored).items()}
        return kinds[values.pop("recipe")](**values)
    return tuple(rebuilt(value, kinds) for value in stored) if isinstance(stored, list) else stored


def provenance() -> dict[str, Any]:
    """Versions of this process, and the environment that decides the bits of what it computes."""
    versions = {"superposition": __version__, "python": platform.python_version()}
    return versions | environment(largest_product=math.inf)


def environment(largest_product: float = 0) -> Environment:
    """What decides, beside the recipe, the bits of what this process computes.

    jax and jaxlib; the device; xla_flags and the settings of jax that change numbers; and on a CPU the vector
    instructions and the sizes of the caches, by both of which matrix products are cut. Products of more than
    `SHARED_PRODUCT` multiplications are also cut by the number of XLA's threads, and `threads` is there for them.
    """
    device = f"{jax.default_backend()}: {jax.devices()[0].device_kind}"
    found: Environment = {
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "device": device,
        "xla_flags": _xla_flags(os.environ.get("XLA_FLAGS", "")),
        "settings": {name: getattr(jax.config, name) for name in SETTINGS},
    }
    if jax.default_backend() != "cpu":
        return found
    shared = {"threads": _threads()} if largest_product > SHARED_PRODUCT else {}
    return found | _processor() | shared


def _threads() -> int:
    """The threads of XLA's pool, as it counts them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("NPROC", "")
    return int(said) if said.isdigit() else cores


def _xla_flags(text: str) -> list[str]:
    """The flags that may change a bit, by name: of one that is given twice the last counts."""
    if text and not text.lstrip().startswith("-"):  # XLA takes the name of a file that holds them too
        try:
            text = Path(text.strip()).read_text()
        except OSError:
            return [text]
    pairs = (word.partition("=")[::2] for word in text.split() if not HARMLESS.match(word))
    return sorted(f"{name}={value or 'true'}" for name, value in dict(pairs).items())


@cache
def _processor() -> dict[str, Any]:
    """The instruction set and the caches of the first core, as Linux tells them; elsewhere the machine's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {"instructions": [platform.machine(), platform.processor()]}
    words = next((line.split(":", 1)[1].split() for line in lines if re.match("flags|Features", line)), [])
    sizes = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    return {
        "instructions": [platform.machine(), *sorted(w for w in words if INSTRUCTIONS.fullmatch(w))],
        "caches": [path.read_text().strip() for path in sizes],
    }


def distinct(environments: Iterable[Environment]) -> list[Environment]:
    """Each of them once."""
    return list({json.dumps(one, sort_keys=True): one for one in environments}.values())


def refuse_mixed(where: Path | str, stored: Iterable[Environment], here: Environment) -> None:
    """ConfigError where what is there was trained in another environment; only what was recorded is compared."""
    lines = dict.fromkeys(
        line for one in stored for line in differences(one, {name: here.get(name) for name in one})
    )
    if lines:
        raise ConfigError(
            f"{where} was begun in another environment, which changes bits: {'; '.join(lines)}; continue in that one,"
            " or give --allow-mixed (allow_mixed=True) to mix results of both"
        )


def differences(stored: Any, wanted: Any, where: str = "") -> list[str]:
    """One line for every setting that two configs disagree on."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        stored = renamed(stored.get("recipe"), stored)
        return [
            line
            for key in sorted({*stored, *wanted})
            for line in differences(stored.get(key), wanted.get(key), f"{where}.{key}".removeprefix("."))
        ]
    return [] if stored == wanted else [f"{where} is {_short(stored)} there and {_short(wanted)} here"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
