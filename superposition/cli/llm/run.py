"""`superposition llm train-sae`, `activations` and `generate`: what they print."""

from superposition.cli.llm.config import ActivationsConfig, GenerateConfig, LMTrainConfig
from superposition.cli.sae.run import trained


def train(config: LMTrainConfig) -> None:
    """Train a grid of SAEs on a language model, print a table of them, and say where they are."""
    from superposition.cli.llm.training import train

    trained(config, train(config))


def activations(config: ActivationsConfig) -> None:
    """Write a cache of activations and print its place."""
    from superposition.cli.llm.activations import write_activations

    print(write_activations(config))


def continuations(config: GenerateConfig) -> None:
    """Print each prompt with its continuation."""
    from superposition.cli.llm.generation import generate

    print("\n---\n".join(generate(config)))
