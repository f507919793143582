"""A process that has compiled many programs forgets them before the system's limit on memory maps ends it."""

import jax
import jax.numpy as jnp
import pytest

from superposition._internal import memory_maps
from superposition.errors import StoreError


def test_far_from_the_limit_nothing_is_forgotten(monkeypatch):
    monkeypatch.setattr(jax, "clear_caches", lambda: pytest.fail("forgotten"))
    memory_maps.make_room(limit=1000, used=699)
    monkeypatch.setattr(memory_maps, "_limit", lambda: None)  # not Linux
    monkeypatch.setattr(memory_maps, "_used", lambda: pytest.fail("looked"))
    memory_maps.make_room()


def test_near_the_limit_programs_are_forgotten_and_compiled_again():
    traced = []

    @jax.jit
    def double(x):
        traced.append(x)
        return 2 * x

    assert double(jnp.float32(3)) == double(jnp.float32(3)) == 6
    assert len(traced) == 1
    with pytest.warns(UserWarning, match="nears its limit of 100000 memory maps"):
        memory_maps.make_room(limit=100_000, used=70_000)
    assert double(jnp.float32(3)) == 6
    assert len(traced) == 2


def test_where_that_makes_no_room_it_is_an_error_in_place_of_a_crash():
    with (
        pytest.warns(UserWarning, match="nears its limit"),
        pytest.raises(StoreError, match=r"has [0-9]+ memory maps of the 200 .* vm.max_map_count=262144"),
    ):
        memory_maps.make_room(limit=200)


def test_a_loop_of_ever_new_programs_looks_now_and_then_and_computes_what_it_should(monkeypatch):
    from superposition.training import loop  # from this import on

    assert loop.memory_maps is memory_maps
    looks = []
    real = memory_maps.make_room
    monkeypatch.setattr(memory_maps, "EVERY", 5)
    monkeypatch.setattr(memory_maps, "make_room", lambda: looks.append(1) or real(limit=100_000, used=99_000))
    with pytest.warns(UserWarning, match="nears its limit"):
        results = [float(jax.jit(lambda x, i=i: x * i + 1)(jnp.float32(2))) for i in range(12)]
    assert results == [2 * i + 1 for i in range(12)]
    assert 2 <= len(looks) <= 12


def test_looking_does_not_start_twice():
    memory_maps.watch()
    before = len(jax._src.monitoring.get_event_duration_listeners())
    memory_maps.watch()
    assert len(jax._src.monitoring.get_event_duration_listeners()) == before
