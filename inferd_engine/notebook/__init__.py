"""Answers in a notebook: ``stream.display()``, ``backend.display(prompt)``, and as values."""
