"""Training runs: what both tasks share, and a file of its own for each."""
