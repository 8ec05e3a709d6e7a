"""sspe: structure-preserving image-text embeddings (Wang, Li, Lazebnik, CVPR 2016).

from sspe import Localizer
localizer = Localizer.from_pretrained()
found = localizer("photo.jpg", "A man in an orange hat.")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sspe.collection import Collection
    from sspe.errors import CheckpointError, CollectionError, DataError, MissingPackageError, PhotoError, SspeError
    from sspe.localizer import Localizer, PhotoView
    from sspe.phrases.chunker import Phrase, extract_phrases, phrases_at
    from sspe.results import Localization, LocalizedPhrase
    from sspe.retriever import Retriever
    from sspe.searching.results import Hit, SearchResult

# Names load on first use: importing torch takes seconds that `--help` should not.
_HOMES = {
    "Localizer": "sspe.localizer",
    "PhotoView": "sspe.localizer",
    "Localization": "sspe.results",
    "LocalizedPhrase": "sspe.results",
    "Retriever": "sspe.retriever",
    "Collection": "sspe.collection",
    "Hit": "sspe.searching.results",
    "SearchResult": "sspe.searching.results",
    "Phrase": "sspe.phrases.chunker",
    "extract_phrases": "sspe.phrases.chunker",
    "phrases_at": "sspe.phrases.chunker",
    "SspeError": "sspe.errors",
    "PhotoError": "sspe.errors",
    "DataError": "sspe.errors",
    "CheckpointError": "sspe.errors",
    "CollectionError": "sspe.errors",
    "MissingPackageError": "sspe.errors",
}

__version__ = "0.1.0"
__all__ = ["CheckpointError", "Collection", "CollectionError", "DataError", "Hit", "Localization", "LocalizedPhrase",
           "Localizer", "MissingPackageError", "PhotoError", "PhotoView", "Phrase", "Retriever", "SearchResult",
           "SspeError", "extract_phrases", "phrases_at"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sspe' has no attribute {name!r}")
