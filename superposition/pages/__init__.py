"""Feature pages: HTML that opens as a file, and the numbers in it; and pieces of them for notebooks."""

from superposition.pages.framed import Framed, framed
from superposition.pages.scripts import isolated, right_to_left, scripts, transliterated
from superposition.pages.strongest import Example, Strongest, strongest

__all__ = [
    "Example",
    "Framed",
    "Strongest",
    "framed",
    "isolated",
    "right_to_left",
    "scripts",
    "strongest",
    "transliterated",
]
