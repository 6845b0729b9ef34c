"""The sentiment classifier: its data, its report, and its predictions for a user's texts."""

from __future__ import annotations

import collections
import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import lab
from experiments.sentiment_analysis import Options, SentimentAnalysis
from lab.cli.main import main
from lab.data.io.words import tokenise
from lab.data.ragged import Ragged
from lab.errors import SettingsError, UsageError
from lab.tasks.text.adversarial import AdversarialModel
from tests.conftest import write_reviews

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {"units": 4, "embedding_dim": 8, "max_words": 16, "segment": 8, "word_dropout": 0.1}


@pytest.fixture(scope="module")
def experiment(reviews_file: Path) -> SentimentAnalysis:
    return SentimentAnalysis(data=reviews_file, **SMALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, experiment: SentimentAnalysis) -> lab.Run:
    """A small model, trained on generated reviews for one epoch."""
    folder = tmp_path_factory.mktemp("run") / "run"
    trainer = lab.Trainer(epochs=1, batch_size=8, learning_rate=0.05, warmup_steps=0, jit=False, run_dir=folder)
    return trainer.run(experiment, console=Console(file=io.StringIO(), width=120))


def items(run: lab.Run, kind: str) -> list[dict[str, Any]]:
    return [item for item in run.report["items"] if item["kind"] == kind]


def predict(run: lab.Run, *inputs: str, **options: Any) -> list[str | lab.LabError]:
    return list(SentimentAnalysis().predict(run, inputs, Options(**options)))


# --- data -------------------------------------------------------------------------------------------


def planted(path: Path) -> Path:
    """Reviews that each repeat a unique word, and share a word with the review before."""
    letters = "abcdefghijklmnopqrst"
    names = [one + other for one in letters for other in letters]
    rows = [
        (f"own{name}x own{name}x shared{before}x shared{name}x film", "pos" if place % 2 else "neg")
        for place, (before, name) in enumerate(zip([names[-1], *names], names, strict=False))
    ]
    return write_reviews(path, rows)


def test_no_word_of_validation_or_test_texts_is_counted(tmp_path: Path) -> None:
    made = SentimentAnalysis(data=planted(tmp_path / "reviews.csv"), **SMALL)
    data = made.prepare()
    reviews = made.reviews
    learnt = collections.Counter(token for text in reviews.train.texts for token in tokenise(text))
    held_out = collections.Counter(
        token for part in (reviews.validation, reviews.test) for text in part.texts for token in tokenise(text)
    )
    assert data.sizes() == {"train": 320, "validation": 40, "test": 40}
    own = [word for word in held_out if word.startswith("own")]
    assert len(own) == 80
    assert not set(own) & set(made.words.words), "words of these texts alone"
    split = [word for word in held_out if word.startswith("shared") and learnt[word] == 1]
    assert len(split) > 20
    assert not set(split) & set(made.words.words), "words whose count these texts would raise to two"
    expected = sorted((-count, word) for word, count in learnt.items() if count >= 2)
    assert list(made.words.words) == [word for _, word in expected]


def test_the_vocabulary_has_the_size_of_the_setting(reviews_file: Path) -> None:
    made = SentimentAnalysis(data=reviews_file, vocabulary=5, **SMALL)
    made.prepare()
    assert len(made.words.words) == 5


