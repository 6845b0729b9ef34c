"""Tools for text."""
