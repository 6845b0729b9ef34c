"""A function of tensors as one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def compiled(function: Callable[..., Any], variables: Sequence[Any] = ()) -> Callable[..., Any]:
    """Returns a function of tensors compiled with XLA, on TensorFlow and JAX; on torch the function itself.

    Args:
        function: takes and returns tensors.
        variables: the Keras variables that it reads; each call uses their current values.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        return _concrete(function)
    if keras.backend.backend() == "jax":
        import jax

        def pure(values: Sequence[Any], *arguments: Any) -> Any:  # JAX would keep the values of the first call
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function(*arguments)

        program = jax.jit(pure)
        return lambda *arguments: program([variable.value for variable in variables], *arguments)
    return function


def _concrete(function: Callable[..., Any]) -> Callable[..., Any]:
    """Traces once, for the shapes of the first call, without TensorFlow's warning about repeated tracing."""
    import tensorflow as tf

    traced: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        if not traced:
            program = tf.function(function, jit_compile=True, autograph=False)
            traced.append(program.get_concrete_function(*tensors))
        return traced[0](*tensors)

    return call
