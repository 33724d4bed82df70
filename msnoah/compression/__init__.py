"""Extreme checkpoint compression (ExCP): what a run's checkpoints hold, in a twentieth of the bytes and less."""
