"""Annotated photos to train and evaluate on: `open_dataset` takes whatever the user names.

"synthetic"                      drawn scenes, made once and kept in the cache folder
folder with Annotations/ ...     Flickr30K Entities (`sspe.data.entities`)
folder with <split>.jsonl        your own data (`sspe.data.jsonl`)
file.jsonl                       your own data, without splits

`records` says what an annotated photo is, `entities` and `jsonl` read it; `captions` opens photos with whole sentences
for retrieval, whose published formats `caption_sources` and `caption_lines` read; `caches` keeps on disk what is
computed once per photo; `synthetic` draws scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sspe.data.records import PHRASE_TYPES, AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence, read_ids
from sspe.errors import DataError

__all__ = ["PHRASE_TYPES", "AnnotatedPhoto", "AnnotatedPhrase", "AnnotatedSentence", "open_dataset"]

SYNTHETIC = "synthetic"


def open_dataset(
    data: str | Path,
    split: str = "val",
    ids_file: str | Path | None = None,
    limit: int | None = None,
    photos: str | Path | None = None,
) -> Sequence[AnnotatedPhoto]:
    """Open annotated photos for random access.

    data: "synthetic", a folder, or a .jsonl file, as listed above.
    split: which photos of the data ("train", "val", ...); means nothing for a single .jsonl file.
    ids_file: file with one photo id per line: take exactly these, whatever their split (of a folder of .jsonl files,
        those of the split).
    limit: take only the first so many photos, in the data's own order.
    photos: folder of the photo files, where they do not lie beside the annotations.

    Raises DataError, one sentence, if there is nothing to read or it cannot be understood.
    """
    from sspe.data.entities import Flickr30kEntities

    ids = None if ids_file is None else read_ids(ids_file)
    if str(data) == SYNTHETIC:
        from sspe.data.synthetic.scenes import synthetic_root

        return Flickr30kEntities(synthetic_root(), split, ids=ids, limit=limit)

    path = Path(data)
    if not path.exists():
        raise DataError(f'No data at {path}: give "{SYNTHETIC}", a folder of Flickr30K Entities, or .jsonl files.')
    if path.is_file() and path.suffix.lower() != ".jsonl":
        raise DataError(f"{path} is a file that does not end in .jsonl; give a .jsonl file or a folder.")
    if path.is_dir() and (path / "Annotations").is_dir():
        return Flickr30kEntities(path, split, ids=ids, photos=photos, limit=limit)

    from sspe.data.jsonl import JsonLines

    if path.is_dir():
        splits = sorted(file.stem for file in path.glob("*.jsonl"))
        if not splits:
            raise DataError(
                f"{path} holds neither the folder Annotations nor .jsonl files, so there is nothing to read."
            )
        if split not in splits:
            raise DataError(f"{path} has no split {split!r}; the splits there are {', '.join(splits)}.")
        path = path / f"{split}.jsonl"
    return JsonLines(path, ids=ids, photos=photos, limit=limit)
