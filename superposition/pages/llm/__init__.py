"""Feature pages of an SAE on a language model."""

from superposition.pages.llm.build import feature_pages
from superposition.pages.write import Pages

__all__ = ["Pages", "feature_pages"]
