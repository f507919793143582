"""Errors of a data source that fails while a compiled program reads from it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import jax

from superposition.errors import CorruptError, StoreError


@contextmanager
def as_raised() -> Iterator[None]:
    """A source that reads or computes on the host raises inside XLA, which makes text of it: the error again."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        for kind in (CorruptError, StoreError):
            if said := re.search(rf"^(?:[a-z.]+\.)?{kind.__name__}: (.*)", str(error), re.MULTILINE):
                raise kind(said[1]) from error
        raise
