"""From whole photos and sentences to their unit vectors: encoders and branches in one object."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import nn

from sspe.models.device import Home, autocast, fix_for_inference
from sspe.models.networks import create_network
from sspe.settings import RetrievalModelSettings
from sspe.text.encoders import TextEncoder
from sspe.vision.photo_encoder import PhotoEncoder

PHOTOS = 8  # per pass of the network
SENTENCES = 4096  # per pass of the text branch
NEAREST = 10  # neighbours whose mean cosine is the hubness; K of the source, see Bank


@dataclass(frozen=True)
class Bank:
    """Training photos and sentences, which tell how easily anything new fits; travels in the checkpoint.

    Some sentences lie near every photo, and some photos near every sentence, so-called hubs: among the first ranks they
    stand where they do not belong. Cross-domain similarity local scaling (Conneau et al., Word Translation Without
    Parallel Data, ICLR 2018, section 2.3) takes from a cosine what is usual for either side, its hubness: the mean
    cosine with its ten nearest neighbours on the other side. Here these come from the bank and not from what is being
    searched, so that a score does not depend on what else there is.

    Attributes:
        photos: (B, E) float32 of unit length.
        sentences: (C, E) float32 of unit length.
    """

    photos: torch.Tensor
    sentences: torch.Tensor

    def __post_init__(self) -> None:
        for name, vectors in vars(self).items():
            if vectors.ndim != 2 or not len(vectors):
                raise ValueError(f"the bank's {name} have the shape {tuple(vectors.shape)}, expected (at least 1, E)")


class RetrievalModel(nn.Module):
    """Photos -> photo embeddings; sentences -> sentence embeddings; both (·, E) float32 of unit length.

    They are compared by one dot product: nothing needs a photo and a sentence together.
    """

    task = "retrieval"

    def __init__(self, settings: RetrievalModelSettings, text_encoder: TextEncoder, pretrained: bool = False):
        """``pretrained`` starts the backbone from ImageNet; otherwise its weights are random until they are loaded."""
        super().__init__()
        self.settings = settings
        self.text_encoder = text_encoder
        self.photos = PhotoEncoder(settings.photos, pretrained)
        self.network = create_network(self.photos.feature_size, text_encoder.feature_size, settings.network)
        self.precision = "float32"
        self.home = Home()
        self.bank: Bank | None = None  # made after training

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.photos.mean.device

    def for_inference(self, device: str | torch.device = "auto", precision: str = "auto") -> "RetrievalModel":
        """Move to the device, choose the precision, and fix the weights; return self."""
        self.precision = fix_for_inference(self, device, precision)
        if self.bank is not None:
            self.bank = Bank(self.bank.photos.to(self.device), self.bank.sentences.to(self.device))
        return self

    @torch.inference_mode()
    def embed_photos(self, photos: Iterable[np.ndarray]) -> torch.Tensor:
        """Embeddings (N, E) of N photos (H, W, 3) uint8 RGB, read a few at a time."""
        self.home.check(self.device)
        parts, waiting = [], iter(photos)
        with autocast(self.device, self.precision):
            while batch := list(islice(waiting, PHOTOS)):
                parts.append(self.network.image(self.photos.encode(batch)))
        return torch.cat(parts) if parts else self._none()

    @torch.inference_mode()
    def embed_sentences(self, sentences: Sequence[str]) -> torch.Tensor:
        """Embeddings (M, E) of M sentences. One without a known word matches nothing in particular."""
        self.home.check(self.device)
        parts = [sentences[i : i + SENTENCES] for i in range(0, len(sentences), SENTENCES)]
        embedded = [self.embed_text_features(self.text_encoder.encode(part)) for part in parts]
        return torch.cat(embedded) if embedded else self._none()

    @torch.inference_mode()
    def embed_text_features(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings (M, E) of sentences whose text features (M, T) are known."""
        with autocast(self.device, self.precision):
            return self.network.text(features.to(self.device).float())

    @torch.inference_mode()
    def cosines(self, photos: torch.Tensor, sentences: torch.Tensor) -> torch.Tensor:
        """Cosines (N, M) float32, -1..1, of photo embeddings (N, E) with sentence embeddings (M, E)."""
        return self.network.scores(photos, sentences)

    def photo_hubness(self, photos: torch.Tensor) -> torch.Tensor:
        """How near each photo embedding (N, E) is to the bank's sentences: (N,) float32, 0 without a bank."""
        return self._hubness(photos, self.bank and self.bank.sentences)

    def sentence_hubness(self, sentences: torch.Tensor) -> torch.Tensor:
        """How near each sentence embedding (M, E) is to the bank's photos: (M,) float32, 0 without a bank."""
        return self._hubness(sentences, self.bank and self.bank.photos)

    @torch.inference_mode()
    def _hubness(self, embeddings: torch.Tensor, bank: torch.Tensor | None) -> torch.Tensor:
        if bank is None:
            return torch.zeros(len(embeddings), device=embeddings.device)
        nearest = min(NEAREST, len(bank))
        parts = [(part @ bank.T).topk(nearest, dim=1).values.mean(dim=1) for part in embeddings.split(SENTENCES)]
        return torch.cat(parts)

    def _none(self) -> torch.Tensor:
        return torch.zeros(0, self.settings.network.embedding, device=self.device)
