"""The paper: the two-branch network, its losses and baselines, and the whole networks of both tasks built from them."""
