"""Batches of photos and sentences: who matches whom, what is drawn, how a photo is changed."""

import numpy as np
import pytest
import torch
from PIL import Image

from sspe.data.captions import CaptionedPhoto
from sspe.models.losses import phrase_neighbours, region_neighbours
from sspe.training.batches import same_words_key
from sspe.training.recipes import recipe as named
from sspe.training.retrieval_batches import PhotoCollate, PhotoExample, PhotoSentenceDataset
from sspe.training.retrieval_data import described_photos
from sspe.vision.photo import open_photo, squeeze

CAPTIONS = (
    ("A dog runs.", "The dog, running.", "A brown dog."),
    ("A man sits.", "a dog runs", "A man on a bench."),
    ("Two birds.", "Birds fly left.", "Two birds."),
    ("the brown dog", "A dog on the beach.", "Sand."),
)


@pytest.fixture
def files(tmp_path):
    """A photo file a row of `CAPTIONS`, each of another size, dark on the left and bright on the right."""
    found = []
    for i in range(len(CAPTIONS)):
        ramp = np.linspace(0, 255, 60 + 20 * i).astype(np.uint8)
        Image.fromarray(np.repeat(np.repeat(ramp[None, :, None], 50, axis=0), 3, axis=2)).save(tmp_path / f"{i}.png")
        found.append(tmp_path / f"{i}.png")
    return found


@pytest.fixture
def described(files):
    return described_photos([CaptionedPhoto(str(i), files[i], sentences) for i, sentences in enumerate(CAPTIONS)])


def recipe(*changes):
    return named("retrieval", ["photos.side=32", *changes], "retrieval")


def test_the_table_has_every_sentence_once(described):
    photos, table = described
    assert len(table.texts) == len(set(table.texts)) == 11
    assert [[table.texts[row] for row in photo.sentences] for photo in photos] == [
        list(dict.fromkeys(sentences)) for sentences in CAPTIONS
    ]
    assert [photo.sided for photo in photos] == [False, False, True, False]


@pytest.mark.parametrize("sentences", [1, 2, 5])
def test_matches_are_as_the_words_say(described, sentences):
    """Against a literal statement, over many draws."""
    photos, table = described
    changes = ["loss.sentence_structure=0"] if sentences == 1 else []
    features = torch.randn(len(photos), 6)
    dataset = PhotoSentenceDataset(photos, recipe(f"sentences={sentences}", *changes), 0, features)
    collate = PhotoCollate(table)
    shared = 0
    for epoch in range(12):
        batch = collate([dataset[epoch, i] for i in range(len(photos))])
        texts = [table.texts[row] for row in batch.described.sentences]
        assert torch.equal(batch.seen, features)
        m, n = len(texts), len(photos)
        assert m == sum(min(sentences, len(photo.sentences)) for photo in photos)
        for i in range(m):
            for j in range(n):
                fits = same_words_key(texts[i]) in {same_words_key(text) for text in CAPTIONS[j]}
                assert batch.matches.positive[i, j] == fits and batch.matches.negative[i, j] == (not fits)
            for j in range(m):
                assert batch.matches.same_words[i, j] == (same_words_key(texts[i]) == same_words_key(texts[j]))
        own = batch.matches.same_photo
        assert own.sum(dim=1).eq(1).all() and not (own & ~batch.matches.positive).any()
        # Equation (3): photos are neighbours exactly where they share a sentence of the batch.
        near, far = region_neighbours(batch.matches)
        fits = [{j for j in range(n) if batch.matches.positive[i, j]} for i in range(m)]
        for a in range(n):
            for b in range(n):
                together = any({a, b} <= both for both in fits)
                assert near[a, b] == (a != b and together)
                assert far[a, b] == (a != b and not together)
        shared += int(near.sum())
        # Equation (4): sentences of one photo are neighbours, unless they are one and the same.
        near, far = phrase_neighbours(batch.matches)
        for a in range(m):
            for b in range(m):
                assert near[a, b] == (bool(fits[a] & fits[b]) and not batch.matches.same_words[a, b])
                assert not far[a, b] or not fits[a] & fits[b]
    assert shared


def test_sentences_are_drawn_anew_every_epoch_and_alike_every_time(described):
    dataset = PhotoSentenceDataset(described[0], recipe(), 3, torch.randn(4, 6))
    drawn = [tuple(dataset[epoch, 0].sentences.tolist()) for epoch in range(20)]
    assert all(len(set(rows)) == 2 for rows in drawn)
    assert {row for rows in drawn for row in rows} == set(described[0][0].sentences.tolist())
    assert drawn == [tuple(dataset[epoch, 0].sentences.tolist()) for epoch in range(20)]
    other = PhotoSentenceDataset(described[0], recipe(), 4, torch.randn(4, 6))
    assert drawn != [tuple(other[epoch, 0].sentences.tolist()) for epoch in range(20)]


def test_a_photo_as_it_is(described, files):
    plain = PhotoSentenceDataset(described[0], recipe("flip=false", "zoom=1", "colour=0"), 0)
    for i, file in enumerate(files):
        example = plain[0, i]
        assert isinstance(example, PhotoExample) and example.seen.dtype == torch.uint8
        np.testing.assert_array_equal(example.seen, squeeze(open_photo(file), 32))


def test_mirrored_but_for_photos_of_left_and_right(described):
    dataset = PhotoSentenceDataset(described[0], recipe("zoom=1", "colour=0"), 0)
    for i in range(len(CAPTIONS)):
        bright_left = [bool(dataset[epoch, i].seen[0, 0, 0] > dataset[epoch, i].seen[0, -1, 0]) for epoch in range(16)]
        assert any(bright_left) == (i != 2) and not all(bright_left)


def test_windows_and_colours(described):
    zoomed = PhotoSentenceDataset(described[0], recipe("flip=false", "colour=0", "zoom=0.6"), 0)
    spread = [int(p.max()) - int(p.min()) for p in (zoomed[epoch, 0].seen for epoch in range(20))]
    assert min(spread) >= 0.55 * 255 and len(set(spread)) > 5 and max(spread) > 0.7 * 255
    coloured = PhotoSentenceDataset(described[0], recipe("flip=false", "zoom=1"), 0)
    assert len({int(coloured[epoch, 0].seen.float().mean()) for epoch in range(20)}) > 5
