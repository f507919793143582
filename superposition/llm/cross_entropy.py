"""Mean cross-entropy of a linear readout, and its gradient in one pass over blocks of rows that stay in the cache.

The logits of a batch are its largest array by far: 4,064 positions of 2,048 tokens are 33 MB, and differentiating a
softmax over all of them reads and writes that several times. Here a block of rows goes from logits to gradients at once,
so that the three products (logits, and the gradients of x and W) are nearly all of the time.
"""

import jax
import jax.numpy as jnp
from jax import Array

BLOCK = 2**21  # logits in one block: 8 MB


@jax.custom_vjp
def mean_cross_entropy(x: Array, W: Array, targets: Array) -> Array:
    r"""Mean over rows of $-\log softmax(x W)_{target}$, in nats.

    x (n, d_model); W (d_model, d_vocab); targets (n,) int. Differentiable in x and W.

    >>> x, W = jnp.eye(2), jnp.log(jnp.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> float(jnp.exp(-mean_cross_entropy(x, W, jnp.array([1, 1])))) ** 2  # .75 times .5
    0.375...
    """
    n = len(x)
    return jax.lax.map(lambda rows: _block(rows[0], rows[1], W)[0], _blocks(x, targets, W)).sum() / n


def _forward(x: Array, W: Array, targets: Array) -> tuple[Array, tuple[Array, Array]]:
    """The loss, and its gradients."""

    def block(total: tuple[Array, Array], rows: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        loss, g = _block(*rows, W)
        return (total[0] + loss, total[1] + rows[0].T @ g), g @ W.T

    n, nothing = len(x), (jnp.zeros((), jnp.float32), jnp.zeros_like(W))
    (loss, dW), dx = jax.lax.scan(block, nothing, _blocks(x, targets, W))
    return loss / n, (dx.reshape(-1, x.shape[1])[:n] / n, dW / n)


def _backward(gradients: tuple[Array, Array], by: Array) -> tuple[Array, Array, None]:
    return by * gradients[0], by * gradients[1], None


mean_cross_entropy.defvjp(_forward, _backward)


def _blocks(x: Array, targets: Array, W: Array) -> tuple[Array, Array]:
    """Rows in blocks of one size; the last is filled up with rows whose target, -1, says that they do not count."""
    n = len(x)
    count = -(-n // max(1, BLOCK // W.shape[1]))
    size = -(-n // count)
    more = count * size - n
    x = jnp.pad(x, ((0, more), (0, 0))).reshape(count, size, -1)
    return x, jnp.pad(targets, (0, more), constant_values=-1).reshape(count, size)


def _block(x: Array, targets: Array, W: Array) -> tuple[Array, Array]:
    """Sum of the losses of one block, and the gradient of its logits, softmax - one-hot."""
    logits = (x @ W).astype(jnp.float32)
    exponentials = jnp.exp(logits - logits.max(-1, keepdims=True))
    total = exponentials.sum(-1, keepdims=True)
    real = (targets >= 0)[:, None]
    hit = (
        targets[:, None] == jnp.arange(W.shape[1])[None]
    )  # compared, not scattered: a scatter runs on one core
    loss = jnp.log(total) + logits.max(-1, keepdims=True) - jnp.where(hit, logits, 0).sum(-1, keepdims=True)
    gradient = jnp.where(real, exponentials / total - hit, 0)
    return jnp.where(real, loss, 0).sum(), gradient.astype(x.dtype)
