"""From typing `lab run autoencoder` to the first step: run by `alone.py` as a process of its own.

The command is what the terminal calls; the marks are taken where its stages begin and where the
first call of the compiled program comes back.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any
from unittest import mock


def main() -> None:
    """Runs the command, and ends with the seconds of each part on the standard output, as JSON."""
    began = float(sys.argv[1])
    marks: list[tuple[str, float]] = [("python", time.time())]
    from lab.cli.main import main as command
    from lab.trainer.stages import Session

    marks.append(("import lab", time.time()))
    stage = Session._stage

    def marked(self: Session, name: str) -> Any:
        if name == "prepare":
            marks.append(("import keras and TensorFlow", time.time()))
        elif name == "build":
            marks.append(("data", time.time()))
        elif name == "fit":
            marks.append(("build", time.time()))
            _watch(marks, began)
        return stage(self, name)

    sys.argv = ["lab", "run", *sys.argv[2:]]
    with mock.patch.object(Session, "_stage", marked):
        command()


def _watch(marks: list[tuple[str, float]], began: float) -> None:
    import keras

    class First(keras.callbacks.CallbackList):  # type: ignore[misc]  # Keras has no types
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            marks.append(("first step: trace, compile, run", time.time()))
            last, parts = began, {}
            for name, moment in marks:
                parts[name], last = moment - last, moment
            sys.__stdout__.write("\n" + json.dumps(parts) + "\n")  # type: ignore[union-attr]
            sys.__stdout__.flush()  # type: ignore[union-attr]
            os._exit(0)

    keras.callbacks.CallbackList = First


if __name__ == "__main__":
    main()
