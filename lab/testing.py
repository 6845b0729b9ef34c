"""A test of your own experiment in one call: `lab.testing.check_experiment(MyIdea, latent_dim=4)`."""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console

from lab.callbacks.base import Callback
from lab.callbacks.weights import reset_states
from lab.checkpoints.manager import CheckpointManager
from lab.data import Data
from lab.data.batching import batched
from lab.engine import backend
from lab.experiment import Experiment
from lab.runs.run import Run
from lab.runs.status import Status
from lab.settings import list_settings, show
from lab.trainer.checks import check_data, check_fit, check_model
from lab.trainer.fit import batches_for
from lab.trainer.optimizers import configure as configure_model
from lab.trainer.registry import configure
from lab.trainer.trainer import Trainer

_TIMES = ("seconds", "training_seconds")  # what no two runs have in common
_STEPS = 4  # an epoch has in the run that is killed


def check_experiment(
    experiment: type[Experiment[Any]],
    /,
    *,
    overfit_steps: int = 100,
    overfit_to: float = 0.9,
    ignore: Collection[str] = (),
    **settings: Any,
) -> None:
    """Checks everything that the lab promises of an experiment, on little data.

    It checks that

    - its settings and presets survive text and JSON, and each has a line of help;
    - `prepare` returns the same data twice, and `build` a fresh compiled model that takes a batch of it;
    - training repeatedly on one batch lowers its loss;
    - a model that is saved and loaded predicts the same, to the last bit;
    - a run that is killed inside its second epoch and resumed ends like an uninterrupted one: the same
      weights, history and metrics, to the last bit;
    - the report has finite metrics, the key metric among them, and its pages are complete.

    Runs are written to a folder that is deleted afterwards.

    Args:
        experiment: the class.
        overfit_steps: how often to train on the one batch.
        overfit_to: the loss must then be below this share of the first one.
        ignore: metrics of the report that differ between runs, such as a speed.
        **settings: those of the experiment and of the trainer that make it quick: small data, a small model.

    Raises:
        AssertionError: the first of these that does not hold, with what was expected and what was found.
        LabError: settings are wrong, or a stage failed.

    Example:
        ```python
        def test_my_idea(tmp_path):
            lab.testing.check_experiment(MyIdea, hidden=8, limit_batches=10)
        ```
    """
    with tempfile.TemporaryDirectory(prefix="lab-check-") as folder:
        checks = _Checks(experiment, settings, Path(folder), {*_TIMES, *ignore})
        checks.settings()
        checks.hooks()
        checks.overfits(overfit_steps, overfit_to)
        checks.resumes()
        checks.reports()


class _Killed(BaseException):
    """Ends a run as if its process had been killed."""


