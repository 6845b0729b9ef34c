"""Figures, in one look."""

from lab.plots.classification import classes, confusion_matrix, reliability_diagram, roc_and_precision_recall
from lab.plots.core import COLOURS, DASHES, DPI, TEN, bars, curves, grid, history, panels, style
from lab.plots.images import image_rows
from lab.plots.texts import coloured_texts, heat

__all__ = [
    "COLOURS",
    "DASHES",
    "DPI",
    "TEN",
    "bars",
    "classes",
    "coloured_texts",
    "confusion_matrix",
    "curves",
    "grid",
    "heat",
    "history",
    "image_rows",
    "panels",
    "reliability_diagram",
    "roc_and_precision_recall",
    "style",
]
