"""Equations as MathML, which browsers draw themselves: no script and no font is loaded. Docutils converts them."""

import re
import xml.etree.ElementTree as ET

from docutils import nodes
from docutils.utils.math import latex2mathml, wrap_math_code
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def convert(code: str, *, block: bool) -> str:
    """LaTeX as a <math> element; ValueError for what is not understood."""
    wrapped = wrap_math_code(code, block) if r"\\" in code and r"\begin" not in code else code
    wrapped = re.sub(
        r"\\([bB]igg?)(?=\s*[(\[{|]|\\[{|])", r"\\\1l", re.sub(r"\\([bB]igg?)(?=\s*[)\]])", r"\\\1r", wrapped)
    )
    try:
        tree = latex2mathml.tex2mathml(wrapped, as_block=block)
    except Exception as error:
        raise ValueError(f"{error}: {code}") from error
    text = str(tree)
    ET.fromstring(text.replace("&ApplyFunction;", "").replace("&nbsp;", " "))
    return text


def _visit_inline(self: object, node: nodes.math) -> None:
    self.body.append(_converted(node, block=False))  # type: ignore[attr-defined]
    raise nodes.SkipNode


def _visit_block(self: object, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{_converted(node, block=True)}</div>')  # type: ignore[attr-defined]
    raise nodes.SkipNode


def _converted(node: nodes.Element, *, block: bool) -> str:
    try:
        return convert(node.astext(), block=block)
    except ValueError as error:
        logger.warning("an equation is not understood: %s", error, location=node)
        return ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
