"""Engines that only look: digits through the autoencoder, reviews through the classifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import lab
from experiments.autoencoder import Autoencoder
from lab.data.datasets import mnist
from lab.engine.inference import predict
from lab.runs.run import Run
from lab.tasks.text.classifier import TextClassifier
from tests.benchmarks import sentiment, tasks
from tests.benchmarks.training import faster
from tests.benchmarks.worker import Turns


def prepare_digits(turns: Turns) -> None:
    """Writes the test digits, the weights, and a model as a run keeps it."""
    lab.backend.select(None)
    data = mnist.load().as_inputs_and_targets()
    keras.utils.set_random_seed(0)
    tasks.save_weights(turns.folder, tasks.build("deep", data).get_weights())
    model = Autoencoder().build(data)
    tasks.begin(model, turns.folder)
    _save(turns, Autoencoder(), model)
    np.savez(turns.folder / "data.npz", x=data.test.x[: int(turns.options["examples"])])
    (turns.folder / "told.json").write_text("{}")
    turns.end()


def prepare_reviews(turns: Turns) -> None:
    """Writes reviews by their number, padded to the width of the longest, and a model as a run keeps it."""
    experiment, data, _ = sentiment.ready(turns)
    keras.utils.set_random_seed(0)
    model = experiment.build(data)
    tasks.save_weights(turns.folder, model.get_weights())
    _save(turns, experiment, model)
    texts = data.train.x[: int(turns.options["examples"])]
    np.savez(turns.folder / "data.npz", x=texts[np.arange(len(texts))], lengths=texts.lengths, widths=texts.widths)
    known = experiment.settings
    told = {name: getattr(known, name) for name in ("units", "segment", "word_dropout", "embedding_dropout", "dropout")}
    (turns.folder / "told.json").write_text(json.dumps(told))
    turns.end()


def _save(turns: Turns, experiment: Any, model: Any) -> None:
    run = Run.create(experiment.name(), turns.folder / "run")
    kind = type(experiment)
    run.write_settings({"experiment": experiment.name(), "class": kind.import_path(), "trainer": {}})
    run.model = model
    run.save_model()
    run.unlock()


def _model(turns: Turns) -> Any:
    lab.backend.select(None)
    model = Run.load(turns.folder / "run").model
    faster(model, turns.options)
    return model


def digits_with_lab(turns: Turns) -> None:
    """`lab.engine.inference.predict` on images, as the reports do it."""
    model = _model(turns)
    _draw(turns, lambda x: predict(model, x))


def digits_with_keras(turns: Turns) -> None:
    """`Model.predict` on images, by the options of the engine."""
    lab.backend.select(None)
    model, size = tasks.build("deep", tasks.load("deep", turns.folder)), int(turns.options["predict_batch"])
    tasks.begin(model, turns.folder)
    faster(model, turns.options)
    _draw(turns, lambda x: model.predict(x, batch_size=size, verbose=0))


def _draw(turns: Turns, draw: Callable[[Any], Any]) -> None:
    x = np.load(turns.folder / "data.npz")["x"]
    for _ in range(turns.count):
        turns.begin()
        drawn = draw(x)
        turns.stop()
        turns.end(loss=float(np.square(np.asarray(drawn) - x).mean()))


def reviews_with_lab(turns: Turns) -> None:
    """`TextClassifier.logits`, as reports and `lab predict` have it."""
    from lab.data.ragged import Ragged

    classifier = TextClassifier(_model(turns))
    arrays = np.load(turns.folder / "data.npz")
    x, lengths = arrays["x"], arrays["lengths"]
    texts = Ragged.of([row[:length] for row, length in zip(x, lengths, strict=True)], arrays["widths"].tolist())
    for _ in range(turns.count):
        turns.begin()
        logits = classifier.logits(texts)
        turns.stop()
        turns.end(loss=float(np.logaddexp(0, logits).mean()))


def reviews_with_keras(turns: Turns) -> None:
    """`predict` on the padded array."""
    model, x = _model(turns), np.load(turns.folder / "data.npz")["x"]
    for _ in range(turns.count):
        turns.begin()
        logits = model.predict(x, batch_size=int(turns.options.get("predict_batch", 32)), verbose=0)
        turns.stop()
        turns.end(loss=float(np.logaddexp(0, np.asarray(logits, np.float64)).mean()))
