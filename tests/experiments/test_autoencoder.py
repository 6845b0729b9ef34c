"""The autoencoder: its parts, its report, and that it learns real digits."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

import lab
from experiments.autoencoder import Autoencoder
from experiments.reports.autoencoder import measure
from experiments.reports.pictures import Options
from lab.data.datasets import mnist
from lab.data.io.images import read_grey, write_grey
from lab.errors import SettingsError
from lab.tasks.images.baselines import Pca
from lab.tasks.images.scores import squared_error


def quiet() -> Console:
    return Console(file=io.StringIO(), width=120)


@pytest.fixture(scope="module")
def trained(digits_file: Path, tmp_path_factory: pytest.TempPathFactory) -> lab.Run:
    """A small autoencoder, trained on generated digits."""
    experiment = Autoencoder(data=digits_file, latent_dim=3, hidden_units=(64,))
    trainer = lab.Trainer(epochs=15, batch_size=16, jit=False, run_dir=tmp_path_factory.mktemp("run"))
    return trainer.run(experiment, console=quiet())


def test_encoder_and_decoder_work_separately(trained: lab.Run) -> None:
    x = trained.data.test.x[:5]
    codes = trained.model.get_layer("encoder").predict(x, verbose=0)
    assert codes.shape == (5, 3)
    drawn = trained.model.get_layer("decoder").predict(codes, verbose=0)
    assert np.allclose(drawn, trained.model.predict(x, verbose=0), atol=1e-5)
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_the_saved_model_has_layers_of_keras_only(trained: lab.Run) -> None:
    with zipfile.ZipFile(trained.path / "model.keras") as archive:
        assert not re.search(rb'"lab[.>]', archive.read("config.json"))


def test_the_untrained_decoder_draws_the_mean(digits_file: Path) -> None:
    data = Autoencoder(data=digits_file).prepare()
    decoder = Autoencoder(data=digits_file, hidden_units=(8,)).build_decoder(data.train.x)
    drawn = decoder.predict(np.zeros((1, 32), np.float32), verbose=0)[0]
    assert np.abs(drawn - data.train.x.mean(axis=0)).max() < 2e-2


def test_reported_numbers_are_those_of_the_model(trained: lab.Run) -> None:
    test = trained.data.test
    drawn = trained.model.predict(test.x, verbose=0)
    assert trained.metrics["test_mse"] == pytest.approx(float(squared_error(test.x, drawn).mean()), rel=1e-4)
    bce = keras.losses.BinaryCrossentropy()(test.x, drawn)
    assert trained.metrics["test_bce"] == pytest.approx(float(bce), rel=1e-3)
    assert trained.metrics["test_bce"] > trained.metrics["bce_floor"]
    pca = Pca(trained.data.train.x, 3)
    assert trained.metrics["pca_mse"] == pytest.approx(pca.error(test.x, 3), rel=1e-5)


def test_measures_are_the_reported_metrics(trained: lab.Run) -> None:
    found = measure(trained)
    assert found.mse == pytest.approx(trained.metrics["test_mse"])
    assert found.linear_mse == pytest.approx(trained.metrics["pca_mse"])
    assert found.bce == pytest.approx(trained.metrics["test_bce"])
    assert found.rounded_mse == pytest.approx(trained.metrics["rounded_code_mse"])
    assert found.mse <= found.rounded_mse < 1.5 * found.mse
    assert (found.size, found.pixels) == (3, 784)
    assert list(found.pca_curve) == [2, 3, 4, 8, 16, 32, 64, 128, 256]
    equal = found.equal_components
    pca = Pca(trained.data.train.x, found.largest_pca)
    assert equal is not None
    assert pca.error(trained.data.test.x, equal) <= found.mse < pca.error(trained.data.test.x, equal - 1)


def test_three_numbers_of_a_network_beat_three_of_pca(trained: lab.Run) -> None:
    assert trained.metrics["test_mse"] < trained.metrics["pca_mse"]


def test_the_answer_quotes_this_runs_numbers(trained: lab.Run) -> None:
    answers = [item for item in trained.report["items"] if item["kind"] == "answer"]
    assert len(answers) == 1
    assert f"{trained.metrics['test_mse']:.5f}" in answers[0]["text"]
    assert f"{trained.metrics['pca_mse']:.5f}" in answers[0]["text"]


def test_the_report_names_where_the_data_came_from(trained: lab.Run, digits_file: Path) -> None:
    assert trained.report["data"]["origin"] == "your file"
    assert trained.report["data"]["source"] == str(digits_file)
    assert len(trained.report["data"]["sha256"]) == 64


def test_distortions_multiply_the_training_digits_only(digits_file: Path) -> None:
    plain = Autoencoder(data=digits_file).prepare()
    more = Autoencoder(data=digits_file, distortions=2).prepare()
    assert len(more.train) == 3 * len(plain.train)
    assert np.array_equal(more.train.x[: len(plain.train)], plain.train.x)
    assert not np.array_equal(more.train.x[len(plain.train) : 2 * len(plain.train)], plain.train.x)
    assert more.train.y is more.train.x
    assert more.train.labels is not None
    assert plain.train.labels is not None
    assert np.array_equal(more.train.labels, np.tile(plain.train.labels, 3))
    assert np.array_equal(more.test.x, plain.test.x)


def test_settings_are_bounded() -> None:
    for wrong in ({"latent_dim": 0}, {"latent_dim": 785}, {"hidden_units": (0,)}, {"activation": "sin"}):
        with pytest.raises(SettingsError):
            Autoencoder(**wrong)


def test_the_sweep_reports_pca_and_the_gain_of_a_doubling(digits_file: Path) -> None:
    from lab.tune.sweep import Sweep

    fixed = {"data": str(digits_file), "epochs": 1, "hidden_units": "16", "batch_size": 64}
    report = Sweep(Autoencoder, "latent_dim", [2, 4], fixed).run(quiet())
    written = (report.folder / "report.md").read_text()
    assert "gained per doubling" in written
    for name in ("error_by_size", "digits", "sweep"):
        assert (report.folder / "figures" / f"{name}.png").is_file()


def test_predict_writes_the_picture_and_its_reconstruction(trained: lab.Run, tmp_path: Path) -> None:
    write_grey(tmp_path / "digit.png", trained.data.test.x[0], scale=2)
    experiment = Autoencoder(**trained.settings)
    line, error = experiment.predict(trained, [str(tmp_path / "digit.png"), str(tmp_path / "no.png")], Options())
    assert "resized from 56 x 56 pixels" in str(line)
    assert read_grey(tmp_path / "digit.reconstruction.png").shape == (8 * 28, 8 * 57)
    assert isinstance(error, lab.DataError)
    with pytest.raises(lab.UsageError, match="expected pictures"):
        list(experiment.predict(trained, [], Options()))


@pytest.mark.enable_socket
@pytest.mark.real_data
def test_a_few_hundred_real_digits_are_learnt_better_than_by_pca_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_CACHE")
    data = mnist.load().as_inputs_and_targets()

    class Few(Autoencoder):
        def prepare(self) -> lab.Data:
            return lab.Data(data.train.head(800), data.validation.head(100), data.test.head(300), data.provenance)

    run = lab.Trainer(epochs=15, batch_size=32).run(Few(hidden_units=(128,)), console=quiet())
    bound = Pca(run.data.train.x, 2).error(run.data.test.x, 2)
    assert 0.04 < bound < 0.07  # real digits, not some other arrays
    assert run.metrics["test_mse"] < 0.6 * bound
