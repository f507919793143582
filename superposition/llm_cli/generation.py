"""`superposition llm generate`: texts continued in the terminal."""

from collections.abc import Iterator

import jax
import numpy as np

from superposition import _validate
from superposition.errors import ConfigError
from superposition.llm_cli.config import GenerateConfig
from superposition.llm_cli.data import open_model
from superposition.llm_cli.memory import enough_memory
from superposition.sae_cli.report import visible


def generate(config: GenerateConfig) -> Iterator[str]:
    """Each prompt with its continuation, up to the model's end of text; invisible characters as escapes.

    Raises ConfigError for settings, and for prompts and n that exceed the model's positions.
    """
    _validate.integer("seed", config.seed, 0, _validate.MAX_SEED)
    if not config.prompt:
        raise ConfigError("--prompt takes at least one text; '' begins with nothing")
    with enough_memory("give fewer prompts, or a smaller --n"):
        lm = open_model(config)
        begin = [] if lm.spec.bos is None else [lm.spec.bos]
        rows = [
            begin + lm.tokenizer(text, add_special_tokens=False)["input_ids"] if text else begin
            for text in config.prompt
        ]
        if not all(rows):
            raise ConfigError("the model has no BOS token to begin with; give a --prompt that is not empty")
        width = max(map(len, rows))
        tokens, mask = np.zeros((2, len(rows), width), np.int64)
        for i, row in enumerate(rows):
            tokens[i, width - len(row) :], mask[i, width - len(row) :] = row, 1
        new = lm.generate(
            tokens,
            config.n,
            key=jax.random.key(config.seed),
            temperature=config.temperature,
            top_p=config.top_p,
            mask=mask,
            end=lm.spec.eos,
        )
    for text, row in zip(config.prompt, new.tolist(), strict=True):
        if lm.spec.eos in row:
            row = row[: row.index(lm.spec.eos)]
        yield visible(f"{text}{lm.tokenizer.decode(row)}")
