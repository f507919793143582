"""`superposition sae train`, `convert` and `show`: what they print."""

from typing import Any

from superposition.cli.sae.commands import ConvertConfig, ShowSAEConfig
from superposition.cli.sae.config import TrainConfig, TrainSettings
from superposition.cli.sae.data import open_data
from superposition.cli.sae.report import convert_sae, table
from superposition.cli.sae.training import train_saes


def train(config: TrainConfig) -> None:
    """Train a grid of SAEs, print a table of them, and say where they are."""
    trained(config, train_saes(config, lambda work: open_data(config, train=True)))


def trained(config: TrainSettings, results: dict[str, Any]) -> None:
    """Print a table of what was trained, and where it is."""
    sae = results["run"]["sae"]
    sizes = " ".join(f"{name}={sae[name]:g}" for name in ("d_in", "d_sae", "k") if sae.get(name) is not None)
    table(results["records"], f"{config.architecture}, {sizes}, {config.steps} steps")
    print(f"SAEs in {config.out}; see them with: superposition sae show {config.out}")


def convert(config: ConvertConfig) -> None:
    """Write an SAE in another format and print its place."""
    print(convert_sae(config))


def show(config: ShowSAEConfig) -> None:
    """Print a table of SAEs and write their figures."""
    from superposition.cli.sae.figures import show_saes  # draws, which training does not

    for path in show_saes(config):
        print(path)