class _Kill(Callback):
    """Kills a run at the end of a step, counted from 1."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise _Killed


class _Checks:
    def __init__(self, kind: type[Experiment[Any]], settings: dict[str, Any], folder: Path, ignore: set[str]) -> None:
        self.kind = kind
        self.given = settings
        self.folder = folder
        self.ignore = ignore
        self.console = Console(file=io.StringIO(), width=120)

    def _made(self, **more: Any) -> tuple[Experiment[Any], Trainer]:
        made, trainer = configure(self.kind, {**self.given, **more})
        backend.select(trainer.resolve(made).backend)
        return made, trainer

    def _expect(self, holds: bool, hook: str, message: str) -> None:
        if not holds:
            raise AssertionError(f"{self.kind.__name__}.{hook}: {message}")

    def settings(self) -> None:
        made, _ = self._made()
        kind, settings = type(made.settings), made.settings
        self._expect(kind(**settings.json_values()) == settings, "Settings", "expected the same after JSON")
        text = {setting.name: show(getattr(settings, setting.name)) for setting in list_settings(kind)}
        self._expect(kind(**text) == settings, "Settings", "expected the same after text, as a command line has it")
        for setting in list_settings(kind):
            self._expect(
                bool(setting.help.strip()), f"Settings.{setting.name}", "expected a line of help: lab.field(..., help)"
            )
        for preset in self.kind.presets:
            configure(self.kind, {"preset": preset})

    def hooks(self) -> None:
        made, trainer = self._made()
        trainer = trainer.resolve(made)
        with backend.configured(trainer.precision, trainer.seed):
            data, again = made.prepare(), made.prepare()
            check_data(data, f"{self.kind.__name__}.prepare")
            same = data.fingerprint() == again.fingerprint()
            self._expect(same, "prepare", "expected the same data at each call; take a seed for what is random")
            model, other = made.build(data), made.build(data)
            check_model(model, f"{self.kind.__name__}.build")
            self._expect(model is not other, "build", "expected a fresh model at each call, got the same one twice")
            train, _ = batches_for(trainer, data)
            check_fit(model, train)
            self._saves(model, made, data, trainer)

    def _saves(self, model: keras.Model, made: Experiment[Any], data: Data, trainer: Trainer) -> None:
        run = Run(self.folder / "saved")
        run.path.mkdir()
        run.write_settings({"experiment": made.name(), "class": self.kind.import_path()})
        inputs = next(batched(data.validation, trainer.batch_size, shuffle=False).epoch(0))[0]
        run.model = model
        before = _predicted(model, inputs)
        run.save_model()
        run.release_model()
        pairs = zip(before, _predicted(run.model, inputs), strict=True)
        worst = max(float(np.max(np.abs(one - other), initial=0.0)) for one, other in pairs)
        self._expect(worst == 0.0, "build", f"expected a saved model to predict the same, it differs by {worst:.3g}")

    def overfits(self, steps: int, below: float) -> None:
        made, trainer = self._made()
        trainer = Trainer(**{**trainer.resolve(made).json_values(), "learning_rate_schedule": None, "warmup_steps": 0})
        with backend.configured(trainer.precision, trainer.seed):
            data = made.prepare()
            model = made.build(data)
            configure_model(model, trainer, steps)
            batch = next(batches_for(trainer, data)[0].epoch(0))
            losses = [float(model.train_on_batch(*batch, return_dict=True)["loss"]) for _ in range(steps)]
        self._expect(
            losses[-1] < below * losses[0],
            "build",
            f"expected training on one batch to lower its loss below {below:g} of the first, it went from "
            f"{losses[0]:.4g} to {losses[-1]:.4g} in {steps} steps",
        )

    def resumes(self) -> None:
        quick: dict[str, Any] = {
            "epochs": 2,
            "limit_batches": _STEPS,
            "patience": None,
            "max_time": None,
            "steps_per_execution": 1,
            "checkpoint_every": 1e-6,
            "max_steps": None,
            "fast_dev_run": False,
            "overfit_batches": None,
        }
        self.complete = self._run("complete", _Kill(0), **quick)
        made, trainer = self._made(**quick, run_dir=str(self.folder / "killed"))
        steps = len(self.complete.history) and int(self.complete.history[0]["step"])
        with contextlib.suppress(_Killed):
            trainer.run(made, callbacks=[_Kill(steps + max(1, steps // 2))], console=self.console)
        self._expect(not Run(self.folder / "killed").is_complete, "fit", "expected every step to reach callbacks")
        made, trainer = self._made(**quick, run_dir=str(self.folder / "killed"))
        done = trainer.resume(made, Run(self.folder / "killed"), callbacks=[_Kill(0)], console=self.console)
        expected, resumed = _outcome(self.complete, self.ignore), _outcome(done, self.ignore)
        different = [name for name in expected if expected[name] != resumed[name]]
        self._expect(
            not different,
            "fit",
            f"expected a resumed run to end like an uninterrupted one; {', '.join(different)} differ",
        )

    def reports(self) -> None:
        run, kind = self.complete, self.kind
        self._expect(run.status is Status.COMPLETED, "report", f"expected a completed run, it is {run.status}")
        key, metrics = kind.key_metric, run.metrics
        self._expect(not key or key in metrics, "report", f"expected the key metric {key!r} in {sorted(metrics)}")
        lost = [name for name, value in metrics.items() if not math.isfinite(value)]
        self._expect(not lost, "report", f"expected finite metrics, {', '.join(lost)} are not")
        page = (run.path / "report.html").read_text("utf-8")
        self._expect(page.rstrip().endswith("</html>"), "report", "expected a complete page report.html")
        missing = [
            item["file"]
            for item in run.report["items"]
            if "file" in item and (run.path / item["file"]).read_bytes()[:4] != b"\x89PNG"
        ]
        self._expect(not missing, "report", f"expected pictures in {', '.join(missing)}")

    def _run(self, place: str, *callbacks: Callback, report: bool = True, **more: Any) -> Run:
        made, trainer = self._made(**more, run_dir=str(self.folder / place))
        return trainer.run(made, callbacks=callbacks, console=self.console, report=report)


def _predicted(model: keras.Model, inputs: Any) -> list[np.ndarray[Any, Any]]:
    reset_states(model)
    result = model(keras.tree.map_structure(keras.ops.convert_to_tensor, inputs), training=False)
    return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(result)]


def _outcome(run: Run, ignore: Collection[str]) -> dict[str, Any]:
    """Everything that must be the same."""
    run = Run(run.path)
    history = [{name: value for name, value in row.items() if name not in ignore} for row in run.history]
    metrics = {name: value for name, value in run.metrics.items() if name not in ignore}
    newest = CheckpointManager(run.path / "checkpoints").newest()
    state = {} if newest is None else {name: value.tobytes() for name, value in newest.variables.items()}
    return {"weights": run.weights_hash(), "history": history, "metrics": metrics, "the training state": state}
