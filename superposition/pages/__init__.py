"""Feature pages: HTML that opens as a file, and the numbers in it; and pieces of them for notebooks.

Names are loaded when first used: a toy model's pages wait for no language model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superposition.pages.alphabets import isolated as isolated
    from superposition.pages.alphabets import right_to_left as right_to_left
    from superposition.pages.alphabets import scripts as scripts
    from superposition.pages.alphabets import transliterated as transliterated
    from superposition.pages.frame import Framed as Framed
    from superposition.pages.frame import framed as framed
    from superposition.pages.unit_examples import Example as Example
    from superposition.pages.unit_examples import Strongest as Strongest
    from superposition.pages.unit_examples import strongest as strongest

_HOME = {
    **dict.fromkeys(("isolated", "right_to_left", "scripts", "transliterated"), "alphabets"),
    **dict.fromkeys(("Framed", "framed"), "frame"),
    **dict.fromkeys(("Example", "Strongest", "strongest"), "unit_examples"),
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'superposition.pages' has no attribute {name!r}")
    return getattr(import_module(f"superposition.pages.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__]
