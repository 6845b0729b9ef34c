"""Reports: written once, in reading order, shown as terminal, JSON, Markdown and HTML."""

from __future__ import annotations

from lab.report.core import Report

__all__ = ["Report"]
