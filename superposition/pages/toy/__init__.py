"""Feature pages of a toy model: the true features beside the latents of an SAE."""

from superposition.pages.toy.build import toy_pages
from superposition.pages.toy.trained import trained_pages

__all__ = ["toy_pages", "trained_pages"]
