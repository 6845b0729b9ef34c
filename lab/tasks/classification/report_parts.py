"""The report of a binary classifier in parts; an experiment calls those that it wants."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from scipy.special import expit

from lab.data import Array
from lab.report import Report, plots
from lab.tasks.classification import calibration
from lab.tasks.classification import metrics as scores
from lab.tasks.classification import plots as class_plots
from lab.tasks.classification.metrics import Predictions
from lab.tasks.classification.thresholds import Thresholds

OWN = "this network"
GRID = np.unique(np.round([*np.linspace(0, 1, 161), *expit(np.linspace(-8, 8, 81))], 5))  # finer at the ends


class BinaryReport:
    """Reports how well a model separates two classes.

    The calibration and all thresholds are chosen on validation examples and measured on test examples.

    Args:
        report: takes the parts.
        validation, test: the uncalibrated predictions.
        classes: names of the negative and the positive class.
        what: name of the examples, in the plural.

    Attributes:
        scaling: the calibration.
        validation, test: the calibrated predictions.
        raw: the uncalibrated test predictions.
    """

    def __init__(
        self, report: Report, validation: Predictions, test: Predictions, classes: tuple[str, str], what: str = "texts"
    ) -> None:
        self.report = report
        self.scaling = calibration.fit_scaling(validation.labels, validation.logits)
        self.temperature = calibration.fit_temperature(
            validation.labels, validation.logits
        )  # without a bias, to compare
        self.raw = test
        self.validation = dataclasses.replace(validation, logits=self.scaling(validation.logits))
        self.test = dataclasses.replace(test, logits=self.scaling(test.logits))
        self.classes = classes
        self.what = what

    def metrics(self) -> None:
        """Adds accuracy, precision, recall, F1, the four counts, and the quality of the probabilities."""
        test, metric, (negative, positive) = self.test, self.report.metric, self.classes
        counts = test.confusion()
        undefined = []
        for name, value, help in (
            ("accuracy", counts.accuracy, f"Share of correct predictions on {len(test.labels):,} test {self.what}."),
            ("precision", counts.precision, f"Of those predicted {positive}, the share that is {positive}."),
            ("recall", counts.recall, f"Of those that are {positive}, the share predicted {positive}."),
            ("f1", counts.f1, "The harmonic mean of precision and recall."),
        ):
            if np.isnan(value):
                undefined.append(name)
            else:
                metric(f"test_{name}", float(value), help)
        for name, truth, predicted in (
            ("true_negative", negative, negative),
            ("false_positive", negative, positive),
            ("false_negative", positive, negative),
            ("true_positive", positive, positive),
        ):
            metric(
                f"test_{name}s",
                getattr(counts, name),
                f"Test {self.what} that are {truth} and were predicted {predicted}.",
            )
        metric("test_cross_entropy", test.log_loss(), "In nats, after calibration.")
        metric("test_brier", test.brier(), "Mean squared error of the probability, after calibration.")
        metric("raw_test_accuracy", self.raw.correct().mean(), "Accuracy before calibration.")
        metric("calibration_bias", self.scaling.bias, f"Subtracted from the logits; fitted on validation {self.what}.")
        metric("calibration_temperature", self.scaling.temperature, "Divides the difference; fitted there, too.")
        if undefined:
            self.report.text(
                f"Undefined: {', '.join(undefined)}. No test {self.what} are {positive}, or none is predicted so."
            )

    def confusion(self) -> None:
        """Adds the confusion matrix and the classification report, at a threshold of 0.5."""
        from sklearn.metrics import precision_recall_fscore_support

        counts, labels = self.test.confusion(), self.test.labels
        matrix = np.array(
            [[counts.true_negative, counts.false_positive], [counts.false_negative, counts.true_positive]]
        )
        self.report.figure(
            "confusion",
            class_plots.confusion_matrix(matrix, self.classes),
            f"Confusion matrix of the test {self.what}, with shares of each row.",
        )
        predicted, total = (self.test.logits >= 0).astype(int), f"{len(labels):,}"
        rows: list[tuple[str, ...]] = []
        by_class = precision_recall_fscore_support(labels, predicted, labels=[0, 1], zero_division=np.nan)
        for name, *ratios, count in zip(self.classes, *by_class, strict=True):
            rows.append((name, *map(_ratio, ratios), f"{count:,}"))
        rows.append(("accuracy", "", "", _ratio(counts.accuracy), total))
        for kind in ("macro", "weighted"):
            means = precision_recall_fscore_support(
                labels, predicted, labels=[0, 1], average=kind, zero_division=np.nan
            )
            rows.append((f"{kind} average", *map(_ratio, means[:3]), total))
        self.report.table(
            ("class", "precision", "recall", "F1", self.what), rows, f"Each class of the test {self.what}."
        )

    def curves(self, others: Mapping[str, Array] | None = None) -> None:
        """Adds the ROC and the precision-recall curve with their areas.

        Args:
            others: scores of the same test examples by other models, by name.
        """
        from sklearn.metrics import precision_recall_curve, roc_curve

        labels, roc, precision_recall, rows = self.test.labels, {}, {}, []
        if len(np.unique(labels)) < 2:
            self.report.text(f"All test {self.what} are of one class, so there are no curves.")
            return
        for name, values in {OWN: self.test.probabilities, **(others or {})}.items():
            roc[name] = roc_curve(labels, values, drop_intermediate=False)[:2]
            precision, recall, _ = precision_recall_curve(labels, values)
            precision_recall[name] = (recall[-2::-1], precision[-2::-1])  # without the end point that it adds
            areas = [
                scores.bootstrap_interval(area, labels, values)
                for area in (scores.roc_areas, scores.average_precisions)
            ]
            rows.append((name, *(f"{value:.4f} ({low:.4f} to {high:.4f})" for value, low, high in areas)))
            if name == OWN:
                self.report.metric("test_roc_auc", areas[0][0], "Area under the ROC curve.")
                self.report.metric("test_average_precision", areas[1][0], "Area under the precision-recall curve.")
        at_half = self.test.confusion()
        marks = ((at_half.false_positive_rate, at_half.recall), (at_half.recall, at_half.precision))
        self.report.figure(
            "curves",
            class_plots.roc_and_precision_recall(roc, precision_recall, float(labels.mean()), marks),
            f"The dot is {OWN} at a threshold of 0.5; the dotted lines are the level of guessing.",
        )
        self.report.table(
            ("model", "area under ROC", "average precision"),
            rows,
            f"On the test {self.what}, with 95 % intervals from 1,000 bootstrap samples.",
        )

    def calibration(self) -> None:
        """Adds the reliability diagram and the calibration error, before and after calibration."""
        lines, rows = {}, []
        for name, predictions in (
            ("uncalibrated", self.raw),
            ("temperature", dataclasses.replace(self.raw, logits=self.raw.logits / self.temperature)),
            ("temperature and bias", self.test),
        ):
            bins = calibration.reliability(predictions.labels, predictions.probabilities)
            lines[name] = (bins.predicted, bins.observed, bins.count)
            rows.append((name, f"{bins.error:.4f}", f"{predictions.brier():.4f}", f"{predictions.log_loss():.4f}"))
        self.report.metric("test_calibration_error", float(rows[-1][1]), "Expected calibration error, 15 bins.")
        self.report.figure(
            "reliability",
            class_plots.reliability_diagram(lines),
            f"Test {self.what} in 15 bins of the predicted probability of {self.classes[1]}. The area of a dot shows "
            "how many the bin has. On the dotted line, probabilities equal observed frequencies.",
        )
        self.report.table(
            ("logits", "expected calibration error", "Brier score", "cross-entropy"),
            rows,
            f"Fitted on validation {self.what}: a temperature of {self.temperature:.3f} alone, or a bias of "
            f"{self.scaling.bias:.3f} and a temperature of {self.scaling.temperature:.3f}. This report and `predict` "
            "use the latter.",
        )

    # --- the trade-off --------------------------------------------------------------------------

    def trade_off(self, costs: tuple[float, float], min_precision: float) -> None:
        """Adds the effect of each threshold, and the thresholds that two rules choose.

        Args:
            costs: of one false positive and of one false negative.
            min_precision: the precision that the second rule requires.
        """
        validation, (negative, positive) = self.validation, self.classes
        cheapest = scores.cheapest_threshold(validation.labels, validation.probabilities, *costs)
        precise = scores.threshold_for_precision(validation.labels, validation.probabilities, min_precision)
        chosen: list[tuple[str, float | None]] = [
            ("even odds", 0.5),
            (f"lowest cost ({costs[0]:g} and {costs[1]:g})", cheapest),
            (f"precision of {min_precision:g}", precise),
        ]
        thresholds = np.union1d(GRID, [value for _, value in chosen if value is not None])
        counts = self.test.confusion(thresholds)
        lines = {
            name: (thresholds.tolist(), getattr(counts, name.lower()).tolist())
            for name in ("precision", "recall", "F1")
        }
        self.report.figure(
            "threshold",
            plots.curves(
                lines,
                x=f"threshold of the probability of {positive}",
                y="share",
                verticals={name: value for name, value in chosen[1:] if value is not None},
            ),
            f"Precision, recall and F1 on test {self.what} against the threshold.",
        )
        self.report.table(
            ("rule", "threshold", "precision", "recall", "F1", "cost per 1,000"),
            [self._at(name, threshold, costs) for name, threshold in chosen],
            f"Thresholds chosen on validation {self.what}, and their effect on test {self.what}. Cost: {costs[0]:g} "
            f"for each {negative} one predicted {positive}, {costs[1]:g} for each {positive} one predicted {negative}.",
        )
        self.report.metric("cheapest_threshold", cheapest, f"Where the errors on validation {self.what} cost least.")
        if precise is not None:
            self.report.metric(
                "precise_threshold", precise, f"Where precision on validation {self.what} reaches {min_precision:g}."
            )
        by_threshold = np.stack(
            [counts.true_negative, counts.false_positive, counts.false_negative, counts.true_positive], axis=1
        )
        caption = f"{len(self.test.labels):,} test {self.what}: move the threshold, and set the cost of each error."
        item = Thresholds.of(self.classes, thresholds.tolist(), by_threshold, start=0.5, costs=costs, caption=caption)
        self.report.add(item)

    def _at(self, name: str, threshold: float | None, costs: tuple[float, float]) -> tuple[str, ...]:
        if threshold is None:
            return (name, "none reaches it", "", "", "", "")
        counts = self.test.confusion(threshold)
        ratios = map(_ratio, (counts.precision, counts.recall, counts.f1))
        return (name, f"{threshold:.3f}", *ratios, f"{1000 * float(counts.cost(*costs)) / len(self.test.labels):.1f}")


def _ratio(value: Array) -> str:
    return "undefined" if math.isnan(value) else f"{float(value):.4f}"
