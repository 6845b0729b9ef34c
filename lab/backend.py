"""The backend and its global switches, set before a run and put back after it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lab._lazy import is_loaded
from lab.errors import UsageError, nearest

BACKENDS = ("tensorflow", "jax", "torch")
CPUINFO = Path("/proc/cpuinfo")
_VECTOR_WIDTH = "--xla_cpu_prefer_vector_width"


def select(backend: str | None, *, deterministic: bool = False) -> None:
    """Chooses the backend and loads Keras.

    Args:
        backend: its name; None takes `KERAS_BACKEND`, or Keras's own choice (TensorFlow).
        deterministic: whether TensorFlow must use deterministic kernels only.

    Raises:
        UsageError: Keras already runs on another one, or the backend does not exist or is not installed.
    """
    if deterministic:
        os.environ["TF_DETERMINISTIC_OPS"] = "1"
    _widen_vectors()
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


def _widen_vectors() -> None:
    """Lets XLA compute 16 numbers at once where the CPU can: for caution's sake it takes 8, whatever the CPU.

    That caution is for the first CPUs with AVX-512, which lowered their clock for it. Those that have VBMI2
    as well (Intel since Ice Lake, AMD since Zen 4) do not, or hardly; the small autoencoder's epoch takes
    nine tenths of the time there. What `XLA_FLAGS` says already is left as it is. XLA reads it when it
    first compiles, so that in a process that has compiled before nothing changes.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if _VECTOR_WIDTH not in given and "avx512_vbmi2" in _cpu_flags():
        os.environ["XLA_FLAGS"] = f"{given} {_VECTOR_WIDTH}=512".strip()


def _cpu_flags() -> list[str]:
    with contextlib.suppress(OSError), CPUINFO.open(encoding="utf-8", errors="replace") as lines:
        return next((line.split() for line in lines if line.startswith("flags")), [])
    return []  # not Linux


@contextlib.contextmanager
def configured(precision: str, seed: int) -> Iterator[None]:
    """Seeds Python, NumPy and the backend, and sets the dtype policy for the length of a block."""
    import keras

    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
