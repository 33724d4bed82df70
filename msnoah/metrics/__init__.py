"""Measures of quality, gathered batch by batch in numpy; they know nothing of models."""
