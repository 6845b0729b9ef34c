"""Progress: epochs and steps, however many steps a call takes, and where the last epoch is cut."""

from __future__ import annotations

from typing import Any

import keras

from lab.callbacks.progress import Progress
from lab.data import Batches
from tests.callbacks.fitting import TRAIN, AtStep, Fit, new_fit, small_model, stop


def seen(fit: Fit, model: Any, epochs: int) -> list[tuple[int, int, int]]:
    """Trains, and returns (epoch, step, steps done) after each call and each epoch."""
    progress, noted = fit.progress, list[tuple[int, int, int]]()

    class Notes(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            noted.append((progress.epoch, progress.step, progress.steps_done))

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            noted.append((progress.epoch, progress.step, progress.steps_done))

    fit.run(model, epochs=epochs, callbacks=[Notes()])
    return noted


def test_every_step_and_complete_epochs_are_counted() -> None:
    assert seen(new_fit(), small_model(), 2) == [
        *((0, step, step) for step in (1, 2, 3, 4, 5)),
        (1, 0, 5),
        *((1, step, 5 + step) for step in (1, 2, 3, 4, 5)),
        (2, 0, 10),
    ]


def test_steps_of_one_execution_are_counted_together() -> None:
    assert seen(new_fit(), small_model(steps_per_execution=3), 1) == [(0, 3, 3), (0, 5, 5), (1, 0, 5)]


def test_a_limit_of_batches_ends_an_epoch() -> None:
    assert [done for _, _, done in seen(new_fit(limit=2), small_model(), 2)] == [1, 2, 2, 3, 4, 4]


def test_the_last_epoch_is_cut_where_stop_says() -> None:
    for steps_per_execution in (1, 4):
        model = small_model(steps_per_execution=steps_per_execution)
        assert seen(new_fit(stop=7), model, 2)[-2:] == [(1, 2, 7), (2, 0, 7)]
        assert int(model.optimizer.iterations) == 7


def test_an_epoch_that_was_not_finished_does_not_count() -> None:
    fit = new_fit()
    fit.run(small_model(), epochs=3, callbacks=[AtStep(7, stop)])
    assert (fit.progress.epoch, fit.progress.step, fit.progress.steps_done) == (1, 2, 7)


def test_training_resumes_inside_an_epoch() -> None:
    fit, model = new_fit(), small_model()
    fit.progress.resume_at(1, 3)
    assert fit.progress.steps_done == 8
    fit.run(model, epochs=3, initial_epoch=1)
    assert int(model.optimizer.iterations) == 2 + 5, "the rest of the second epoch, and the third"
    assert fit.progress.steps_done == 15


def test_a_later_first_epoch_counts_those_before() -> None:
    fit = new_fit()
    fit.run(small_model(), epochs=5, initial_epoch=3)
    assert fit.progress.steps_done == 25


def test_before_training_nothing_is_done() -> None:
    progress = Progress(Batches(TRAIN, 4))
    assert (progress.epoch, progress.step, progress.steps_done, progress.resumed) == (0, 0, 0, False)
