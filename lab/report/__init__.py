"""Reports: written once, in reading order, and shown as HTML, Markdown, JSON and on the terminal."""

from __future__ import annotations

from lab.report.registry import register
from lab.report.report import Report

__all__ = ["Report", "register"]
