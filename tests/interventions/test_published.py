"""Published SAEs where a hub answers, what ships where none does: without a network, and without waiting for one."""

import socket
import threading
from pathlib import Path

import jax
import pytest

from superposition import interventions
from superposition.errors import ConfigError
from superposition.interventions import first_available, hub_answers, published
from superposition.llm import LanguageModel
from superposition.llm.hub import SHIPPED
from superposition.sae import JumpReLU
from superposition.storage import formats


@pytest.fixture
def online(monkeypatch):
    for name in published.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(published, "getproxies", dict)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with one repository: an SAE in Gemma Scope's format on the model that ships."""
    sae = JumpReLU(d_in=128, d_sae=16, apply_b_dec_to_input=False)
    folder = "layer_0/width_16/average_l0_4"
    formats.save(tmp_path / folder, sae, sae.init_params(jax.random.key(0)), format="gemma-scope")
    asked = []

    def snapshot_download(name, *, revision, allow_patterns):
        asked.append((name, allow_patterns))
        if name == "someone/gated":
            raise OSError("you are not let in")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr(published, "hub_answers", lambda wait: True)
    one = published.Published(str(SHIPPED["superposition/small-lm"]), "someone/scope", folder,
                              "blocks.0.hook_resid_post", "float32", 0.1)  # fmt: skip
    monkeypatch.setitem(published.PUBLISHED, "gpt2", one)
    monkeypatch.setitem(published.PUBLISHED, "gemma-scope", one._replace(sae="someone/gated"))
    return asked


def test_a_published_sae_is_fetched_and_attached_to_its_model(hub):
    attached = first_available("gpt2")
    assert (attached.hook, attached.sae.d_sae) == ("blocks.0.hook_resid_post", 16)
    assert attached.name == "someone/scope/layer_0/width_16/average_l0_4"
    assert hub == [("someone/scope", ["layer_0/width_16/average_l0_4/*"])]
    assert attached.encode("Once upon a time").shape == (1, 5, 16)


def test_one_that_cannot_be_had_is_passed_over_and_the_notes_say_why(hub, monkeypatch):
    attached = first_available("gemma-scope", "gpt2")
    assert attached.name.startswith("someone/scope")
    assert "gemma-scope is passed over: someone/gated could not be fetched" in attached.notes[-1]
    huge = published.PUBLISHED["gpt2"]._replace(gigabytes=1e9)
    monkeypatch.setitem(published.PUBLISHED, "gpt2", huge)
    attached = first_available("gpt2")
    assert attached.name == published.SAE_THAT_SHIPS
    assert "of memory" in attached.notes[-1]


def test_without_a_network_it_is_what_ships_at_once(online, monkeypatch):
    hung = threading.Event()

    def hangs(*_):
        hung.wait(30)
        hung.set()
        raise OSError("too late")

    monkeypatch.setattr(socket, "create_connection", hangs)
    attached = first_available("gemma-scope", "gpt2", wait=0.05)
    assert attached.lm.name == "superposition/small-lm"
    assert "did not answer" in attached.notes[-1]
    assert not hung.is_set()  # nothing was waited for
    hung.set()


def test_a_hub_that_refuses_does_not_answer(online, monkeypatch):
    def refuses(*_):
        raise OSError("no route")

    monkeypatch.setattr(socket, "create_connection", refuses)
    assert not hub_answers()


def test_the_hub_asked_is_the_endpoint_or_the_proxy(online, monkeypatch):
    asked = []
    listening = socket.socket()
    monkeypatch.setattr(socket, "create_connection", lambda place, wait: asked.append(place) or listening)
    assert hub_answers()
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example:8080")
    assert hub_answers()
    monkeypatch.setattr(published, "getproxies", lambda: {"https": "http://proxy.example:3128"})
    assert hub_answers()
    assert asked == [("huggingface.co", 443), ("hub.example", 8080), ("proxy.example", 3128)]


@pytest.mark.parametrize("name", published.OFFLINE)
def test_told_to_be_offline_it_asks_nobody(online, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(socket, "create_connection", lambda *_: pytest.fail("asked"))
    assert not hub_answers()


def test_a_name_that_there_is_not_is_refused_before_anybody_is_asked():
    with pytest.raises(ConfigError, match="gpt3"):
        first_available("gpt3")


def test_what_is_published_names_a_hook_point_of_its_model():
    for one in interventions.PUBLISHED.values():
        assert one.hook.startswith("blocks.")
        assert Path(one.folder).as_posix() == one.folder
    assert isinstance(first_available().lm, LanguageModel)
