"""The report of two classes: numbers are measured on test examples, and choices made on validation examples."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics

from lab.data import Array
from lab.report import Report
from lab.report.items import Picture, Table, Text
from lab.tasks.classification import calibration
from lab.tasks.classification import metrics as scores
from lab.tasks.classification.metrics import Predictions
from lab.tasks.classification.report_parts import OWN, BinaryReport
from lab.tasks.classification.thresholds import Thresholds


def predictions(seed: int, count: int = 600, scale: float = 2.0) -> Predictions:
    """Examples whose logits are `scale` times too confident."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, count)
    return Predictions((rng.random(count) < expit(true)).astype(np.uint8), scale * true)


VALIDATION, TEST = predictions(1), predictions(2)


def make(folder: Path, validation: Predictions = VALIDATION, test: Predictions = TEST) -> tuple[BinaryReport, Report]:
    report = Report(folder, "Title")
    return BinaryReport(report, validation, test, ("poor", "fine"), "letters"), report


def of(report: Report, kind: type[Any]) -> list[Any]:
    return [item for item in report.items if isinstance(item, kind)]


def test_predictions_have_probabilities_and_are_correct_or_not() -> None:
    found = Predictions(np.array([1, 0, 1, 0]), np.array([1.0, 1.0, -1.0, -1.0]))
    assert found.probabilities == pytest.approx(expit(np.array([1, 1, -1, -1])))
    assert found.correct().tolist() == [True, False, False, True]
    assert all(count == 1 for count in dataclasses.astuple(found.confusion()))
    assert Predictions(np.array([1, 0]), np.array([0.0, 0.0])).correct().tolist() == [True, False]


def test_the_scaling_is_fitted_on_validation_examples_alone(tmp_path: Path) -> None:
    parts, _ = make(tmp_path)
    assert parts.scaling == calibration.fit_scaling(VALIDATION.labels, VALIDATION.logits)
    assert parts.scaling.temperature == pytest.approx(2, rel=0.25)
    other, _ = make(tmp_path, test=predictions(3, scale=0.5))
    assert other.scaling == parts.scaling
    assert parts.test.probabilities == pytest.approx(expit(parts.scaling(TEST.logits)))


