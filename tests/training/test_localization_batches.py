"""Batches of photos: who matches whom, what is drawn at random, and that it is drawn again alike."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from sspe.data.caches import StoredPhoto
from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.models.losses import phrase_neighbours, region_neighbours
from sspe.text.context import ALONE, Context
from sspe.training.batches import EpochSampler, same_words_key
from sspe.training.localization_batches import (
    Collate,
    Example,
    PhraseTable,
    RegionPhraseDataset,
    at_most_a_phrase,
    hard_negatives,
    training_photos,
)
from sspe.training.recipes import Recipe
from sspe.vision.boxes import area, flip, iou


def plainly(**changes) -> Recipe:
    """A recipe under which photos and phrases stay as they are, but for ``changes``."""
    return Recipe(**{"flip": False, "colour": 0.0, "zoom": 1.0, "alone": 1.0, "sampled_proposals": 5} | changes)


PLAIN = plainly()


def annotated(id: str, *sentences: tuple[str, dict[str, list]]) -> AnnotatedPhoto:
    """A photo of 100 x 50 pixels; a sentence is its words and the boxes of some of them."""
    made = []
    for number, (text, boxes) in enumerate(sentences):
        phrases = tuple(
            AnnotatedPhrase(words, text.index(words), text.index(words) + len(words), found)
            for words, found in boxes.items()
        )
        made.append(AnnotatedSentence(text, phrases, number))
    return AnnotatedPhoto(id, Path(f"{id}.jpg"), 100, 50, tuple(made))


class Store:
    """Twenty random proposals a photo after the whole photo, and a random picture."""

    def get(self, path: Path) -> StoredPhoto:
        rng = np.random.default_rng(sum(str(path).encode()))
        corner, size = rng.uniform(0, 0.6, (20, 2)), rng.uniform(0.1, 0.4, (20, 2))
        boxes = np.concatenate([[[0, 0, 1, 1]], np.concatenate([corner, corner + size], axis=1)])
        return StoredPhoto(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), boxes.astype(np.float32))

    def boxes(self, path: Path) -> np.ndarray:
        return self.get(path).boxes


def dataset(photos: list[AnnotatedPhoto], recipe: Recipe = PLAIN, seed: int = 0, **options) -> RegionPhraseDataset:
    return RegionPhraseDataset(training_photos(photos)[0], Store(), recipe, seed, **options)


MAN = annotated("1", ("a man in a hat", {"a man": [[10, 5, 50, 45]], "a hat": [[20, 5, 40, 15]]}))
DOG = annotated("2", ("a dog", {"a dog": [[0, 0, 60, 50]]}))


def same(a: Example, b: Example) -> bool:
    assert a.features is None and b.features is None
    return all(torch.equal(v, getattr(b, name)) for name, v in vars(a).items() if name != "features")


# Words


@pytest.mark.parametrize(
    ("one", "other"),
    [("A man", "the man"), ("a man", "man"), ("an apple", "Apple ."), ("a T-shirt", "the t shirt"), ("the", "the")],
)
def test_phrases_that_read_the_same(one, other):
    assert same_words_key(one) == same_words_key(other) != ""


@pytest.mark.parametrize(
    ("one", "other"), [("a man", "a woman"), ("a man", "two men"), ("the", "a"), ("man the boat", "man boat")]
)
def test_phrases_that_do_not(one, other):
    assert same_words_key(one) != same_words_key(other)


def test_the_table_holds_each_phrase_once_and_groups_those_that_read_the_same():
    table = PhraseTable()
    assert [table.row(text) for text in ("a man", "a dog", "the man", "a man")] == [0, 1, 2, 0]
    assert table.texts == ["a man", "a dog", "the man"] and table.groups == [0, 1, 0]
    assert table.contexts == [ALONE] * 3


def test_the_table_holds_a_phrase_once_for_each_of_its_contexts():
    table = PhraseTable()
    red, blue = Context("", " in red"), Context("", " in blue")
    asked = [("a man", red), ("a man", ALONE), ("the man", red), ("a man", blue), ("a man", red), ("a dog", red)]
    assert [table.row(*one) for one in asked] == [0, 1, 2, 3, 0, 4] and table.row("a man") == 1
    assert table.texts == ["a man", "a man", "the man", "a man", "a dog"]
    assert table.contexts == [red, ALONE, red, blue, red] and table.groups == [0, 0, 0, 0, 1]


# Training photos


def test_a_photo_brings_its_distinct_pairs_of_phrase_and_merged_box():
    photo = annotated(
        "1",
        ("A man and two dogs", {"A man": [[10, 5, 50, 45]], "two dogs": [[0, 0, 10, 10], [90, 40, 100, 50]]}),
        ("a man , the man", {"a man": [[10, 5, 50, 45]], "the man": [[10, 5, 50, 45]]}),
        ("a man waves at it", {"a man": [[60, 5, 100, 45]], "it": []}),
    )
    found, table = training_photos([photo, annotated("2", ("nothing here", {"nothing": []})), annotated("3"), DOG])
    assert [item.photo.id for item in found] == ["1", "2"]
    assert [table.texts[row] for row in found[0].phrases] == ["a man", "two dogs", "the man", "a man"]
    assert [table.texts[row] for row in found[1].phrases] == ["a dog"]
    alone = [*found[0].phrases, *found[1].phrases]
    assert alone[0] == alone[3] and len(set(alone)) == 4 and {table.contexts[row] for row in alone} == {ALONE}
    assert len(table.texts) == len(set(zip(table.texts, table.contexts, strict=True)))  # nothing twice
    assert [table.groups[row] for row in alone] == [0, 1, 0, 0, 2]
    np.testing.assert_allclose(
        found[0].boxes, [[0.1, 0.1, 0.5, 0.9], [0, 0, 1, 1], [0.1, 0.1, 0.5, 0.9], [0.6, 0.1, 1, 0.9]], rtol=1e-6
    )
    assert found[0].boxes.dtype == np.float32 and not found[0].sided
    said = [[(table.texts[row], table.contexts[row]) for row in rows] for rows in found[0].mentions]
    assert said == [  # lower case, as the phrase itself; the first pair was said in two sentences
        [("a man", Context("", " and two dogs")), ("a man", Context("", " , the man"))],
        [("two dogs", Context("a man and ", ""))],
        [("the man", Context("a man , ", ""))],
        [("a man", Context("", " waves at it"))],
    ]
    assert found[1].mentions[0].tolist() == [alone[4]]  # a sentence that is the phrase adds nothing to it


@pytest.mark.parametrize(
    ("text", "sided"),
    [
        ("a man on the left", True),
        ("Right of a man", True),
        ("a man , LEFT-handed", True),
        ("a man who is leftmost", True),
        ("a man turns rightwards", True),
        ("a man in a bright vest", False),
        ("a man with leftovers", False),
        ("a man", False),
    ],
)
def test_left_and_right_anywhere_in_a_sentence_forbid_the_mirror(text, sided):
    box = {"a man": [[0, 0, 50, 50]]}
    assert training_photos([annotated("1", ("a man", box), (text, {}))])[0][0].sided == sided


# Examples


def test_an_example_holds_annotated_boxes_then_sampled_proposals():
    photos, table = training_photos([MAN])
    example = RegionPhraseDataset(photos, Store(), PLAIN, 0)[0, 0]
    stored = Store().get(Path("1.jpg"))
    assert example.regions.shape == (2 + 5, 4) and example.regions.dtype == torch.float32
    np.testing.assert_allclose(example.regions[:2], [[0.1, 0.1, 0.5, 0.9], [0.2, 0.1, 0.4, 0.3]], rtol=1e-6)
    drawn = {tuple(box) for box in example.regions[2:].tolist()}
    assert len(drawn) == 5 and drawn <= {tuple(box) for box in stored.boxes.tolist()}
    np.testing.assert_array_equal(example.squeezed, stored.squeezed)
    assert [table.texts[row] for row in example.phrases] == ["a man", "a hat"] and example.features is None
    assert torch.equal(example.boxes, example.regions[:2])
    assert example.positive.tolist()[0][:2] == [True, False] and example.positive.tolist()[1][:2] == [False, True]


def test_a_box_of_two_phrases_is_one_region():
    photo = annotated("1", ("a man , who is a cook", {"a man": [[10, 5, 50, 45]], "a cook": [[10, 5, 50, 45]]}))
    example = dataset([photo])[0, 0]
    assert len(example.regions) == 1 + 5 and example.positive[:, 0].tolist() == [True, True]


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (3, 3), (21, 21), (500, 21)])
def test_as_many_proposals_are_drawn_as_there_are(asked, given):
    example = dataset([DOG], plainly(sampled_proposals=asked))[0, 0]
    assert len(example.regions) == 1 + given


def test_between_the_two_thresholds_a_proposal_is_neither():
    class Placed(Store):
        def get(self, path):
            # Overlaps with the dog's box, 0 to .6 of the width: .6, .59, .4, .35, .34 and 0.
            widths = [0.36, 0.354, 0.24, 0.21, 0.204]
            boxes = [[0, 0, w, 1] for w in widths] + [[0.7, 0, 1, 1]]
            return StoredPhoto(np.zeros((4, 4, 3), np.uint8), np.array(boxes, np.float32))

    recipe = plainly(sampled_proposals=6, positive_iou=0.599, negative_iou=0.345)
    example = RegionPhraseDataset(training_photos([DOG])[0], Placed(), recipe, 0)[0, 0]
    by_width = {
        (round(float(box[0]), 3), round(float(box[2]), 3)): (bool(p), bool(n))
        for box, p, n in zip(example.regions, example.positive[0], example.negative[0], strict=True)
    }
    yes, neither, no = (True, False), (False, False), (False, True)
    assert by_width == {
        (0, 0.6): yes, (0, 0.36): yes, (0, 0.354): neither, (0, 0.24): neither, (0, 0.21): neither, (0, 0.204): no,
        (0.7, 1): no,
    }  # fmt: skip


def test_the_same_seed_epoch_and_index_give_the_same_example():
    recipe = Recipe(sampled_proposals=5)  # zooms, mirrors, recolours, and reads phrases in their sentences
    first, again = dataset([MAN, DOG], recipe), dataset([MAN, DOG], recipe)
    first[1, 0], first[7, 1]  # what was asked before does not matter
    for key in ((0, 0), (0, 1), (3, 1)):
        assert same(first[key], again[key])
    base = first[0, 1]
    for other in (first[1, 1], dataset([MAN, DOG], recipe, seed=1)[0, 1], dataset([DOG, MAN], recipe)[0, 0]):
        assert not same(base, other)


def test_a_mirrored_photo_has_mirrored_boxes_and_the_same_matches():
    every = {"sampled_proposals": 21}  # all of them, for which ones are drawn is another matter
    plain, mirrored = dataset([MAN], plainly(**every)), dataset([MAN], plainly(flip=True, **every))

    def by_place(example: Example, turn: bool) -> np.ndarray:
        """Boxes and matches of each region, in the order of their places."""
        boxes = flip(example.regions.numpy(), 1.0) if turn else example.regions.numpy()
        matches = (example.positive.T, example.negative.T, example.refinable.T)
        rows = np.concatenate([boxes, *matches], axis=1).round(5)
        return rows[np.lexsort(rows.T)]

    turned = 0
    for epoch in range(40):
        a, b = plain[epoch, 0], mirrored[epoch, 0]
        turn = not torch.equal(a.squeezed, b.squeezed)
        turned += turn
        assert torch.equal(b.squeezed, a.squeezed.flip(1) if turn else a.squeezed)
        np.testing.assert_allclose(by_place(b, turn), by_place(a, False), atol=2e-5)
        np.testing.assert_allclose(b.boxes, flip(a.boxes.numpy(), 1.0) if turn else a.boxes, atol=1e-6)
    assert 10 <= turned <= 30  # half of 40


def test_photos_that_speak_of_left_or_right_are_never_mirrored():
    sided = annotated("1", ("a man on the left", {"a man": [[10, 5, 50, 45]]}))
    examples = dataset([sided], plainly(flip=True))
    picture = torch.from_numpy(Store().get(Path("1.jpg")).squeezed)
    assert all(torch.equal(examples[epoch, 0].squeezed, picture) for epoch in range(20))


def test_recolouring_changes_brightness_and_contrast_alike_everywhere():
    plain = dataset([MAN])[0, 0].squeezed
    mild, strong = (dataset([MAN], plainly(colour=c)) for c in (0.1, 0.5))
    changes = []
    for examples, most in ((mild, 0.1), (strong, 0.5)):
        for epoch in range(10):
            example = examples[epoch, 0]
            assert example.squeezed.dtype == torch.uint8 and example.squeezed.shape == plain.shape
            for value in plain.unique()[:20]:  # equal pixels stay equal: one curve for the whole photo
                assert len(example.squeezed[plain == value].unique()) == 1
            changes.append((example.squeezed.float() - plain.float()).abs().max().item())
            assert changes[-1] <= most * 256 + 1
    assert min(changes[:10]) >= 0 and np.mean(changes[10:]) > 2 * np.mean(changes[:10]) > 0


class Frozen:
    """Stands in for frozen features: one number a box; remembers the boxes and the photos it was asked for."""

    def __init__(self):
        self.asked = []

    def get(self, path, boxes, rows=slice(None)):
        self.asked.append((path, boxes.tolist()))
        return (boxes @ np.array([[1], [10], [100], [1000]], np.float32))[rows]

    def prepare(self, path, boxes):
        self.get(path, boxes)


def test_features_of_a_frozen_backbone_follow_their_boxes():
    frozen = Frozen()
    example = dataset([MAN], Recipe(sampled_proposals=5), frozen=frozen)[0, 0]  # flip, zoom, colour are for pictures
    # Always all of them, or what lies on disk would be of no use in the next epoch.
    assert [len(boxes) for _, boxes in frozen.asked] == [2 + 21]
    assert example.squeezed is None and example.features.dtype == torch.float32
    torch.testing.assert_close(example.features, example.regions @ torch.tensor([[1.0], [10], [100], [1000]]))
    np.testing.assert_allclose(example.regions[0], [0.1, 0.1, 0.5, 0.9], rtol=1e-6)  # not mirrored
    batch = Collate(training_photos([MAN])[1], 5)([example, example])
    assert batch.squeezed is None and batch.features.shape == (14, 1)


def test_features_are_prepared_under_the_boxes_that_are_asked_for_later():
    frozen = Frozen()
    photos, _ = training_photos([DOG, MAN])
    examples = RegionPhraseDataset(photos, Store(), Recipe(sampled_proposals=5), 0, frozen)
    examples.prepare_features(1)
    examples[0, 1], examples[4, 1], examples.everything(1)
    # A pair left out leaves its box among those that features are kept of.
    RegionPhraseDataset([photos[0], photos[1].only([1])], Store(), PLAIN, 0, frozen)[0, 1]
    asked = frozen.asked
    assert asked == [asked[0]] * 5 and asked[0][0] == Path("1.jpg")


def test_everything_of_a_photo_phrase_by_phrase():
    photo = annotated(
        "1", ("a man and his hat", {"a man": [[60, 10, 90, 45]], "his hat": [[20, 5, 40, 15]]}),
        ("a man", {"a man": [[20, 5, 40, 15]]}),
    )  # fmt: skip
    proposals, right, others = dataset([photo], frozen=Frozen()).everything(0)
    boxes = training_photos([photo])[0][0].boxes
    assert len(boxes) == 3 and len(proposals) == len(others) == 21
    weights = np.array([[1], [10], [100], [1000]], np.float32)
    np.testing.assert_allclose(right, boxes @ weights, rtol=1e-6)
    np.testing.assert_allclose(others, proposals @ weights, rtol=1e-6)


# Pairs that count: ground truth alone, at most so many a phrase, hard negatives


def test_with_an_overlap_of_one_the_annotated_boxes_alone_are_positives():
    for seed in range(20):
        example = dataset([MAN], plainly(positive_iou=1.0, sampled_proposals=21), seed)[0, 0]
        assert example.positive.sum(dim=1).tolist() == [1, 1] and not example.positive[:, 2:].any()


def test_at_most_so_many_regions_of_each_phrase():
    sentence = {"a man": [[10, 5, 50, 45]], "a hat": [[20, 5, 40, 15]]}
    photos, table = training_photos([annotated(str(i), ("a man in a hat", sentence)) for i in range(30)] + [DOG])
    kept = at_most_a_phrase(photos, 10, seed=0)
    count = Counter(table.texts[row] for item in kept for row in item.phrases)
    assert count == {"a man": 10, "a hat": 10, "a dog": 1}
    for item in kept:
        assert len(item.phrases) == len(item.boxes) == len(item.mentions)
        for row, box in zip(item.phrases, item.boxes, strict=True):
            whole = next(p for p in photos if p.photo is item.photo)
            np.testing.assert_array_equal(whole.boxes[list(whole.phrases).index(row)], box)
    again = at_most_a_phrase(photos, 10, seed=0)
    assert [item.phrases.tolist() for item in kept] == [item.phrases.tolist() for item in again]
    other = at_most_a_phrase(photos, 10, seed=1)
    assert {item.photo.id for item in other} != {item.photo.id for item in kept}


def test_hard_negatives_are_wrong_and_score_above_the_right_box():
    boxes = np.array([[0, 0, 0.5, 1], [0.6, 0, 1, 1]], np.float32)
    proposals = np.array(
        [[0, 0, 0.5, 0.9], [0.6, 0, 1, 0.5], [0.8, 0.8, 1, 1], [0.5, 0.5, 0.7, 0.7], [0.1, 0, 0.2, 0.2], [0, 0, 1, 1]],
        np.float32,
    )
    right = torch.tensor([0.5, 0.2])
    scores = torch.tensor([[0.9, 0.4, 0.6, 0.5, 0.1, 0.3], [0.1, 0.8, 0.9, 0.1, 0.3, 0.3]])
    # 0 is right for the first, 1 half right for the second, 5 overlaps both too much; 3 ties and 2 is .7 above.
    assert hard_negatives(right, scores, boxes, proposals, plainly(mined=8)).tolist() == [2, 4]
    assert hard_negatives(right, scores, boxes, proposals, plainly(mined=1)).tolist() == [2]
    assert hard_negatives(right + 1, scores, boxes, proposals, plainly()).tolist() == []
    assert hard_negatives(right, scores, boxes, proposals, plainly(negative_iou=1.0)).tolist()[:2] == [2, 1]


def test_mined_proposals_are_in_every_example_and_take_the_place_of_others():
    examples = dataset([MAN])
    proposals = Store().get(Path("1.jpg")).boxes
    examples.mined = [np.array([7, 3])]
    for epoch in range(10):
        regions = examples[epoch, 0].regions[2:]
        assert len(regions) == 5 and len(np.unique(regions, axis=0)) == 5
        np.testing.assert_array_equal(regions[:2], proposals[[7, 3]])
    examples.mined = [np.arange(21)]  # more than a step would draw
    np.testing.assert_array_equal(examples[0, 0].regions[2:], proposals)


# Phrases in their sentences

SAID = annotated(
    "1",
    ("a man waves", {"a man": [[10, 5, 50, 45]]}),
    ("here is a man", {"a man": [[10, 5, 50, 45]]}),
    ("a man and a hat", {"a man": [[10, 5, 50, 45]], "a hat": [[20, 5, 40, 15]]}),
)


def said(alone: float, epochs: int = 200) -> list[list[tuple[str, str, str]]]:
    """Phrase, before and after, of the two phrases of SAID, epoch after epoch."""
    photos, table = training_photos([SAID])
    examples = RegionPhraseDataset(photos, Store(), plainly(alone=alone), seed=0)
    rows = [examples[epoch, 0].phrases.tolist() for epoch in range(epochs)]
    return [[(table.texts[r], table.contexts[r].before, table.contexts[r].after) for r in pair] for pair in rows]


def test_phrases_shown_alone_have_no_context():
    assert all(pair == [("a man", "", ""), ("a hat", "", "")] for pair in said(1.0, epochs=30))


def test_phrases_shown_in_a_sentence_take_turns_among_those_that_say_them():
    pairs = said(0.0)
    contexts = [("", " waves"), ("here is ", ""), ("", " and a hat")]
    for before, after in contexts:
        assert 40 <= sum(pair[0] == ("a man", before, after) for pair in pairs) <= 95  # a third of 200
    assert {pair[0][1:] for pair in pairs} == set(contexts)
    assert {pair[1] for pair in pairs} == {("a hat", "a man and ", "")}


def test_a_share_of_the_phrases_is_shown_alone_each_for_itself():
    pairs = said(0.3)
    alone = np.array([[before == after == "" for _, before, after in pair] for pair in pairs])
    assert np.abs(alone.mean(axis=0) - 0.3).max() < 0.1
    assert (alone[:, 0] != alone[:, 1]).mean() > 0.25  # 0.42 where one does not follow the other


# A window of the photo

SIDE = 32
PAPER = annotated(  # 100 x 50 pixels; a note in a corner, a drawing, and a stain at the border
    "1",
    (
        "a note , a drawing and a stain",
        {"a note": [[0, 0, 25, 14]], "a drawing": [[30, 12, 75, 40]], "a stain": [[70, 20, 100, 34]]},
    ),
)
CORNER = annotated("1", ("a note", {"a note": [[0, 0, 8, 4]]}))


class Ruler(Store):
    """A picture whose red says in which column a pixel was, and whose green says in which row."""

    def get(self, path: Path) -> StoredPhoto:
        places = np.arange(SIDE, dtype=np.uint8) * 8
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        picture[:, :, 0], picture[:, :, 1] = places[None], places[:, None]
        return StoredPhoto(picture, super().get(path).boxes)


def window(squeezed: torch.Tensor) -> tuple[int, int, int, int]:
    """Left, top, right, bottom, in pixels of the whole picture, of what a picture cut from the ruler shows."""
    (left, top), (right, bottom) = squeezed[0, 0, :2] // 8, squeezed[-1, -1, :2] // 8
    return int(left), int(top), int(right) + 1, int(bottom) + 1


def test_a_window_is_no_smaller_than_asked_for_and_lies_anywhere():
    examples = RegionPhraseDataset(training_photos([PAPER])[0], Ruler(), plainly(zoom=0.5), 0)
    windows = np.array([window(examples[epoch, 0].squeezed) for epoch in range(100)])
    sizes = windows[:, 2:] - windows[:, :2]
    assert all(examples[epoch, 0].squeezed.shape == (SIDE, SIDE, 3) for epoch in range(3))
    assert (windows[:, :2] >= 0).all() and (windows[:, 2:] <= SIDE).all() and sizes.min() >= SIDE // 2
    assert (sizes.min(axis=0) <= 18).all() and (sizes.max(axis=0) >= 30).all()
    assert (sizes[:, 0] != sizes[:, 1]).mean() > 0.7  # width and height are drawn each for itself
    assert (windows[:, :2].min(axis=0) == 0).all() and (windows[:, 2:].max(axis=0) == SIDE).all()
    assert (windows[:, :2].max(axis=0) >= 8).all()


def test_boxes_follow_the_window_and_what_is_mostly_cut_off_is_gone():
    photos, table = training_photos([PAPER])
    recipe = plainly(zoom=0.5, sampled_proposals=21)
    examples = RegionPhraseDataset(photos, Ruler(), recipe, 0)
    stored = Ruler().get(Path("1.jpg")).boxes

    def seen(box: np.ndarray, left: int, top: int, right: int, bottom: int) -> tuple[float, list[float]]:
        """The share of a box that lies in the window, and where in it."""
        x1, y1, x2, y2 = (float(v) * SIDE for v in box)
        width, height = max(min(x2, right) - max(x1, left), 0), max(min(y2, bottom) - max(y1, top), 0)
        places = [(x1 - left) / (right - left), (y1 - top) / (bottom - top)]
        places += [(x2 - left) / (right - left), (y2 - top) / (bottom - top)]
        return width * height / ((x2 - x1) * (y2 - y1)), [min(max(v, 0), 1) for v in places]

    counts = []
    for epoch in range(60):
        example = examples[epoch, 0]
        frame = window(example.squeezed)
        right = {table.texts[r]: seen(box, *frame) for r, box in zip(photos[0].phrases, photos[0].boxes, strict=True)}
        kept = {words: place for words, (share, place) in right.items() if share >= 0.6}
        counts.append(len(kept))
        assert [table.texts[row] for row in example.phrases] == list(kept)
        np.testing.assert_allclose(example.boxes, list(kept.values()), atol=1e-5)
        assert len(example.boxes) == len(example.positive) == len(example.negative) == len(example.refinable)
        # Proposals likewise, but that the whole photo becomes the whole window.
        placed = [seen(box, *frame) for box in stored]
        expected = [[0, 0, 1, 1]] + [place for share, place in placed[1:] if share >= 0.6]
        drawn = example.regions[len(kept) :].tolist()
        np.testing.assert_allclose(sorted(drawn), sorted(expected), atol=1e-5)
    assert set(counts) == {1, 2, 3}


def test_a_photo_of_which_nothing_would_be_left_stays_whole():
    examples = RegionPhraseDataset(training_photos([CORNER])[0], Ruler(), plainly(zoom=0.5), 0)
    whole = Ruler().get(Path("1.jpg"))
    cut = 0
    for epoch in range(60):
        example = examples[epoch, 0]
        left, top, right, bottom = window(example.squeezed)
        if (right - left, bottom - top) == (SIDE, SIDE):
            assert np.array_equal(example.squeezed, whole.squeezed)
            np.testing.assert_allclose(example.boxes, [[0, 0, 0.08, 0.08]], rtol=1e-6)
            stored = {tuple(box) for box in whole.boxes.tolist()}
            assert {tuple(box) for box in example.regions[1:].tolist()} <= stored
        else:
            cut += 1
            assert left <= 1 and top <= 1  # the note is still in it
        assert len(example.phrases) == 1
    assert 0 < cut < 30


@pytest.mark.parametrize("flipped", [False, True])
def test_boxes_still_frame_what_is_drawn(flipped):
    """Red is what the phrase names, green a proposal; both are found again by their colour alone."""
    red, green = (10, 20, 60, 45), (55, 50, 90, 85)  # columns and rows of 100

    class Drawn:
        def get(self, path: Path) -> StoredPhoto:
            picture = np.zeros((100, 100, 3), np.uint8)
            for channel, (x1, y1, x2, y2) in enumerate((red, green)):
                picture[y1:y2, x1:x2] = 0
                picture[y1:y2, x1:x2, channel] = 255
            return StoredPhoto(picture, np.array([(0, 0, 100, 100), green], np.float32) / 100)

    photo = annotated("1", ("a sheet", {"a sheet": [[10, 10, 60, 22.5]]}))  # red, in a photo of 100 x 50
    recipe = plainly(zoom=0.5, flip=flipped, sampled_proposals=2)
    examples = RegionPhraseDataset(training_photos([photo])[0], Drawn(), recipe, 0)

    def frame(picture: torch.Tensor, channel: int) -> list[float]:
        rows, columns = (picture[:, :, channel] > 127).nonzero(as_tuple=True)
        return [v / 100 for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]

    sizes, with_green, turned = [], 0, 0
    for epoch in range(40):
        example = examples[epoch, 0]
        np.testing.assert_allclose(example.boxes[0], frame(example.squeezed, 0), atol=0.015)
        assert torch.equal(example.regions[0], example.boxes[0])
        rest = [box for box in example.regions[1:] if box.tolist() != [0, 0, 1, 1]]
        for box in rest:
            np.testing.assert_allclose(box, frame(example.squeezed, 1), atol=0.015)
            turned += bool(box[0] < example.boxes[0, 0])
        with_green += len(rest)
        sizes.append(area(example.boxes.numpy())[0])
    assert with_green >= 10 and max(sizes) > 1.5 * min(sizes)  # it was there, and the windows differed
    assert (turned > 0) == flipped


# Which proposals


class Sorted(Store):
    """The dog's box, 0 to .6 of the width: ``near`` proposals that overlap it by .5 to .9, then ``far`` ones."""

    def __init__(self, near: int, far: int):
        self.near, self.far = near, far

    def get(self, path: Path) -> StoredPhoto:
        near = [[0, 0, width, 1] for width in np.linspace(0.3, 0.54, self.near)]
        far = [[left, 0, left + 0.1, 1] for left in np.linspace(0.5, 0.9, self.far)]
        return StoredPhoto(np.zeros((4, 4, 3), np.uint8), np.array([*far, *near], np.float32).reshape(-1, 4))


