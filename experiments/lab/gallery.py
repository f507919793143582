"""Writes index.html beside pictures: every picture with what it shows, its claims and their verdicts, on one page."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.lab import find, lecture, report, stored
from experiments.lab.claim import MEANING, Claim, Source, Verdict
from experiments.lab.files import write_text

SLIDES = "On the lecture's slides"
OTHER = "Others"
STYLE = """
:root { color-scheme: light dark; --ink: #222; --muted: #5b5b5b; --back: #fff; --line: #ccc; --link: #0050a0; --no: #a33b00 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --muted: #b0b0b0; --back: #181818; --line: #555; --link: #8cc4ff; --no: #ffb37a } }
body { font: 17px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 68rem; margin: 0 auto;
  padding: 1rem }
a { color: var(--link) } h1, h2, h3 { line-height: 1.25 } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line) }
article { margin: 2.5rem 0; scroll-margin-top: 1rem } article:focus { outline: 3px solid var(--link); outline-offset: 8px }
img { max-width: 100%; height: auto; background: #fff } p.about { color: var(--muted) } nav ul { columns: 16rem }
table { border-collapse: collapse; width: 100%; font-size: 15px } summary { cursor: pointer }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line) }
td.fails, td.undecided { color: var(--no); font-weight: bold } .scroll { overflow-x: auto }
body.failing tr.holds, body.failing article.clean { display: none }
.skip { position: absolute; left: -99rem } .skip:focus { position: static }
"""
SCRIPT = """
const all = [...document.querySelectorAll('article')];
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || !'jk'.includes(event.key)) return;
  const seen = all.filter(one => one.offsetParent), now = seen.indexOf(document.activeElement.closest('article'));
  const next = seen[Math.max(0, Math.min(seen.length - 1, now + (event.key === 'j' ? 1 : -1)))];
  if (next) { next.focus(); next.scrollIntoView(); }
});
document.getElementById('failing').addEventListener('change', event => {
  document.body.classList.toggle('failing', event.target.checked);
  for (const list of document.querySelectorAll('details')) list.open = event.target.checked;
});
"""


def write(folder: Path) -> Path:
    """Write index.html from the JSON files and pictures in `folder`; return its path."""
    path = folder / "index.html"
    write_text(path, page(folder))
    return path


def page(folder: Path) -> str:
    """Return the gallery of the pictures in `folder` as one HTML page, which refers to them and to nothing else."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    found = {name: content for name, content in found.items() if (folder / f"{name}.png").exists()}
    groups = {title: names for title, names in _grouped(found).items() if names}
    claims = [stored.from_json(claim) for content in found.values() for claim in content["claims"]]
    contents = "".join(
        f"<h3>{escape(title)}</h3><ul>"
        + "".join(f'<li><a href="#{name}">{escape(_called(name))}</a></li>' for name in names)
        + "</ul>"
        for title, names in groups.items()
    )
    sections = "".join(
        f"<section><h2>{escape(title)}</h2>{''.join(_article(folder, name, found[name]) for name in names)}</section>\n"
        for title, names in groups.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Superposition: pictures and verdicts</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#pictures">Skip to the pictures</a>
<header>
<h1>Superposition: pictures and verdicts</h1>
<p>{len(found)} experiments hold {len(claims)} claims against measurements. A verdict is computed from the measurement; a claim is
undecided where the 95 % interval of the measured number covers the bar.</p>
{_counts(claims)}
<p class="about">j and k go to the next and the previous picture; a picture opens at its full size.</p>
<p><label><input type="checkbox" id="failing"> Show only claims that do not hold or are undecided</label></p>
</header>
<nav aria-label="Pictures">{contents}</nav>
<main id="pictures">
{sections}</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Return names of experiments by heading: the lecture's in the order of the slides, the others by their work."""
    left = set(names)
    groups = {SLIDES: [name for name in lecture.SLIDES if name in left]}
    left -= set(groups[SLIDES])
    for work, title in find.WORKS.items():
        groups[title] = sorted(left & set(find.members(work)))
        left -= set(groups[title])
    return groups | {OTHER: sorted(left)}


def _article(folder: Path, name: str, content: dict[str, Any]) -> str:
    claims = stored.with_record(name, [stored.from_json(claim) for claim in content["claims"]])
    clean = "clean" if all(claim.holds for claim in claims) else ""
    heading = lecture.SLIDES.get(name, content["title"])
    more = f"<p>{escape(content['title'])}</p>" if heading != content["title"] else ""
    pictures = "".join(_picture(path) for path in pictures_of(folder, name))
    held = sum(claim.holds for claim in claims)
    rows = "".join(_row(claim, report.original(claim, claims)) for claim in claims)
    return f"""
<article id="{name}" class="{clean}" tabindex="-1">
<h3>{escape(heading)}</h3>
{more}{pictures}
<p class="about"><code>python -m experiments {name}</code>, {content["seconds"]:.0f} s ·
<a href="{name}.json">numbers (JSON)</a></p>
<details><summary>{held} of {len(claims)} claims hold</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Claims of {escape(_called(name))}"><table>
<thead><tr><th>from</th><th>source</th><th>claim</th><th>paper</th><th>measured</th><th>verdict</th></tr></thead>
<tbody>{rows}</tbody></table></div></details>
</article>
"""


def pictures_of(folder: Path, name: str) -> list[Path]:
    """Return the pictures of an experiment: NAME.png, then NAME-2.png and so on, and its film."""
    rest = sorted(path for path in folder.glob(f"{name}-*.png") if path.stem[len(name) + 1 :].isdigit())
    film = folder / f"{name}.gif"
    return [folder / f"{name}.png", *rest, *([film] if film.exists() else [])]


def _picture(path: Path) -> str:
    with Image.open(path) as picture:
        width, height = picture.size
        alt = str(picture.info.get("Description", "")) or f"The picture before, moving: {_called(path.stem)}."
    return (
        f'<p><a href="{path.name}"><img src="{path.name}" width="{width}" height="{height}" loading="lazy" '
        f'alt="{escape(alt)}"></a></p>'
    )


def _row(claim: Claim, original: Claim | None) -> str:
    text = claim.claim + (f" [restates: {original.claim}]" if original else "")
    texts = (claim.figure, claim.source, text, claim.paper, claim.measured)
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in texts)
    kind = {Verdict.HOLDS: "holds", Verdict.FAILS: "fails", Verdict.UNDECIDED: "undecided"}[claim.verdict]
    recorded = f"; recorded: {claim.recorded}" if claim.changed else ""
    return f'<tr class="{kind}">{cells}<td class="{kind}">{claim.verdict}{recorded}</td></tr>'


def _counts(claims: Sequence[Claim]) -> str:
    """Return how many claims of each source hold, do not, and are undecided, as a table."""
    rows = []
    for source in Source:
        found = [claim.verdict for claim in claims if claim.source == source]
        numbers = "".join(f"<td>{found.count(verdict)}</td>" for verdict in Verdict)
        rows.append(f"<tr><td>{source}</td>{numbers}<td>{MEANING[source]}</td></tr>")
    head = "".join(f"<th>{escape(title)}</th>" for title in ("source", *Verdict, "what it is"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Claims by source">{table}</div>'


def _called(name: str) -> str:
    return name.replace("_", " ")
