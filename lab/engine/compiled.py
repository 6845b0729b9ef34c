"""A function of tensors as one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def compiled(function: Callable[..., Any], variables: Sequence[Any] = ()) -> Callable[..., Any]:
    """Compiles a function of tensors with XLA, on TensorFlow and JAX; on torch it stays as it is.

    Args:
        function: takes and gives tensors.
        variables: those of Keras that it reads; each call sees the values that they have then.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        return _concrete(function)
    if keras.backend.backend() == "jax":
        import jax

        def pure(values: Sequence[Any], *arguments: Any) -> Any:  # JAX would keep the first call's values
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function(*arguments)

        program = jax.jit(pure)
        return lambda *arguments: program([variable.value for variable in variables], *arguments)
    return function


def _concrete(function: Callable[..., Any]) -> Callable[..., Any]:
    """Traced once, for the shapes of its first call; TensorFlow would warn of as many traces as there are functions."""
    import tensorflow as tf

    traced: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        if not traced:
            made = tf.function(function, jit_compile=True, autograph=False)
            traced.append(made.get_concrete_function(*tensors))
        return traced[0](*tensors)

    return call
