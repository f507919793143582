"""Saves animations as GIFs that have the same bytes every time, are never half written, and hold their alt text."""

from io import BytesIO
from pathlib import Path

from matplotlib.animation import Animation, PillowWriter
from PIL import Image

from superposition._internal import atomic
from superposition.errors import ConfigError, StoreError
from superposition.plot.style import plain, styled

DPI = 80  # a hundred frames at the stills' 125 would make a heavy file
FRAMES_A_SECOND = 12
LAST_FRAME_SECONDS = 2.0
COLOURS = 64
SAMPLED_FRAMES = 8  # that the common palette is made from


def save_animation(animation: Animation, path: str | Path, *, alt: str, title: str) -> Path:
    """Write `animation` as an endless GIF whose comment holds `title` and the alt text; return the path.

    >>> import tempfile
    >>> from matplotlib.animation import FuncAnimation
    >>> from matplotlib.figure import Figure
    >>> from superposition.plot.style import styled
    >>> figure = Figure(figsize=(1, 1))
    >>> animation = FuncAnimation(figure, lambda frame: [], frames=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_animation(animation, f"{folder}/empty.gif", alt="Two empty frames.", title="Empty").name
    'empty.gif'
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ConfigError(
            f"{path} does not end in .gif; moving pictures are saved as GIF, so give such a name."
        )
    if not plain(alt):
        raise ConfigError(f"{path} has no alt text; say in `alt` what the moving picture shows.")
    writer = _Writer(f"{plain(title)}: {plain(alt, 2000)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with styled():
            animation.save(str(path), writer=writer, dpi=DPI)
        atomic.write_file(path, writer.content.getvalue())
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; give a path in a directory you may write to."
        ) from error
    return path


class _Writer(PillowWriter):
    """Collects the frames in memory and gives them one palette, which does not flicker and is stored once."""

    def __init__(self, comment: str) -> None:
        super().__init__(fps=FRAMES_A_SECOND)
        self.comment = comment.encode()
        self.content = BytesIO()

    def finish(self) -> None:
        frames: list[Image.Image] = [frame.convert("RGB") for frame in self._frames]  # type: ignore[attr-defined]
        sampled = frames[:: max(1, len(frames) // SAMPLED_FRAMES)] + frames[-1:]
        width, height = frames[0].size
        strip = Image.new("RGB", (width, height * len(sampled)))
        for k, frame in enumerate(sampled):
            strip.paste(frame, (0, k * height))
        palette = strip.quantize(COLOURS, dither=Image.Dither.NONE)
        small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        each = round(1000 / FRAMES_A_SECOND)
        pauses = [each] * (len(small) - 1) + [round(1000 * LAST_FRAME_SECONDS)]
        small[0].save(
            self.content, "GIF", save_all=True, append_images=small[1:], duration=pauses, loop=0,
            comment=self.comment, optimize=False,
        )  # fmt: skip
