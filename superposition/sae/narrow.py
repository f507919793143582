"""Cutting an SAE that was trained under a masked width down to that width."""

from dataclasses import replace

from superposition.sae._base import SAE, Params

PER_LATENT = ("b_enc", "b_gate", "b_mag", "r_mag", "threshold")


def narrowed(sae: SAE, params: Params) -> tuple[SAE, Params]:
    """The SAE of its first `width` latents, width itself gone; latents beyond never fired."""
    if sae.width is None:
        return sae, params
    w = int(sae.width)
    cut = dict(params)
    for name, array in params.items():
        if name in PER_LATENT and array.ndim == 1:
            cut[name] = array[:w]
        elif name == "W_enc":
            cut[name] = array[:, :w]
        elif name == "W_dec":
            cut[name] = array[:w]
    changes = {"prefixes": None} if hasattr(sae, "prefixes") else {}
    return replace(sae, d_sae=w, width=None, **changes), cut  # type: ignore[arg-type]
