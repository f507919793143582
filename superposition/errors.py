"""What can go wrong, said in one line: what was given, what is accepted, how to mend it."""


class SuperpositionError(Exception):
    """Anything the library refuses on purpose; `exit_status` is what the command line returns.

    >>> issubclass(ConfigError, SuperpositionError), SuperpositionError.exit_status
    (True, 1)
    """

    exit_status = 1


class ConfigError(SuperpositionError, ValueError):
    """A setting outside what is accepted; a usage error.

    >>> from superposition import SparseUniform
    >>> try:
    ...     SparseUniform(density=2.0)
    ... except ConfigError as error:
    ...     print(error)
    density must lie in (0, 1]; got 2; a share, not per cent: 0.02? (density = 1 - sparsity)
    """

    exit_status = 2


class StoreError(SuperpositionError):
    """A result on disk that cannot be written, or is not what it should be."""


class CorruptError(StoreError):
    """Bytes on disk that differ from what was written."""


class Interrupted(SuperpositionError):
    """Stopped by a signal at a consistent point; run again with --resume."""

    exit_status = 130


class TrainingError(SuperpositionError):
    """A loss or gradient that is no longer finite: the step and the term are named, the last good state kept."""
