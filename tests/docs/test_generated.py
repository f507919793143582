"""The generated pages are complete: every public name, every kind of error, every hook point. No Sphinx is needed."""

import inspect
import json
import re

import pytest

import superposition as sp
from docs._ext import catalogue, course, hook_points, llms, markdown, names, reference, report
from superposition import errors
from superposition.llm.families import FAMILIES


@pytest.fixture(scope="module")
def pages():
    return reference.pages()


def _described(page):
    """Full names that a page describes, each with its directive."""
    result, module = {}, None
    for line in page.splitlines():
        if match := re.match(r"`+\{py:(\w+)\} ([\w.]+)", line):
            kind, name = match.groups()
            if kind == "module":
                module = name
            elif line.startswith("``````"):
                result[f"{module}.{name}"] = kind
    return result


def test_every_public_name_is_described_once_or_linked(pages):
    for room in names.rooms():
        module = getattr(sp, room)
        wanted = {f"superposition.{room}.{name}" for name in names.offered(module)}
        assert wanted <= set(_described(pages[f"{room}.md"])), room
    top = _described(pages["superposition.md"])
    for name in sp.__all__:
        linked = re.search(rf"`{name} <superposition\.", pages["superposition.md"])
        assert f"superposition.{name}" in top or linked or name in (*names.rooms(), "__version__"), name
    assert len(names.everything()) > 300


def test_members_of_classes_are_described_with_their_types(pages):
    page = pages["metrics.md"]
    start = page.index("{py:class} AbsorptionCounts")
    entry = page[start : page.index("```````", start + 8)]
    assert "{py:attribute} with_child\n:type: Any\n\nExamples with parent and child active." in entry
    assert "{py:class} TopK(d_in=None, d_sae=20" in pages["sae.md"]
    assert (
        "{py:method} encode(params: Params, x: Float[Array, '*batch d_in']) -> Float[Array" in pages["sae.md"]
    )


def test_a_public_name_of_which_nothing_is_said_is_an_error(monkeypatch):
    def silent():
        pass

    monkeypatch.setattr(sp.metrics, "silent", silent, raising=False)
    with pytest.raises(names.Undocumented, match=r"nothing is said of superposition\.metrics\.silent"):
        names._name("superposition.metrics", "silent")
    with pytest.raises(names.Undocumented, match="lists gone, which it has not"):
        names._name("superposition.metrics", "gone")


def test_docstrings_become_markdown_in_which_nothing_but_code_is_markup():
    text = inspect.cleandoc(
        """One *line* of W_ and <x> | y, `code_*` and $a_*$.

        Args:
            x: The first,
                and more.

        Raises:
            ConfigError: Always.

        >>> 1 + 1
        2
        """
    )
    assert markdown.docstring(text).split("\n") == [
        r"One \*line\* of W\_ and \<x\> \| y, `code_*` and $a_*$.",
        "", ":param x: The first, and more.", "", ":raises ConfigError: Always.", "", "```pycon", ">>> 1 + 1", "2", "```",
    ]  # fmt: skip


def test_every_kind_of_error_has_a_cause_and_a_mend():
    assert catalogue.undescribed() == set()
    public = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
    }
    assert public < set(catalogue.kinds())
    assert all(kind.cause and kind.mend for kind in catalogue.KINDS.values())


def test_every_message_of_the_library_is_in_the_catalogue():
    found = catalogue.messages()
    assert len(found) > 700
    page = catalogue.page()
    with pytest.raises(sp.ConfigError) as raised:
        sp.TopK(d_sae=4, skip=True)
    assert any(_fits(message.text, str(raised.value)) for message in found), raised.value
    for kind in catalogue.kinds():
        assert f"### {kind}\n" in page
    assert "is damaged: it is not what was written" in page


def _fits(template, message):
    return re.fullmatch(".*".join(map(re.escape, template.split("…"))), message) is not None


def test_the_table_of_hook_points_is_that_of_the_models():
    rows = hook_points.rows()
    assert set(hook_points.specs()) == set(FAMILIES)
    lm = sp.LanguageModel.from_hf()
    mine = {re.sub(r"blocks\.\d+", "blocks.{i}", name) for name in lm.hook_names()}
    assert mine == {name for name, (_, families) in rows.items() if "gpt2" in families}
    assert rows["blocks.{i}.attn.hook_k"][0] == "(batch, pos, n_kv_heads, d_head)"
    assert "gpt_neox" not in rows["blocks.{i}.hook_resid_mid"][1]
    assert all(hook_points.meaning(name) for name in rows)
    order = list(rows)
    assert order.index("blocks.{i}.hook_resid_mid") == order.index("blocks.{i}.hook_attn_out") + 1


def test_the_page_of_verdicts_is_the_report_with_its_links_to_pictures():
    text = report.REPORT.read_text()
    page = report.page()
    assert page.count("](../../figures/") == len(re.findall(r"\]\((?!http)", text)) > 200
    assert page.count("\n") == text.count("\n")
    assert not re.search(r"(?<!\\)[$<>]", page)


def test_the_course_lists_every_lesson():
    page = course.index()
    for lesson in course.lessons():
        assert f"\n{lesson.stem}\n" in page
        assert course.title(lesson) != lesson.stem
        assert json.loads(lesson.read_text())["cells"]
    assert "](../../../figures/" in page or "](../../../notebooks/../figures/" in page


def test_llms_txt_has_a_line_a_page_by_group():
    titles = {
        "quickstart": "Quickstart",
        "generated/reference/sae": "sae",
        "generated/course/00_tour": "00 · A tour",
    }
    text = llms.text(
        titles, {"quickstart": "Python 3.11 or newer"}, "```python\nimport superposition as sp\n```"
    )
    assert text.startswith("# superposition\n\n> ")
    assert "- [Quickstart](quickstart.html): Python 3.11 or newer" in text
    assert (
        text.index("## Guides")
        < text.index("[00 · A tour]")
        < text.index("## Reference")
        < text.index("[sae]")
    )
    assert "import superposition as sp" in text
