"""Engines for the sentiment classifier: the default model on batches of similar length, all from the same weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

import lab
from experiments.sentiment_analysis import SentimentAnalysis
from lab.callbacks.progress import Progress
from lab.callbacks.weights import AveragedWeights, ResetStates
from lab.data import Batches, Data
from lab.engine.execution import prepare_model
from lab.trainer.fit import batches_for
from lab.trainer.optimizers import configure
from lab.trainer.trainer import Trainer
from tests.benchmarks import tasks
from tests.benchmarks.training import Clock, faster
from tests.benchmarks.worker import Turns


def ready(turns: Turns, *, pretrained: bool = False) -> tuple[SentimentAnalysis, Data, Trainer]:
    """Returns the experiment, a share of its data and the resolved trainer."""
    lab.backend.select(None)
    experiment = SentimentAnalysis(pretrained=pretrained)
    data = experiment.prepare()
    if turns.options.get("share"):
        data = data.head(len(data.train) // int(turns.options["share"]))
    return experiment, data, lab.Trainer().resolve(experiment)


def prepare(turns: Turns) -> None:
    """Writes the batches of all turns, the first weights and the numbers of the optimizer."""
    experiment, data, trainer = ready(turns, pretrained=True)
    keras.utils.set_random_seed(0)
    model = experiment.build(data)
    train, _ = batches_for(trainer, data)
    batches = [batch for epoch in range(turns.count) for batch in train.epoch(epoch)]
    arrays = {f"x{place}": batch[0] for place, batch in enumerate(batches)}
    np.savez(turns.folder / "data.npz", **arrays, **{f"y{place}": batch[1] for place, batch in enumerate(batches)})
    tasks.save_weights(turns.folder, model.get_weights())
    optimizer = model.optimizer.get_config()
    told = {name: optimizer[name] for name in ("learning_rate", "beta_1", "beta_2", "weight_decay")}
    known = experiment.settings
    told |= {
        name: getattr(known, name) for name in ("units", "segment", "word_dropout", "embedding_dropout", "dropout")
    }
    told |= {
        "epsilon": tasks.EPSILON,
        "warmup": trainer.warmup_steps,
        "ema": trainer.ema_momentum,
        "batch": trainer.batch_size,
    }
    told |= {"steps": train.steps_per_epoch, "total": len(batches)}
    (turns.folder / "told.json").write_text(json.dumps(told))
    turns.end()


def _configured(model: Any, trainer: Trainer, train: Batches, turns: Turns) -> None:
    tasks.begin(model, turns.folder)
    configure(model, trainer, turns.count * train.steps_per_epoch)


def with_lab(turns: Turns) -> None:
    """`Experiment.fit` with the trainer's and the experiment's defaults."""
    experiment, data, trainer = ready(turns)
    tasks.sum_embeddings()
    model = experiment.build(data)
    train, validation = batches_for(trainer, data)
    _configured(model, trainer, train, turns)
    prepare_model(model, trainer, [])
    validation.steps_per_epoch = 1  # only the training is timed
    callbacks = [Progress(train), ResetStates(), AveragedWeights(), Clock(turns, train.steps_per_epoch)]
    experiment.fit(model, train, validation, epochs=turns.count, callbacks=callbacks, verbose=0)


def with_keras(turns: Turns) -> None:
    """`Model.fit` with Keras's layers on a `tf.data.Dataset` of the same batches."""
    import tensorflow as tf

    experiment, data, trainer = ready(turns)
    tasks.sum_embeddings()
    with tasks.keras_layers():
        model = experiment.build(data)
    train, _ = batches_for(trainer, data)
    _configured(model, trainer, train, turns)
    faster(model, turns.options)
    arrays, steps = np.load(turns.folder / "data.npz"), train.steps_per_epoch
    made = [(arrays[f"x{place}"], arrays[f"y{place}"]) for place in range(turns.count * steps)]
    clock = Clock(turns, steps)

    def batches() -> Iterator[Any]:
        yield from made[clock.epoch * steps : (clock.epoch + 1) * steps]

    kinds = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, 1), tf.float32)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=kinds)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)
    model.fit(dataset, epochs=turns.count, callbacks=[clock], verbose=0)
