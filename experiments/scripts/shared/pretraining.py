"""What the scripts that train language models share: the architecture, and training that can be interrupted."""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.scripts.shared.corpus import Corpus
from superposition.llm.pretrain import Inputs, Pretraining, State
from superposition.llm.spec import Layer, Spec
from superposition.training import loop


def spec_of(sizes: Any, bos: int) -> Spec:
    """One layer of GPT-2's architecture, with ReLU neurons; sizes: settings with vocab, d_model, n_heads, d_mlp and n_ctx."""
    d_head = sizes.d_model // sizes.n_heads
    return Spec("gpt2", sizes.d_model, sizes.n_heads, sizes.n_heads, d_head, sizes.d_mlp, sizes.vocab,
                sizes.n_ctx, (Layer(d_head**-0.5),), activation="relu", learned_positions=True, qkv_bias=True,
                out_bias=True, mlp_bias=True, bos=bos, eos=bos)  # fmt: skip


def pretrained(program: Pretraining, corpus: Corpus, starts: np.ndarray, seed: int, work: Path) -> State:
    """The state after the last step; what `work` holds is continued. Raises an error that says so where it is stopped."""
    bos = corpus.tokenizer.eos_token_id
    inputs: Any = Inputs(jnp.asarray(corpus.stream), jnp.asarray(starts), jnp.int32(bos))
    done = 0

    def progress(steps: int) -> None:
        nonlocal done
        done += steps
        print(f"\r{work.stem}: {done} of {program.steps} steps", end="", file=sys.stderr, flush=True)

    with loop.interruptible() as stop:
        state, reached = loop.train(program, inputs, program.start(jax.random.key(seed)), program.steps,
                                    directory=work, stop=stop, progress=progress, checkpoint_seconds=60)  # fmt: skip
        if reached < program.steps:
            raise stop.interrupted(f"{work} holds what is done; run the same again to continue")
    return state