def drawn(near: int, far: int, epochs: int = 40, **changes) -> list[int]:
    """How many near proposals each example took; none comes twice."""
    store = Sorted(near, far)
    examples = RegionPhraseDataset(training_photos([DOG])[0], store, plainly(**changes), 0)
    counts = []
    for epoch in range(epochs):
        boxes = examples[epoch, 0].regions[1:]
        assert (
            len({tuple(box) for box in boxes.tolist()}) == len(boxes) == min(changes["sampled_proposals"], near + far)
        )
        counts.append(int((boxes[:, 0] == 0).sum()))
    return counts


@pytest.mark.parametrize(("share", "count"), [(0.25, 4), (0.5, 8), (0.6, 10), (0.53, 8)])
def test_near_proposals_have_their_share_and_no_more(share, count):
    assert set(drawn(10, 190, sampled_proposals=16, sampled_near=share)) == {count}


def test_near_proposals_that_come_by_chance_stay():
    counts = drawn(10, 190, epochs=200, sampled_proposals=16, sampled_near=0.0)
    assert np.mean(counts) == pytest.approx(16 * 10 / 200, abs=0.2)
    assert min(drawn(100, 100, sampled_proposals=16, sampled_near=0.25)) >= 4
    assert np.mean(drawn(100, 100, sampled_proposals=16, sampled_near=0.25)) > 7


