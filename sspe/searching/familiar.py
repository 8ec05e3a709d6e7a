"""What captions speak of: training phrases that a phrase of a search is compared with.

A phrase that is near none of them names what no caption ever spoke of. And most of its score a phrase shares with those
that are like it: "a man in a red hat" fits every man. So photos are ranked by what tells it from them: from its
embedding a part of their mean is taken, each weighed by its likeness. Not so from "a man", who is what they all show. A
box is looked for with the phrase itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from sspe.models.search_fit import SearchFit
from sspe.text.mean import ARTICLES
from sspe.text.words import words_of

NEAREST = 3  # phrases that tell how familiar one is
SHARED = 0.4  # of the mean of those like it is taken off; 0.3 and 0.5 do as well
LIKENESS = 0.1  # temperature: of two phrases the one with a cosine larger by so much counts e times as much


class FamiliarPhrases:
    """The training phrases of a checkpoint's search fit; E numbers in an embedding."""

    def __init__(self, fit: SearchFit):
        """A fit of before 2026-11-26 has the hubs' phrases alone: the nearest of them counts, and nothing is shared."""
        self.older = fit.familiar is None
        self._basis = (fit.basis if self.older else fit.familiar_basis).float().cpu()
        phrases = fit.phrases[:, : self._basis.shape[1]] if self.older else fit.familiar
        self._phrases = normalize(phrases.float().cpu(), dim=1)

    def familiarity(self, y: torch.Tensor) -> np.ndarray:
        """The mean (P,) of the best cosines of phrases (P, E) with those of training; 0 where there are none."""
        if not len(self._phrases):
            return np.zeros(len(y), np.float32)
        count = min(1 if self.older else NEAREST, len(self._phrases))
        return self._cosines(y).topk(count, dim=1).values.mean(dim=1).numpy()

    def set_apart(self, y: torch.Tensor, phrases: Sequence[str]) -> torch.Tensor:
        """Phrases y (P, E) less a part of what they share with those like them; shorter than they were.

        Of the ``phrases`` those of one word beside an article stay as they are.
        """
        if self.older:
            return y
        several = torch.tensor([len(set(words_of(phrase)) - ARTICLES) > 1 for phrase in phrases])
        shared = torch.softmax(self._cosines(y) / LIKENESS, dim=1) @ self._phrases @ self._basis.T
        return y - SHARED * several[:, None] * y.norm(dim=1, keepdim=True) * shared

    def _cosines(self, y: torch.Tensor) -> torch.Tensor:
        return normalize(y, dim=1) @ self._basis @ self._phrases.T
