"""Public data sets, with provenance."""