def test_where_there_are_fewer_near_proposals_others_take_their_place():
    assert set(drawn(3, 50, sampled_proposals=16, sampled_near=0.5)) == {3}
    assert set(drawn(0, 50, sampled_proposals=16, sampled_near=0.5)) == {0}
    assert set(drawn(12, 4, sampled_proposals=16, sampled_near=0.5)) == {12}
    assert set(drawn(20, 0, sampled_proposals=16, sampled_near=0.5)) == {16}
    assert set(drawn(20, 50, sampled_proposals=16, sampled_near=1.0)) == {16}


def test_every_near_proposal_has_its_turn():
    store = Sorted(10, 40)
    examples = RegionPhraseDataset(
        training_photos([DOG])[0], store, plainly(sampled_proposals=8, sampled_near=0.5), seed=0
    )
    seen = {tuple(box) for epoch in range(120) for box in examples[epoch, 0].regions[1:].tolist()}
    assert seen == {tuple(box) for box in store.get(Path("2.jpg")).boxes.tolist()}


def test_near_is_what_lies_near_any_phrase():
    """The hat's own proposals count although they are far from the man's."""

    class Hats(Store):
        def get(self, path: Path) -> StoredPhoto:
            hats = [[0.2, 0.1, 0.4, bottom] for bottom in np.linspace(0.22, 0.28, 6)]
            far = [[left, 0.5, 1, 1] for left in np.linspace(0.6, 0.9, 100)]
            return StoredPhoto(np.zeros((4, 4, 3), np.uint8), np.array([*far, *hats], np.float32))

    examples = RegionPhraseDataset(training_photos([MAN])[0], Hats(), plainly(sampled_proposals=8), 0)
    for epoch in range(10):
        hat = examples[epoch, 0].refinable[1]
        assert hat[2:].sum() >= 4 and not examples[epoch, 0].refinable[0].any()


