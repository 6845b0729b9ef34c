"""Tools for classification."""
