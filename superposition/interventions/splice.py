"""Run a model on an SAE's reconstruction: the activation at a hook point replaced, or edited through the latents."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition.errors import ConfigError
from superposition.llm.hooks import Context
from superposition.llm.model import LanguageModel
from superposition.sae import SAE, Params

if TYPE_CHECKING:
    from superposition.interventions.attach import Attached

Latents = Callable[[Array], Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Splice:
    """An edit at a hook point: x' = SAE(x), or with error_term x' = x + decode(edit(f)) - decode(f), f = encode(x).

    With the error term and nothing edited x' is x to the bit, and gradients flow through x and the latents alike.
    edit: latents (..., d_sae) to latents, a pytree or a plain function.

    >>> from superposition.llm import LanguageModel
    >>> from superposition.storage import formats
    >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
    >>> edit = Splice(attached.params, attached.sae, error_term=True)  # nothing is edited, and so no bit changes
    >>> attached.lm("Once upon a time", edits={attached.hook: edit}).shape
    (1, 5, 3072)
    """

    params: Params
    sae: SAE = field(metadata={"static": True})
    edit: Any = None
    error_term: bool = field(default=False, metadata={"static": True})

    def __call__(
        self, x: Float[Array, "batch pos *width"], context: Context
    ) -> Float[Array, "batch pos *width"]:
        """The activation (batch, pos, ...), its trailing axes flattened for the SAE."""
        del context
        flat = x.reshape(*x.shape[:2], -1).astype(jnp.float32)
        inside, undo = self.sae.norm_in(flat)
        latents = self.sae.activate(self.params, self.sae.pre_acts(self.params, inside))
        edited = latents if self.edit is None else self.edit(latents)
        new = undo(self.sae.decode(self.params, edited, inside))
        if self.error_term:
            # Taken away, not added: -0.0 + 0.0 is 0.0, but no bit of x changes in x - 0.0.
            new = flat - (undo(self.sae.decode(self.params, latents, inside)) - new)
        return new.reshape(x.shape)


def splice(
    attached: "Attached", edit: Latents | None = None, *, error_term: bool = False
) -> dict[str, Splice]:
    r"""Run the model on the SAE's reconstruction: {hook: edit}, to give to the model as `edits`.

    $x' = \mathrm{decode}(g(f))$, or with error_term $x' = x + \mathrm{decode}(g(f)) - \mathrm{decode}(f)$, where
    f = encode(x).

    Args:
        attached: The SAE on its model.
        edit: g, from latents (..., d_sae) to latents; a pytree, whose arrays compile nothing, or a plain function.
        error_term: Keep what the SAE leaves out of the activation.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> edits = splice(attached, lambda f: f.at[..., 136].set(0.0), error_term=True)
        >>> attached.lm("Once upon a time", edits=edits).shape
        (1, 5, 3072)
    """
    g: Any = edit
    if edit is not None and jax.tree_util.all_leaves([edit]):
        g = jax.tree_util.Partial(edit)
    return {attached.hook: Splice(dict(attached.params), attached.sae, g, error_term)}


def fits(lm: LanguageModel, hook: str, sae: SAE) -> None:
    """The SAE reads and writes the hook point's width, or ConfigError."""
    if sae.d_out is not None:
        raise ConfigError(
            "a transcoder's output is not its input and cannot be spliced in at its hook point; "
            "`interventions.attach_transcoder` puts it in place of what it imitates"
        )
    fits_width(lm, hook, sae.d_in, "the SAE reads")


def fits_width(lm: LanguageModel, hook: str, width: int, does: str) -> None:
    """The hook point has this width, or ConfigError, which begins with `does`."""
    if width != lm.width(hook):
        near = [name for name, shape in _widths(lm).items() if shape == width][:5]
        hint = f"hook points of that width: {', '.join(near)}" if near else "no hook point has that width"
        raise ConfigError(f"{does} {width} numbers, {hook} has {lm.width(hook)}; {hint}")


def _widths(lm: LanguageModel) -> dict[str, int]:
    return {name: lm.width(name) for name in lm.hook_names() if "query" not in lm.shape(name)}