def test_what_can_be_refined_is_near_but_not_the_box_itself():
    recipe = plainly(sampled_proposals=21, refined_iou=0.3)
    refinable = 0
    for index, photo in enumerate((MAN, DOG, PAPER)):
        example = dataset([photo], recipe)[index, 0]
        for p, (ax1, ay1, ax2, ay2) in enumerate(example.boxes.tolist()):
            for r, (bx1, by1, bx2, by2) in enumerate(example.regions.tolist()):
                common = max(min(ax2, bx2) - max(ax1, bx1), 0) * max(min(ay2, by2) - max(ay1, by1), 0)
                overlap = common / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common)
                assert bool(example.refinable[p, r]) == (0.3 <= overlap < 0.95)
                refinable += bool(example.refinable[p, r])
        own = (example.boxes[:, None] == example.regions[None]).all(dim=2)
        assert own.any(dim=1).all() and not (example.refinable & own).any()
    assert refinable >= 5


# Order of an epoch


def test_every_photo_once_an_epoch_in_another_order_each_time():
    orders = [[key for batch in EpochSampler(50, 8, seed=3, epoch=epoch) for key in batch] for epoch in (0, 1)]
    for epoch, order in enumerate(orders):
        assert sorted(order) == [(epoch, i) for i in range(50)]
    assert [i for _, i in orders[0]] != [i for _, i in orders[1]]
    assert list(EpochSampler(50, 8, 3, 0)) == list(EpochSampler(50, 8, 3, 0)) != list(EpochSampler(50, 8, 4, 0))