def test_texts_are_read_as_words_and_labels_as_numbers(trained: lab.Run, experiment: SentimentAnalysis) -> None:
    for name in ("train", "validation", "test"):
        split, part = trained.data.split(name), getattr(experiment.reviews, name)
        assert isinstance(split.x, Ragged)
        assert split.y.shape == (len(part), 1)
        assert split.y.dtype == np.float32
        assert split.y[:, 0].tolist() == part.labels.tolist() == np.asarray(split.labels).tolist()
        assert all(width % 8 == 0 and width <= 16 for width in split.x.widths)
        for place in range(0, len(part), 7):
            tokens = experiment.words.encode(tokenise(part.texts[place]))
            if len(tokens) > 16:
                tokens = np.concatenate([tokens[:8], tokens[-8:]])
            assert split.x[place : place + 1].tokens.tolist() == tokens.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cut": "front"}, "cut=front: expected"),
        ({"min_precision": 0}, "min_precision=0: expected"),
        ({"segment": 0}, "segment=0: expected"),
        ({"false_positive_cost": -1}, "false_positive_cost=-1: expected"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        SentimentAnalysis(**values)


# --- report -----------------------------------------------------------------------------------------


def test_it_learns_separable_texts(trained: lab.Run) -> None:
    metrics = trained.metrics
    assert metrics["test_accuracy"] > 0.85
    assert metrics["test_roc_auc"] > 0.9
    assert metrics["tfidf_test_accuracy"] == metrics["nb_svm_test_accuracy"] == 1
    assert trained.evaluate("test", "accuracy") == pytest.approx(metrics["raw_test_accuracy"])
    counts = [metrics[f"test_{name}"] for name in ("true_negatives", "true_positives")]
    assert sum(counts) == pytest.approx(40 * metrics["test_accuracy"])


def test_the_report_shows_each_part(trained: lab.Run) -> None:
    pictures = {Path(item["file"]).stem for item in items(trained, "picture")}
    assert pictures >= {"confusion", "learning", "curves", "threshold", "reliability"}
    (slider,) = items(trained, "lab.tasks.classification.thresholds.Thresholds")
    assert slider["classes"] == ["bad", "good"]
    assert all(sum(row) == 40 for row in slider["counts"])
    questions = [item["question"] for item in items(trained, "answer")]
    assert questions == [
        "Does the LSTM beat counting words?",
        "Why does the trade-off of precision and recall matter here?",
    ]
    lengths = next(item for item in items(trained, "table") if item["columns"][0] == "words")
    assert sum(int(row[-1]) for row in lengths["rows"]) == 40
    shortened = next(item for item in items(trained, "table") if item["columns"][0] == "words kept")
    assert [row[0] for row in shortened["rows"]] == ["50", "100", "200"]
    assert "320 training texts, 40 validation texts, 40 test texts (held out)" in items(trained, "text")[0]["text"]


def test_the_most_confident_mistakes_are_mistakes(trained: lab.Run, experiment: SentimentAnalysis) -> None:
    titles = [item["title"] for item in items(trained, "sample")]
    wrong = trained.metrics["test_false_positives"], trained.metrics["test_false_negatives"]
    assert sum(title.startswith("Predicted good") for title in titles) == min(3, wrong[0])
    assert sum(title.startswith("Predicted bad") for title in titles) == min(3, wrong[1])


# --- predict ----------------------------------------------------------------------------------------

TEXTS = [
    "A superb, moving film!",
    "dreadful and boring",
    "the camera was it",
    "",
    "zzz \u65e5\u672c :-)",
    "funny " * 40,
]

NEW_PROCESS = """
import json, sys
import keras
import lab
from lab.tasks.classification.calibration import Scaling
from lab.tasks.text.classifier import TextClassifier
model = keras.saving.load_model(sys.argv[1])
scaling = Scaling(*json.loads(sys.argv[2]))
print(json.dumps(TextClassifier(model, scaling).probabilities(json.loads(sys.argv[3])).tolist()))
"""


def test_a_saved_model_predicts_the_same_for_raw_texts_in_a_new_process(trained: lab.Run) -> None:
    from lab.tasks.classification.calibration import Scaling
    from lab.tasks.text.classifier import TextClassifier

    numbers = [trained.metrics[f"calibration_{name}"] for name in ("temperature", "bias")]
    here = TextClassifier(trained.model, Scaling(*numbers)).probabilities(TEXTS)
    assert np.ptp(here) > 0.5
    words = [str(trained.path / "model.keras"), json.dumps(numbers), json.dumps(TEXTS)]
    done = subprocess.run(
        [sys.executable, "-c", NEW_PROCESS, *words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), here, atol=1e-6)


def cli(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The command's exit code, and what it writes to either stream."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lab", *words])
        try:
            main()
            code: Any = 0
        except SystemExit as stopped:
            code = stopped.code
    written = capsys.readouterr()
    return int(code or 0), written.out, written.err


def test_a_text_is_described(trained: lab.Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = cli(capsys, "predict", str(trained.path), "--text", "A superb, moving, funny and brilliant film")
    assert code == 0
    assert out.startswith("good, probability ")
    assert "towards good: " in out
    code, out, _ = cli(capsys, "predict", str(trained.path), "--text", "awful boring tedious film")
    assert (code, out.split(",")[0]) == (0, "bad")


def test_a_csv_file_gets_two_more_columns(trained: lab.Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "asked.CSV"
    rows = [("1", "superb, brilliant and funny"), ("2", ""), ("3", 'an "awful"\nboring film')]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "review"), *rows])
    code, out, _ = cli(capsys, "predict", str(trained.path), str(path), "--text-column", "review")
    written = list(csv.reader(io.StringIO(out)))
    assert code == 0
    assert written[0] == ["id", "review", "predicted_label", "predicted_probability"]
    assert [tuple(row[:2]) for row in written[1:]] == rows
    assert [row[2] for row in written[1:]] == ["good", "", "bad"]
    assert float(written[1][3]) > 0.5 > float(written[3][3])


def test_lines_of_standard_input_are_classified_one_by_one(
    trained: lab.Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("superb brilliant funny film\n\nawful boring film\n"))
    code, out, _ = cli(capsys, "predict", str(trained.path), "-")
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [(row[0], row[2]) for row in rows] == [
        ("good", "superb brilliant funny film"),
        ("", ""),
        ("bad", "awful boring film"),
    ]


def test_any_other_file_is_one_text(trained: lab.Run, tmp_path: Path) -> None:
    (tmp_path / "review.txt").write_text("superb\nbrilliant, moving, funny")
    (result,) = predict(trained, str(tmp_path / "review.txt"))
    assert str(result).startswith("good, probability ")


def test_nothing_to_classify_is_refused(trained: lab.Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = cli(capsys, "predict", str(trained.path))
    assert (code, out) == (2, "")
    assert "expected --text, a file, or - for the lines of standard input" in err
    with pytest.raises(UsageError):
        predict(trained)


def test_a_missing_or_wrong_file_does_not_stop_the_others(
    trained: lab.Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text("a superb, moving, funny and brilliant film")
    (tmp_path / "other.csv").write_text("review\nfilm\n")
    (tmp_path / "empty.txt").write_text(".,;")
    names = [str(tmp_path / name) for name in ("missing.csv", "other.csv", "empty.txt", "good.txt")]
    code, out, err = cli(capsys, "predict", str(trained.path), *names)
    assert code == 1
    assert out.startswith("good, probability ")
    assert len(err.strip().splitlines()) == 3
    assert "missing.csv: expected a text file, No such file" in err
    assert "other.csv: expected a column 'text', got 'review'" in err
    assert "expected a text with words, got none" in err


def test_an_empty_text_is_an_error_and_not_a_label(trained: lab.Run) -> None:
    (result,) = predict(trained, text=".,;")
    assert isinstance(result, lab.LabError)


# --- adversarial training -----------------------------------------------------------------------------


def test_an_adversarial_model_is_saved_as_a_plain_one(reviews_file: Path, tmp_path: Path) -> None:
    experiment = SentimentAnalysis(data=reviews_file, adversarial=0.05, **SMALL)
    model = experiment.build(experiment.prepare())
    assert isinstance(model, AdversarialModel)
    assert model.strength == 0.05
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert json.loads(file.read("config.json"))["class_name"] == "Functional"
