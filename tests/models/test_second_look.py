"""The second look: which phrases stand together, how boxes lie, and what it changes of a model's answers."""

import numpy as np
import pytest
import torch

from sspe.checkpoint import load_checkpoint, save_checkpoint
from sspe.models.second_look import NEAREST, Pairs, SecondLook, described, layout, places_of
from sspe.text.context import ALONE, Context

SENTENCE = "a man with a dog"
TOGETHER = [Context("", " with a dog"), Context("a man with ", "")]


def test_phrases_of_one_sentence_are_pairs():
    places = places_of(["a man", "a dog", "a man", "a man", "a man"], [*TOGETHER, Context("", " runs"), ALONE, ALONE])
    assert places.tolist() == [[0, 0, 5], [0, 11, 16], [1, 0, 5], [2, 0, 5], [2, 0, 5]]
    pairs = Pairs.among(places)
    assert (pairs.of.tolist(), pairs.beside.tolist()) == ([0, 1], [1, 0])
    assert pairs.order.tolist() == [[0, pytest.approx(0.2)], [1, pytest.approx(0.2)]]  # 6 of 60 characters, twice
    assert not len(Pairs.among(places_of([], [])).of)


def test_of_a_long_sentence_the_nearest_phrases_are_pairs():
    spans = [(7 * i, 7 * i + 5) for i in range(500)]
    pairs = Pairs.among(np.array([[0, *span] for span in spans]))
    assert len(pairs.of) == 500 * NEAREST
    assert pairs.beside[pairs.of == 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert pairs.beside[pairs.of == 250].tolist() == [246, 247, 248, 249, 251, 252, 253, 254]


def test_how_a_box_lies_to_another():
    same = layout(torch.tensor([0.2, 0.2, 0.6, 0.4]), torch.tensor([0.2, 0.2, 0.6, 0.4]))
    assert same.tolist() == pytest.approx([0] * 8 + [1, 1, 1, np.log(0.08) / 4, np.log(0.08) / 4], abs=1e-5)
    # The upper left quarter of a box: half a side of the other from its middle, less a quarter.
    quarter = layout(torch.tensor([0.2, 0.2, 0.4, 0.6]), torch.tensor([0.2, 0.2, 0.6, 1.0]))
    expected = [-0.25, -0.25, -0.5, -0.5, -np.log(2), -np.log(2), -0.2, -0.4, 0.25, 1, 0.25]
    assert quarter.tolist() == pytest.approx([*expected, np.log(0.08) / 4, np.log(0.32) / 4], abs=1e-5)


def test_a_box_with_a_crowd_has_its_votes():
    boxes = torch.tensor([[[0.1, 0.1, 0.3, 0.3], [0.1, 0.1, 0.3, 0.3], [0.6, 0.6, 0.9, 0.9]]])
    numbers = described(boxes, torch.tensor([[0.4, 0.4, 0.4]]))
    assert numbers.shape == (1, 3, 8)
    assert numbers[0, :, 5].tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3], abs=1e-5)
    assert numbers[0, 2, :2].tolist() == pytest.approx([0.5, 0.5])  # right of and below the middle


def test_nothing_is_added_before_it_has_learnt():
    net = SecondLook(24)
    y, boxes = torch.randn(2, 24), torch.rand(2, 7, 4).sort(dim=2).values
    pairs = Pairs.among(places_of(["a man", "a dog"], TOGETHER))
    assert not net(y, boxes, torch.rand(2, 7), boxes[:, 0], pairs).any()


@pytest.fixture
def looking(make_localization_model):
    """A model whose second look prefers the sixth best region, and the regions of a photo."""
    model = make_localization_model()

    class Sixth(torch.nn.Module):
        def forward(self, y, boxes, scores, answers, pairs):
            assert (y.shape, boxes.shape, answers.shape) == ((len(y), 24), (*scores.shape, 4), (len(y), 4))
            assert boxes.min() >= 0 and boxes.max() <= 1
            return 1e4 * (torch.arange(scores.shape[1]) == 5).expand(scores.shape)

    photo = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    regions = model.embed_regions(photo, model.propose(photo).boxes)
    return model, regions, Sixth()


def test_it_chooses_among_the_best_of_phrases_that_stand_together(looking):
    model, regions, sixth = looking
    before = model.locate(regions, ["a man", "a dog"], TOGETHER)
    model.second_look = sixth
    after = model.locate(regions, ["a man", "a dog"], TOGETHER)
    assert np.array_equal(after.scores, before.scores)
    for row in range(2):
        assert after.kept[row][0] == np.argsort(-before.scores[row], kind="stable")[5]
        others = after.scores[row, after.kept[row][1:]]
        assert (np.diff(others) <= 0).all()  # the answer first, then by score


def test_a_phrase_that_stands_alone_is_not_looked_at_again(looking):
    model, regions, sixth = looking
    asked = (["a man", "a dog"], [Context("", " runs"), Context("", " barks")])
    before, bare = model.locate(regions, *asked), model.locate(regions, asked[0])
    model.second_look = sixth
    for located, again in ((before, model.locate(regions, *asked)), (bare, model.locate(regions, asked[0]))):
        assert np.array_equal(located.boxes, again.boxes)
        assert all(map(np.array_equal, located.kept, again.kept))


def test_a_checkpoint_carries_it(make_localization_model, tmp_path):
    model = make_localization_model()
    model.second_look = SecondLook(24)
    with torch.no_grad():
        for weights in model.second_look.parameters():
            weights.normal_(0, 0.5)
    save_checkpoint(model, tmp_path / "looking.safetensors", {})
    again = load_checkpoint(tmp_path / "looking.safetensors")[0].second_look
    assert all(
        torch.equal(a.half(), b.half()) for a, b in zip(model.second_look.parameters(), again.parameters(), strict=True)
    )
    save_checkpoint(make_localization_model(), tmp_path / "plain.safetensors", {})
    assert load_checkpoint(tmp_path / "plain.safetensors")[0].second_look is None
