"""The denoising autoencoder: its noise, its comparison, its report, and that it learns real digits."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import lab
from experiments.autoencoder import Autoencoder
from experiments.denoising_autoencoder import DenoisingAutoencoder
from experiments.reports import denoising_measures
from experiments.reports.likeness import describe, likeness
from experiments.reports.pictures import DenoisingOptions
from lab.data.datasets import mnist
from lab.data.io.images import read_grey
from lab.errors import SettingsError
from lab.runs.run import Run
from lab.tasks.images import filters
from lab.tasks.images.scores import psnr, squared_error

SMALL: dict[str, Any] = {"hidden_units": (64,), "latent_dim": 16}
LEVELS = (0.0, 0.5, 1.0)
EVERY_FILTER = filters.available


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


@pytest.fixture(scope="module", autouse=True)
def _briefly() -> Iterator[None]:
    """Fewer levels on the curve, fewer digits to tune filters on, and only the quick filters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "available", lambda: EVERY_FILTER()[:2])
        patch.setattr(denoising_measures, "LEVELS", LEVELS)
        patch.setattr(denoising_measures, "TUNED_ON", 100)
        yield


@pytest.fixture(scope="module")
def trained(digits_file: Path, tmp_path_factory: pytest.TempPathFactory) -> lab.Run:
    """A small denoising autoencoder, trained on generated digits, and its reference runs."""
    experiment = DenoisingAutoencoder(data=digits_file, **SMALL)
    trainer = lab.Trainer(epochs=12, batch_size=16, jit=False, run_dir=tmp_path_factory.mktemp("run"))
    return trainer.run(experiment, console=quiet())


def items(run: lab.Run, kind: str) -> list[dict[str, Any]]:
    return [item for item in run.report["items"] if item["kind"] == kind]


# --- data -----------------------------------------------------------------------------------------


def test_noise_goes_in_and_the_clean_digit_is_the_target(digits_file: Path) -> None:
    clean = Autoencoder(data=digits_file).prepare()
    data = DenoisingAutoencoder(data=digits_file).prepare()
    assert data.train.x is data.train.y, "training digits get their noise in the graph"
    for name in ("validation", "test"):
        split, original = data.split(name), clean.split(name)
        assert np.array_equal(split.y, original.x)
        assert split.labels is not None
        assert original.labels is not None
        assert list(split.labels) == list(original.labels)
        assert split.x.shape == original.x.shape
        assert split.x.min() == 0
        assert split.x.max() == 1
        black = split.x[split.y == 0]
        assert (black == 0).mean() == pytest.approx(0.5, abs=0.01)
        assert black[black > 0].mean() == pytest.approx(0.5 * np.sqrt(2 / np.pi), abs=0.02)


def test_the_noise_on_test_digits_is_fixed_by_its_seed(digits_file: Path) -> None:
    one, same, other = (DenoisingAutoencoder(data=digits_file, noise_seed=seed).prepare() for seed in (0, 0, 1))
    assert np.array_equal(one.test.x, same.test.x)
    assert np.array_equal(one.validation.x, same.validation.x)
    assert not np.array_equal(one.test.x, other.test.x)
    few = min(len(one.validation), len(one.test))
    noise = [(split.x - split.y)[:few].ravel() for split in (one.validation, one.test)]
    assert abs(np.corrcoef(noise)[0, 1]) < 0.2, "validation and test have noise of their own"


def test_a_range_draws_levels_for_validation_and_tests_in_the_middle(digits_file: Path) -> None:
    data = DenoisingAutoencoder(data=digits_file, noise="0.1:0.7", kind="masking").prepare()
    kept = [((split.x > 0).sum(axis=(1, 2)) / (split.y > 0).sum(axis=(1, 2))) for split in (data.validation, data.test)]
    assert kept[0].std() > 0.1
    assert kept[1].mean() == pytest.approx(0.6, abs=0.02)
    assert kept[1].std() < 0.06


@pytest.mark.parametrize("network", ["dense", "unet"])
def test_noise_is_put_on_in_training_only(digits_file: Path, network: str) -> None:
    experiment = DenoisingAutoencoder(data=digits_file, network=network, channels=4, **SMALL)
    data = experiment.prepare()
    model = experiment.build(data)
    assert model.output_shape == (None, 28, 28)
    x = data.test.x[:4]
    drawn = [np.asarray(keras.ops.convert_to_numpy(model(x))) for _ in range(2)]
    assert np.array_equal(drawn[0], drawn[1])
    assert drawn[0].min() >= 0
    assert drawn[0].max() <= 1
    (noise,) = [layer for layer in model.layers if type(layer).__name__ == "Noise"]
    assert noise.levels == (0.5, 0.5)
    fresh = [np.asarray(keras.ops.convert_to_numpy(noise(x, training=True))) for _ in range(2)]
    assert not np.array_equal(fresh[0], fresh[1])


