"""Where each parameter lies on a mesh: heads, neurons and vocabulary along its axis "model", else everywhere."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from superposition.errors import ConfigError

AXIS = "model"
_COLUMNS = ("W_Q", "W_K", "W_V", "W_in", "W_gate", "b_Q", "b_K", "b_V", "b_in", "b_gate", "unembed.W")
_ROWS = ("W_O", "W_out", "embed.W")


def placement(mesh: Mesh, name: str, shape: tuple[int, ...]) -> NamedSharding:
    """The sharding of parameter `name`; one whose axis does not divide is replicated.

    Raises ConfigError for a mesh without an axis "model", or whose axes are not Auto.
    """
    if AXIS not in mesh.shape:
        raise ConfigError(f'the mesh needs an axis "{AXIS}"; got axes {tuple(mesh.shape)}')
    if any(kind != AxisType.Auto for kind in mesh.axis_types):
        raise ConfigError(
            f"the mesh's axes must be Auto, so that the compiler places what lies between parameters; got "
            f"{mesh.axis_types}: use jax.sharding.Mesh(devices, names)"
        )
    axis = len(shape) - 1 if name.endswith(_COLUMNS) else 0 if name.endswith(_ROWS) else None
    if axis is None or shape[axis] % mesh.shape[AXIS]:
        return NamedSharding(mesh, PartitionSpec())
    return NamedSharding(mesh, PartitionSpec(*[AXIS if i == axis else None for i in range(len(shape))]))


def put(mesh: Mesh | None, name: str, array: jax.typing.ArrayLike) -> jax.Array:
    """The array on its devices."""
    if mesh is None:
        return jax.numpy.asarray(array)
    return jax.device_put(array, placement(mesh, name, jax.numpy.shape(array)))
