"""A learning rate that falls with the steps or the clock, whichever ends training sooner."""

from __future__ import annotations

import pytest

from lab.callbacks.learning_rate import Annealing
from lab.runs.status import StopReason
from tests.callbacks.fitting import Clock, Fit, hooks, new_fit, small_model


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("lab.callbacks.stopping.time", clock)
    return clock


def annealed(fit: Fit, clock: Clock, steps: int, epochs: int = 1) -> list[tuple[float, int, float]]:
    """Trains, a second a step, and returns for each step: share of training, steps done, the optimizer's rate."""
    asked: list[tuple[float, int]] = []
    rates: list[float] = []

    def rate(share: float, done: int) -> float:
        asked.append((share, done))
        return 1.0 - share

    class Ticking(Annealing):
        """Lets a second pass before it looks at the clock."""

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            clock.wait(1)
            super().on_train_batch_end(batch, logs)

    model = small_model()
    notes = hooks(on_train_batch_begin=lambda batch, logs=None: rates.append(float(model.optimizer.learning_rate)))
    fit.run(model, epochs=epochs, callbacks=[Ticking(rate, steps, fit.stopping, fit.progress), notes])
    return [(share, done, rate) for (share, done), rate in zip(asked, rates, strict=False)]


def test_the_rate_follows_the_steps_where_they_end_sooner(clock: Clock) -> None:
    rows = annealed(new_fit(max_seconds=1000.0), clock, steps=5)
    assert [done for _, done, _ in rows] == [0, 1, 2, 3, 4]
    assert [share for share, _, _ in rows] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert [rate for _, _, rate in rows] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_the_rate_follows_the_clock_where_that_ends_sooner(clock: Clock) -> None:
    fit = new_fit(max_seconds=4.0)
    rows = annealed(fit, clock, steps=100, epochs=3)
    assert fit.stopping.reason is StopReason.MAX_TIME
    assert [rate for _, _, rate in rows] == pytest.approx([1, 0.75, 0.5, 0.25])