def test_the_same_seed_trains_the_same_model(digits_file: Path) -> None:
    experiment = DenoisingAutoencoder(data=digits_file, **SMALL)
    runs = [
        lab.Trainer(epochs=1, batch_size=64, seed=seed, jit=False).run(experiment, console=quiet(), report=False)
        for seed in (1, 1, 2)
    ]
    first, same, other = (run.history[-1]["loss"] for run in runs)
    assert first == same
    assert first != other


# --- report ---------------------------------------------------------------------------------------


def test_it_beats_the_basic_one_and_doing_nothing_on_noisy_digits(trained: lab.Run) -> None:
    metrics = trained.metrics
    assert metrics["test_psnr_db"] > metrics["basic_test_psnr_db"] + 1
    assert metrics["basic_test_psnr_db"] > metrics["noisy_psnr_db"]
    assert metrics["test_mse"] < metrics["basic_test_mse"]
    assert metrics["noisy_psnr_db"] == pytest.approx(9.4, abs=0.4)


def test_the_reported_numbers_are_those_of_the_models(trained: lab.Run) -> None:
    test = trained.data.test
    basic = Run(trained.path / "references" / "basic_autoencoder")
    for run, prefix in ((trained, ""), (basic, "basic_")):
        drawn = run.model.predict(test.x, verbose=0)
        assert trained.metrics[f"{prefix}test_psnr_db"] == pytest.approx(float(psnr(test.y, drawn).mean()), abs=1e-3)
        assert trained.metrics[f"{prefix}test_mse"] == pytest.approx(
            float(squared_error(test.y, drawn).mean()), rel=1e-3
        )
    clean = trained.model.predict(test.y, verbose=0)
    assert trained.metrics["clean_test_psnr_db"] == pytest.approx(float(psnr(test.y, clean).mean()), abs=1e-3)


def test_the_basic_one_has_the_same_layers_and_budget_and_saw_no_noise(trained: lab.Run) -> None:
    basic = Run(trained.path / "references" / "basic_autoencoder")
    assert basic.experiment == "autoencoder"
    assert basic.model.count_params() == trained.model.count_params()
    assert len(basic.history) == len(trained.history) == 12
    assert basic.trainer["batch_size"] == trained.trainer["batch_size"]
    other = Run(trained.path / "references" / "other_noise")
    assert other.settings["noise"] == "0.1:0.9"


def test_the_report_checks_what_the_two_runs_have_in_common(trained: lab.Run) -> None:
    basic = Run(trained.path / "references" / "basic_autoencoder")
    found = likeness(trained, basic)
    assert found.differs_only_here
    assert set(found.only_here) == {"noise", "kind", "network", "channels", "noise_seed", "reference_runs"}
    assert found.same > len(basic.settings) + len(basic.trainer)
    assert describe(found, "denoising autoencoder", "basic autoencoder") in items(trained, "answer")[0]["text"]


def test_the_answer_quotes_this_runs_numbers(trained: lab.Run) -> None:
    compare, scenario = (item["text"] for item in items(trained, "answer"))
    assert "squared error is lower" in compare
    for name in ("test_mse", "basic_test_mse"):
        assert f"{trained.metrics[name]:.5f}" in compare
    assert f"{trained.metrics['basic_test_mse'] / trained.metrics['test_mse']:.2f}" in compare
    assert f"{trained.metrics['noisy_psnr_db']:.1f}" in scenario


def test_the_tables_have_every_method_on_noisy_and_on_clean_digits(trained: lab.Run) -> None:
    tables = [item for item in items(trained, "table") if item["columns"][0] == "method" and len(item["columns"]) == 6]
    assert len(tables) == 2
    for table in tables:
        methods = " | ".join(row[0] for row in table["rows"])
        for name in ("nothing", "3x3 median", "Gaussian blur", "PCA", "with levels", "linear", "basic", "denoising"):
            assert name in methods
        assert all("±" in cell for row in table["rows"] for cell in row[1:])
    assert tables[1]["rows"][0][3] == "100.00 ± 0.00"


def test_the_curve_has_every_level_and_every_line(trained: lab.Run) -> None:
    (table,) = [item for item in items(trained, "table") if item["columns"][0].startswith("standard deviation")]
    assert [float(row[0]) for row in table["rows"]] == list(LEVELS)
    assert table["columns"][1:3] == ["trained on 0.5", "trained on 0.1:0.9"]
    assert len(table["columns"]) == 6
    own = [float(row[1]) for row in table["rows"]]
    nothing = [float(row[table["columns"].index("nothing")]) for row in table["rows"]]
    assert own[1] > own[2], "more noise than it learnt is worse"
    assert nothing == sorted(nothing, reverse=True)


