"""Jumps, stays, plateaus and triangles where one frame or one degree decides."""

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.geometry.dynamics import Plateau, jumps, plateaus, visits
from superposition.geometry.triangles import two_triangles
from tests.support.frames import FRAMES, antiprism, stair


def test_a_window_needs_twice_its_length_on_either_side():
    with pytest.raises(ConfigError, match="too few"):
        jumps(*stair([100]), window=0.05, around=0.08)


def test_what_is_usual_is_looked_for_before_the_jump_as_well():
    D, loss = stair([198])
    frame = np.arange(FRAMES)
    assert jumps(D, loss + np.where(frame < 198, 0.08 * (-1.0) ** (frame // 4), 0.0)) == []


def test_events_whose_windows_overlap_are_one_though_not_every_frame_between_is_a_hit():
    D, loss = stair([100, 106])  # hits at 97 to 101 and 103 to 107, each window 4 frames long
    (jump,) = jumps(D, loss)
    assert len(jumps(*stair([100, 109]))) == 2
    assert jump.drop == pytest.approx(0.4, abs=1e-3)


def test_the_steepness_is_the_greatest_of_the_event():
    D, loss = stair([100])
    (jump,) = jumps(D, loss)
    fall = loss[:-4] - loss[4:]
    usual = [np.median(np.abs(fall[max(0, k - 40) : k + 41])) for k in range(len(fall))]
    assert jump.steepness == pytest.approx((fall / usual)[jump.first : jump.last - 3].max())


def test_a_loss_as_far_off_as_within_is_not_there():
    assert visits(np.array([1.5]), [1.0], within=0.5) == []
    assert visits(np.ones(2), [5e-324], within=0.1) == []


@pytest.mark.parametrize("end", [0.1, 0.92])
def test_up_to_where_a_tenth_of_the_loss_is_gone_there_is_no_plateau(end):
    start = np.r_[np.ones(20), np.linspace(1, 0.95, 3), np.full(20, 0.95)]
    loss = np.r_[start, np.linspace(0.95, end, 17)]  # to 0.92: a tenth never goes
    assert plateaus(np.arange(1, 61), loss) == []


def falls(step, *at):
    """A loss that falls from 1 by each (log step, amount)."""
    t = np.log(step)
    return 1 - sum(amount / (1 + np.exp(-60 * (t - when))) for when, amount in at)


def test_overlapping_spans_are_one_plateau_and_spans_apart_are_two_however_near_their_levels():
    step = np.geomspace(1, 1e4, 400)
    (one,) = plateaus(step, falls(step, (1, 0.5), (7, 0.4)))
    assert step[one.last] / step[one.first] > 100  # many spans of 1.25 long
    # A step down by 7 % takes part in no flat span, and the two levels differ by less than 2 flat.
    two = plateaus(step, falls(step, (1, 0.5), (4, 0.035), (7, 0.4)))
    assert [p.loss for p in two] == [pytest.approx(0.5, rel=0.01), pytest.approx(0.465, rel=0.01)]
    assert two[0].last <= two[1].first


def test_spans_that_share_no_frame_are_two_plateaus():
    loss = np.repeat([1, 0.5, 0.46, 0.1], 10)
    assert [(p.first, p.last) for p in plateaus(np.geomspace(1, 1e4, 40), loss)] == [(10, 19), (20, 29)]


def test_the_loss_of_a_plateau_is_a_geometric_mean():
    loss = np.array([4.0, 2.0, 1.0, 0.1])
    assert plateaus([1, 2, 3, 9], loss, flat=1.5) == [Plateau(1, 2, pytest.approx(2**0.5))]


@pytest.mark.parametrize("shift", [[0, 0, 0], [0.3, 0.1, 0.2]])
@pytest.mark.parametrize("size", [1.0, 1e200, 1e-200])
def test_the_twist_is_the_same_upright_shifted_and_in_any_size(shift, size):
    shape = two_triangles(size * (antiprism(20) + np.transpose([shift])))
    assert shape.twist == pytest.approx(20)
    np.testing.assert_allclose(shape.length, size * 0.8 * np.sqrt(1.5))


def test_the_twist_of_uneven_triangles_is_that_of_their_threefold_moments():
    top, bottom = (
        np.array([2, -2 + 1j, -1j]),
        np.array([1 + 1j, -4, 3 - 1j]),
    )  # about exactly the z axis
    W = np.stack([np.r_[top.real, bottom.real], np.r_[top.imag, bottom.imag], np.r_[1, 1, 1, -1, -1, -1]])
    turned = np.degrees(np.angle((top**3).sum() * (bottom**3).sum().conj())) / 3
    assert two_triangles(W).twist == pytest.approx(abs(turned))
    assert abs(turned) > 5