def test_a_resumed_epoch_goes_on_where_it_was():
    whole = list(EpochSampler(50, 8, seed=0, epoch=2))
    for start in range(len(whole) + 1):
        rest = EpochSampler(50, 8, seed=0, epoch=2, start=start)
        assert list(rest) == whole[start:] and len(rest) == len(whole) - start


@pytest.mark.parametrize("batch", [2, 8, 16])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 9, 16, 17, 31, 32, 33, 100])
def test_no_batch_of_one_photo_where_there_are_more(length, batch):
    sizes = [len(part) for part in EpochSampler(length, batch, 0, 0)]
    assert sum(sizes) == length and len(sizes) == max(length // batch, 1)  # as many as the schedule counts on
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= min(batch, length)


# Batches


def example(phrases: list[int], positive: list[list[int]], negative: list[list[int]]) -> Example:
    regions, boxes = torch.rand(len(positive[0]), 4), torch.rand(len(phrases), 4)
    return Example(
        torch.zeros(2, 2, 3, dtype=torch.uint8), None, regions, torch.tensor(phrases), boxes,
        torch.tensor(positive).bool(), torch.tensor(negative).bool(), torch.rand(len(phrases), len(regions)) < 0.5,
    )  # fmt: skip


# Rows of the phrase table: 0 a man, 1 the man, 2 a hat, 3 a dog, 4 a woman; then 5 a man and 6 the man of a sentence.
TABLE = PhraseTable()
for _words in ("a man", "the man", "a hat", "a dog", "a woman"):
    TABLE.row(_words)
TABLE.row("a man", Context("", " in red"))
TABLE.row("the man", Context("", " in blue"))
GROUPS = [0, 0, 1, 2, 3, 0, 0]


def test_two_photos_side_by_side():
    a = example([0, 2], [[1, 0, 0], [0, 1, 0]], [[0, 1, 1], [1, 0, 0]])
    b = example([3], [[1, 0]], [[0, 1]])
    batch = Collate(TABLE, 5)([a, b])
    m = batch.matches
    assert batch.squeezed.shape == (2, 2, 2, 3) and batch.phrases.tolist() == [0, 2, 3]
    assert [len(r) for r in batch.regions] == [3, 2] and torch.equal(batch.regions[1], b.regions)
    assert m.positive.int().tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    # Inside a photo as the examples say (the hat and region 2 are neither); the other photo has other words.
    assert m.negative.int().tolist() == [[0, 1, 1, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 0, 1]]
    assert m.same_photo.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert m.same_words.int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert torch.equal(batch.boxes, torch.cat([a.boxes, b.boxes])) and batch.refinable.shape == (3, 5)
    assert torch.equal(batch.refinable[:2, :3], a.refinable) and torch.equal(batch.refinable[2:, 3:], b.refinable)
    assert not batch.refinable[:2, 3:].any() and not batch.refinable[2:, :3].any()


def test_a_photo_with_the_same_words_gives_no_negatives_for_them():
    a = example([0, 2], [[1, 0], [0, 1]], [[0, 1], [1, 0]])  # a man, a hat
    b = example([3, 1], [[1, 0, 0], [0, 1, 0]], [[0, 1, 1], [1, 0, 1]])  # a dog, the man
    c = example([4, 2], [[1, 0], [0, 1]], [[0, 1], [1, 0]])  # a woman, a hat
    m = Collate(TABLE, 5)([a, b, c]).matches
    expected = [
        [0, 1, 0, 0, 0, 1, 1],  # a man (A): none of B's regions, for B has "the man"; all of C's
        [1, 0, 1, 1, 1, 0, 0],  # a hat (A): B's, not C's
        [1, 1, 0, 1, 1, 1, 1],  # a dog
        [0, 0, 1, 0, 1, 1, 1],  # the man (B): not A's
        [1, 1, 1, 1, 1, 0, 1],  # a woman
        [0, 0, 1, 1, 1, 1, 0],  # a hat (C): not A's
    ]
    assert m.negative.int().tolist() == expected
    assert not (m.positive & m.negative).any() and not (m.positive & ~m.same_photo).any()
    assert m.same_words.nonzero().tolist() == [
        [0, 0],
        [0, 3],
        [1, 1],
        [1, 5],
        [2, 2],
        [3, 0],
        [3, 3],
        [4, 4],
        [5, 1],
        [5, 5],
    ]


def test_twins_in_one_photo_are_not_each_others_negatives():
    # Two men, regions 0 and 1, called "a man" and "the man"; a dog, region 2; region 3 overlaps the second man.
    a = example([0, 1, 3], [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], [[0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 1]])
    m = Collate(TABLE, 5)([a]).matches
    assert m.negative.int().tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 1]]
    assert torch.equal(m.positive, a.positive)  # nor does a twin's region become a positive: the box was drawn for one


