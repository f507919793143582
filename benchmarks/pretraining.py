"""Pretraining the one-layer model that ships, against a PyTorch loop of the same model: tokens a second.

One layer, d_model 128, 4 heads, 256 ReLU neurons, 2,048 tokens, context 128, 32 rows a step, float32, AdamW with the same
settings and gradients clipped to norm 1. The contestant uses torch's own scaled_dot_product_attention, cross_entropy and
AdamW; ours is a step of `superposition.llm.pretrain`. Losses of the first step from the same weights agree. Also our step
with the plain cross-entropy, which is what the one pass over blocks of rows gains.

Command:  python -m benchmarks.pretraining [--rounds 7]
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch.nn import functional

from benchmarks.step import compare
from superposition.llm.pretrain import Inputs, Pretraining, losses
from superposition.llm.spec import Layer, Spec
from superposition.training import loop

VOCAB, D, HEADS, MLP, CTX, ROWS, STEPS = 2048, 128, 4, 256, 128, 32, 2000
SPEC = Spec("gpt2", D, HEADS, HEADS, D // HEADS, MLP, VOCAB, CTX, (Layer((D // HEADS) ** -0.5),), activation="relu",
            learned_positions=True, qkv_bias=True, out_bias=True, mlp_bias=True, bos=0, eos=0)  # fmt: skip


class Plain(Pretraining):
    """Our step with the cross-entropy of all logits at once."""

    def step(self, inputs, state, i):  # type: ignore[no-untyped-def]
        """As `Pretraining.step`."""
        body = inputs.stream[inputs.starts[i][:, None] + jnp.arange(CTX - 1)].astype(jnp.int32)
        tokens = jnp.concatenate([jnp.broadcast_to(inputs.bos, (len(body), 1)), body], 1)
        grads = jax.grad(lambda p: losses(self.spec, p, tokens).mean())(state.params)
        updates, opt_state = self._optimizer().update(grads, state.opt_state, state.params)
        return state._replace(params=optax.apply_updates(state.params, updates), opt_state=opt_state)


class Theirs(torch.nn.Module):
    """The same model, as one would write it in PyTorch."""

    def __init__(self, params: dict[str, np.ndarray]) -> None:
        super().__init__()
        for name, value in params.items():
            self.register_parameter(
                name.replace(".", "_"), torch.nn.Parameter(torch.tensor(np.asarray(value)))
            )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mean loss of the next tokens."""
        p = self
        x = p.embed_W[tokens[:, :-1]] + p.pos_W[: CTX - 1]
        read = functional.layer_norm(x, (D,), p.blocks_0_ln1_w, p.blocks_0_ln1_b)
        heads = [
            (read @ getattr(p, f"blocks_0_attn_W_{n}") + getattr(p, f"blocks_0_attn_b_{n}"))
            .view(len(tokens), CTX - 1, HEADS, D // HEADS).transpose(1, 2)
            for n in "QKV"
        ]  # fmt: skip
        z = functional.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = x + z @ p.blocks_0_attn_W_O + p.blocks_0_attn_b_O
        read = functional.layer_norm(x, (D,), p.blocks_0_ln2_w, p.blocks_0_ln2_b)
        hidden = functional.relu(read @ p.blocks_0_mlp_W_in + p.blocks_0_mlp_b_in)
        x = x + hidden @ p.blocks_0_mlp_W_out + p.blocks_0_mlp_b_out
        logits = functional.layer_norm(x, (D,), p.ln_final_w, p.ln_final_b) @ p.embed_W.T
        return functional.cross_entropy(logits.view(-1, VOCAB), tokens[:, 1:].reshape(-1))


def theirs(params: dict[str, np.ndarray], rows: np.ndarray) -> tuple[Callable[[int], None], float]:
    """Steps of the contestant, and its first loss."""
    model = Theirs(params)
    decays = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.98))
    tokens = torch.tensor(rows.astype(np.int64))
    first = float(model(tokens[0]).detach())

    def go(steps: int) -> None:
        for i in range(steps):
            optimizer.zero_grad(set_to_none=True)
            model(tokens[i % len(tokens)]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return go, first


def ours(program: Pretraining, inputs: Inputs) -> Callable[[int], None]:
    """Steps of our loop, from the first on."""
    state = program.start(jax.random.key(0))

    def go(steps: int) -> None:
        nonlocal state  # its buffers are given to the step
        state = jax.block_until_ready(loop.advance(program, inputs, state, np.int32(0), np.int32(steps)))

    return go


def main() -> None:
    """Run the case; write benchmarks/pretraining.json."""
    rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 7
    torch.set_num_threads(loop.worker_count())
    random = np.random.default_rng(0)
    stream = random.integers(1, VOCAB, 200_000).astype(np.uint16)
    starts = random.integers(0, len(stream) - CTX, (STEPS, ROWS)).astype(np.int32)
    rows = np.concatenate(
        [np.zeros((16, ROWS, 1), int), stream[starts[:16, :, None] + np.arange(CTX - 1)]], 2
    )
    inputs = Inputs(jnp.asarray(stream), jnp.asarray(starts), jnp.int32(0))
    program, plain = Pretraining(SPEC, STEPS), Plain(SPEC, STEPS)
    params = program.start(jax.random.key(0)).params
    peer, first = theirs(params, rows)
    difference = abs(first - float(losses(SPEC, params, jnp.asarray(rows[0])).mean()))
    case = {
        "pytorch": (peer, 8),
        "ours": (ours(program, inputs), 8),
        "ours, all logits at once": (ours(plain, inputs), 8),
    }
    row = compare("pretraining, a step of 4,096 tokens", case, rounds) | {
        "first losses differ by": difference
    }
    row["ours, tokens a second"] = round(ROWS * CTX / row["ours ms"] * 1e3)
    device = {"cores": loop.worker_count(), "backend": jax.default_backend(), "jax": jax.__version__}
    Path(__file__).with_suffix(".json").write_text(
        json.dumps({"device": device, "rows": [row]}, indent=1) + "\n"
    )
    print(json.dumps(row))


if __name__ == "__main__":
    main()
