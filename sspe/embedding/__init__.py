"""The paper's contribution: two branches into one space, and the structure-preserving loss they are trained with."""
