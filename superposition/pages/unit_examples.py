"""The strongest examples of a neuron or a latent, in a notebook: a line of text each, darker where it fires more."""

from html import escape
from typing import Any, NamedTuple

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.tokens import Tokens
from superposition.pages.alphabets import isolated, right_to_left, transliterated
from superposition.pages.llm.examples import peaks
from superposition.pages.pieces import pieces

_CELL = "text-align:left;vertical-align:top;padding:2px 8px"


class Example(NamedTuple):
    """A place in a text: the tokens around it as they are shown, the unit's activation on each, and which one it is.

    >>> Example("story", ("Once", " upon"), (0.0, 2.0), 1).activation
    2.0
    """

    source: str
    pieces: tuple[str, ...]
    activations: tuple[float, ...]
    place: int

    @property
    def activation(self) -> float:
        """Of the token that the example is of."""
        return self.activations[self.place]

    def __str__(self) -> str:
        marked = [f"«{p}»" if i == self.place else p for i, p in enumerate(self.pieces)]
        line = "".join(marked)
        latin = f"  ({transliterated(line)})" if right_to_left([line]) else ""
        return f"{self.activation:8.2f}  {isolated(line)}{latin}  [{self.source}]"


class Strongest(NamedTuple):
    """Examples of one unit, strongest first; a notebook shows them as a table, a terminal as lines.

    >>> print(Strongest((Example("story", ("Once", " upon"), (0.0, 2.0), 1),), firing=1, tokens=2))
        2.00  ⁨Once« upon»⁩  [story]
    """

    examples: tuple[Example, ...]
    firing: int
    tokens: int

    def __repr__(self) -> str:
        return "\n".join(map(str, self.examples)) or f"fires on none of {self.tokens:,} tokens"

    def _repr_html_(self) -> str:
        share = self.firing / max(self.tokens, 1)
        title = (
            f"Fires on {self.firing:,} of {self.tokens:,} tokens ({share:.2%}). Framed: the token that counts"
        )
        largest = max((max(e.activations) for e in self.examples), default=1.0)
        head = "".join(f"<th style='{_CELL}'>{name}</th>" for name in ("activation", "text", "from"))
        rows = "".join(
            f"<tr><td style='{_CELL}'>{e.activation:.2f}</td><td style='{_CELL}'>{_line(e, largest)}</td>"
            f"<td style='{_CELL}'>{escape(e.source)}</td></tr>"
            for e in self.examples
        )
        caption = f"<caption style='text-align:left'>{title}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def strongest(
    tokenizer: Any, tokens: Tokens, activations: Any, n: int = 10, *, side: int = 8, every: bool = False
) -> Strongest:
    """The n strongest examples of one unit in a text, with the tokens around them.

    Places less than `side` tokens from a stronger one of the same row are left out, as its line shows them; with
    `every` they are not. A unit fires where its activation is above 0, and of equal ones the first place counts.
    Arabic and Hebrew have their letters in Latin ones beneath, and are isolated from what stands beside them.

    Args:
        tokenizer: The model's.
        tokens: The text.
        activations: (usable tokens,) of the unit, in the order of tokens[usable], as `activations_of` gives them.
        n: How many; fewer where it fires on fewer.
        side: Tokens shown on either side.
        every: Whether neighbours are examples of their own.

    Raises:
        ConfigError: activations of another shape or not finite, or n or side is not a positive integer.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.llm.packing import pack_text
        >>> lm = LanguageModel.from_hf()
        >>> text = {"story": ["Once upon a time, there was a girl."]}
        >>> tokens = pack_text(lm.tokenizer, text, ctx=8, facts=lm.token_facts)
        >>> strongest(lm.tokenizer, tokens, [0, 0, 1, 0, 3, 0, 0], n=1, side=2)
            3.00  ⁨ a time«,» there was⁩  [story]
    """
    n, side = validate.integer("n", n, 1), validate.integer("side", side, 1)
    value = np.asarray(activations, float)
    total = int(tokens.usable.sum())
    if value.shape != (total,) or not np.isfinite(value).all():
        raise ConfigError(
            f"activations must be finite, one of each of the {total:,} usable tokens; got shape {value.shape}"
        )
    shown = np.zeros(tokens.tokens.shape)
    shown[tokens.usable] = value
    row, place = np.nonzero(shown > 0)
    strength = shown[row, place]
    firing = len(row)
    if not every:
        alone = peaks(row, place, strength, side)
        row, place, strength = row[alone], place[alone], strength[alone]
    best = np.lexsort((place, row, -strength))[:n]
    return Strongest(
        tuple(_example(tokenizer, tokens, shown, int(row[i]), int(place[i]), side) for i in best),
        firing,
        total,
    )


def _example(
    tokenizer: Any, tokens: Tokens, activation: np.ndarray, row: int, place: int, side: int
) -> Example:
    """Text around a place; BOS is not text, and characters are read from the row's beginning."""
    own = tokens.tokens[row]
    valid = np.ones(len(own), bool) if tokens.valid is None else tokens.valid[row]
    first, last = max(place - side, 0), min(place + side + 1, len(own))
    words = pieces(tokenizer, own[:last])
    around = [i for i in range(first, last) if valid[i] and (tokens.usable[row, i] or i > 0)]
    return Example(
        tokens.sources[tokens.source[row]],
        tuple(words[i] for i in around),
        tuple(float(activation[row, i]) for i in around),
        around.index(place),
    )


def _line(example: Example, largest: float) -> str:
    """Tokens in one <bdi>, so that letters join across them, and Latin letters beneath."""
    spans = []
    for i, (text, a) in enumerate(zip(example.pieces, example.activations, strict=True)):
        colour = f"background:rgba(255,140,0,{max(0.0, a) / largest:.2f});" if a > 0 else ""
        frame = "outline:1px solid currentColor;" if i == example.place else ""
        spans.append(f"<span title='{a:.3g}' style='{colour}{frame}'>{escape(text)}</span>")
    line = f"<bdi dir='auto' style='white-space:pre-wrap'>{''.join(spans)}</bdi>"
    if not right_to_left(example.pieces):
        return line
    latin = [transliterated(p) for p in example.pieces]
    latin[example.place] = f"«{latin[example.place]}»"
    return f"{line}<br><small dir='ltr'>{escape(''.join(latin))}</small>"
