"""Figures, in one style."""

from lab.report.plots.core import COLOURS, DASHES, DPI, TEN, bars, curves, grid, history, panels, style
from lab.report.plots.images import image_rows

__all__ = ["COLOURS", "DASHES", "DPI", "TEN", "bars", "curves", "grid", "history", "image_rows", "panels", "style"]
