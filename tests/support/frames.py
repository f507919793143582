"""Frames of trajectories whose jumps and triangles are known."""

import numpy as np

FRAMES = 401


def stair(at, *, moves=True, falls=True):
    """Two features and a loss, still but for a step of width 2 frames at each of `at`."""
    D, loss = np.full((FRAMES, 2), 0.5), np.full(FRAMES, 2.0)
    for k, frame in enumerate(at):
        rise = np.clip((np.arange(FRAMES) - frame) / 2, 0, 1)
        D[:, k % 2] += moves * 0.3 * rise * (-1) ** k
        loss -= falls * 0.2 * rise
    return D, loss + 1e-4 * np.sin(np.arange(FRAMES))


UPRIGHT = np.eye(3)


def antiprism(twist, *, rotation=UPRIGHT, height=0.6, size=0.8):
    angles = np.radians(np.array([0, 120, 240]))
    top = np.stack([size * np.cos(angles), size * np.sin(angles), np.full(3, height)])
    turned = angles + np.radians(twist)
    bottom = np.stack([size * np.cos(turned), size * np.sin(turned), np.full(3, -height)])
    return rotation @ np.concatenate([top, bottom], 1)
