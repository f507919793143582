"""llms.txt: the map of the documentation for language models, in the form of llmstxt.org."""

import re
from collections.abc import Mapping

HEAD = """# superposition

> A Python and JAX lab for toy models of superposition and sparse autoencoders: what to train is a frozen recipe, `fit` turns a
> recipe into one `Trained`, `sweep` a grid of recipes into a `Sweep`, and everything else (evaluation, plots, feature pages,
> steering, files) takes a `Trained`.

```python
{script}```

Facts that save mistakes: `import superposition as sp` is lazy; rooms are `sp.metrics`, `sp.geometry`, `sp.theory` ...;
`density` is P(x_i != 0) and `sparsity` is 1 - density; toy weights are W (n_hidden, n_features), SAE weights W_enc (d_in, d_sae)
and W_dec (d_sae, d_in); hook points have TransformerLens's names; a wrong argument raises `sp.ConfigError` before any work
begins.
"""
SECTIONS = {"generated/course/": "Course", "generated/reference/": "Reference"}


def text(titles: Mapping[str, str], leads: Mapping[str, str], quickstart: str) -> str:
    """The map: titles and first sentences of pages by name, and the script of the quickstart."""
    script = re.search(r"```python\n(.+?)```", quickstart, re.DOTALL)
    lines = [HEAD.format(script=script[1] if script else "")]
    groups: dict[str, list[str]] = {}
    for page in sorted(titles):
        group = next((name for start, name in SECTIONS.items() if page.startswith(start)), "Guides")
        lead = leads.get(page, "")
        groups.setdefault(group, []).append(f"- [{titles[page]}]({page}.html){': ' + lead if lead else ''}")
    for group in ("Guides", "Course", "Reference"):
        lines += [f"## {group}", "", *groups.get(group, []), ""]
    return "\n".join(lines)
