"""Saves figures as PNGs that have the same bytes every time, are never half written, and hold their alt text."""

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from superposition._internal import atomic
from superposition.errors import ConfigError, StoreError
from superposition.plot.style import plain, styled


def save(figure: Figure, path: str | Path, *, alt: str, title: str) -> Path:
    """Write `figure` as a PNG whose Title and Description hold `title` and the alt text; return the path.

    >>> import tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Figure(), f"{folder}/empty.png", alt="An empty figure.", title="Empty").name
    'empty.png'
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{path} does not end in .png; pictures are saved as PNG, so give such a name.")
    if not plain(alt):
        raise ConfigError(f"{path} has no alt text; say in `alt` what the picture shows.")
    # No Software entry, which names matplotlib's version, and no date: bytes depend on the drawing alone.
    metadata = {"Software": None, "Title": plain(title), "Description": plain(alt, 2000)}
    buffer = BytesIO()
    with styled():
        figure.savefig(buffer, format="png", metadata=metadata, pil_kwargs={"optimize": True})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_file(path, buffer.getvalue())
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; give a path in a directory you may write to."
        ) from error
    return path
