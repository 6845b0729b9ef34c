"""The loop of an LSTM over time on JAX, with a gradient of its own; see `recurrence_tensorflow`."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp


@functools.cache
def has_gpu() -> bool:
    """Whether JAX runs on anything but a CPU."""
    return bool(jax.default_backend() != "cpu")


def recurrence(gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any = None) -> tuple[Any, Any, Any]:
    """Runs an LSTM's recurrent half over time; arguments and results as on TensorFlow."""
    masked = keep is not None
    kept = keep if masked else jnp.ones((gates.shape[0], 1, 1), bool)
    done: tuple[Any, Any, Any] = _run(masked, gates, kernel, bias, h, c, kept)
    return done


def _sums(dtype: Any) -> Any:
    return jnp.float32 if dtype in (jnp.float16, jnp.bfloat16) else dtype


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(masked: bool, gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any) -> Any:
    return _forwards(masked, gates, kernel, bias, h, c, keep)[0]


def _forwards(masked: bool, gates: Any, kernel: Any, bias: Any, h: Any, c: Any, keep: Any) -> tuple[Any, Any]:
    dtype, units = _sums(gates.dtype), kernel.shape[0]
    half = jnp.array([0.5, 0.5, 1, 0.5], dtype)[:, None, None]

    def step(state: Any, now: Any) -> tuple[Any, Any]:
        (h, c), (gate, kept) = state, now
        z = gate.astype(dtype) + (h @ kernel).astype(dtype) + bias.astype(dtype)
        opened = jnp.tanh(z.reshape(-1, 4, units).transpose(1, 0, 2) * half) * half + (1 - half)
        i, f, g, o = opened
        new_c = f * c + i * g
        new_h = (o * jnp.tanh(new_c)).astype(h.dtype)
        if masked:
            new_c, new_h = jnp.where(kept, new_c, c), jnp.where(kept, new_h, h)
        return (new_h, new_c), (new_h, c, opened)

    (_, last_c), (hs, cs, opened) = jax.lax.scan(step, (h, c.astype(dtype)), (gates, keep))
    return (hs, hs[-1], last_c), (hs, cs, last_c, opened, kernel, bias, h, c, keep)


def _backwards(masked: bool, forwards: Any, upstream: Any) -> tuple[Any, ...]:
    hs, cs, last_c, opened, kernel, bias, h, c, keep = forwards  # `cs` are those before each step
    dtype = cs.dtype
    d_hs, d_h, d_c = (part.astype(dtype) for part in upstream)
    before_h = jnp.concatenate([h[None], hs[:-1]])
    turned = kernel.T  # once, not at every step

    def step(state: Any, now: Any) -> tuple[Any, Any]:
        (d_h, d_c, now_c), (d_out, (i, f, g, o), before_c, kept) = state, now
        squashed = jnp.tanh(now_c)
        d_h = d_h + d_out
        through_c = d_c + d_h * o * (1 - squashed * squashed)
        d_i, d_f = through_c * g * i * (1 - i), through_c * before_c * f * (1 - f)
        d_g, d_o = through_c * i * (1 - g * g), d_h * squashed * o * (1 - o)
        d_z = jnp.concatenate([d_i, d_f, d_g, d_o], axis=1)
        past_c = through_c * f
        if masked:
            d_z = jnp.where(kept, d_z, 0)
        narrow = d_z.astype(kernel.dtype)
        past_h = (narrow @ turned).astype(dtype)
        if masked:
            past_h, past_c = jnp.where(kept, past_h, d_h), jnp.where(kept, past_c, d_c)
        return (past_h, past_c, before_c), narrow

    each = (d_hs, opened, cs, keep)
    (d_h, d_c, _), d_gates = jax.lax.scan(step, (d_h, d_c, last_c), each, reverse=True)
    rows = before_h.reshape(-1, kernel.shape[0])
    flat = d_gates.reshape(-1, kernel.shape[1])
    d_bias = flat.sum(0).astype(bias.dtype)
    return d_gates, rows.T @ flat, d_bias, d_h.astype(h.dtype), d_c.astype(c.dtype), None


_run.defvjp(_forwards, _backwards)
