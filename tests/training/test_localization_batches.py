"""Photos side by side: who matches whom in a batch."""

import torch
from annotated import DOG, MAN, PLAIN, Frozen, Store, annotated, dataset, plainly

from sspe.models.losses import phrase_neighbours, region_neighbours
from sspe.text.context import ALONE, Context
from sspe.training.localization_batches import Collate, Example, RegionPhraseDataset
from sspe.training.localization_data import PhraseTable, training_photos
from sspe.vision.boxes import iou


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


def test_a_bare_noun_may_be_whatever_has_it_for_a_head():
    """Of "dog" the brown dog is no negative, in this photo or another; of "a brown dog" any other dog is."""
    table = PhraseTable()
    dog, brown, hat = (table.row(words) for words in ("dog", "a brown dog", "a hat"))
    a = example([dog, hat], [[1, 0], [0, 1]], [[0, 1], [1, 0]])
    b = example([brown, dog], [[1, 0, 0], [0, 1, 0]], [[0, 1, 1], [1, 0, 1]])
    m = Collate(table, 5, bare=True)([a, b]).matches
    assert m.negative.int().tolist() == [
        [0, 1, 0, 0, 0],  # dog (A): nothing of B, which shows dogs
        [1, 0, 1, 1, 1],  # a hat
        [1, 1, 0, 1, 1],  # a brown dog: A's dog, too, and the other dog beside it
        [0, 0, 0, 0, 1],  # dog (B): not the brown one beside it, and nothing of A
    ]
    assert m.same_words.int().tolist() == [[1, 0, 1, 1], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 1]]
    plain = Collate(table, 5)([a, b]).matches
    assert plain.negative[0].tolist() == [False, True, False, False, False] and plain.negative[3, 2]


def test_a_recipe_shows_heads_alone():
    photos, table = training_photos([MAN], bare=True)
    assert [table.texts[row] for row in photos[0].heads] == ["man", "hat"]
    shown = RegionPhraseDataset(photos, Store(), plainly(bare=0.5), 0)
    texts = {table.texts[row] for epoch in range(20) for row in shown[epoch, 0].phrases}
    assert texts == {"a man", "man", "a hat", "hat"}
    assert len(training_photos([MAN])[1].texts) < len(table.texts)
