"""The report of the sentiment classifier."""

from __future__ import annotations

import lab
from experiments.reports import sentiment_measures as measures
from lab.data import Array
from lab.data.datasets import imdb
from lab.data.io.labelled import LabelledSplits
from lab.report import plots
from lab.tasks.classification.metrics import Predictions, wilson_interval
from lab.tasks.classification.report_parts import OWN, BinaryReport
from lab.tasks.text.classifier import TextClassifier

EXCERPT = 600  # characters of a review that are shown
_METRIC = ("tfidf", "nb_svm")  # names of the linear models in the metrics


def write(
    run: lab.Run,
    reviews: LabelledSplits,
    report: lab.Report,
    *,
    costs: tuple[float, float],
    min_precision: float,
    baselines: bool,
) -> None:
    """Writes the report of a run.

    Args:
        run: with its model and data.
        reviews: the texts of the data.
        report: takes the parts.
        costs: of one false positive and of one false negative.
        min_precision: the precision for which a threshold is chosen.
        baselines: whether linear models are fitted for comparison.
    """
    classifier = TextClassifier(run.model)
    validation, test = (measures.predictions(classifier, run.data.split(name)) for name in ("validation", "test"))
    parts = BinaryReport(report, validation, test, reviews.classes)
    classifier.scaling = parts.scaling
    report.text(_origin(reviews))
    parts.metrics()
    report.section("Correct and wrong predictions")
    parts.confusion()
    scores = _rivals(run, reviews, parts, report) if baselines else {}
    report.section("Learning")
    report.figure("learning", plots.history(run.history, "accuracy"), "Accuracy after each epoch.")
    report.section("All thresholds")
    parts.curves(scores)
    report.section("The cost of errors")
    parts.trade_off(costs, min_precision)
    _why(measures.trade_off(parts.validation, parts.test), reviews.classes, report)
    report.section("Calibration")
    parts.calibration()
    _lengths(run, classifier, parts.test, report)
    _mistakes(classifier, reviews, parts.test, report)


def _origin(reviews: LabelledSplits) -> str:
    text = f"{reviews.provenance.name} ({reviews.provenance.origin}): {reviews.description}."
    if reviews.provenance.name == imdb.IMDB_TRAIN.title:
        text += """ This is not the official test set, whose source did not answer: the test texts were held out
        from the 25,000 official training texts. A film has up to 30 reviews among these, so that a test review may
        be of a film in the training texts; the official test set has other films."""
    return text


def _rivals(run: lab.Run, reviews: LabelledSplits, parts: BinaryReport, report: lab.Report) -> dict[str, Array]:
    """Compares the LSTM with the linear models, and returns their scores."""
    rivals, hybrid = measures.rivals(run.data.sizes(), reviews, parts.validation, parts.test)
    rows = [_row(OWN, parts.test.correct())]
    for name, rival in zip(_METRIC, rivals, strict=True):
        rows.append(_row(rival.name, rival.correct))
        help = f"Share of test texts that {rival.name} classifies correctly."
        report.metric(f"{name}_test_accuracy", rival.correct.mean(), help)
    last = rivals[-1].name
    rows.append(_row(f"hybrid: {OWN} and {last}", hybrid))
    report.metric("hybrid_test_accuracy", hybrid.mean(), f"The same for {last} and the LSTM combined.")
    report.table(
        ("model", "accuracy", "95 % interval"),
        rows,
        "On the same split. The linear models count words and pairs of words. Their penalty, and the weights of the "
        "hybrid, are chosen on validation texts.",
    )
    verdicts = [
        f"{rival.verdict} {rival.name} ({100 * rival.lead:+.2f} ± {100 * rival.half:.2f} points)" for rival in rivals
    ]
    report.answer(
        "Does the LSTM beat counting words?",
        f"With {parts.test.correct().mean():.2%} of the test texts correct, it is {' and '.join(verdicts)}; "
        "95 % intervals, paired over the texts.",
    )
    return {rival.name: rival.scores for rival in rivals}


