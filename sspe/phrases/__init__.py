"""Sentence -> noun phrases: what a query describes, tokens, tags, chunks, the head noun of each, and what is denied."""
