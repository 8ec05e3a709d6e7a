"""The localization model: regions of a photo, phrases in their sentences, and where they meet."""

import numpy as np
import pytest
import torch

from sspe.localizer import Localizer
from sspe.models.localization import LocalizationModel, Regions
from sspe.text.context import ALONE, Context
from sspe.vision.boxes import iou
from sspe.vision.photo import open_photo

ASKED = ["a man", "a large red ball", "a man", "unheard-of zyx"]
CONTEXTS = [Context("", "in red"), ALONE, Context("a dog and", "in a striped hat"), Context("the", "")]


@pytest.fixture(scope="module")
def photo(photos):
    return photos[0]


@pytest.fixture(scope="module")
def located_regions(tiny_localizer, photo) -> Regions:
    return tiny_localizer.see(photo).regions


def test_regions_know_their_photo(tiny_localizer, located_regions, photo):
    pixels = open_photo(photo)
    regions = tiny_localizer.model.embed_regions(pixels, located_regions.boxes[3:8])
    assert (regions.width, regions.height) == (pixels.shape[1], pixels.shape[0])
    assert regions.embeddings.shape == (5, 24) and regions.described.shape == (5, 16)
    torch.testing.assert_close(regions.embeddings, located_regions.embeddings[3:8], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(regions.described, located_regions.described[3:8], rtol=1e-3, atol=1e-3)


def test_all_pairs_at_once_are_each_for_itself(tiny_localizer, located_regions):
    model, regions = tiny_localizer.model, located_regions
    located = model.locate(regions, ASKED, CONTEXTS)
    count = len(regions.boxes)
    assert located.scores.shape == (4, count) and located.boxes.shape == (4, count, 4)
    assert located.scores.dtype == located.boxes.dtype == np.float32
    assert located.evidence is located.confidence is located.present is None  # this one is not calibrated
    limit = np.array([regions.width, regions.height] * 2)
    for p, (phrase, context) in enumerate(zip(ASKED, CONTEXTS, strict=True)):
        y = model.embed_phrases([phrase], [context])[0]
        for r in set(range(0, count, 7)) - {int(located.kept[p][0])}:  # the answer's is a mean of several
            box = torch.from_numpy(regions.boxes[r])
            refined = model.network.refiner(regions.described[r], y, box).numpy()
            np.testing.assert_allclose(located.boxes[p, r], np.clip(refined, 0, limit), atol=1e-2)
            assert located.scores[p, r] == pytest.approx(float(y @ regions.embeddings[r]), abs=1e-5)
    moved = np.abs(located.boxes - regions.boxes).max(axis=(1, 2))
    assert moved.min() > 5  # pixels: these weights do refine, each phrase its own way
    assert np.abs(located.boxes[0] - located.boxes[2]).max() > 1


def test_refined_boxes_lie_inside_the_photo(tiny_localizer, make_localization_model, located_regions, photo):
    wild = make_localization_model().for_inference("cpu", "float32")
    with torch.no_grad():
        wild.network.refiner.changes.weight.mul_(10)
    for model in (tiny_localizer.model, wild):
        boxes = model.locate(model.embed_regions(open_photo(photo), located_regions.boxes), ASKED).boxes
        assert boxes.min() >= 0 and boxes[..., 2].max() <= located_regions.width
        assert boxes[..., 3].max() <= located_regions.height and (boxes[..., 2:] >= boxes[..., :2]).all()
    frame = (located_regions.width, located_regions.height)
    assert (boxes == 0).any() and (boxes[..., 2:] == frame).any()  # there was something to clip


def test_what_is_kept_is_apart_where_the_phrase_would_place_it(tiny_localizer, located_regions):
    located = tiny_localizer.model.locate(located_regions, ASKED, CONTEXTS)
    for scores, boxes, kept in zip(located.scores, located.boxes, located.kept, strict=True):
        expected = [int(kept[0])]  # the answer, then the others by score
        for r in np.argsort(-scores, kind="stable"):
            if iou(boxes[r], boxes[expected]).max() <= 0.5:
                expected.append(int(r))
        assert kept.tolist() == expected


def test_a_glance_places_the_best_regions_alone(tiny_localizer, located_regions):
    model, regions = tiny_localizer.model, located_regions
    phrases = model.read(ASKED, CONTEXTS)
    whole, part = model.locate_read(regions, phrases), model.glance(regions, phrases.rows(slice(1, 3)), 30)
    for row, (kept, placed) in enumerate(zip(part.kept, part.boxes, strict=True), 1):
        best = np.argsort(-whole.scores[row], kind="stable")[:30]
        assert len(regions.boxes) > 30 and set(kept) <= set(best)
        alike = np.setdiff1d(best, [kept[0], whole.kept[row][0]])  # the answer's box is a mean of all that agree
        np.testing.assert_allclose(placed[alike], whole.boxes[row, alike], atol=1e-2)
        rest = np.setdiff1d(np.arange(len(placed)), best)
        np.testing.assert_array_equal(placed[rest], regions.boxes[rest])


def test_a_model_without_refinement_returns_its_proposals(make_localization_model, located_regions, photo):
    model: LocalizationModel = make_localization_model(refiner=0).for_inference("cpu", "float32")
    regions = model.embed_regions(open_photo(photo), located_regions.boxes)
    assert regions.described is None and regions.nbytes == 4 * len(regions.boxes) * (4 + 24)
    located = model.locate(regions, ASKED, CONTEXTS)
    assert located.boxes.shape == (4, len(regions.boxes), 4)
    for boxes, kept in zip(located.boxes, located.kept, strict=True):
        others = np.arange(len(boxes)) != kept[0]  # the answer's is a mean of several
        assert np.array_equal(boxes[others], regions.boxes[others])
    found = Localizer(model, "cpu", "float32")(photo, "A man in a red hat and a blue ball.", top_k=4)
    proposals = {tuple(box) for box in regions.boxes.tolist()}
    assert {c.box for phrase in found.phrases for c in phrase.candidates[1:]} <= proposals


def test_a_model_without_context_reads_the_phrase_alone(make_localization_model, located_regions, photo):
    model = make_localization_model(context=0).for_inference("cpu", "float32")
    assert torch.equal(model.embed_phrases(ASKED, CONTEXTS), model.embed_phrases(ASKED))
    regions = model.embed_regions(open_photo(photo), located_regions.boxes)
    located = model.locate(regions, ASKED, CONTEXTS)
    assert np.array_equal(located.boxes[0], located.boxes[2])


def test_no_phrases_are_located_nowhere(tiny_localizer, located_regions):
    count = len(located_regions.boxes)
    located = tiny_localizer.model.locate(located_regions, [], [])
    assert located.scores.shape == (0, count) and located.boxes.shape == (0, count, 4) and located.kept == ()


def test_a_phrase_in_its_sentence_is_the_mean_of_two_readings(tiny_localizer):
    model = tiny_localizer.model
    features = model.text_encoder.encode(ASKED, CONTEXTS)
    with torch.inference_mode():
        both = model.network.text(features) + model.embed_phrases(ASKED)
    found = model.embed_phrases(ASKED, CONTEXTS)
    torch.testing.assert_close(found, both / both.norm(dim=1, keepdim=True))
    torch.testing.assert_close(found[1], model.embed_phrases(ASKED)[1])  # this one stands alone
    assert (found[0] - model.embed_phrases(ASKED)[0]).abs().max() > 1e-3
