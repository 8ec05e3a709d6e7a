"""Sentence -> noun phrases: tokens, tags, chunks, and the head noun of each."""
