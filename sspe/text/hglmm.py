"""HGLMM Fisher vectors as a text encoder: the text feature of the paper's best results."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from sspe.errors import DataError
from sspe.files import cache_dir, settings_key, written
from sspe.settings import TextSettings
from sspe.text.base import Tensors, TextEncoder, as_stored
from sspe.text.fisher import HybridMixture, fit_mixture
from sspe.text.projection import independent_components, principal_components
from sspe.text.words import GLOVE, Vocabulary, WordVectors, training_vectors, words_of

log = logging.getLogger(__name__)

COMMON_WORDS = 20_000  # carried beside the words of the training texts; of 300 numbers they take 12 MB
MEMORY = 8 * 2**30  # bytes that fitting may take; a quarter of them for the Fisher vectors, the rest to factorise them
_LENGTH = 10.0  # of a word vector before the mixture
_BATCH = 512  # texts encoded at once; their words' shares take some 100 MB
_FITTING = 1  # version of all that create does, for the cache


class HGLMMEncoder(TextEncoder):
    """Word vectors (unit length, independent components, length 10), the Fisher vector of a hybrid mixture, PCA.

    The Fisher vector (2 K D) has unit length before the PCA; it is centred and not whitened by it. A text of no known
    word gives zeros.
    """

    name = "hglmm"

    def __init__(
        self, table: WordVectors, mixture: HybridMixture, mean: torch.Tensor, components: torch.Tensor, context: int = 0
    ):
        """See :meth:`create`.

        Args:
            table: words and their vectors (V, D) as the mixture reads them, of length 10.
            mean, components: of the PCA, (2 K D,) and (P, 2 K D).
        """
        super().__init__()
        self.vocabulary = Vocabulary(table.words)
        self.register_buffer("vectors", torch.from_numpy(table.vectors), persistent=False)
        self.mixture = Tensors(mixture.as_dict())
        self.pca = Tensors({"mean": mean, "components": components})
        self.context = context
        self.phrase_size = self.context_size = len(components)

    @classmethod
    def create(cls, texts: Sequence[str], settings: TextSettings, seed: int = 0) -> HGLMMEncoder:
        """Fit on training texts: components and mixture on their words as often as they occur, the PCA on the texts.

        The vectors are the one table that ``settings.vectors`` names. What was fitted once is kept in the cache folder.
        Raises DataError for none or several, and where no word of the texts has a vector.
        """
        if len(settings.vectors) != 1:
            raise DataError(
                f"The text encoder hglmm takes one table of word vectors and got {len(settings.vectors)}; "
                "set text.vectors to glove or to one file."
            )
        kept = _kept(texts, settings, seed)
        if not kept.exists():
            cls._fitted(texts, settings, seed)._write(kept)
        return cls._read(kept, settings.context)

    @classmethod
    def _fitted(cls, texts: Sequence[str], settings: TextSettings, seed: int) -> HGLMMEncoder:
        words = [words_of(text) for text in texts]
        table = training_vectors(settings.vectors[0], {word for text in words for word in text}, COMMON_WORDS)
        rows = [table.rows(text) for text in words]
        counts = torch.from_numpy(np.bincount([row for text in rows for row in text], minlength=len(table.words)))
        seen = counts > 0
        if not seen.any():
            raise DataError("No word of the training texts has a vector; set text.vectors to a file that knows them.")
        log.info("fitting the mixture on %d words, %d of them different", counts.sum(), seen.sum())
        unit = functional.normalize(torch.from_numpy(table.vectors), dim=1)
        mean, unmixing = independent_components(unit[seen], counts[seen], seed)
        vectors = as_stored(_LENGTH * functional.normalize((unit - mean) @ unmixing.T, dim=1))
        mixture = fit_mixture(vectors[seen], counts[seen], settings.centres, seed=seed)
        mixture = HybridMixture(**{name: as_stored(tensor) for name, tensor in mixture.as_dict().items()})
        size = 2 * mixture.means.numel()
        different = sorted({tuple(text) for text in rows if text})
        most = MEMORY // 4 // (4 * size)
        if len(different) > most:
            chosen = np.random.default_rng(seed).choice(len(different), most, replace=False)
            different = [different[i] for i in sorted(chosen)]
        log.info("fitting %d principal components on %d different texts", settings.pca, len(different))
        fisher = torch.empty(len(different), size)
        for i in range(0, len(different), _BATCH):
            fisher[i : i + _BATCH] = _fisher_vectors(mixture, vectors, different[i : i + _BATCH])
        mean, components = map(as_stored, principal_components(fisher, settings.pca, seed))
        return cls(WordVectors(table.words, vectors.numpy()), mixture, mean, components)

    @classmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> HGLMMEncoder:
        """The encoder a checkpoint carries."""
        parameters = {name.removeprefix("mixture."): t.float() for name, t in state.items() if name[:8] == "mixture."}
        return cls(
            WordVectors(tuple(settings["words"]), state["vectors"].float().numpy()),
            HybridMixture(**parameters),
            state["pca.mean"].float(),
            state["pca.components"].float(),
            settings["context"],
        )

    def features(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, P) projected Fisher vectors; zero where no word is known."""
        rows = [self.vocabulary.rows(words_of(text)) for text in texts]
        features = self.vectors.new_zeros(len(rows), self.context_size)
        known = [i for i, text in enumerate(rows) if text]
        mixture = HybridMixture(**dict(self.mixture.named_buffers()))
        for part in (known[i : i + _BATCH] for i in range(0, len(known), _BATCH)):
            fisher = _fisher_vectors(mixture, self.vectors, [rows[i] for i in part])
            features[part] = (fisher - self.pca.mean) @ self.pca.components.T
        return features

    def knows(self, phrases: Sequence[str]) -> list[bool]:
        """For each phrase, whether its head word is in the vocabulary."""
        return [self.vocabulary.knows(phrase) for phrase in phrases]

    def settings(self) -> dict:
        """The vocabulary, and how much context is read; the sizes are those of the tensors."""
        return {"words": list(self.vocabulary.words), "context": self.context}

    def _write(self, path: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        tensors = {name: tensor.half().contiguous() for name, tensor in self.state().items()}
        with written(path, SafetensorError) as temporary:
            save_file(tensors, temporary, {"words": json.dumps(self.vocabulary.words)})

    @classmethod
    def _read(cls, path: Path, context: int) -> HGLMMEncoder:
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            words = json.loads(file.metadata()["words"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
        return cls.load({"words": words, "context": context}, state)


def _fisher_vectors(mixture: HybridMixture, vectors: torch.Tensor, texts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Fisher vectors (T, 2 K D) of texts given as rows of vectors (V, D); each word's share is computed once."""
    words = sorted({row for text in texts for row in text})
    place = {row: i for i, row in enumerate(words)}
    return mixture.fisher_vectors(vectors[words], [[place[row] for row in text] for text in texts])


def _kept(texts: Sequence[str], settings: TextSettings, seed: int) -> Path:
    """Path of the encoder fitted on this very input."""
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    vectors = None
    if (source := settings.vectors[0]) != GLOVE and Path(source).is_file():
        status = Path(source).stat()
        vectors = (str(Path(source).resolve()), status.st_size, status.st_mtime_ns)
    key = settings_key(_FITTING, digest, vectors, settings.centres, settings.pca, COMMON_WORDS, seed)
    return cache_dir() / "text" / f"hglmm-{key}.safetensors"
