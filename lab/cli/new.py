"""`lab new`: the files that a new experiment starts from."""

from __future__ import annotations

import contextlib
import keyword
import re
from pathlib import Path

from lab._utils.files import write_text
from lab._utils.project import PACKAGE
from lab.errors import UsageError

EXPERIMENT = '''"""Which digit is it?

make {name}

Ask your own question here; state how long training takes and what the result is.
"""

import lab  # first: the setting `backend` can then choose Keras's backend
import keras

from lab.data.datasets import mnist
from lab.report import plots


class Settings(lab.Settings):
    hidden: int = lab.field(64, "Units in the hidden layer.", ge=1)
    data: str | None = lab.field(None, "An .npz file in MNIST's format; the default is MNIST.")


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
        report.metric("test_accuracy", run.evaluate("test", "accuracy"), "Share of correctly classified test digits.")
        predicted = run.model.predict(test.x[:10], verbose=0).argmax(axis=1)
        report.figure(
            "digits",
            plots.image_rows({{"test digits": test.x[:10]}}, columns=[str(digit) for digit in predicted]),
            "The first test digits, and the model's predictions.",
        )


if __name__ == "__main__":  # for `python experiments/{name}.py`
    lab.main()
'''

TEST = '''"""{class_name} passes the checks that the lab has for every experiment."""

import numpy as np

from {package}.{name} import {class_name}
from lab.testing import check_experiment


def test_it_passes_all_checks(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    labels = (np.arange(300) % 10).astype(np.uint8)
    split = {{"x_train": images[:240], "y_train": labels[:240], "x_test": images[240:], "y_test": labels[240:]}}
    np.savez(tmp_path / "digits.npz", **split)
    path = str(tmp_path / "digits.npz")
    check_experiment({class_name}, data=path, hidden=8, jit=False)  # compiling with XLA would take longer
'''


def create(name: str, root: Path) -> list[Path]:
    """Writes an experiment that is ready to run, and its test; returns their paths.

    Args:
        name: in snake case: the file's name and the make target.
        root: the folder that holds `experiments`.

    Raises:
        UsageError: the name is not valid, or one of the files exists; nothing is written.
        WriteError: the files cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise UsageError(f"new {name}: expected a name in snake case, such as my_idea")
    class_name = name.title().replace("_", "")
    with contextlib.suppress(OSError):  # there may be no Makefile
        if re.search(rf"^{name}:", (root / "Makefile").read_text("utf-8"), re.MULTILINE):
            raise UsageError(f"new {name}: make has a target of that name; choose another")
    files = {root / PACKAGE / f"{name}.py": EXPERIMENT, root / "tests" / PACKAGE / f"test_{name}.py": TEST}
    for path in files:
        if path.exists():
            raise UsageError(f"new {name}: {path.relative_to(root)} exists; choose another name")
    if not (root / PACKAGE / "__init__.py").exists():
        write_text(root / PACKAGE / "__init__.py", "")  # else Python prefers an installed package of that name
    for path, text in files.items():
        write_text(path, text.format(name=name, class_name=class_name, package=PACKAGE))
    return list(files)
