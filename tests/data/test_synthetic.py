"""Drawn scenes: the same for the same seed, and true to their captions."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sspe.data import PHRASE_TYPES, open_dataset
from sspe.data.entities import Flickr30kEntities
from sspe.data.synthetic.drawing import COLOURS, GLYPHS, TEXTURES, draw_glyph
from sspe.data.synthetic.scenes import TYPES, _part, draw_scene, make_scene, synthetic_root, write_synthetic
from sspe.errors import DataError
from sspe.vision.boxes import iou
from sspe.vision.photo import open_photo


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("scenes"), train=60, val=12, seed=3)


def contents(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


def test_the_same_seed_gives_the_same_bytes(tmp_path, root):
    few, again = write_synthetic(tmp_path / "a", 2, 2, seed=3), write_synthetic(tmp_path / "b", 2, 2, seed=3)
    assert contents(few) == contents(again)
    photo = "flickr30k-images/1000001.jpg"
    assert contents(few)[photo] == contents(root)[photo]  # a scene does not depend on how many are drawn
    assert contents(write_synthetic(tmp_path / "c", 2, 2, seed=4))[photo] != contents(few)[photo]


def test_splits_are_as_large_as_asked_and_share_nothing(root):
    train, val = Flickr30kEntities(root, "train"), Flickr30kEntities(root, "val")
    assert (len(train), len(val)) == (60, 12) and not set(train.ids) & set(val.ids)


def test_every_span_cuts_its_sentence_and_every_box_lies_in_its_photo(root):
    phrases = 0
    for photo in Flickr30kEntities(root, "train"):
        height, width = open_photo(photo.path).shape[:2]
        assert (photo.width, photo.height) == (width, height)
        assert len(photo.sentences) in (4, 5)
        for sentence in photo.sentences:
            assert "[" not in sentence.text and "  " not in sentence.text and sentence.text[0].isupper()
            for phrase in sentence.phrases:
                phrases += 1
                assert sentence.text[phrase.start : phrase.end] == phrase.text
                assert set(phrase.types) <= set(PHRASE_TYPES)
                assert (phrase.boxes[:, 2:] > phrase.boxes[:, :2]).all() and (phrase.boxes >= 0).all()
                assert (phrase.boxes[:, 2] <= width).all() and (phrase.boxes[:, 3] <= height).all()
    assert phrases > 600


def test_the_odd_corners_of_the_real_data_are_there(root):
    photos = [*Flickr30kEntities(root, "train"), *Flickr30kEntities(root, "val")]
    phrases = [phrase for photo in photos for sentence in photo.sentences for phrase in sentence.phrases]
    assert {type for phrase in phrases if len(phrase.boxes) for type in phrase.types} == set(PHRASE_TYPES)
    assert any(len(phrase.boxes) > 1 for phrase in phrases)
    assert any(phrase.chain == "0" for phrase in phrases)
    assert any(phrase.chain != "0" and not len(phrase.boxes) for phrase in phrases)
    assert any(len(phrase.types) > 1 for phrase in phrases)
    resized = sum((photo.width, photo.height) != (320, 240) for photo in photos)
    assert 0.1 < resized / len(photos) < 0.45
    unrelated = [line.split() for line in (root / "UNRELATED_CAPTIONS").read_text().splitlines()[1:]]
    assert unrelated and {number for _, number in unrelated} == {"5"}
    assert {photo.id for photo in photos if len(photo.sentences) == 4} == {id for id, _ in unrelated}


def test_a_phrase_means_one_thing_of_its_scene(root):
    for photo in Flickr30kEntities(root, "train"):
        chains = {}
        for sentence in photo.sentences:
            for phrase in sentence.phrases:
                if len(phrase.boxes):
                    assert chains.setdefault(phrase.text.lower(), phrase.chain) == phrase.chain


def test_things_keep_clear_of_each_other_and_only_people_come_alone():
    rng = np.random.default_rng(0)
    for _ in range(40):
        scene = make_scene(rng)
        boxes = np.array([box for thing in scene.things for box in thing.boxes], np.float32)
        assert len(scene.things) >= 2 and len(scene.captions) == 5
        assert np.triu(iou(boxes, boxes), 1).max() == 0
        assert max(Counter((thing.noun, thing.colour) for thing in scene.things).values()) == 1
        assert (
            max(Counter(thing.noun for thing in scene.things if TYPES[thing.noun] == "people").values(), default=1) == 1
        )


def test_a_drawn_thing_stands_out_where_its_box_is():
    rng = np.random.default_rng(5)
    for _ in range(10):
        scene = make_scene(rng)
        photo = np.asarray(draw_scene(scene, rng), np.float32)
        for thing in scene.things:
            if thing.noun not in ("ball", "box", "star", "triangle") or thing.texture != "plain":
                continue
            for box in thing.boxes:
                x1, y1, x2, y2 = _part(box, (0.4, 0.5, 0.6, 0.6))
                inside = np.median(photo[y1:y2, x1:x2].reshape(-1, 3), axis=0)
                own = np.linalg.norm(inside - COLOURS[thing.colour])
                assert own < 60, (thing, inside)


@pytest.mark.parametrize("noun", GLYPHS)
def test_glyphs_fill_their_box(noun):
    for texture in TEXTURES:
        alpha = draw_glyph(noun, "red", texture, 60, 48)[..., 3]  # (48, 60)
        rows, columns = np.nonzero(alpha.max(axis=1) > 100)[0], np.nonzero(alpha.max(axis=0) > 100)[0]
        assert rows[0] <= 1 and rows[-1] >= 46 and columns[0] <= 1 and columns[-1] >= 58


def test_the_cached_folder_is_made_once(tmp_path):
    first = synthetic_root(tmp_path, train=2, val=1)
    stamp = (first / "train.txt").stat().st_mtime_ns
    assert synthetic_root(tmp_path, train=2, val=1) == first and (first / "train.txt").stat().st_mtime_ns == stamp
    assert synthetic_root(tmp_path, train=1, val=1) != first
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_failed_drawing_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("sspe.data.synthetic.scenes.write_synthetic", fail)
    with pytest.raises(OSError, match="disk full"):
        synthetic_root(tmp_path, train=1, val=1)
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_cannot_be_drawn(tmp_path):
    for train, val in ((0, 0), (-1, 5)):
        with pytest.raises(DataError, match="Cannot draw"):
            write_synthetic(tmp_path, train, val)


def test_open_dataset_draws_into_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SSPE_CACHE", str(tmp_path))
    monkeypatch.setattr("sspe.data.synthetic.scenes.synthetic_root", lambda: synthetic_root(train=3, val=2))
    photos = open_dataset("synthetic", "train", limit=2)
    assert [photo.id for photo in photos] == ["1000000", "1000001"] and photos.root.parent == tmp_path
    assert len(open_dataset("synthetic")) == 2
