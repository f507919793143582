"""The live page: toy models and a sparse autoencoder that train in the browser, as one file and as a notebook's widget.

The models, their exact losses and the names of their polytopes are computed by the page's own script (`assets/explore_*.js`),
which needs neither Python nor a network; tests hold it against `reference_loss`, `exact_minimum` and `recognise`.
"""

import html
import math
import os
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal import atomic, validate
from superposition._internal.html import weights
from superposition.errors import ConfigError, StoreError
from superposition.pages.write import as_json, hash_of

TITLE = "Superposition, live"
MARK = '<meta name="generator" content="superposition explore">'
VIEWS = ("toy", "phase", "sae")
MODELS = ("relu-output", "linear")
MOST = {"n_features": 20, "n_hidden": 8, "seeds": 12, "d_sae": 40}  # the page's sliders end there
HEIGHT = 720  # pixels in a notebook
_ASSETS = resources.files("superposition.pages") / "assets"


@dataclass(frozen=True, kw_only=True)
class Explorer:
    """The live page with its first settings; in a notebook it shows itself, `save` writes it as a file.

    view: "toy" (a toy model), "phase" (phase diagram of one neuron and two features) or "sae" (a sparse autoencoder of the
    toy's hidden activations). The toy has n_features <= 20, n_hidden <= 8 and no more than n_features, a density in
    [0.0025, 1] (the phase diagram: from 0.01), importance importance_base^i with a base in [0.5, 1]; model is
    "relu-output" or "linear"; of 1 <= seeds <= 12 starts the best is shown. d_sae <= 40 latents, penalty in [0, 3]; relative
    importance of the phase diagram's extra feature in [0.1, 10]; exact: the diagram of exact minima in place of the theory's.

    Raises ConfigError for settings that the page's sliders cannot take.

    >>> page = Explorer(n_features=8, n_hidden=3, density=0.03)
    >>> page.html().startswith("<!doctype html>")
    True
    """

    view: str = "toy"
    n_features: int = 5
    n_hidden: int = 2
    density: float = 0.1
    importance_base: float = 0.9
    model: str = "relu-output"
    seeds: int = 4
    d_sae: int = 12
    penalty: float = 2.0
    relative_importance: float = 1.0
    exact: bool = False

    def __post_init__(self) -> None:
        validate.choice("view", self.view, VIEWS)
        validate.choice("model", self.model, MODELS)
        for name, least in (("n_features", 2), ("n_hidden", 1), ("seeds", 1), ("d_sae", 2)):
            validate.integer(name, getattr(self, name), least, MOST[name] + 1)
        if self.n_hidden > self.n_features:
            raise ConfigError(f"n_hidden must be at most n_features={self.n_features}; got {self.n_hidden}")
        validate.one_in_range("density", self.density, 0.01 if self.view == "phase" else 0.0025, 1.0)
        validate.one_in_range("importance_base", self.importance_base, 0.5, 1.0)
        validate.one_in_range("penalty", self.penalty, 0.0, 3.0)
        validate.one_in_range("relative_importance", self.relative_importance, 0.1, 10.0)
        validate.truth("exact", self.exact)

    def settings(self) -> dict[str, Any]:
        """The settings under the names that the page has for them."""
        return {
            "view": self.view, "n": int(self.n_features), "m": int(self.n_hidden), "density": float(self.density),
            "base": float(self.importance_base), "relu": self.model == "relu-output", "seeds": int(self.seeds),
            "width": int(self.d_sae), "penalty": float(self.penalty), "r": float(self.relative_importance),
            "exact": bool(self.exact),
        }  # fmt: skip

    def html(self) -> str:
        """The page: one HTML document that asks for nothing from outside, and opens as a file."""
        text, style = module(), _asset("explore.css")
        policy = (
            f"default-src 'none'; script-src {hash_of(text)}; worker-src blob:; style-src {hash_of(style)}; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        )
        parts = {
            "policy": policy, "mark": MARK, "title": TITLE, "style": style, "module": text, "picture": _picture(),
            "settings": as_json(self.settings(), "the settings"),
        }  # fmt: skip
        return re.sub(r"\{\{(\w+)\}\}", lambda m: parts[m[1]], _asset("explore.html"))

    def save(self, out: str | os.PathLike[str]) -> Path:
        """Write the page to a file, a live page that is there is replaced; returns its path. StoreError for another file."""
        path = Path(os.path.abspath(out))
        if os.path.lexists(path) and not is_page(path):
            raise StoreError(f"{path} exists and is not a live page; choose another path")
        with atomic.system(path):
            atomic.create(path.parent)
            atomic.write_file(path, self.html().encode())
        return path

    def _repr_html_(self) -> str:
        """The page in a frame of its own: it runs without a kernel."""
        return (
            f'<iframe title="{TITLE}" srcdoc="{html.escape(self.html(), quote=True)}" '
            f'style="width: 100%; height: {HEIGHT}px; border: 1px solid #999" allow="fullscreen"></iframe>'
        )


def explore(*, widget: bool | None = None, **settings: Any) -> Any:
    """The live page: in a notebook a widget (or a frame where anywidget is missing), elsewhere an `Explorer` to save.

    Toy models train in it while sliders move: feature vectors, W^T W, norms, biases, exact loss against the least, the
    polytope's name; a phase diagram to point at; a sparse autoencoder with its penalty. Nothing is trained in Python.

    Args:
        widget: True for the widget (needs `pip install 'superposition[notebooks]'`), whose `result` holds W, b, loss and
            name of the model that is shown; False for the `Explorer`, which runs without a kernel, so that a stored notebook
            shows it too. By default the widget inside a notebook that has anywidget.
        settings: fields of `Explorer`, such as view, n_features, n_hidden, density.

    Raises:
        ConfigError: settings that the page's sliders cannot take; widget=True without anywidget.

    Example:
        >>> page = explore(view="phase", density=0.2, widget=False)
        >>> page.view, page.density
        ('phase', 0.2)
    """
    unknown = set(settings) - set(Explorer.__dataclass_fields__)
    if unknown:
        raise ConfigError(
            f"explore has no setting {', '.join(sorted(unknown))}; it has {', '.join(Explorer.__dataclass_fields__)}"
        )
    page = Explorer(**settings)
    if widget is None:
        widget = _in_notebook() and find_spec("anywidget") is not None
    if not validate.truth("widget", widget):
        return page
    return _widget_class()(settings=page.settings())


def module() -> str:
    """The ES module of the page and of the widget: it mounts itself where a page has a place for it, and exports `render`."""
    return _asset("explore_core.js") + _asset("explore_view.js")


def is_page(path: Path) -> bool:
    """Whether a file is a live page."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return MARK.encode() in file.read(2048)


@cache
def _widget_class() -> type:
    """A subclass of anywidget's class, made when it is first asked for."""
    from superposition._internal.optional import needed_for

    with needed_for("the widget", "notebooks", "take explore(widget=False)"):
        anywidget, traitlets = import_module("anywidget"), import_module("traitlets")

    class ExplorerWidget(anywidget.AnyWidget):  # type: ignore[name-defined, misc]
        """The live page as a widget: `settings` it began with, `result` of the model that is shown."""

        _esm = module()
        _css = _asset("explore.css")
        settings = traitlets.Dict().tag(sync=True)
        result = traitlets.Dict().tag(sync=True)

    return ExplorerWidget


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this (IPython is looked up, never imported)."""
    import sys

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")


def _picture() -> str:
    """What a browser without scripts shows: five features in two dimensions, dedicated, as digons, as a pentagon."""
    angles = [2 * math.pi * k / 5 for k in range(5)]
    models = (
        [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]],
        [[1, 0, 0, -1, 0], [0, 1, -1, 0, 0]],
        [[math.cos(angle) for angle in angles], [math.sin(angle) for angle in angles]],
    )
    return "".join(weights(np.array(W, float)) for W in models)
