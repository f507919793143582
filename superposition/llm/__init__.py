"""Real activations: one Flax NNX decoder for Hugging Face checkpoints, with hook points and edits."""

from superposition._internal import memory_maps
from superposition.llm.forward import capture
from superposition.llm.hooks import Context, Edit
from superposition.llm.model import SMALL_LM, LanguageModel
from superposition.llm.spec import Layer, Rotary, Spec

__all__ = ["SMALL_LM", "Context", "Edit", "LanguageModel", "Layer", "Rotary", "Spec", "capture"]

memory_maps.watch()
