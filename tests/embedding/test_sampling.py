"""Batches of photos: who matches whom, what is drawn at random, and that it is drawn again alike."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sspe.boxes import flip, iou
from sspe.data.feature_store import StoredPhoto
from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.embedding.losses import phrase_neighbours, region_neighbours
from sspe.embedding.sampling import (
    Collate,
    EpochSampler,
    Example,
    PhraseTable,
    RegionPhraseDataset,
    same_words_key,
    training_photos,
)
from sspe.recipes import Recipe

PLAIN = Recipe(flip=False, colour=0.0, sampled_proposals=5)


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


def dataset(photos: list[AnnotatedPhoto], recipe: Recipe = PLAIN, seed: int = 0, **options) -> RegionPhraseDataset:
    return RegionPhraseDataset(training_photos(photos)[0], Store(), recipe, seed, **options)


MAN = annotated("1", ("a man in a hat", {"a man": [[10, 5, 50, 45]], "a hat": [[20, 5, 40, 15]]}))
DOG = annotated("2", ("a dog", {"a dog": [[0, 0, 60, 50]]}))


def same(a: Example, b: Example) -> bool:
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("squeezed", "regions", "phrases", "positive"))


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
    assert table.texts == ["a man", "two dogs", "the man", "a dog"] and table.groups == [0, 1, 0, 2]
    assert found[0].phrases.tolist() == [0, 1, 2, 0] and found[1].phrases.tolist() == [3]
    np.testing.assert_allclose(
        found[0].boxes, [[0.1, 0.1, 0.5, 0.9], [0, 0, 1, 1], [0.1, 0.1, 0.5, 0.9], [0.6, 0.1, 1, 0.9]], rtol=1e-6
    )
    assert found[0].boxes.dtype == np.float32 and not found[0].sided


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
    example = dataset([MAN])[0, 0]
    stored = Store().get(Path("1.jpg"))
    assert example.regions.shape == (2 + 5, 4) and example.regions.dtype == torch.float32
    np.testing.assert_allclose(example.regions[:2], [[0.1, 0.1, 0.5, 0.9], [0.2, 0.1, 0.4, 0.3]], rtol=1e-6)
    drawn = {tuple(box) for box in example.regions[2:].tolist()}
    assert len(drawn) == 5 and drawn <= {tuple(box) for box in stored.boxes.tolist()}
    np.testing.assert_array_equal(example.squeezed, stored.squeezed)
    assert example.phrases.tolist() == [0, 1] and example.features is None
    assert example.positive.tolist()[0][:2] == [True, False] and example.positive.tolist()[1][:2] == [False, True]


def test_a_box_of_two_phrases_is_one_region():
    photo = annotated("1", ("a man , who is a cook", {"a man": [[10, 5, 50, 45]], "a cook": [[10, 5, 50, 45]]}))
    example = dataset([photo])[0, 0]
    assert len(example.regions) == 1 + 5 and example.positive[:, 0].tolist() == [True, True]


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (3, 3), (21, 21), (500, 21)])
def test_as_many_proposals_are_drawn_as_there_are(asked, given):
    example = dataset([DOG], Recipe(flip=False, colour=0, sampled_proposals=asked))[0, 0]
    assert len(example.regions) == 1 + given


def test_between_the_two_thresholds_a_proposal_is_neither():
    class Placed(Store):
        def get(self, path):
            # Overlaps with the dog's box, 0 to .6 of the width: .6, .59, .4, .35, .34 and 0.
            widths = [0.36, 0.354, 0.24, 0.21, 0.204]
            boxes = [[0, 0, w, 1] for w in widths] + [[0.7, 0, 1, 1]]
            return StoredPhoto(np.zeros((4, 4, 3), np.uint8), np.array(boxes, np.float32))

    recipe = Recipe(flip=False, colour=0, sampled_proposals=6, positive_iou=0.599, negative_iou=0.345)
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
    recipe = Recipe(sampled_proposals=5)  # mirrors and recolours
    first, again = dataset([MAN, DOG], recipe), dataset([MAN, DOG], recipe)
    first[1, 0], first[7, 1]  # what was asked before does not matter
    for key in ((0, 0), (0, 1), (3, 1)):
        assert same(first[key], again[key])
    base = first[0, 1]
    for other in (first[1, 1], dataset([MAN, DOG], recipe, seed=1)[0, 1], dataset([DOG, MAN], recipe)[0, 0]):
        assert not same(base, other)


def test_a_mirrored_photo_has_mirrored_boxes_and_the_same_matches():
    plain, mirrored = dataset([MAN]), dataset([MAN], Recipe(flip=True, colour=0, sampled_proposals=5))
    turned = 0
    for epoch in range(40):
        a, b = plain[epoch, 0], mirrored[epoch, 0]
        assert torch.equal(a.positive, b.positive) and torch.equal(a.negative, b.negative)
        if torch.equal(a.squeezed, b.squeezed):
            assert torch.equal(a.regions, b.regions)
            continue
        turned += 1
        assert torch.equal(b.squeezed, a.squeezed.flip(1))
        np.testing.assert_allclose(b.regions, flip(a.regions.numpy(), 1.0), atol=1e-6)
    assert 10 <= turned <= 30  # half of 40


def test_photos_that_speak_of_left_or_right_are_never_mirrored():
    sided = annotated("1", ("a man on the left", {"a man": [[10, 5, 50, 45]]}))
    examples = dataset([sided], Recipe(flip=True, colour=0, sampled_proposals=5))
    picture = torch.from_numpy(Store().get(Path("1.jpg")).squeezed)
    assert all(torch.equal(examples[epoch, 0].squeezed, picture) for epoch in range(20))


def test_recolouring_changes_brightness_and_contrast_alike_everywhere():
    plain = dataset([MAN])[0, 0].squeezed
    mild, strong = (dataset([MAN], Recipe(flip=False, colour=c, sampled_proposals=5)) for c in (0.1, 0.5))
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


def test_features_of_a_frozen_backbone_follow_their_boxes():
    class Frozen:
        def get(self, path, boxes):
            assert len(boxes) == 2 + 21  # always all of them, or what lies on disk would be of no use in the next epoch
            return (boxes @ np.array([[1], [10], [100], [1000]], np.float32)).astype(np.float16)

    example = dataset([MAN], Recipe(sampled_proposals=5), frozen=Frozen())[0, 0]  # flip and colour are for pictures
    assert example.squeezed is None and example.features.dtype == torch.float32
    expected = (example.regions @ torch.tensor([[1.0], [10], [100], [1000]])).half().float()
    assert torch.equal(example.features, expected)
    np.testing.assert_allclose(example.regions[0], [0.1, 0.1, 0.5, 0.9], rtol=1e-6)  # not mirrored
    batch = Collate([0, 1])([example, example])
    assert batch.squeezed is None and batch.features.shape == (14, 1)


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
    regions = torch.rand(len(positive[0]), 4)
    return Example(
        torch.zeros(2, 2, 3, dtype=torch.uint8), None, regions, torch.tensor(phrases),
        torch.tensor(positive).bool(), torch.tensor(negative).bool(),
    )  # fmt: skip


# Rows of the phrase table: 0 a man, 1 the man, 2 a hat, 3 a dog, 4 a woman.
GROUPS = [0, 0, 1, 2, 3]


def test_two_photos_side_by_side():
    a = example([0, 2], [[1, 0, 0], [0, 1, 0]], [[0, 1, 1], [1, 0, 0]])
    b = example([3], [[1, 0]], [[0, 1]])
    batch = Collate(GROUPS)([a, b])
    m = batch.matches
    assert batch.squeezed.shape == (2, 2, 2, 3) and batch.phrases.tolist() == [0, 2, 3]
    assert [len(r) for r in batch.regions] == [3, 2] and torch.equal(batch.regions[1], b.regions)
    assert m.positive.int().tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    # Inside a photo as the examples say (the hat and region 2 are neither); the other photo has other words.
    assert m.negative.int().tolist() == [[0, 1, 1, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 0, 1]]
    assert m.same_photo.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert m.same_words.int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_photo_with_the_same_words_gives_no_negatives_for_them():
    a = example([0, 2], [[1, 0], [0, 1]], [[0, 1], [1, 0]])  # a man, a hat
    b = example([3, 1], [[1, 0, 0], [0, 1, 0]], [[0, 1, 1], [1, 0, 1]])  # a dog, the man
    c = example([4, 2], [[1, 0], [0, 1]], [[0, 1], [1, 0]])  # a woman, a hat
    m = Collate(GROUPS)([a, b, c]).matches
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
    m = Collate(GROUPS)([a]).matches
    assert m.negative.int().tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 1]]
    assert torch.equal(m.positive, a.positive)  # nor does a twin's region become a positive: the box was drawn for one


def test_the_masks_hold_for_random_batches():
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        examples = []
        for _ in range(3):
            phrases, regions = int(torch.randint(1, 5, (), generator=rng)), int(torch.randint(1, 6, (), generator=rng))
            kind = torch.rand(phrases, regions, generator=rng)
            rows = torch.randint(0, 5, (phrases,), generator=rng).tolist()
            examples.append(example(rows, (kind < 0.3).int().tolist(), (kind > 0.5).int().tolist()))
        batch = Collate(GROUPS)(examples)
        m, words = batch.matches, [GROUPS[row] for row in batch.phrases.tolist()]
        photo_of = [i for i, e in enumerate(examples) for _ in e.regions]
        said_in = [{GROUPS[row] for row in e.phrases.tolist()} for e in examples]
        own = torch.block_diag(*(e.negative for e in examples))
        for p, word in enumerate(words):
            twins = [
                q for q, other in enumerate(words) if other == word and torch.equal(m.same_photo[p], m.same_photo[q])
            ]
            for r, photo in enumerate(photo_of):
                expected = all(own[q, r] for q in twins) if m.same_photo[p, r] else word not in said_in[photo]
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
    batch = Collate(table.groups)([examples[0, i] for i in range(3)])
    words = [table.texts[row] for row in batch.phrases.tolist()]
    near, far = phrase_neighbours(batch.matches)
    assert {(words[a], words[b]) for a, b in near.nonzero().tolist()} == {("a cook", "a man"), ("a man", "a cook")}
    assert far[words.index("a dog"), words.index("a hat")]
    near, far = region_neighbours(batch.matches)
    assert near.any() and far.any()
    overlap = iou(*(batch.regions[2].numpy(),) * 2)
    assert near[-len(overlap) :, -len(overlap) :][0, 1] and overlap[0, 1] > 0.9  # the cook's box, drawn twice


def test_a_batch_moves_to_a_device_whole():
    batch = Collate(GROUPS)([example([0], [[1, 0]], [[0, 1]])])
    moved = batch.to(torch.device("meta"))
    tensors = [moved.squeezed, moved.phrases, *moved.regions, *vars(moved.matches).values()]
    assert all(t.device.type == "meta" for t in tensors) and moved.features is None
    frozen = SimpleNamespace(get=lambda path, boxes: np.zeros((len(boxes), 3), np.float16))
    moved = Collate(GROUPS)([dataset([DOG], frozen=frozen)[0, 0]]).to(torch.device("meta"))
    assert moved.squeezed is None and moved.features.device.type == "meta"
