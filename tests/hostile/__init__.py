"""What goes wrong on purpose, and what must happen: a table of hostile inputs."""
