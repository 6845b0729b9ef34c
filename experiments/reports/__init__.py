"""The reports of the experiments: measures first, then the story."""
