"""`superposition llm train-sae`: the training of `sae train` on a language model's activations."""

from functools import partial
from typing import Any

from superposition._internal.memory import enough_memory
from superposition.cli.llm.config import LMTrainConfig
from superposition.cli.llm.data import open_lm
from superposition.cli.sae.training import train_saes


def train(config: LMTrainConfig) -> dict[str, Any]:
    """Train what the settings say and return the results, as in OUT/results.json; see `train_saes`."""
    made: list[str] = []
    with enough_memory(
        "give a smaller --batch-size, --mixing or --ctx; --resume goes on from what was saved"
    ):
        results = train_saes(config, partial(open_lm, config, tell=made.append))
    for words in made:
        print(words)
    return results
