"""Cells that two models share; each file holds one idea."""