def test_twins_that_their_sentence_tells_apart_are():
    """ "a man" in red and "the man" in blue: what one shows the other does not."""
    positive, negative = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], [[0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 1]]
    told_apart = example([5, 6, 3], positive, negative)
    m = Collate(TABLE, 5)([told_apart]).matches
    assert m.negative.int().tolist() == negative and m.same_words[0, 1]
    # Where one of them stands alone it may mean either; the other still means one.
    m = Collate(TABLE, 5)([example([0, 6, 3], positive, negative)]).matches
    assert m.negative.int().tolist() == [[0, 0, 1, 0], negative[1], negative[2]]
    # Nor does a context tell anything that the encoder does not read.
    m = Collate(TABLE, 0)([told_apart]).matches
    assert m.negative.int().tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 1]]
    # In another photo a man in red may stand as well, unnamed or called "the man": none of its regions counts.
    elsewhere = example([1], [[1, 0]], [[0, 1]])
    m = Collate(TABLE, 5)([told_apart, elsewhere]).matches
    assert m.negative[:, 4:].int().tolist() == [[0, 0], [0, 0], [1, 1], [0, 1]]


def test_the_masks_hold_for_random_batches():
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        examples = []
        for _ in range(3):
            phrases, regions = int(torch.randint(1, 5, (), generator=rng)), int(torch.randint(1, 6, (), generator=rng))
            kind = torch.rand(phrases, regions, generator=rng)
            rows = torch.randint(0, 7, (phrases,), generator=rng).tolist()
            examples.append(example(rows, (kind < 0.3).int().tolist(), (kind > 0.5).int().tolist()))
        batch = Collate(TABLE, 5)(examples)
        m, words = batch.matches, [GROUPS[row] for row in batch.phrases.tolist()]
        photo_of = [i for i, e in enumerate(examples) for _ in e.regions]
        said_in = [{GROUPS[row] for row in e.phrases.tolist()} for e in examples]
        own = torch.block_diag(*(e.negative for e in examples))
        for p, word in enumerate(words):
            twins = [
                q for q, other in enumerate(words) if other == word and torch.equal(m.same_photo[p], m.same_photo[q])
            ]
            for r, photo in enumerate(photo_of):
                asked = twins if TABLE.contexts[batch.phrases[p]] == ALONE else [p]
                expected = all(own[q, r] for q in asked) if m.same_photo[p, r] else word not in said_in[photo]
                assert bool(m.negative[p, r]) == expected
        assert not (m.positive & m.negative).any()
        for near, far in (region_neighbours(m), phrase_neighbours(m)):
            assert torch.equal(far, far.T) and torch.equal(near, near.T) and not (near & far).any()


