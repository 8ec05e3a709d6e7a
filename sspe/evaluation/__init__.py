"""Measures, one file each; they take predictions and annotations and return plain dictionaries."""
