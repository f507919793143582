"""Memory that does not suffice, said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from superposition.errors import SuperpositionError

SIGNS = ("out of memory", "resource_exhausted")  # XLA says the one, the other or both, by backend and place


class MemoryShortError(SuperpositionError):
    """More memory was asked for than there is."""


@contextmanager
def enough_memory(mend: str) -> Iterator[None]:
    """Python's and XLA's refusals of memory as one error, which says how to mend it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        words = " ".join(str(error).split())
        if isinstance(error, RuntimeError) and not any(sign in words.lower() for sign in SIGNS):
            raise
        said = words[:200] or "MemoryError"
        raise MemoryShortError(f"memory does not suffice ({said}); {mend}") from error
