"""Polytopes by their coordinates."""

import math

import numpy as np

from superposition.geometry import shapes

DIGON = np.array([[1.0, -1.0]])


NAMED = {
    "dedicated": np.ones((1, 1)),
    "digon": DIGON,
    "triangle": np.array([[1, -0.5, -0.5], [0, math.sqrt(3) / 2, -math.sqrt(3) / 2]]),
    "tetrahedron": np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / math.sqrt(3),
    "4-simplex": shapes.simplex(4),
    "7-simplex": shapes.simplex(7),
    "pentagon": shapes.polygon(5),
    "hexagon": shapes.polygon(6),
    "9-gon": shapes.polygon(9),
    "square antiprism": shapes.antiprism(4),
    "cube": np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, 8) / math.sqrt(3),
    "tricapped prism": shapes.OTHERS["tricapped prism"](),
    "bicapped antiprism": shapes.OTHERS["bicapped antiprism"](),
    "rectified 4-simplex": shapes.OTHERS["rectified 4-simplex"](),
    "icosahedron": shapes.OTHERS["icosahedron"](),
    "dodecahedron": shapes.OTHERS["dodecahedron"](),
    "3-3 duoprism": shapes.OTHERS["3-3 duoprism"](),
}


FACTORS = sorted(NAMED)
