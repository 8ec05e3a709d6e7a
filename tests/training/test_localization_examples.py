"""One photo of a batch: its regions, what is drawn at random, and that it is drawn again alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from annotated import DOG, MAN, PLAIN, Frozen, Store, annotated, dataset, plainly

from sspe.data.caches import StoredPhoto
from sspe.training.localization_batches import Collate, Example, RegionPhraseDataset
from sspe.training.localization_data import training_photos
from sspe.training.recipes import LocalizationRecipe


def same(a: Example, b: Example) -> bool:
    left_out = ("features", "things")
    assert all(getattr(example, name) is None for example in (a, b) for name in left_out)
    return all(torch.equal(v, getattr(b, name)) for name, v in vars(a).items() if name not in left_out)


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
    recipe = LocalizationRecipe(sampled_proposals=5)  # zooms, mirrors, recolours, and reads phrases in their sentences
    first, again = dataset([MAN, DOG], recipe), dataset([MAN, DOG], recipe)
    first[1, 0], first[7, 1]  # what was asked before does not matter
    for key in ((0, 0), (0, 1), (3, 1)):
        assert same(first[key], again[key])
    base = first[0, 1]
    for other in (first[1, 1], dataset([MAN, DOG], recipe, seed=1)[0, 1], dataset([DOG, MAN], recipe)[0, 0]):
        assert not same(base, other)


def test_features_of_a_frozen_backbone_follow_their_boxes():
    frozen = Frozen()
    example = dataset([MAN], LocalizationRecipe(sampled_proposals=5), frozen=frozen)[
        0, 0
    ]  # flip, zoom, colour are for pictures
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
    examples = RegionPhraseDataset(photos, Store(), LocalizationRecipe(sampled_proposals=5), 0, frozen)
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
    for index, photo in enumerate((MAN, DOG)):
        example = dataset([photo], recipe)[index, 0]
        for p, (ax1, ay1, ax2, ay2) in enumerate(example.boxes.tolist()):
            for r, (bx1, by1, bx2, by2) in enumerate(example.regions.tolist()):
                common = max(min(ax2, bx2) - max(ax1, bx1), 0) * max(min(ay2, by2) - max(ay1, by1), 0)
                overlap = common / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common)
                assert bool(example.refinable[p, r]) == (0.3 <= overlap < 0.95)
                refinable += bool(example.refinable[p, r])
        own = (example.boxes[:, None] == example.regions[None]).all(dim=2)
        assert own.any(dim=1).all() and not (example.refinable & own).any()
    assert refinable >= 3
