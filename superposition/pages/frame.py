"""Pages inside a notebook: the same document that `write` puts into a file, in a frame of the output."""

import base64
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.pages.write import EMBEDDED, Pages, write


class Framed:
    """A set of pages as a document, which a notebook shows in a frame; it needs no file and no network.

    Attributes:
        html: The document, as a browser opens it.
        height: Of the frame, in pixels.
        first: The feature whose page is shown first.

    >>> Framed("<!doctype html>", title="Mine", height=300, first=0)
    Framed('Mine', 0 kB)
    """

    def __init__(self, html: str, title: str, height: int, first: int) -> None:
        self.html, self.title, self.height, self.first = html, title, height, first

    def __repr__(self) -> str:
        return f"Framed({self.title!r}, {len(self.html.encode()) / 1000:.0f} kB)"

    def _repr_html_(self) -> str:
        source = base64.b64encode(
            self.html.encode()
        ).decode()  # a document in `srcdoc` cannot open at a feature
        size = f'width="100%" height="{self.height}" style="border:1px solid #ccc"'
        return (
            f'<iframe title="{escape(self.title)}" {size} '
            f'src="data:text/html;charset=utf-8;base64,{source}#f={self.first}"></iframe>'
        )


def framed(pages: Pages, *, height: int = 640) -> Framed:
    """Pages, of at most 100 features, to be shown in a notebook, the first one open.

    Their features are taken, so that the same pages cannot be written to a folder after.

    Raises:
        ConfigError: There are more features than one file holds, or the pages contradict themselves.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.pages.llm import feature_pages
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> text = ["Once upon a time, there was a girl.", "He said that he would go."]
        >>> pages = feature_pages(attached, text, features=[136], effects=False, texts=(), title="One latent")
        >>> framed(pages).html.startswith("<!doctype html>")
        True
    """
    validate.integer("height", height, 100)
    count = len(pages.index["columns"]["id"])
    if count > EMBEDDED:
        raise ConfigError(
            f"a frame holds pages of at most {EMBEDDED} features; got {count:,}: give fewer, or write them to a folder"
        )
    title, first = pages.index["title"], pages.index["columns"]["id"][0]
    with TemporaryDirectory() as folder:
        written = write(Path(folder) / "pages", *pages) / "index.html"
        return Framed(written.read_text("utf-8"), str(title), height, first)