def test_a_real_batch_holds_neighbours_for_the_structure_terms():
    """Neighbourhood sampling: several phrases of one region, several regions of one phrase."""
    cook = annotated(
        "3",
        ("a cook stirs", {"a cook": [[10, 5, 50, 45]]}),
        ("a man at a stove", {"a man": [[10, 5, 50, 46]], "a stove": [[40, 20, 100, 50]]}),
    )
    photos, table = training_photos([MAN, DOG, cook])
    examples = RegionPhraseDataset(photos, Store(), PLAIN, seed=0)
    batch = Collate(table, 5)([examples[0, i] for i in range(3)])
    words = [table.texts[row] for row in batch.phrases.tolist()]
    near, far = phrase_neighbours(batch.matches)
    assert {(words[a], words[b]) for a, b in near.nonzero().tolist()} == {("a cook", "a man"), ("a man", "a cook")}
    assert far[words.index("a dog"), words.index("a hat")]
    near, far = region_neighbours(batch.matches)
    assert near.any() and far.any()
    overlap = iou(*(batch.regions[2].numpy(),) * 2)
    assert near[-len(overlap) :, -len(overlap) :][0, 1] and overlap[0, 1] > 0.9  # the cook's box, drawn twice


def test_a_batch_moves_to_a_device_whole():
    batch = Collate(TABLE, 5)([example([0], [[1, 0]], [[0, 1]])])
    moved = batch.to(torch.device("meta"))
    tensors = [moved.squeezed, moved.phrases, moved.boxes, moved.refinable, *moved.regions]
    tensors += vars(moved.matches).values()
    assert all(t.device.type == "meta" for t in tensors) and moved.features is None
    moved = Collate(TABLE, 5)([dataset([DOG], frozen=Frozen())[0, 0]]).to(torch.device("meta"))
    assert moved.squeezed is None and moved.features.device.type == "meta"