def _why(found: measures.TradeOff, classes: tuple[str, str], report: lab.Report) -> None:
    """Answers why the trade-off matters, with two uses that need different thresholds."""
    negative, positive = classes
    even, missed = found.even_monitor, int(found.even_monitor.false_negative)
    strict = f"{measures.STRICT:.0%}"
    text = f"""The two errors have different costs, and no threshold makes both rare. A brand monitor must miss no
    complaint. At a threshold of 0.5 it misses {missed:,} of {missed + int(even.true_positive):,} {negative} texts,
    with {int(even.false_positive):,} false alarms."""
    if found.monitor is not None and found.watch is not None:
        monitor = found.monitor
        text += f""" With a threshold that finds {strict} of them on validation texts, it reports every text whose
        probability of {positive} is at most {1 - found.watch:.3f}. On test texts it then misses
        {int(monitor.false_negative):,} (a recall of {float(monitor.recall):.1%}), with
        {int(monitor.false_positive):,} false alarms: {int(monitor.true_positive):,} of its
        {int(monitor.true_positive + monitor.false_positive):,} reports are complaints."""
    wrong, quotes = int(found.even.false_positive), int(found.even.false_positive + found.even.true_positive)
    text += f""" A blurb picker must never quote a {negative} review. At a threshold of 0.5, {wrong:,} of its {quotes:,}
    quotes are wrong."""
    if found.picker is None or found.quote is None:
        text += f" No threshold has a precision of {strict} on validation texts: a person must check each quote."
    else:
        picker = found.picker
        chosen = int(picker.true_positive + picker.false_positive)
        low, high = wilson_interval(int(picker.true_positive), chosen)
        share = f"{int(picker.true_positive) / chosen:.1%} ({low:.1%} to {high:.1%})" if chosen else "undefined"
        text += f""" With a threshold of {found.quote:.3f}, which has a precision of {strict} on validation texts,
        {int(picker.false_positive):,} of {chosen:,} are wrong: a precision of {share}. It leaves
        {1 - float(picker.recall):.1%} of the {positive} texts unused, which costs nothing. Both use the same network;
        only the threshold differs."""
    report.answer("Why does the trade-off of precision and recall matter here?", text)


def _lengths(run: lab.Run, classifier: TextClassifier, test: Predictions, report: lab.Report) -> None:
    groups = measures.by_length(run.data.test.x.lengths, test.correct(), classifier.reader.max_words)
    report.section("Long and short texts")
    report.table(
        ("words", "accuracy", "95 % interval", "texts"),
        [(*_row(name, correct), f"{len(correct):,}") for name, correct in groups.items()],
        "Test texts by the number of words that were read.",
    )
    accuracy = measures.shortened(classifier, run.data.validation, classifier.reader.multiple)
    cuts = list(next(iter(accuracy.values())))
    report.table(
        ("words kept", *(f"{cut} cut" for cut in cuts)),
        [(str(kept), *(f"{by_cut[cut]:.4f}" for cut in cuts)) for kept, by_cut in accuracy.items()],
        "Which end of a text matters: accuracy on validation texts of which only this many words are read.",
    )


def _mistakes(classifier: TextClassifier, reviews: LabelledSplits, test: Predictions, report: lab.Report) -> None:
    report.section("The most confident mistakes")
    for mistake in measures.mistakes(classifier, reviews.test.texts, test):
        text = mistake.text
        excerpt = text if len(text) <= EXCERPT else f"{text[: EXCERPT // 2]} [...] {text[-EXCERPT // 2 :]}"
        true, predicted = reviews.classes[mistake.label], reviews.classes[mistake.predicted]
        words = f"; misled by {', '.join(mistake.words)}" if mistake.words else ""
        report.sample(f"Predicted {predicted} with {mistake.confidence:.1%}, but is {true}{words}", excerpt)


def _row(name: str, correct: Array) -> tuple[str, ...]:
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return name, f"{correct.mean():.4f}", f"{low:.4f} to {high:.4f}"
