"""Folders of runs and pages of which a byte or a value has changed: one line that says so, or the same as before."""

import json
import random
import shutil

import numpy as np
import pytest

from superposition.activations.read import read_array
from superposition.cli import main
from superposition.errors import ConfigError, SuperpositionError
from superposition.pages.server.served import first_page, read_index
from superposition.pages.write import write
from superposition.plot import overview
from superposition.storage.sae_runs import read_results
from tests.oracles.pages import pages
from tests.oracles.unsealed import unsealed

VALUES = [
    None, True, -1, 1e308, "x", "[/b]", "\x1b[31m", [], {}, [1], {"a": 1}, 10**400, float("nan"), "../../etc", [[]], "",
]  # fmt: skip
TRAIN = [
    "sae", "train", "--planted", "orthogonal", "--n-features", "8", "--d-in", "8", "--architecture", "topk", "--k", "2",
    "--d-sae", "12", "--steps", "4", "--batch-size", "16", "--examples", "32", "--seed", "0", "1", "--out",
]  # fmt: skip


def run(*words, capsys):
    capsys.readouterr()
    status = main.main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err.strip()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    assert main.main([*TRAIN, str(out)]) == 0
    return out


@pytest.fixture
def copy(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(overview, "save_saes", lambda *args, **kwargs: [])
    return shutil.copytree(trained, tmp_path / "run")


def places(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def changed(data: bytes, choose: random.Random) -> bytes:
    """JSON of which one value is another, or is gone."""
    value = json.loads(data)
    *path, last = choose.choice(list(places(value))[1:])
    inside = value
    for key in path:
        inside = inside[key]
    if choose.random() < 0.2:
        del inside[last]
    else:
        inside[last] = choose.choice(VALUES)
    return json.dumps(value).encode()


def torn(data: bytes, choose: random.Random) -> bytes:
    """A bit flipped, bytes cut off, or taken out."""
    at, kind = choose.randrange(len(data)), choose.randrange(3)
    flipped = data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :]
    return [flipped, data[:at], data[:at] + data[at + choose.choice([1, 5, 60]) :]][kind]


def read(reader, path, *arguments):
    """What a reader makes of a path; None where it refuses, in one line that names the path."""
    try:
        return reader(path, *arguments)
    except SuperpositionError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said
    return None


@pytest.mark.parametrize("how", [changed, torn])
@pytest.mark.parametrize("name", ["results.json", "history.json"])
def test_no_change_of_a_runs_json_ends_in_a_traceback(copy, capsys, how, name):
    choose, path = random.Random(0), copy / name
    good, refused = path.read_bytes(), 0
    for _ in range(40):
        path.write_bytes(how(good, choose))
        for words in (["sae", "show", copy], [*TRAIN, copy, "--resume"])[
            : 2 if name == "results.json" else 1
        ]:
            status, out, errors = run(*words, capsys=capsys)
            refused += status != 0
            assert "\x1b[31m" not in out + errors
            assert errors.count("\n") == 0, errors
    assert refused > 10


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("records", 0, "name"), "../other", "is no folder of the run"),
        (("records", 0, "name"), "/etc", "is no folder of the run"),
        (("records", 0), 3, "a record is 3"),
        (("records", 1, "metrics"), [], "metrics is []"),
        (("records", 1, "metrics", "l0"), "4", "the metric 'l0' is '4'"),
        (("run", "sae"), {}, "'recipe' is missing"),
        (("superposition",), 2, "another format"),
    ],
)
def test_results_that_are_not_so_are_named(copy, path, value, said):
    results = inside = json.loads((copy / "results.json").read_text())
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    (copy / "results.json").write_text(json.dumps(results))
    with pytest.raises(SuperpositionError, match=r"results\.json is damaged: ") as caught:
        read_results(copy)
    assert said in str(caught.value)


def test_a_history_that_is_cut_somewhere_is_named(copy, capsys):
    history = json.loads((copy / "history.json").read_text())
    history["seed=0"]["fvu"].pop()
    (copy / "history.json").write_text(json.dumps(history))
    status, _, errors = run("sae", "show", copy, capsys=capsys)
    assert (status, "history.json is damaged: expected a number a step, got others of ['fvu']" in errors) == (
        1,
        True,
    )
    del history["seed=0"]["fvu"]
    (copy / "history.json").write_text(json.dumps(history))
    status, _, errors = run("sae", "show", copy, capsys=capsys)
    assert (status, "['fvu'] are missing" in errors) == (1, True)


def test_no_change_of_a_runs_dictionary_ends_in_a_traceback(trained, tmp_path):
    choose, path = random.Random(1), shutil.copytree(trained, tmp_path / "run") / "dictionary.npy"
    good = path.read_bytes()
    expected, same = np.load(path), 0
    for i in range(300):
        path.write_bytes(torn(good[:128], choose) + good[128:] if i % 2 else torn(good, choose))
        found = read(read_array, path)
        same += np.array_equal(found, expected)
        assert found is None or found.size == expected.size
    assert same > 0


@pytest.mark.parametrize("how", [changed, torn])
def test_no_change_of_a_page_ends_in_a_traceback(tmp_path, how):
    choose, folder = random.Random(2), write(tmp_path / "pages", *pages(150))
    path = folder / "index.html"
    good = path.read_bytes()
    begin = good.index(b'id="index">') + 11
    end = good.index(b"</script>", begin)
    refused = 0
    for i in range(150):
        data = good[:begin] + how(good[begin:end], choose) + good[end:]
        path.write_bytes(torn(good[:4000], choose) + good[4000:] if how is torn and i % 3 == 0 else data)
        refused += read(read_index, folder) is None
        read(first_page, path, "secret")
    assert refused > 20


@pytest.mark.parametrize("maxima", [[1.0], [True] * 150, ["1"] * 150, [10**400] * 150, [[]] * 150])
def test_maxima_that_are_none_are_named(tmp_path, maxima):
    index, features, texts = pages(150)
    index["columns"]["max"] = [1.0] * 150
    index["kind"] = "llm"
    folder = write(tmp_path / "pages", index, features, texts)
    assert read_index(folder)["columns"]["max"] == [1.0] * 150
    page = (folder / "index.html").read_text()
    ones = json.dumps([1.0] * 150, separators=(",", ":"))
    assert ones in page
    (folder / "index.html").write_text(page.replace(ones, json.dumps(maxima), 1))
    with pytest.raises(SuperpositionError, match=r"index\.html is damaged: .*write pages with"):
        read_index(folder)


def test_a_page_of_another_program_is_no_page(tmp_path):
    (tmp_path / "index.html").write_text("<html></html>")
    with pytest.raises(ConfigError, match="no page that superposition wrote"):
        read_index(tmp_path)


def test_metadata_of_strangers_are_shown_and_do_not_act_on_the_terminal(copy, capsys):
    path = unsealed(copy / "seed=0") / "cfg.json"
    cfg = json.loads(path.read_text())
    cfg["metadata"] |= {"neuronpedia_id": "[/b] \x1b[31mred", "model_name": "[bold]x"}
    path.write_text(json.dumps(cfg))
    status, out, errors = run("sae", "show", copy / "seed=0", capsys=capsys)
    assert status == 0, errors
    assert "[/b] \\x1b[31mred" in out
    assert "[bold]x" in out
    assert "\x1b[31m" not in out
