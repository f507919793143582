"""Packages that only some need: `pip install superposition` leaves them out, and an extra of that name brings them."""

from collections.abc import Iterator
from contextlib import contextmanager

from superposition.errors import ConfigError


@contextmanager
def needed_for(what: str, extra: str, mend: str = "") -> Iterator[None]:
    """Around imports of a package of an extra: where it is not installed, ConfigError says how to install it.

    what: what needs it ("reading a dataset"); mend: what else can be done.

        with needed_for("reading a dataset", "datasets", "give text files"):
            import datasets
    """
    try:
        yield
    except ImportError as error:
        package = error.name or extra
        raise ConfigError(
            f"{what} needs the package {package}: pip install 'superposition[{extra}]'"
            + (f"; or {mend}" if mend else "")
        ) from error
