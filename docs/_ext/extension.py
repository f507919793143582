"""The Sphinx extension: writes the generated pages before Sphinx looks for pages, and llms.txt after the build."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

from docs._ext import catalogue, course, hook_points, llms, reference, report

GENERATED = "generated"


def generated() -> dict[str, str]:
    """Every generated page by its path below `generated/`."""
    result = {f"reference/{name}": text for name, text in reference.pages().items()}
    return result | {
        "course/index.md": course.index(),
        "error_catalogue.md": catalogue.page(),
        "hook_points.md": hook_points.page(),
        "verdicts.md": report.page(),
    }


def write(folder: Path) -> None:
    """Write the generated pages into a folder, those that are new or changed, and remove what is no longer made."""
    wanted = generated()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    course.copy(folder / "course")
    kept = {folder / name for name in wanted} | {folder / "course" / one.name for one in course.lessons()}
    for path in folder.rglob("*.*"):
        if path.is_file() and path not in kept:
            path.unlink()


def _begin(app: Sphinx) -> None:
    write(Path(app.srcdir) / GENERATED)


def _missing(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, text: nodes.Element) -> Any:
    """A type in a signature or an error in a field: a link where we describe it, plain text where others do."""
    if node.get("refdomain") != "py" or not _in_signature(node):
        return None
    target = str(node.get("reftarget", "")).rsplit(".")[-1]
    found = [name for name in env.domains["py"].objects if name.rsplit(".", 1)[-1] == target]  # type: ignore[attr-defined]
    best = [name for name in found if name.count(".") == 1] or found
    if len(best) != 1:
        return text
    entry = env.domains["py"].objects[best[0]]  # type: ignore[attr-defined]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, text, best[0])


def _in_signature(node: nodes.Node) -> bool:
    parent: nodes.Node | None = node.parent
    while parent is not None:
        if isinstance(parent, addnodes.desc_signature | nodes.field_name | nodes.field):
            return True
        parent = parent.parent
    return False


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    titles = {name: node.astext() for name, node in app.env.titles.items() if name != "index"}
    leads = {}
    for name in titles:
        paragraph = next(iter(app.env.get_doctree(name).findall(nodes.paragraph)), None)
        said = " ".join(paragraph.astext().split()) if paragraph is not None else ""
        leads[name] = said.split(". ")[0].rstrip(".:")[:160]
    start = (Path(app.srcdir) / "quickstart.md").read_text(encoding="utf-8")
    (Path(app.outdir) / "llms.txt").write_text(llms.text(titles, leads, start), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the build."""
    app.setup_extension("docs._ext.mathml")
    app.connect("builder-inited", _begin)
    app.connect("missing-reference", _missing)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
