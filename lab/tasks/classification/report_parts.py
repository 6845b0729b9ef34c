"""The report of a classifier of two classes, part by part; an experiment calls those that it wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from lab.data import Array
from lab.report import Report, plots
from lab.tasks.classification import metrics as scores
from lab.tasks.classification import plots as class_plots
from lab.tasks.classification.metrics import Confusion
from lab.tasks.classification.thresholds import Thresholds

OWN = "this network"
GRID = np.unique(np.round([*np.linspace(0, 1, 161), *scores.sigmoid(np.linspace(-8, 8, 81))], 5))  # finer at the ends
STRICT = 0.99  # of the complaints that a monitor must find; of the blurbs that must be praise


@dataclasses.dataclass(frozen=True)
class Judged:
    """Examples, what they are, and what a model said.

    Args:
        labels: 0 or 1, shape (n,).
        logits: above 0 for class 1, shape (n,).
    """

    labels: Array
    logits: Array

    @property
    def probabilities(self) -> Array:
        """The probability of class 1, shape (n,)."""
        return scores.sigmoid(self.logits)

    def right(self) -> Array:
        """Returns which examples are called rightly at a threshold of 0.5; bool, shape (n,)."""
        return np.asarray((self.logits >= 0) == self.labels)

    def confusion(self, thresholds: Array | float = 0.5) -> Confusion:
        """Returns the counts at thresholds of the probability."""
        return scores.confusion(self.labels, self.probabilities, thresholds)


class BinaryReport:
    """Writes into a report how well two classes are told apart.

    Choices (the scaling of logits, thresholds) are made on validation examples and measured on test examples.

    Args:
        report: takes the parts.
        validation, test: what the model said of either; temperature and bias are fitted here.
        classes: the negative and the positive class's name.
        what: the examples' name in the plural.
    """

    def __init__(
        self, report: Report, validation: Judged, test: Judged, classes: tuple[str, str], what: str = "texts"
    ) -> None:
        self.report = report
        self.scaling = scores.fit_scaling(validation.labels, validation.logits)
        self.said = test
        self.temperature = scores.fit_temperature(validation.labels, validation.logits)  # alone, to compare
        self.validation = dataclasses.replace(validation, logits=self.scaling(validation.logits))
        self.test = dataclasses.replace(test, logits=self.scaling(test.logits))
        self.classes = classes
        self.what = what

    def metrics(self) -> None:
        """Adds accuracy, precision, recall, F1, the four counts, and how good the probabilities are."""
        test, metric, (negative, positive) = self.test, self.report.metric, self.classes
        called = test.confusion()
        metric(
            "test_accuracy", float(called.accuracy), f"Share of {len(test.labels):,} test {self.what} called rightly."
        )
        metric("test_precision", float(called.precision), f"Of those called {positive}, the share that is.")
        metric("test_recall", float(called.recall), f"Of those that are {positive}, the share called so.")
        metric("test_f1", float(called.f1), "The harmonic mean of precision and recall.")
        for name, truth, said in (
            ("true_negative", negative, negative),
            ("false_positive", negative, positive),
            ("false_negative", positive, negative),
            ("true_positive", positive, positive),
        ):
            metric(f"test_{name}s", getattr(called, name), f"Test {self.what}: are {truth}, were called {said}.")
        metric("test_cross_entropy", scores.cross_entropy(test.labels, test.probabilities), "In nats, calibrated.")
        metric("test_brier", scores.brier(test.labels, test.probabilities), "Mean squared error of the probability.")
        metric("raw_test_accuracy", self.said.right().mean(), "Accuracy with the logits as they are.")
        metric("calibration_bias", self.scaling.bias, f"Taken off the logits; fitted on validation {self.what}.")
        metric("calibration_temperature", self.scaling.temperature, "Divides what is left, likewise.")

    def confusion(self) -> None:
        """Adds the confusion matrix and the classification report, at a threshold of 0.5."""
        from sklearn.metrics import precision_recall_fscore_support

        called, labels = self.test.confusion(), self.test.labels
        matrix = np.array(
            [[called.true_negative, called.false_positive], [called.false_negative, called.true_positive]]
        )
        self.report.figure(
            "confusion",
            class_plots.confusion_matrix(matrix, self.classes),
            f"Test {self.what}: rows are what they are, columns what they were called.",
        )
        guessed = (self.test.logits >= 0).astype(int)
        total = f"{len(labels):,}"
        rows: list[tuple[str, ...]] = []
        by_class = precision_recall_fscore_support(labels, guessed, labels=[0, 1], zero_division=0)
        for name, *values, count in zip(self.classes, *by_class, strict=True):
            rows.append((name, *(f"{value:.4f}" for value in values), f"{count:,}"))
        rows.append(("accuracy", "", "", f"{float(called.accuracy):.4f}", total))
        for kind in ("macro", "weighted"):
            means = precision_recall_fscore_support(labels, guessed, average=kind, zero_division=0)[:3]
            rows.append((f"{kind} average", *(f"{value:.4f}" for value in means), total))
        self.report.table(("class", "precision", "recall", "F1", self.what), rows, "The classification report.")

    def curves(self, rivals: Mapping[str, Array] | None = None) -> None:
        """Adds the ROC and the precision-recall curve with their areas, and those of other scores of the same."""
        labels, roc, precision_recall, rows = self.test.labels, {}, {}, []
        if len(np.unique(labels)) < 2:
            self.report.text(f"The test {self.what} are all of one class: there is no curve to draw.")
            return
        for name, said in {OWN: self.test.probabilities, **(rivals or {})}.items():
            called = scores.confusion(labels, said, np.unique(said)[::-1])
            roc[name] = (np.append(0.0, called.false_positive_rate), np.append(0.0, called.recall))
            precision_recall[name] = (called.recall, called.precision)
            areas = [scores.with_interval(one, labels, said) for one in (scores.roc_areas, scores.average_precisions)]
            rows.append((name, *(f"{value:.4f} ({low:.4f} to {high:.4f})" for value, low, high in areas)))
            if name == OWN:
                self.report.metric("test_roc_auc", areas[0][0], "Area below the ROC curve.")
                self.report.metric("test_average_precision", areas[1][0], "Area below the precision-recall curve.")
        at = self.test.confusion()
        marks = ((at.false_positive_rate, at.recall), (at.recall, at.precision))
        self.report.figure(
            "curves",
            class_plots.roc_and_precision_recall(roc, precision_recall, float(labels.mean()), marks),
            "A dot marks the threshold of 0.5; dotted lines are what guessing reaches.",
        )
        self.report.table(
            ("model", "area below ROC", "average precision"), rows, "With 95 % intervals from 1,000 bootstrap samples."
        )

    def calibration(self) -> None:
        """Adds how often what was said came true, as it is and after scaling."""
        lines, rows = {}, []
        for name, judged in (
            ("as they are", self.said),
            ("temperature", dataclasses.replace(self.said, logits=self.said.logits / self.temperature)),
            ("temperature and bias", self.test),
        ):
            found = scores.reliability(judged.labels, judged.probabilities)
            lines[name] = (found.said, found.came, found.count)
            loss = scores.cross_entropy(judged.labels, judged.probabilities)
            square = scores.brier(judged.labels, judged.probabilities)
            rows.append((name, f"{found.error:.4f}", f"{square:.4f}", f"{loss:.4f}"))
        self.report.metric("test_calibration_error", float(rows[-1][1]), "Expected calibration error, 15 bins.")
        self.report.figure(
            "reliability",
            class_plots.reliability_diagram(lines),
            f"Test {self.what} in 15 bins of the probability of {self.classes[1]}; a dot's area goes with their count. "
            "On the dotted line, what is said to be so probable comes so often.",
        )
        self.report.table(
            ("logits", "expected calibration error", "Brier score", "cross-entropy"),
            rows,
            f"A temperature of {self.temperature:.3f} alone; or a bias of {self.scaling.bias:.3f} taken off and the "
            f"rest divided by {self.scaling.temperature:.3f}, which this report and `predict` use. All are fitted on "
            f"validation {self.what}.",
        )

    # --- the trade-off --------------------------------------------------------------------------

    def trade_off(self, costs: tuple[float, float], min_precision: float) -> None:
        """Adds what each threshold does, those that costs and a wanted precision ask for, and why it matters.

        Args:
            costs: of one false positive and of one false negative.
            min_precision: the precision that a threshold is sought for.
        """
        validation, (negative, positive) = self.validation, self.classes
        cheapest = scores.cheapest_threshold(validation.labels, validation.probabilities, *costs)
        precise = scores.precise_threshold(validation.labels, validation.probabilities, min_precision)
        chosen: list[tuple[str, float | None]] = [
            ("the even one", 0.5),
            (f"least cost ({costs[0]:g} and {costs[1]:g})", cheapest),
            (f"precision of {min_precision:g}", precise),
        ]
        tried = np.union1d(GRID, [value for _, value in chosen if value is not None])
        called = self.test.confusion(tried)
        lines = {
            name: (tried.tolist(), getattr(called, name.lower()).tolist()) for name in ("precision", "recall", "F1")
        }
        self.report.figure(
            "threshold",
            plots.curves(
                lines,
                x=f"called {positive} from this probability",
                y="share",
                verticals={name: value for name, value in chosen[1:] if value is not None},
            ),
            f"Precision, recall and F1 on test {self.what} against the threshold.",
        )
        self.report.table(
            ("rule", "threshold", "precision", "recall", "F1", "cost per 1,000"),
            [self._at(name, threshold, costs) for name, threshold in chosen],
            f"Thresholds that validation {self.what} ask for, and what each does on test {self.what}. Cost: "
            f"{costs[0]:g} for each {negative} one called {positive}, {costs[1]:g} the other way round.",
        )
        self.report.metric("cheapest_threshold", cheapest, f"Where the errors on validation {self.what} cost least.")
        if precise is not None:
            self.report.metric("precise_threshold", precise, f"Where precision reaches {min_precision:g} there.")
        counts = np.stack(
            [called.true_negative, called.false_positive, called.false_negative, called.true_positive], axis=1
        )
        caption = (
            f"{len(self.test.labels):,} test {self.what} at every threshold: move it, and set what either error costs."
        )
        self.report.add(Thresholds.of(self.classes, tried.tolist(), counts, start=0.5, costs=costs, caption=caption))
        self._why()

    def _at(self, name: str, threshold: float | None, costs: tuple[float, float]) -> tuple[str, ...]:
        if threshold is None:
            return (name, "none has it", "", "", "", "")
        called = self.test.confusion(threshold)
        shares = [f"{float(value):.4f}" for value in (called.precision, called.recall, called.f1)]
        return (name, f"{threshold:.3f}", *shares, f"{1000 * float(called.cost(*costs)) / len(self.test.labels):.1f}")

    def _why(self) -> None:
        """The answer, with two cases: one that must miss nothing, and one that must never be wrong."""
        validation, test, (negative, positive) = self.validation, self.test, self.classes
        flipped = [Judged(1 - one.labels, -one.logits) for one in (validation, test)]
        watch = scores.complete_threshold(flipped[0].labels, flipped[0].probabilities, STRICT)
        quote = scores.precise_threshold(validation.labels, validation.probabilities, STRICT)
        even, wary = flipped[1].confusion(), flipped[1].confusion(watch)
        missed, still = int(even.false_negative), int(wary.false_negative)
        alarms, more = int(even.false_positive), int(wary.false_positive)
        text = f"""Because the two errors do not cost the same, and one threshold cannot make both rare. A brand monitor
        must miss no complaint: at an even threshold {missed:,} of {int(test.labels.size - test.labels.sum()):,}
        {negative} {self.what} go by unseen, with {alarms:,} false alarms. Asked to find {STRICT:.0%} of them (on
        validation {self.what}), it calls {negative} all that is less than {1 - watch:.3f} {positive}: on test
        {self.what} {still:,} are missed, a recall of {float(wary.recall):.1%}, and {more:,} {positive} ones are read
        in vain; of what it hands on, {float(wary.precision):.1%} are complaints."""
        at_half = test.confusion()
        if quote is None:
            text += f""" A blurb picker must never quote a {negative} review: no threshold has a precision of
            {STRICT:.0%} on validation {self.what}, so that a person must read each blurb."""
        else:
            strict = test.confusion(quote)
            low, high = scores.wilson(float(strict.true_positive), float(strict.true_positive + strict.false_positive))
            text += f""" A blurb picker must never quote a {negative} review: at an even threshold
            {int(at_half.false_positive):,} of {int(at_half.false_positive + at_half.true_positive):,} quotes would be
            wrong. With a precision of {STRICT:.0%} asked for, it quotes only from {quote:.3f} on: on test {self.what}
            {int(strict.false_positive):,} of {int(strict.false_positive + strict.true_positive):,} are wrong, a
            precision of {float(strict.precision):.1%} ({low:.1%} to {high:.1%}), and it leaves
            {1 - float(strict.recall):.1%} of the {positive} ones unused, which costs nothing. The same network does
            both; only the threshold differs."""
        self.report.answer("Why does the trade-off of precision and recall matter here?", text)
