"""The loop of an LSTM over time on JAX, with a custom gradient; see `recurrence_tensorflow`."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp


@functools.cache
def has_gpu() -> bool:
    """Whether JAX runs on an accelerator."""
    return bool(jax.default_backend() != "cpu")


def recurrence(gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any = None) -> tuple[Any, Any, Any]:
    """Runs the recurrent half of an LSTM over time; arguments and results as on TensorFlow."""
    masked = keep is not None
    steps_kept = keep if masked else jnp.ones((gates.shape[0], 1, 1), bool)
    results: tuple[Any, Any, Any] = _run(masked, gates, kernel, bias, h, c, steps_kept)
    return results


def _sum_dtype(dtype: Any) -> Any:
    return jnp.float32 if dtype in (jnp.float16, jnp.bfloat16) else dtype


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(masked: bool, gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any) -> Any:
    return _forward(masked, gates, kernel, bias, h, c, keep)[0]


def _forward(masked: bool, gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any) -> tuple[Any, Any]:
    dtype, units = _sum_dtype(gates.dtype), kernel.shape[0]
    half = jnp.array([0.5, 0.5, 1, 0.5], dtype)[:, None, None]

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        (h, c), (gate, kept) = state, inputs
        z = gate.astype(dtype) + (h @ kernel).astype(dtype) + bias.astype(dtype)
        activated = jnp.tanh(z.reshape(-1, 4, units).transpose(1, 0, 2) * half) * half + (1 - half)
        i, f, g, o = activated
        new_c = f * c + i * g
        new_h = (o * jnp.tanh(new_c)).astype(h.dtype)
        if masked:
            new_c, new_h = jnp.where(kept, new_c, c), jnp.where(kept, new_h, h)
        return (new_h, new_c), (new_h, c, activated)

    (_, last_c), (hs, cs, activated) = jax.lax.scan(step, (h, c.astype(dtype)), (gates, keep))
    return (hs, hs[-1], last_c), (hs, cs, last_c, activated, kernel, bias, h, c, keep)


def _backward(masked: bool, saved: Any, upstream: Any) -> tuple[Any, ...]:
    hs, cs, last_c, activated, kernel, bias, h, c, keep = saved  # `cs` are the cells before each step
    dtype = cs.dtype
    d_hs, d_h, d_c = (part.astype(dtype) for part in upstream)
    previous_h = jnp.concatenate([h[None], hs[:-1]])
    transposed = kernel.T  # once, not at every step

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        (d_h, d_c, c), (d_output, (i, f, g, o), previous_c, kept) = state, inputs
        tanh_c = jnp.tanh(c)
        d_h = d_h + d_output
        total_d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
        d_i, d_f = total_d_c * g * i * (1 - i), total_d_c * previous_c * f * (1 - f)
        d_g, d_o = total_d_c * i * (1 - g * g), d_h * tanh_c * o * (1 - o)
        d_z = jnp.concatenate([d_i, d_f, d_g, d_o], axis=1)
        d_previous_c = total_d_c * f
        if masked:
            d_z = jnp.where(kept, d_z, 0)
        d_z = d_z.astype(kernel.dtype)
        d_previous_h = (d_z @ transposed).astype(dtype)
        if masked:
            d_previous_h = jnp.where(kept, d_previous_h, d_h)
            d_previous_c = jnp.where(kept, d_previous_c, d_c)
        return (d_previous_h, d_previous_c, previous_c), d_z

    (d_h, d_c, _), d_gates = jax.lax.scan(step, (d_h, d_c, last_c), (d_hs, activated, cs, keep), reverse=True)
    rows = previous_h.reshape(-1, kernel.shape[0])
    flat = d_gates.reshape(-1, kernel.shape[1])
    d_bias = flat.sum(0).astype(bias.dtype)
    return d_gates, rows.T @ flat, d_bias, d_h.astype(h.dtype), d_c.astype(c.dtype), None


_run.defvjp(_forward, _backward)
