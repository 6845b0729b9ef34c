"""The trainer: stages, checks, resume, reference runs."""
