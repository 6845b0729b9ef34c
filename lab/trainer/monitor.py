"""The monitored metric: whether the model reports it, and whether it should be low or high."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from typing import Any

import keras

from lab.callbacks.base import Callback, Order
from lab.callbacks.history import scalars
from lab.errors import ModelError, SettingsError, nearest

_HIGH = re.compile(r"acc|auc|precision|recall|f1|f_?beta|iou|dice|bleu|r2|psnr|ssim|score|likelihood")
_LOW = re.compile(r"loss|error|mse|mae|rmse|mape|entropy|divergence|perplexity|distance|nats|bits")


def mode_of(model: keras.Model, monitor: str, mode: str) -> str:
    """Returns `min` or `max`: whether a monitored metric should be low or high.

    Args:
        model: compiled and built.
        monitor: the metric's name in the logs.
        mode: `min`, `max`, or `auto`: by Keras's own rule, and by the name where Keras has none.

    Raises:
        SettingsError: neither has a rule for it.
    """
    if mode != "auto":
        return mode
    name = re.sub(r"_\d+$", "", monitor)  # one value of several
    for candidate in (monitor, name):
        judge = keras.callbacks.EarlyStopping(candidate)
        judge.set_model(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                judge.on_epoch_end(0, {candidate: 0.0})
        except ValueError:  # Keras has no rule for it
            continue
        return "min" if judge.monitor_op is keras.ops.less else "max"
    high, low = _HIGH.search(name.lower()), _LOW.search(name.lower())
    if bool(high) == bool(low):
        raise SettingsError([f"monitor={monitor}: low or high, which is better? Set monitor_mode=min or max"])
    return "max" if high else "min"


def check_monitor(monitor: str, names: Collection[str] | None, callbacks: Collection[keras.callbacks.Callback]) -> None:
    """Refuses a monitored metric that the logs will not have.

    Args:
        monitor: the trainer's.
        names: those that the logs will have; None where they are not known.
        callbacks: a user's, whose `monitor` is checked as well.

    Raises:
        SettingsError: the logs will not have it, and no callback may add it.
    """
    base = keras.callbacks.Callback
    own = [one for one in callbacks if not type(one).__module__.startswith(("keras.", "lab."))]
    if names is None or any(type(callback).on_epoch_end is not base.on_epoch_end for callback in own):
        return
    wanted = [("monitor", monitor)]
    wanted += [(f"{type(one).__name__}(monitor=...)", one.monitor) for one in callbacks if _monitors(one)]
    faults = [
        f"{where}: {name!r} is not in the logs{nearest(name, names) or ''}; expected one of {', '.join(sorted(names))}"
        for where, name in wanted
        if name not in names
    ]
    if faults:
        raise SettingsError(faults)


def _monitors(callback: Any) -> bool:
    """Whether a callback acts on the metric that it names; a `ModelCheckpoint` only does where it keeps the best."""
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_best_only:
        return False
    return isinstance(getattr(callback, "monitor", None), str)


class MonitorCheck(Callback):
    """Ends training after the first validated epoch if its logs do not have the monitored metric."""

    order = Order.RECORD

    def __init__(self, monitor: str) -> None:
        super().__init__()
        self.monitor = monitor
        self._checked = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        names = scalars(logs)
        validated = not self.monitor.startswith("val_") or any(name.startswith("val_") for name in names)
        if self._checked or not validated:
            return
        self._checked = True
        if self.monitor not in names:
            raise ModelError(
                f"monitor={self.monitor}: it is not in the logs{nearest(self.monitor, names) or ''}; "
                f"expected one of {', '.join(names)}"
            )
