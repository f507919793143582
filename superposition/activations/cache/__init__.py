"""A cache of a language model's activations on disk: sharded, checksummed, resumable, read by several at once."""

from superposition.activations.cache.manifest import is_cache
from superposition.activations.cache.reader import Cache, Damage, damaged, open_cache
from superposition.activations.cache.writer import CacheWriter

__all__ = ["Cache", "CacheWriter", "Damage", "damaged", "is_cache", "open_cache"]
