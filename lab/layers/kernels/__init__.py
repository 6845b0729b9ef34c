"""What the layers compute with, by backend."""