def test_the_pictures_are_there(trained: lab.Run) -> None:
    names = {Path(item["file"]).stem for item in items(trained, "picture")}
    assert {"denoised", "robustness", "differences", "training"} <= names


def test_the_report_can_be_made_again_with_the_same_numbers(trained: lab.Run) -> None:
    from lab.cli.runs import report_again

    before = (trained.path / "report.json").read_bytes()
    report_again(str(trained.path), quiet())
    assert (trained.path / "report.json").read_bytes() == before


@pytest.mark.parametrize(("kind", "noise"), [("salt_and_pepper", 0.3), ("masking", "0.2:0.6")])
def test_without_companions_none_is_trained_and_the_report_says_so(kind: str, noise: Any, digits_file: Path) -> None:
    experiment = DenoisingAutoencoder(data=digits_file, reference_runs="none", kind=kind, noise=noise, **SMALL)
    run = lab.Trainer(epochs=1, batch_size=64, jit=False).run(experiment, console=quiet())
    assert not (run.path / "references").exists()
    assert "basic_test_psnr_db" not in run.metrics
    assert any("reference_runs=none" in item["text"] for item in items(run, "text"))
    assert [item["question"] for item in items(run, "answer")] == [
        "Where is such a denoiser useful, and what would have to change?"
    ]
    assert any(item["columns"][0].startswith("share of pixels") for item in items(run, "table"))


def test_settings_are_bounded() -> None:
    for wrong in ({"noise": -0.1}, {"noise": 1.5}, {"noise": "0.9:0.1"}, {"kind": "speckle"}, {"network": "gan"}):
        with pytest.raises(SettingsError):
            DenoisingAutoencoder(**wrong)


# --- predict --------------------------------------------------------------------------------------


def test_predict_denoises_a_picture_of_any_size(trained: lab.Run, tmp_path: Path) -> None:
    page = np.zeros((40, 61), np.float32)
    page[6:34, 5:33] = trained.data.test.y[3]
    page[2:30, 33:61] = trained.data.test.y[4]
    Image.fromarray((page * 255).astype(np.uint8)).save(tmp_path / "page.png")
    experiment = DenoisingAutoencoder(**trained.settings)
    (said,) = experiment.predict(trained, [str(tmp_path / "page.png")], DenoisingOptions(noise=0.5))
    assert "overlapping tiles" in str(said)
    assert "dB with the noise" in str(said)
    noisy, drawn = (read_grey(tmp_path / f"page.{name}.png") for name in ("noisy", "denoised"))
    assert noisy.shape == drawn.shape == page.shape
    assert psnr(page[None], drawn[None])[0] > psnr(page[None], noisy[None])[0] + 2


def test_predict_of_a_digit_is_the_models(trained: lab.Run, tmp_path: Path) -> None:
    seen = np.rint(trained.data.test.x[0] * 255).astype(np.uint8)
    Image.fromarray(255 - seen).save(tmp_path / "one.png")
    experiment = DenoisingAutoencoder(**trained.settings)
    options = DenoisingOptions(invert=True, output=tmp_path / "out")
    said = list(experiment.predict(trained, [str(tmp_path / "one.png"), str(tmp_path / "none.png")], options))
    assert "tiles" not in str(said[0])
    assert isinstance(said[1], lab.DataError)
    expected = trained.model.predict((seen / np.float32(255))[None], verbose=0)[0]
    drawn = 1 - read_grey(tmp_path / "out" / "one.denoised.png")
    assert np.abs(drawn - expected).max() < 1.01 / 255


@pytest.mark.enable_socket
@pytest.mark.real_data
def test_a_few_thousand_real_digits_teach_it_to_beat_every_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_CACHE")
    monkeypatch.setattr(filters, "available", EVERY_FILTER)
    data = mnist.load().as_inputs_and_targets()

    class Few(DenoisingAutoencoder):
        def prepare(self) -> lab.Data:
            few = lab.Data(data.train.head(3000), data.validation.head(100), data.test.head(150), data.provenance)
            validation, test = (
                dataclasses.replace(split, x=self.add_noise(split.y, (0.5, 0.5), 1))
                for split in (few.validation, few.test)
            )
            return dataclasses.replace(few, validation=validation, test=test)

    experiment = Few(hidden_units=(256,), latent_dim=64, reference_runs="none")
    run = lab.Trainer(epochs=10, batch_size=64).run(experiment, console=quiet())
    assert run.metrics["noisy_psnr_db"] == pytest.approx(9.39, abs=0.1)
    (table, _) = [item for item in items(run, "table") if item["columns"][:2] == ["method", "MSE"]]
    scores = {row[0]: float(row[3].partition(" ")[0]) for row in table["rows"]}
    assert scores["3x3 median"] == pytest.approx(14.2, abs=0.3)
    own = scores.pop("denoising autoencoder")
    assert own > max(scores.values())
    assert own > 16
