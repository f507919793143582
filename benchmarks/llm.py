"""The language-model bridge against transformers on torch, and SAE training on activations against sae-lens.

Capture: one residual of a random 12-layer GPT-2 (d=768) after 6 blocks, 8 rows of 128 tokens, float32; the
contestant is transformers stopped at the same layer by a forward hook. Also the matrix products of those six blocks
alone, which neither can avoid, and our stream (order, usable tokens, mixing buffer) over our bare forward pass.
Training: the shipped model's 512 neurons, TopK of 4,096 latents, k=32, batches of 4,096 tokens, contexts of 128; the
contestant is sae-lens's own activation store and trainer step on the same weights through AutoModelForCausalLM.
Same cores, alternating; a ratio is the median over rounds.

Command:  python -m benchmarks.llm [--rounds 7]
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.step import compare
from superposition.activations import Stream
from superposition.llm import LanguageModel
from superposition.llm.hub import resolve
from superposition.llm.packing import Tokens
from superposition.llm.stream import lm_stream
from superposition.sae import TopK
from superposition.training import SAERun, fitting, loop
from superposition.training.optimizer import Adam

ROWS, CTX, LAYER = 8, 128, 6
D_SAE, K, BATCH = 4096, 32, 4096


def repeat(once: Callable[[], Any]) -> Callable[[int], None]:
    """`once`, so many times, waited for."""

    def go(times: int) -> None:
        for _ in range(times):
            jax.block_until_ready(once())

    return go


def random_gpt2(folder: str) -> tuple[Any, LanguageModel]:
    """The same random weights on torch and here."""
    import torch
    import transformers

    torch.manual_seed(0)
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=12)).eval()
    theirs.save_pretrained(folder)
    return theirs, LanguageModel.from_hf(folder)


def hooked(model: Any, tokens: np.ndarray) -> Callable[[], Any]:
    """transformers, stopped after block LAYER - 1 by an exception from its hook."""
    import torch

    class Stop(Exception):
        pass

    seen: dict[str, Any] = {}

    def hook(module: Any, inputs: Any, output: Any) -> None:
        seen["x"] = output[0] if isinstance(output, tuple) else output
        raise Stop

    model.transformer.h[LAYER - 1].register_forward_hook(hook)

    def once() -> Any:
        with torch.no_grad():
            try:
                model(torch.from_numpy(tokens))
            except Stop:
                return seen["x"].numpy()
        raise AssertionError("the hook never fired")

    return once


def products(lm: LanguageModel) -> Callable[[], Any]:
    """The products of LAYER blocks with their weights, and nothing else."""
    names = ("attn.W_Q", "attn.W_K", "attn.W_V", "attn.W_O", "mlp.W_in")
    weights = [[lm.params[f"blocks.{i}.{n}"] for n in (*names, "mlp.W_out")] for i in range(LAYER)]

    @jax.jit
    def run(x: Any, weights: Any) -> Any:
        for *square, into, out in weights:
            for W in square:
                x = x @ W
            x = (x @ into) @ out
        return x

    x = jnp.ones((ROWS * CTX, lm.spec.d_model)) * 1e-3
    return lambda: run(x, weights)


def bare(lm: LanguageModel, stream: Stream, size: int) -> Callable[[int], None]:
    """Steps of the source alone (forward pass on the same rows), in a loop on the device."""
    source = stream.source.source  # type: ignore[attr-defined]

    @jax.jit
    def run(inputs: Any, start: Any, count: Any) -> Any:
        def step(i: Any, total: Any) -> Any:
            rows = jax.lax.dynamic_slice_in_dim(inputs["tokens"], i % 8, source.rows(size)).astype(jnp.int32)
            from superposition.llm.forward import capture

            _, seen = capture(source.spec, inputs["params"], rows, jnp.arange(source.ctx)[None], None,
                              (source.hook,), stop_at_layer=LAYER)  # fmt: skip
            return total + seen[source.hook].reshape(-1, source.width)[:size].sum(0)

        return jax.lax.fori_loop(start, start + count, step, jnp.zeros(source.width))

    return lambda times: jax.block_until_ready(run(stream.inputs["source"], np.int32(0), np.int32(times)))


def streamed(stream: Stream, size: int) -> Callable[[int], None]:
    """Steps of the whole stream, in a loop on the device."""
    source = stream.source
    state = jax.jit(lambda inputs: source.start(inputs, size))(stream.inputs)

    @jax.jit
    def run(inputs: Any, state: Any, start: Any, count: Any) -> Any:
        def step(i: Any, carry: Any) -> Any:
            state, total = carry
            batch, state = source.next(inputs, state, i.astype(jnp.uint32), size)
            return state, total + batch.x.sum(0)

        return jax.lax.fori_loop(start, start + count, step, (state, jnp.zeros(source.d_in)))

    return lambda times: jax.block_until_ready(run(stream.inputs, state, np.int32(0), np.int32(times)))


class Ours:
    """Steps of `fit` on a stream of activations."""

    def __init__(self, stream: Stream):
        sae = TopK(d_in=stream.source.d_in, d_sae=D_SAE, k=K, aux_coefficient=0.0)
        run = SAERun(sae, Adam(3e-4), steps=10_000, batch_size=BATCH)
        self.program, self.inputs = fitting._program(run, stream, ("seed",), [(0,)], 0, stream.scales(BATCH))
        x = stream.sample(BATCH, batch=BATCH).x
        self.state = self.program.start(self.inputs.cells, x, x)
        if hasattr(self.state, "stream"):
            self.state = self.state._replace(stream=stream.source.start(stream.inputs, BATCH))
        self.done = 0

    def __call__(self, steps: int) -> None:
        """Train on."""
        moved = loop.advance(self.program, self.inputs, self.state, np.int32(self.done), np.int32(steps))
        self.state = jax.block_until_ready(moved)
        self.done += steps


def sae_lens(folder: Path, rows: np.ndarray) -> Callable[[int], None]:
    """Steps of sae-lens: its store fills from the model, its trainer steps."""
    import datasets
    from sae_lens import LanguageModelSAERunnerConfig, LoggingConfig, TopKTrainingSAEConfig
    from sae_lens.llm_sae_training_runner import LanguageModelSAETrainingRunner
    from sae_lens.training.sae_trainer import SAETrainer

    config = LanguageModelSAERunnerConfig(
        sae=TopKTrainingSAEConfig(d_in=512, d_sae=D_SAE, k=K, aux_loss_coefficient=0.0,
                                  normalize_activations="expected_average_only_in"),
        model_name=str(folder), model_class_name="AutoModelForCausalLM", hook_name="transformer.h.0.mlp.act",
        dataset_path="rows", is_dataset_tokenized=True, streaming=False, context_size=CTX, prepend_bos=True,
        training_tokens=100_000 * BATCH, train_batch_size_tokens=BATCH, store_batch_size_prompts=32,
        n_batches_in_buffer=512, n_batches_for_norm_estimate=8, lr=3e-4, device="cpu", seed=0, exclude_special_tokens=True,
        logger=LoggingConfig(log_to_wandb=False), checkpoint_path=None, output_path=None, verbose=False,
    )  # fmt: skip
    dataset = datasets.Dataset.from_dict({"input_ids": [row.tolist() for row in rows]})
    runner = LanguageModelSAETrainingRunner(config, override_dataset=dataset)
    store = runner.activations_store
    trainer = SAETrainer(sae=runner.sae, data_provider=store.get_data_loader(), evaluator=None,
                         cfg=config.to_sae_trainer_config())  # fmt: skip
    runner.sae.train()
    provider = trainer.data_provider

    def go(steps: int) -> None:
        for _ in range(steps):
            trainer.maybe_reset_sparsity()
            trainer.step(next(provider))
            trainer.n_training_steps += 1

    return go


def small_rows(lm: LanguageModel, n: int) -> Tokens:
    """Random tokens in rows: speed does not depend on what they say."""
    ids = np.random.default_rng(0).integers(1, lm.spec.d_vocab, (n, CTX)).astype(np.int32)
    usable = np.ones(ids.shape, bool)
    ids[:, 0], usable[:, 0] = 0, False
    return Tokens(ids, usable, np.zeros(n, np.int32), ("random",))


def main() -> None:
    """Run every case; write benchmarks/llm.json."""
    import torch

    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 7
    torch.set_num_threads(loop.worker_count())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        theirs, lm = random_gpt2(folder)
        tokens = np.random.default_rng(0).integers(0, lm.spec.d_vocab, (ROWS, CTX))
        name = f"blocks.{LAYER - 1}.hook_resid_post"

        def ours() -> Any:
            return lm.run_with_cache(tokens, [name], stop_at_layer=LAYER)[1][name]

        once = hooked(theirs, tokens)
        error = np.abs(np.asarray(ours()) - once()).max() / np.abs(once()).max()
        case = {"transformers": (repeat(once), 2), "ours": (repeat(ours), 2)}
        rows.append(compare("capture one residual", case, rounds) | {"relative error": float(error)})
        rows.append(
            compare(
                "the products alone",
                {"ours": (repeat(ours), 2), "products": (repeat(products(lm)), 2)},
                rounds,
            )
        )
        size = ROWS * (CTX - 1)
        stream = lm_stream(jax.random.key(0), lm, small_rows(lm, 64), name)
        case = {"stream": (streamed(stream, size), 2), "bare": (bare(lm, stream, size), 2)}
        rows.append(compare("stream over the bare forward", case, rounds))
    small = LanguageModel.from_hf()
    held = small_rows(small, 4096)
    stream = lm_stream(jax.random.key(0), small, held, "mlp.hook_post")
    peer = sae_lens(resolve("superposition/small-lm"), held.tokens)
    rows.append(
        compare("SAE training, end to end", {"sae-lens": (peer, 4), "ours": (Ours(stream), 4)}, rounds)
    )
    for row in rows:
        print(json.dumps(row))
    device = {"cores": loop.worker_count(), "backend": jax.default_backend(), "jax": jax.__version__}
    Path(__file__).with_suffix(".json").write_text(
        json.dumps({"device": device, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
