"""Callbacks: the base class and those of every run."""
