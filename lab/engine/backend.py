"""The backend: chosen before Keras is loaded, and configured for each run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from lab._utils.lazy import is_loaded
from lab.errors import UsageError, nearest

BACKENDS = ("tensorflow", "jax", "torch")


def select(backend: str | None, *, deterministic: bool = False) -> None:
    """Chooses the backend and loads Keras.

    Args:
        backend: its name; None: as `KERAS_BACKEND` has it, or TensorFlow.
        deterministic: whether TensorFlow must use deterministic kernels only.

    Raises:
        UsageError: Keras already runs on another backend, or there is no such backend, or it is not installed.
    """
    if deterministic:
        os.environ["TF_DETERMINISTIC_OPS"] = "1"
    if not is_loaded("keras"):
        chosen = backend or os.environ.get("KERAS_BACKEND") or BACKENDS[0]
        if chosen not in BACKENDS:
            raise UsageError(
                f"KERAS_BACKEND={chosen}: expected one of {', '.join(BACKENDS)}{nearest(chosen, BACKENDS)}"
            )
        if backend is not None:
            os.environ["KERAS_BACKEND"] = backend
    try:
        import keras

        current = str(keras.backend.backend())
    except ImportError as error:
        name = backend or os.environ.get("KERAS_BACKEND") or "tensorflow"
        raise UsageError(f"backend={name}: it is not installed ({error}); pip install {name}") from None
    if backend is not None and current != backend:
        raise UsageError(
            f"backend={backend}: Keras already runs on {current} in this process; "
            f"set KERAS_BACKEND={backend} before Keras is imported"
        )


@contextlib.contextmanager
def configured(precision: str, seed: int) -> Iterator[None]:
    """Seeds Python, NumPy and the backend, and sets the dtype policy inside the block."""
    import keras

    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
