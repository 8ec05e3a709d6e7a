"""Collection: any phrase is a search of photos that were embedded once, with boxes and probabilities."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sspe import Collection, Localizer
from sspe.checkpoint import save_checkpoint
from sspe.errors import PhotoError, SspeError
from sspe.models.calibration import unfitted
from sspe.searching.placing import SAME
from sspe.searching.probability import EVIDENCE_OF_SEARCH
from sspe.searching.unfitted import unfitted_search
from sspe.vision.boxes import iou


@pytest.fixture(scope="module")
def fitted(make_localization_model, tmp_path_factory) -> Localizer:
    """A localizer whose probability for searches grows with how a photo stands among all: 0.5 where few do better."""
    model = make_localization_model()
    bank = torch.nn.functional.normalize(torch.randn(64, 24, generator=torch.manual_seed(0)), dim=1)
    model.calibration = unfitted(bank)
    weights = torch.tensor([*(3.0 * (name == "standing") for name in EVIDENCE_OF_SEARCH), -8.0])
    model.search = replace(unfitted_search(model), weights=weights, threshold=torch.tensor(0.5))
    path = tmp_path_factory.mktemp("fitted") / "fitted.safetensors"
    save_checkpoint(model, path, {})
    return Localizer.from_pretrained(path, "cpu", "float32")


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("collection") / "photos"
    folder.mkdir()
    for number, photo in enumerate(photos[:12]):
        shutil.copy(photo, folder / f"{number:02}.jpg")
    return folder


@pytest.fixture(scope="module")
def collection(folder, fitted) -> Collection:
    """Twelve photos, with a probability."""
    return Collection.build(folder, localizer=fitted)


@pytest.fixture(scope="module")
def plain(folder, tmp_path_factory, tiny_localizer) -> Collection:
    """The same photos with a checkpoint that nothing was fitted for."""
    return Collection.build(folder, tmp_path_factory.mktemp("plain"), tiny_localizer)


def paths(result):
    return [hit.path for hit in result.hits]


def test_it_finds_what_a_comparison_with_every_region_finds(plain, tiny_localizer):
    y = tiny_localizer.model.embed_phrases(["a red hat"])
    expected = {}
    for record in plain.photos:
        regions = tiny_localizer.see(plain.path_of(record)).regions
        scores = (regions.embeddings[:100] @ y[0]).numpy()
        expected[record.path] = 0.04 * np.log(np.exp(scores / 0.04).sum())
    found = {hit.path: hit.score for hit in plain.search("a red hat").hits}
    assert found.keys() == expected.keys()
    assert np.allclose(list(found.values()), [expected[path] for path in found], atol=0.01)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_box_is_where_the_localizer_would_put_it(plain, tiny_localizer):
    for hit in plain.search("the dog", top=3).hits:
        (phrase,) = hit.phrases
        view = tiny_localizer.see(hit.file)
        near = view.find("the dog")
        assert phrase.text == "the dog" and iou(np.array(phrase.box), np.array(near.box))[0, 0] > 0.8


def test_without_a_fit_there_is_no_probability(plain):
    result = plain.search("a red hat")
    assert len(result.hits) == 12 and result.at_least is None and plain.threshold is None
    assert all(hit.probability is None and hit.phrases[0].probability is None for hit in result.hits)
    with pytest.raises(SspeError, match="none for searches"):
        plain.search("a red hat", at_least=0.5)


def test_hits_are_at_least_as_probable_as_asked_most_probable_first(collection):
    everything = collection.search("a red hat", at_least=0)
    probabilities = [hit.probability for hit in everything.hits]
    assert len(probabilities) == 12 and probabilities == sorted(probabilities, reverse=True)
    assert probabilities[0] > 0.5 > probabilities[-1]
    default = collection.search("a red hat")
    assert default.at_least == collection.threshold == 0.5
    assert paths(default) == [hit.path for hit in everything.hits if hit.probability >= 0.5]
    assert paths(collection.search("a red hat", at_least=0, top=2)) == paths(everything)[:2]


def test_nothing_found_is_an_answer(collection):
    result = collection.search("a red hat", at_least=1)
    assert result.hits == () and (result.searched, result.photos) == (12, 12) and result.exact


def test_a_word_that_the_model_does_not_know_finds_nothing(collection):
    result = collection.search("a zorblax", at_least=0)
    assert result.hits == () and result.unknown == ("a zorblax",)
    assert collection.search(["a dog", "a zorblax"], at_least=0).hits == ()


def test_several_phrases_are_each_in_a_region_of_their_own(collection):
    result = collection.search(["a dog", "a dog", "a man"], at_least=0)
    assert result.hits
    for hit in result.hits:
        assert [phrase.text for phrase in hit.phrases] == ["a dog", "a dog", "a man"]
        boxes = np.array([phrase.box for phrase in hit.phrases])
        overlap = iou(boxes, boxes)
        assert overlap[~np.eye(3, dtype=bool)].max() < SAME
        assert hit.probability == min(phrase.probability for phrase in hit.phrases)
        assert hit.phrases[1].probability <= hit.phrases[0].probability or hit.phrases[0].score < hit.phrases[1].score


def test_what_is_not_to_be_there_leaves_photos_out(collection):
    dogs = collection.search("a dog", at_least=0)
    hats = collection.search("a red hat")
    for result in (
        collection.search("a dog", without="a red hat", at_least=0),
        collection.search(["a dog"], without=["a red hat"], at_least=0),
    ):
        left = set(paths(dogs)) - set(paths(result))
        assert left and left == set(paths(hats)) and result.excluded == len(left)
        assert [(p.text, p.without) for p in result.phrases] == [("a dog", False), ("a red hat", True)]


def test_a_sentence_may_deny_something(collection):
    result = collection.search("a dog without a red hat", at_least=0)
    assert [(p.text, p.without) for p in result.phrases] == [("a dog", False), ("a red hat", True)]
    assert result.excluded


def test_a_region_finds_itself(collection):
    hit = collection.search("a dog", at_least=0, top=1).hits[0]
    found = collection.like(hit.path, (0, 0, hit.width, hit.height), top=3)
    first = found.hits[0]
    assert first.path == hit.path and first.score == pytest.approx(1, abs=0.02) and first.probability is None
    assert np.allclose(first.phrases[0].box, (0, 0, hit.width, hit.height), atol=0.1)
    outside = collection.like(Image.open(hit.file), (0, 0, hit.width, hit.height), top=3)
    assert paths(outside)[0] == hit.path


def test_less_like_takes_a_likeness_off(collection):
    hit, other = collection.search("a dog", at_least=0).hits[:2]
    box, of_other = (0, 0, hit.width, hit.height), (0, 0, other.width, other.height)
    before = {h.path: h.score for h in collection.like(hit.path, box).hits}
    after = {h.path: h.score for h in collection.like(hit.path, box, less_like=[(other.path, of_other)]).hits}
    assert after[other.path] < before[other.path]


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 10), (10, 10, 5, 20), (0, 0, 10_000, 10), (-1, 0, 5, 5), (0, 0, float("nan"), 9)]
)
def test_a_box_must_lie_in_the_photo(collection, box):
    with pytest.raises(SspeError, match="is empty or leaves the photo"):
        collection.like("00.jpg", box)


def test_results_are_ready_for_json(collection):
    found = collection.search("a dog beside a man", at_least=0, top=2).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["hits"][0]["phrases"][1]["text"] == "a man" and found["photos"] == 12


def test_a_hit_draws_itself_and_its_surroundings(collection):
    hit = collection.search("a dog", at_least=0, top=1).hits[0]
    assert hit.draw().size == (hit.width, hit.height)
    x1, y1, x2, y2 = hit.phrases[0].box
    width, height = hit.crop(margin=0).size
    assert abs(width - (x2 - x1)) <= 2 and abs(height - (y2 - y1)) <= 2


def test_a_photo_that_changed_or_went_says_so(fitted, photos, tmp_path):
    for number in range(2):
        shutil.copy(photos[number], tmp_path / f"{number}.jpg")
    found = Collection.build(tmp_path, localizer=fitted).search("a dog", at_least=0).hits
    Image.open(found[0].file).resize((50, 40)).save(found[0].file)
    found[1].file.unlink()
    with pytest.raises(PhotoError, match="has changed since it was indexed"):
        found[0].draw()
    with pytest.raises(PhotoError, match="There is no file"):
        found[1].draw()


def test_an_empty_folder_is_an_empty_collection(fitted, tmp_path):
    empty = Collection.build(tmp_path, localizer=fitted)
    assert len(empty.photos) == 0 and empty.search("a dog").hits == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"top": 0}, "number of hits is 0"), ({"at_least": 1.5}, "from 0 to 1"), ({"at_least": -1}, "from 0")],
)
def test_numbers_out_of_range(collection, options, said):
    with pytest.raises(SspeError, match=said):
        collection.search("a dog", **options)


def test_weights_that_are_no_files_are_refused(tiny_localizer, tmp_path):
    with pytest.raises(SspeError, match="no file's"):
        Collection.build(tmp_path, localizer=Localizer(tiny_localizer.model, "cpu", "float32"))


def test_a_similarity_network_is_refused(make_localization_model, tmp_path):
    model = make_localization_model(kind="similarity")
    with pytest.raises(SspeError, match="dot product"):
        Collection.build(tmp_path, localizer=Localizer(model, "cpu", "float32", "named"))


def test_with_numkong_and_without_it_the_same_is_found(plain, folder, tiny_localizer, monkeypatch):
    pytest.importorskip("numkong")
    with monkeypatch.context() as patch:
        patch.setattr("sspe.searching.scan.numkong", None)
        slow = Collection(plain._indexes, tiny_localizer)
    for query in ("a red hat", ["a dog", "a man"]):
        fast, other = plain.search(query), slow.search(query)
        assert paths(fast) == paths(other)
        assert [hit.score for hit in fast.hits] == pytest.approx([hit.score for hit in other.hits], abs=1e-6)
