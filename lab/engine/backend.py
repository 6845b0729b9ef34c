"""The backend: chosen before Keras is loaded, and configured for each run."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from lab._utils.lazy import is_loaded
from lab.errors import UsageError, nearest

BACKENDS = ("tensorflow", "jax", "torch")
CPUINFO = Path("/proc/cpuinfo")
_TRIED = {
    "tensorflow": ((2, 21), (2, 22)),
    "jaxlib": ((0, 6), (0, 11)),
}  # versions whose XLA has the flags: from, below
_CLOSER_ANALYSIS = "--xla_cpu_copy_insertion_use_region_analysis"
_VECTOR_WIDTH = "--xla_cpu_prefer_vector_width"


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
    set_xla_flags()
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


def set_xla_flags() -> None:
    """Sets flags with which XLA makes faster programs on a CPU, unless `XLA_FLAGS` sets them already.

    - `copy_insertion_use_region_analysis`: weights that a step reads and then changes are not copied first. XLA
      analyses this by default on other devices.
    - `prefer_vector_width=512`, on CPUs with VBMI2 (Intel since Ice Lake, AMD since Zen 4): loops process 16
      numbers at once. XLA prefers 8, as the first CPUs with AVX-512 lowered their clock for 16.

    Without both, an epoch of the text generator takes 1.1 times as long. XLA reads the flags when it first compiles
    in a process, and ends the process if it does not know one: they are set for versions only that were tried.
    """
    if not all(map(_is_tried, _TRIED)):
        return
    given = os.environ.get("XLA_FLAGS", "").strip()
    if given and not given.startswith("-"):
        return  # the path of a file with flags
    wanted = {_CLOSER_ANALYSIS: "true"}
    if "avx512_vbmi2" in _cpu_flags():
        wanted[_VECTOR_WIDTH] = "512"
    new = [f"{name}={value}" for name, value in wanted.items() if name not in given]
    if new:
        os.environ["XLA_FLAGS"] = " ".join([given, *new]).strip()


def _is_tried(package: str) -> bool:
    import importlib.metadata  # slow to load

    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return True
    first, beyond = _TRIED[package]
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and first <= (int(numbers[1]), int(numbers[2])) < beyond


def _cpu_flags() -> list[str]:
    with contextlib.suppress(OSError), CPUINFO.open(encoding="utf-8", errors="replace") as lines:
        return next((line.split() for line in lines if line.startswith("flags")), [])
    return []  # not Linux


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
