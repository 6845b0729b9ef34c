"""Checkpoints: what they hold, which are kept, and what they belong to."""
