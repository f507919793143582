"""Several that write to one folder at once: without overwrite one wins, and nothing of another's is replaced."""

import os
import threading

import pytest

from superposition._internal import atomic
from superposition.errors import StoreError
from superposition.pages import write as page
from superposition.storage.formats import _write


def ours(names):
    return names == ["who"]


def publish(path, who, overwrite=False):
    _write.publish(path, {"who": who.encode()}, overwrite=overwrite, ours=ours)


def write_pages(path, who, overwrite=False):
    with (
        atomic.system(path),
        atomic.replacing(path, check=lambda: page.replaceable(path, overwrite)) as new,
    ):
        atomic.put(new / "index.html", f"{page.MARK}{who}".encode())


WRITERS = {"sae": (publish, "who"), "pages": (write_pages, "index.html")}


def late(monkeypatch, act):
    """Have `act` happen once, right before the first rename: after every check that came before it."""
    real, done = os.rename, []

    def rename(*args):
        if not done:
            done.append(True)
            act()
        real(*args)

    monkeypatch.setattr(os, "rename", rename)
    return done


@pytest.mark.parametrize("moment", ["while it is written", "right before the rename"])
@pytest.mark.parametrize("kind", WRITERS)
def test_what_another_put_there_meanwhile_stays(tmp_path, monkeypatch, kind, moment):
    writer, name = WRITERS[kind]
    path, put, done = tmp_path / "out", atomic.put, []
    if moment == "right before the rename":
        late(monkeypatch, lambda: writer(path, "the other"))
    else:

        def putting(*args):
            put(*args)
            if not done:
                done.append(True)
                writer(path, "the other")

        monkeypatch.setattr(atomic, "put", putting)
    with pytest.raises(StoreError, match="overwrite=True"):
        writer(path, "one")
    assert (path / name).read_bytes().endswith(b"the other")
    assert os.listdir(tmp_path) == ["out"]


def test_what_is_not_an_sae_stays_even_if_it_comes_late(tmp_path, monkeypatch):
    path = tmp_path / "out"

    def notes():
        path.mkdir()
        (path / "notes.txt").write_text("mine")

    late(monkeypatch, notes)
    with pytest.raises(StoreError, match="not an SAE"):
        publish(path, "one", overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"
    assert os.listdir(tmp_path) == ["out"]


def test_with_overwrite_the_last_one_wins_whole(tmp_path, monkeypatch):
    path = tmp_path / "out"
    publish(path, "old")
    late(monkeypatch, lambda: publish(path, "the other", overwrite=True))
    publish(path, "one", overwrite=True)
    assert (path / "who").read_text() == "one"
    assert os.listdir(tmp_path) == ["out"]


def test_what_is_looked_at_is_a_folder_or_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    assert atomic.names_in(tmp_path) == ["file", "link"]
    assert atomic.names_in(tmp_path / "absent") is None
    assert atomic.names_in(tmp_path / "file" / "out") is None  # writing there will fail, and say why
    for name in ("file", "link"):
        with pytest.raises(NotADirectoryError):
            atomic.names_in(tmp_path / name)


def test_what_is_gone_by_then_is_no_hindrance(tmp_path, monkeypatch):
    path = tmp_path / "out"
    publish(path, "old")
    late(monkeypatch, lambda: atomic.remove(path))
    publish(path, "one", overwrite=True)
    assert (path / "who").read_text() == "one"


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_many_at_once_one_wins(tmp_path, overwrite):
    path, many = tmp_path / "out", 8
    if overwrite:
        publish(path, "old")
    for _ in range(10):
        won, refused, start = [], [], threading.Barrier(many)

        def race(who, won=won, refused=refused, start=start):
            start.wait(60)
            try:
                publish(path, who, overwrite)
                won.append(who)
            except StoreError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=race, args=(f"{i}",)) for i in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert (path / "who").read_text() in won
        assert len(won) == (many if overwrite else 1), refused
        assert all("an SAE is there" in words for words in refused)
        assert os.listdir(tmp_path) == ["out"]
        if not overwrite:
            atomic.remove(path)
