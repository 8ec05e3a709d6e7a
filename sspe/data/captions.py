"""Photos with their sentences, for image-sentence retrieval: `open_captions` takes whatever the user names.

"synthetic"                      drawn scenes, as `sspe.data.open_dataset` has them
folder with Sentences/ ...       Flickr30K Entities, or the part of it that is Flickr8K (`sspe.data.entities`), with
                                 <split>.txt or Flickr8K's own lists
dataset_<name>.json              Flickr8K, Flickr30K or MSCOCO with the splits of Karpathy and Fei-Fei (CVPR 2015);
                                 dataset.json in neuraltalk, where the photos lie in imgs/
folder with Flickr8k.token.txt   Flickr8K as published, with Flickr_8k.trainImages.txt and so on beside
results_20130124.token           Flickr30K as published
captions.txt, results.csv        Flickr8K and Flickr30K as Kaggle has them
captions_<split>.json            MSCOCO as published; one file is one split

A folder that holds one of these files stands for it, and so does one with captions_*.json in annotations/. Where a
format has no splits of its own, lists of photos beside the file, train.txt, val.txt and test.txt, are obeyed. Photos
are looked for beside the file, in the folders that the data sets' archives unpack to and below these, and for MSCOCO in
train2014/ and the like; or in the folder the user names and below it.

The usual protocol has five sentences per photo, which is decided here: of a photo with more (MSCOCO has up to
seven) the first five in the file's order count, and one with fewer is incomplete, as is one whose file is missing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sspe.data import SYNTHETIC
from sspe.data.caption_lines import TABLE_FILES, TOKEN_FILES, read_table, read_tokens
from sspe.data.caption_sources import CaptionSource, EntitiesSource, read_json
from sspe.data.records import read_ids
from sspe.errors import DataError
from sspe.settings import INCOMPLETE

log = logging.getLogger(__name__)

SENTENCES = 5  # per photo
FAULTS = {  # what may be wrong with a photo, and how a message counts it
    "too_few_sentences": "with too few sentences",
    "missing_photos": "without a photo file",
    "repeated_ids": "with a repeated id",
    "unknown_photos": "of a photo that is not listed",
}
Fault = tuple[str, str]  # a key of FAULTS, and the sentence, without its full stop, that says what was found


@dataclass(frozen=True)
class CaptionedPhoto:
    """A photo file and what people wrote about it, each sentence one line of text."""

    id: str
    path: Path
    sentences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Captions(Sequence[CaptionedPhoto]):
    """Captioned photos by position.

    photos: all of them.
    left_out: how often each of `FAULTS` was found and skipped; empty where nothing was.
    """

    photos: tuple[CaptionedPhoto, ...]
    left_out: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index):  # int -> CaptionedPhoto, slice -> tuple of them
        return self.photos[index]

    @property
    def sentences(self) -> list[str]:
        """The sentences of all photos, one photo after the other; M of them."""
        return [sentence for photo in self.photos for sentence in photo.sentences]

    @property
    def owners(self) -> np.ndarray:
        """(M,) int64: for each of `sentences` the position of its photo."""
        return np.repeat(np.arange(len(self.photos)), [len(photo.sentences) for photo in self.photos])


def open_captions(
    data: str | Path,
    split: str = "val",
    ids_file: str | Path | None = None,
    limit: int | None = None,
    photos: str | Path | None = None,
    unrelated: bool = True,
    incomplete: str = "refuse",
) -> Captions:
    """Read the sentences of all chosen photos, and see that the photos are there; none is opened.

    data: "synthetic", a folder or a file, as listed above.
    split: which photos of the data ("train", "val", "test", and "restval" in Karpathy's MSCOCO; "train+restval" takes
        both). Means nothing for a single captions_*.json.
    ids_file: file with one photo id, or name of a photo file, per line: take exactly these, whatever their split (of
        a folder of captions_*.json, those of the split).
    limit: take only the first so many photos, in the data's own order.
    photos: folder of the photo files, where they are not found beside the data.
    unrelated: keep the sentences that UNRELATED_CAPTIONS of Flickr30K Entities lists as describing another photo. The
        usual protocol has them, so keep them to measure; leave them out to train. Such a photo then has fewer than
        five sentences and is not incomplete. The other formats list none.
    incomplete: what to do about a photo with fewer than five sentences or none, one without a file, an id that occurs
        twice, a sentence of a photo that is not listed. "refuse" raises; "skip" leaves it out (of what occurs twice the
        second), counts it in `left_out`, and logs a sentence that says so.

    Raises DataError, one sentence, if there is nothing to read, it cannot be understood, nothing is left of it, or
    something is incomplete and not to be skipped: then with the first such photo and the count of all.
    """
    if incomplete not in INCOMPLETE:
        raise ValueError(f"incomplete is {incomplete!r}, expected one of {', '.join(INCOMPLETE)}")
    if limit is not None and limit < 1:
        raise DataError(f"The limit is {limit}, but at least 1 photo is needed; leave it out to take all.")
    source = _open_source(data, split, None if photos is None else Path(photos))
    chosen = source.ids(split) if ids_file is None else [source.id_of(name) for name in read_ids(ids_file)]
    if not chosen:
        raise DataError(f"No photo to read from {data}: the list of ids is empty; give one id per line.")

    lister = source.name if ids_file is None else str(ids_file)
    times = Counter(chosen)
    faults: list[Fault] = [("unknown_photos", f"{source.name} has {stray}") for stray in source.strays]
    faults += [("repeated_ids", f"{lister} lists the photo {id} {n} times") for id, n in times.items() if n > 1]
    found = []
    for id in list(times)[:limit]:
        faults += [("repeated_ids", f"{source.name} has {repeat}") for repeat in source.repeats.get(id, ())]
        photo = _read_photo(source, id, unrelated)
        if isinstance(photo, CaptionedPhoto):
            found.append(photo)
        else:
            faults.append(photo)
    if not faults:
        return Captions(tuple(found))

    counts = Counter(kind for kind, _ in faults)
    left_out = {kind: counts[kind] for kind in FAULTS if counts[kind]}
    summary = ", ".join(f"{count} {FAULTS[kind]}" for kind, count in left_out.items())
    if incomplete == "skip" and found:
        log.warning("Left out of %d photos: %s; the first: %s.", len(times), summary, faults[0][1])
        return Captions(tuple(found), left_out)
    advice = ["complete the data"]
    if counts["missing_photos"]:
        advice.append("name the folder of the photos (--photos)")
    if found:
        advice.append("leave these out (--incomplete skip)")
    raise DataError(f"{faults[0][1]} (among {len(times)} photos: {summary}); {' or '.join(advice)}.")


def _read_photo(source: CaptionSource, id: str, unrelated: bool) -> CaptionedPhoto | Fault:
    numbered = [(i, " ".join(text.split())) for i, text in source.sentences(id) if text.strip()][:SENTENCES]
    if len(numbered) < SENTENCES:
        count = f"{len(numbered) or 'no'} sentence{'s' * (len(numbered) != 1)}"
        return "too_few_sentences", f"{source.name} has {count} for the photo {id}, expected {SENTENCES}"
    kept = tuple(text for i, text in numbered if unrelated or i not in source.unrelated(id))
    if not kept:
        return "too_few_sentences", f"{source.name} has only unrelated sentences for the photo {id}"
    path = source.photo(id)
    if path is None:
        return "missing_photos", f"{source.name} names the photo {id}, and no file of it lies in {source.looked_in}"
    return CaptionedPhoto(id, path, kept)


def _open_source(data: str | Path, split: str, photos: Path | None) -> CaptionSource:
    """Recognise the format."""
    if str(data) == SYNTHETIC:
        from sspe.data.synthetic.scenes import synthetic_root

        return EntitiesSource(synthetic_root(), photos)
    path = Path(data)
    if not path.exists():
        raise DataError(f'No data at {path}: give "{SYNTHETIC}", a folder, or a .json file of captions.')
    if path.is_file():
        if path.name.lower().endswith((".token", ".token.txt")):
            return read_tokens(path, photos)
        if path.suffix.lower() == ".json":
            return read_json(path, photos)
        if path.suffix.lower() in (".csv", ".txt"):
            return read_table(path, photos)
        raise DataError(
            f"{path} is no file of captions by its name; give a .token, .json or .csv file, as the data sets have "
            "them, or a folder."
        )
    if (path / "Sentences").is_dir():
        return EntitiesSource(path, photos)
    for folder in (path, path / "Flickr8k_text"):
        for name in TOKEN_FILES:
            if (folder / name).is_file():
                return read_tokens(folder / name, photos)
    if files := sorted([*path.glob("dataset_*.json"), *path.glob("dataset.json")]):
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise DataError(f"{path} holds {names}; give one of these files.")
        return read_json(files[0], photos)
    if files := sorted([*path.glob("captions_*.json"), *path.glob("annotations/captions_*.json")]):
        return read_json(_of_split(path, files, split), photos)
    for name in TABLE_FILES:
        if (path / name).is_file():
            return read_table(path / name, photos)
    known = ", ".join((*TOKEN_FILES, "dataset_*.json", "captions_*.json", *TABLE_FILES))
    raise DataError(f"{path} holds neither Sentences/ nor any of {known}; give the folder of one.")


def _of_split(folder: Path, files: list[Path], split: str) -> Path:
    """The captions_*.json of a split: "val2014" names one exactly, "val" does where only one year is there."""
    splits = {file.stem.removeprefix("captions_"): file for file in files}
    fitting = [name for name in splits if split in (name, name.rstrip("0123456789"))]
    if len(fitting) != 1:
        there = ", ".join(sorted(splits))
        raise DataError(f"{folder} has {len(fitting) or 'no'} files for the split {split!r}; the splits are {there}.")
    return splits[fitting[0]]