def test_metrics_are_those_of_test_examples(tmp_path: Path) -> None:
    parts, report = make(tmp_path)
    parts.metrics()
    labels, predicted, probabilities = TEST.labels, TEST.logits >= parts.scaling.bias, parts.test.probabilities
    assert 0 < abs(parts.scaling.bias) < 1
    found = report.metrics
    assert found["test_accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found["test_precision"] == pytest.approx(metrics.precision_score(labels, predicted))
    assert found["test_recall"] == pytest.approx(metrics.recall_score(labels, predicted))
    assert found["test_f1"] == pytest.approx(metrics.f1_score(labels, predicted))
    names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert [found[f"test_{name}"] for name in names] == metrics.confusion_matrix(labels, predicted).ravel().tolist()
    assert found["test_cross_entropy"] == pytest.approx(metrics.log_loss(labels, probabilities))
    assert found["test_brier"] == pytest.approx(metrics.brier_score_loss(labels, probabilities))
    assert found["calibration_temperature"] == parts.scaling.temperature
    assert found["calibration_bias"] == parts.scaling.bias
    assert found["raw_test_accuracy"] == pytest.approx(metrics.accuracy_score(labels, TEST.logits >= 0))


def test_the_classification_report_is_that_of_scikit_learn(tmp_path: Path) -> None:
    parts, report = make(tmp_path)
    parts.confusion()
    (table,) = of(report, Table)
    theirs: Any = metrics.classification_report(
        TEST.labels, parts.test.logits >= 0, target_names=("poor", "fine"), output_dict=True
    )
    rows = {row[0]: row[1:] for row in table.rows}
    for name, ours in (("poor", "poor"), ("fine", "fine"), ("macro avg", "macro average"), ("weighted avg",) * 2):
        ours = "weighted average" if name == "weighted avg" else ours
        expected = [f"{theirs[name][kind]:.4f}" for kind in ("precision", "recall", "f1-score")]
        assert rows[ours] == (*expected, f"{theirs[name]['support']:.0f}")
    assert rows["accuracy"] == ("", "", f"{theirs['accuracy']:.4f}", "600")
    assert [picture.file for picture in of(report, Picture)] == ["figures/confusion.png"]


def test_undefined_ratios_are_named_and_are_no_metrics(tmp_path: Path) -> None:
    parts, report = make(tmp_path, test=Predictions(np.array([0, 1]), np.array([-50.0, -40.0])))
    parts.metrics()
    assert "test_precision" not in report.metrics
    assert report.metrics["test_recall"] == 0
    assert of(report, Text) == [Text("Undefined: precision. No test letters are fine, or none is predicted so.")]
    parts.confusion()
    assert [row[:4] for row in of(report, Table)[0].rows[:2]] == [
        ("poor", "0.5000", "1.0000", "0.6667"),
        ("fine", "undefined", "0.0000", "0.0000"),
    ]


def test_curves_have_their_areas_and_those_of_others(tmp_path: Path) -> None:
    parts, report = make(tmp_path)
    other: Array = TEST.labels + np.random.default_rng(0).normal(0, 0.1, 600)
    parts.curves({"another": other})
    (table,) = of(report, Table)
    assert [row[0] for row in table.rows] == [OWN, "another"]
    roc = metrics.roc_auc_score(TEST.labels, TEST.logits)
    assert report.metrics["test_roc_auc"] == pytest.approx(roc)
    assert report.metrics["test_average_precision"] == pytest.approx(
        metrics.average_precision_score(TEST.labels, TEST.logits)
    )
    assert table.rows[0][1].startswith(f"{roc:.4f} (")
    assert table.rows[1][1].startswith("1.0000 (1.0000")
    assert [picture.file for picture in of(report, Picture)] == ["figures/curves.png"]


def test_examples_of_one_class_have_no_curves(tmp_path: Path) -> None:
    parts, report = make(tmp_path, test=Predictions(np.ones(5, int), np.arange(5.0)))
    parts.curves()
    assert report.items == [Text("All test letters are of one class, so there are no curves.")]


def test_calibration_is_better_with_the_scaling(tmp_path: Path) -> None:
    parts, report = make(tmp_path)
    parts.calibration()
    (table,) = of(report, Table)
    before, _, after = ([float(cell) for cell in row[1:]] for row in table.rows)
    assert all(one < other for one, other in zip(after, before, strict=True))
    found = calibration.reliability(TEST.labels, parts.test.probabilities)
    assert after[0] == pytest.approx(found.error, abs=6e-5)
    assert report.metrics["test_calibration_error"] == pytest.approx(found.error, abs=6e-5)


def test_thresholds_are_chosen_on_validation_and_measured_on_test_examples(tmp_path: Path) -> None:
    parts, report = make(tmp_path)
    parts.trade_off((5.0, 1.0), 0.9)
    (table,) = of(report, Table)
    chosen = parts.validation.labels, parts.validation.probabilities
    cheapest, precise = scores.cheapest_threshold(*chosen, 5, 1), scores.threshold_for_precision(*chosen, 0.9)
    assert precise is not None
    assert report.metrics["cheapest_threshold"] == cheapest
    assert report.metrics["precise_threshold"] == precise
    for row, name, threshold in zip(
        table.rows, ("even odds", "lowest cost (5 and 1)", "precision of 0.9"), (0.5, cheapest, precise), strict=True
    ):
        predicted = parts.test.probabilities >= threshold
        precision, recall = (
            metrics.precision_score(TEST.labels, predicted),
            metrics.recall_score(TEST.labels, predicted),
        )
        cost = (5 * (predicted & (TEST.labels == 0)).sum() + (~predicted & (TEST.labels == 1)).sum()) / 0.6
        expected = (name, f"{threshold:.3f}", f"{precision:.4f}", f"{recall:.4f}")
        assert row == (*expected, f"{metrics.f1_score(TEST.labels, predicted):.4f}", f"{cost:.1f}")


def test_the_slider_has_the_counts_of_test_examples(tmp_path: Path) -> None:
    parts, report = make(tmp_path)
    parts.trade_off((5.0, 1.0), 0.9)
    (slider,) = of(report, Thresholds)
    assert (slider.start, slider.costs, slider.classes) == (0.5, (5.0, 1.0), ("poor", "fine"))
    assert list(slider.thresholds) == sorted(set(slider.thresholds))
    assert len(slider.thresholds) > 100
    assert {0.0, 0.5, 1.0} <= set(slider.thresholds)
    for place in range(0, len(slider.thresholds), 10):
        predicted = parts.test.probabilities >= slider.thresholds[place]
        assert slider.counts[place] == tuple(metrics.confusion_matrix(TEST.labels, predicted).ravel().tolist())


def test_a_precision_that_no_threshold_reaches_is_reported(tmp_path: Path) -> None:
    worst = Predictions(np.array([0, 1] * 50), np.repeat(np.linspace(4, -4, 50), 2) + np.array([0.01, 0] * 50))
    parts, report = make(tmp_path, worst)
    parts.trade_off((1.0, 1.0), 0.95)
    assert of(report, Table)[0].rows[2] == ("precision of 0.95", "none reaches it", "", "", "", "")
    assert "precise_threshold" not in report.metrics
