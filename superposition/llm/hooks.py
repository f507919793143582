"""Hook points: their names (TransformerLens's, with Hugging Face module paths as aliases), shapes, and taps."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
from jax import Array

from superposition.errors import ConfigError
from superposition.llm.spec import Spec

SHOWN = 5  # near matches in an error


class Context(NamedTuple):
    """Where an edit is: the hook's name, absolute positions (batch or 1, pos), validity (batch, pos) or None.

    >>> import jax.numpy as jnp
    >>> Context("blocks.0.mlp.hook_post", positions=jnp.arange(3)[None], valid=None).positions.shape
    (1, 3)
    """

    name: str
    positions: Array
    valid: Array | None


# A function of what passes a hook point and of where it is, which returns what is to pass instead, in the same shape.
Edit = Callable[[Array, Context], Array]


def hook_shapes(spec: Spec) -> dict[str, tuple[int | str, ...]]:
    """Every hook point in the order of firing, with the shape of what passes there."""
    d, h, kv, dh = spec.d_model, spec.n_heads, spec.n_kv_heads, spec.d_head
    at = ("batch", "pos")
    result: dict[str, tuple[int | str, ...]] = {"hook_embed": (*at, d)}
    result |= {"hook_pos_embed": (*at, d)} if spec.learned_positions else {}

    def norm(name: str) -> dict[str, tuple[int | str, ...]]:
        return {f"{name}.hook_scale": (*at, 1), f"{name}.hook_normalized": (*at, d)}

    for i, layer in enumerate(spec.layers):
        b = f"blocks.{i}"
        result |= {f"{b}.hook_resid_pre": (*at, d)} | norm(f"{b}.ln1")
        result |= {f"{b}.attn.hook_{n}": (*at, heads, dh) for n, heads in (("q", h), ("k", kv), ("v", kv))}
        if layer.rotary is not None:
            result |= {f"{b}.attn.hook_rot_q": (*at, h, dh), f"{b}.attn.hook_rot_k": (*at, kv, dh)}
        result |= {f"{b}.attn.hook_{n}": ("batch", h, "query", "key") for n in ("attn_scores", "pattern")}
        result |= {f"{b}.attn.hook_z": (*at, h, dh)} | (norm(f"{b}.ln1_post") if spec.post_norms else {})
        result |= {f"{b}.hook_attn_out": (*at, d)}
        result |= {} if spec.parallel else {f"{b}.hook_resid_mid": (*at, d)}
        result |= norm(f"{b}.ln2") | {f"{b}.mlp.hook_pre": (*at, spec.d_mlp)}
        result |= {f"{b}.mlp.hook_pre_linear": (*at, spec.d_mlp)} if spec.gated else {}
        result |= {f"{b}.mlp.hook_post": (*at, spec.d_mlp)} | (
            norm(f"{b}.ln2_post") if spec.post_norms else {}
        )
        result |= {f"{b}.hook_mlp_out": (*at, d), f"{b}.hook_resid_post": (*at, d)}
    return result | norm("ln_final")


def aliases(spec: Spec, block: str, attn: str, mlp: str) -> dict[str, str]:
    """Other names of hook points: Hugging Face module paths, TransformerLens's bridge names.

    block: the family's path of a block, such as "transformer.h.{}"; attn, mlp: names of its parts.
    """
    result: dict[str, str] = {}
    for i in range(spec.n_layers):
        b, hf = f"blocks.{i}", block.format(i)
        outs = {"hook_in": "hook_resid_pre", "hook_out": "hook_resid_post", "attn.hook_out": "hook_attn_out"}
        outs |= {"mlp.hook_out": "hook_mlp_out", "attn.o.hook_in": "attn.hook_z"}
        outs |= {} if spec.parallel else {"ln2.hook_in": "hook_resid_mid"}
        outs |= {f"attn.{n}.hook_out": f"attn.hook_{n}" for n in "qkv"} | {"mlp.out.hook_in": "mlp.hook_post"}
        gated = {"mlp.gate.hook_out": "mlp.hook_pre", "mlp.in.hook_out": "mlp.hook_pre_linear"}
        outs |= gated if spec.gated else {"mlp.in.hook_out": "mlp.hook_pre"}
        result |= {f"{b}.{other}": f"{b}.{own}" for other, own in outs.items()}
        result |= {hf: f"{b}.hook_resid_post", f"{hf}.{attn}": f"{b}.hook_attn_out"}
        result[f"{hf}.{mlp}"] = f"{b}.hook_mlp_out"
    return result


def resolve(name: str, known: Iterable[str], others: Mapping[str, str], n_layers: int) -> str:
    """The hook point a name means; "mlp.hook_post" alone means that of the only block.

    Raises ConfigError for a name that is unknown, listing near ones.
    """
    names = list(known)
    if name in names:
        return name
    if name in others:
        return others[name]
    if n_layers == 1 and f"blocks.0.{name}" in names:
        return f"blocks.0.{name}"
    near = difflib.get_close_matches(name, [*names, *others], n=SHOWN, cutoff=0.4)
    if f"blocks.0.{name}" in names:
        near = [f"blocks.{{0..{n_layers - 1}}}.{name}"]
    hint = f"did you mean {', '.join(near)}?" if near else f"hook points are {', '.join(names[:SHOWN])} ..."
    raise ConfigError(f"no hook point named {name!r}; {hint}")


def layer_of(name: str) -> int | None:
    """The block a hook point is in, None for those outside."""
    match = re.match(r"blocks\.(\d+)\.", name)
    return int(match[1]) if match else None


def stop_after(names: Iterable[str], n_layers: int) -> int | None:
    """The least stop_at_layer at which all the names have fired, None where it takes the whole model."""
    last = 0
    for name in names:
        layer = layer_of(name)
        if layer is None and name.startswith("ln_final"):
            return None
        last = max(last, 0 if layer is None else layer + 1)
    return last if last <= n_layers else None


def as_pytrees(edits: Mapping[str, Edit], resolve: Callable[[str], str]) -> dict[str, Any]:
    """Edits by the hook points that their names mean, each a pytree; ConfigError for two at one hook point."""
    result: dict[str, Any] = {}
    for name, edit in edits.items():
        hook = resolve(name)
        if hook in result:
            raise ConfigError(f"two edits at {hook}; make them one")
        plain = jax.tree_util.all_leaves([edit])  # a function is no pytree: it is held as static
        result[hook] = jax.tree_util.Partial(edit) if plain else edit
    return result


class Taps:
    """The tap of one forward pass: edits, then records; remembers which hooks fired."""

    def __init__(
        self, names: Iterable[str], edits: Mapping[str, Edit], positions: Array, valid: Array | None
    ) -> None:
        self.names, self.edits = frozenset(names), edits
        self.positions, self.valid = positions, valid
        self.seen: dict[str, Array] = {}
        self.fired: set[str] = set()

    def __call__(self, name: str, x: Array) -> Array:
        """x, edited where an edit is given; recorded after that."""
        if name in self.edits:
            new: Any = self.edits[name](x, Context(name, self.positions, self.valid))
            if getattr(new, "shape", None) != x.shape:
                raise ConfigError(
                    f"an edit must keep the shape; at {name} {x.shape} became {getattr(new, 'shape', new)!r}"
                )
            x = new.astype(x.dtype)
        if name in self.names:
            self.seen[name] = x
        self.fired.add(name)
        return x

    def finish(self, stop_at_layer: int | None) -> dict[str, Array]:
        """What was recorded; ConfigError for a hook asked for that never fired."""
        silent = (self.names | set(self.edits)) - self.fired
        if silent:
            raise ConfigError(
                f"{', '.join(sorted(silent))} never fired: the forward pass ended before block {stop_at_layer}; "
                "leave stop_at_layer out, or raise it"
            )
        return self.seen
