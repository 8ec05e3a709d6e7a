"""Inside a collection's index: which photos there are, what is kept of them, and how it is written safely."""
