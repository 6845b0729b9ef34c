"""`lab new`: the files that an experiment of one's own begins with."""

from __future__ import annotations

import contextlib
import keyword
import re
from pathlib import Path

from lab._utils.files import write_text
from lab.errors import UsageError
from lab.trainer.discovery import PACKAGE, snake_case

EXPERIMENT = '''"""Which digit is it?

make {name}

Ask your own question here, and say how long it takes and what comes out.
"""

import keras

import lab
from lab.report import plots
from lab.data.datasets import mnist


class Settings(lab.Settings):
    hidden: int = lab.field(64, "Units in the hidden layer.", ge=1)
    data: str | None = lab.field(None, "An .npz file in MNIST's format; MNIST itself unless given.")


class {class_name}(lab.Experiment[Settings]):
    trainer = {{"epochs": 3, "batch_size": 128}}
    key_metric = "test_accuracy"
    key_metric_mode = "max"

    def prepare(self):
        return mnist.load(self.settings.data)

    def build(self, data):
        layers = [keras.Input(data.train.x.shape[1:]), keras.layers.Flatten()]
        layers += [keras.layers.Dense(self.settings.hidden, "relu"), keras.layers.Dense(10)]
        model = keras.Sequential(layers)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
        return model

    def report(self, run, report):
        test = run.data.test
        report.section("Which digit is it?")
        report.metric("test_accuracy", run.evaluate("test", "accuracy"), "Share of test digits that are named right.")
        named = run.model.predict(test.x[:10], verbose=0).argmax(axis=1)
        report.figure(
            "digits",
            plots.image_rows({{"test digits": test.x[:10]}}, columns=[f"it says {{digit}}" for digit in named]),
            "The first test digits, and what the model says they are.",
        )
'''

TEST = '''"""{class_name} keeps what the lab promises, on data made here."""

import numpy as np

from {package}.{name} import {class_name}
from lab.testing import check_experiment


def test_it_keeps_what_the_lab_promises(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    labels = (np.arange(300) % 10).astype(np.uint8)
    split = {{"x_train": images[:240], "y_train": labels[:240], "x_test": images[240:], "y_test": labels[240:]}}
    np.savez(tmp_path / "digits.npz", **split)
    path = str(tmp_path / "digits.npz")
    check_experiment({class_name}, data=path, hidden=8, jit=False)  # XLA would compile for longer
'''


def create(name: str, root: Path) -> list[Path]:
    """Writes an experiment that runs as it is, and its test; returns their paths.

    Args:
        name: in snake case: the file's name and the make target.
        root: the folder that holds `experiments`.

    Raises:
        UsageError: the name cannot be one, or one of the files is there already; nothing is written.
        WriteError: the folder cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise UsageError(f"new {name}: expected a name in snake case, such as my_idea")
    class_name = name.title().replace("_", "")
    if snake_case(class_name) != name:
        raise UsageError(
            f"new {name}: a class {class_name} would be called {snake_case(class_name)}; take another name"
        )
    with contextlib.suppress(OSError):  # there may be no Makefile
        if re.search(rf"^{name}:", (root / "Makefile").read_text("utf-8"), re.MULTILINE):
            raise UsageError(f"new {name}: make has a target of that name; take another name")
    files = {root / PACKAGE / f"{name}.py": EXPERIMENT, root / "tests" / PACKAGE / f"test_{name}.py": TEST}
    for path in files:
        if path.exists():
            raise UsageError(f"new {name}: {path.relative_to(root)} is there already; take another name")
    if not (root / PACKAGE / "__init__.py").exists():
        write_text(root / PACKAGE / "__init__.py", "")  # else a package of that name that is installed comes first
    for path, text in files.items():
        write_text(path, text.format(name=name, class_name=class_name, package=PACKAGE))
    return list(files)
