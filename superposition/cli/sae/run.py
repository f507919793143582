"""`superposition sae train` and `llm train-sae`: what they print."""

from superposition._internal.memory import enough_memory
from superposition.cli.llm.config import LMTrainConfig
from superposition.cli.sae.config import TrainConfig
from superposition.cli.sae.data import open_data
from superposition.cli.sae.report import table
from superposition.cli.sae.training import train_saes


def train(config: TrainConfig | LMTrainConfig) -> str:
    """Train a grid of SAEs and print a table of them; returns where they are."""
    if isinstance(config, TrainConfig):
        results = train_saes(config, lambda work: open_data(config, train=True))
    else:
        from superposition.cli.llm.data import open_lm

        made: list[str] = []
        mend = "give a smaller --batch-size, --mixing or --ctx; --resume goes on from what was saved"
        with enough_memory(mend):
            results = train_saes(config, lambda work: open_lm(config, work, made.append))
        print(*made, sep="\n", end="\n" * bool(made))
    sae = results["run"]["sae"]
    sizes = " ".join(f"{name}={sae[name]:g}" for name in ("d_in", "d_sae", "k") if sae.get(name) is not None)
    table(results["records"], f"{config.architecture}, {sizes}, {config.steps} steps")
    return f"SAEs in {config.out}; see them with: superposition sae show {config.out}"
