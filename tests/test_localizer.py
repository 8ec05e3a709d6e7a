"""Localizer: spans, boxes and scores of a tiny network with random weights; bad input; the two halves."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import sspe.checkpoint
from sspe.errors import CheckpointError, PhotoError, SspeError
from sspe.localizer import Localizer
from sspe.models.calibration import unfitted
from sspe.phrases.chunker import Phrase
from sspe.results import Localization
from sspe.text.context import Context
from sspe.vision.boxes import clip, consensus, iou
from sspe.vision.photo import open_photo

SENTENCE = 'A man in a red hat, and  "the large dog" ☂ — with a blue ball.\n'


@pytest.fixture(scope="module")
def photo(photos):
    return photos[0]


def plain(localization: Localization) -> str:
    return json.dumps(localization.to_dict())


def test_spans_cut_the_sentence_verbatim(tiny_localizer, photo):
    found = tiny_localizer(photo, SENTENCE)
    assert found.sentence == SENTENCE
    assert [phrase.text for phrase in found.phrases] == ["A man", "a red hat", "the large dog", "a blue ball"]
    assert [phrase.head for phrase in found.phrases] == ["man", "hat", "dog", "ball"]
    for phrase in found.phrases:
        assert SENTENCE[phrase.start : phrase.end] == phrase.text
    assert json.loads(plain(found))["phrases"][1]["text"] == "a red hat"


def test_boxes_lie_inside_the_photo_in_its_own_pixels(tiny_localizer, photos):
    sizes = set()
    for path in photos[:6]:
        with Image.open(path) as image:
            size = image.size
        sizes.add(size)
        found = tiny_localizer(path, SENTENCE, top_k=40)
        assert (found.width, found.height) == size and found.photo.shape == (size[1], size[0], 3)
        boxes = np.array([c.box for phrase in found.phrases for c in phrase.candidates])
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= size).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes[:, 2:].max() > 250  # not in the pixels of the small square the network sees
    assert len(sizes) > 1


def test_boxes_grow_with_the_photo(tiny_localizer, photo):
    image = Image.open(photo).convert("RGB")
    small = tiny_localizer.see(image)
    large = tiny_localizer.see(image.resize((image.width * 4, image.height * 4), Image.Resampling.NEAREST))
    # Edge Boxes works at a fixed small size, where both photos are nearly the same picture.
    overlap = iou(small.regions.boxes * 4, large.regions.boxes).max(axis=1)
    assert np.median(overlap) > 0.8


def test_a_photo_turned_by_exif(tiny_localizer, photo, tmp_path):
    image = Image.open(photo).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter to the right
    turned = tmp_path / "turned.png"
    image.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    upright, found = tiny_localizer(image, SENTENCE), tiny_localizer(turned, SENTENCE)
    assert (found.width, found.height) == image.size
    assert plain(found) == plain(upright)


def test_candidates_are_sorted_and_apart(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    for k in (1, 3, 100):
        for phrase in tiny_localizer.ground(view, SENTENCE, top_k=k).phrases:
            scores = [c.score for c in phrase.candidates]
            assert 1 <= len(scores) <= k and scores[1:] == sorted(scores[1:], reverse=True)  # after the answer
            assert all(-1.0001 <= score <= 1.0001 for score in scores)
            overlap = iou(np.array([c.box for c in phrase.candidates]), np.array([c.box for c in phrase.candidates]))
            assert np.triu(overlap, 1).max() <= 0.5 + 1e-6
            assert (phrase.box, phrase.score) == (phrase.candidates[0].box, phrase.candidates[0].score)
    more = tiny_localizer.ground(view, SENTENCE, top_k=3).phrases
    one = tiny_localizer.ground(view, SENTENCE).phrases
    assert [len(phrase.candidates) for phrase in one] == [1] * 4
    assert max(len(phrase.candidates) for phrase in more) == 3
    assert [phrase.box for phrase in one] == [phrase.box for phrase in more]


def test_the_answer_is_the_consensus_of_the_refined_boxes(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    phrase = view.find("a red ball")
    y = tiny_localizer.model.embed_phrases(["a red ball"]).numpy()[0]
    embeddings = view.regions.embeddings.numpy()
    cosines = embeddings @ y
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    refiner, described = tiny_localizer.model.network.refiner, view.regions.described
    with torch.inference_mode():
        refined = refiner(described, torch.from_numpy(y), torch.from_numpy(view.regions.boxes)).numpy()
    placed = clip(refined, view.regions.width, view.regions.height)
    winner, mean, _ = consensus(placed, cosines)
    assert phrase.score == pytest.approx(cosines[winner], abs=1e-6)
    assert phrase.box == pytest.approx(tuple(mean), abs=1e-2)
    assert iou(mean, placed[winner]) > 0.5


def test_several_things_and_the_words_that_choose(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    sentence = "Two dogs and the man on the left beside a red ball."
    dogs, man, ball = tiny_localizer.ground(view, sentence, top_k=3).phrases
    assert (dogs.text, man.text, ball.text) == ("Two dogs", "the man", "a red ball")
    assert [p.chosen_by for p in (dogs, man, ball)] == [None, "on the left", None]
    assert 1 <= len(dogs.boxes) <= 2 and man.boxes == (man.box,) and ball.boxes == (ball.box,)
    plain = tiny_localizer.ground(view, "Two dogs and the man beside a red ball.").phrases
    assert man.box[0] + man.box[2] <= plain[1].box[0] + plain[1].box[2]
    assert man.box == man.candidates[0].box
    found = view.find("the leftmost man")
    assert (found.text, found.chosen_by) == ("the leftmost man", "leftmost")
    assert view.find("find the man on the left").chosen_by == "on the left"


def test_every_way_to_give_a_photo(tiny_localizer, photo):
    array = np.array(Image.open(photo).convert("RGB"))
    given = [
        str(photo),
        photo,
        photo.read_bytes(),
        photo.open("rb"),
        Image.open(photo),
        array,
        np.dstack([array, np.full(array.shape[:2], 255, np.uint8)]),
    ]
    results = {plain(tiny_localizer(source, SENTENCE, top_k=3)) for source in given}
    assert len(results) == 1
    assert (array == open_photo(photo)).all()  # what was given is left as it was


def test_both_halves_are_the_whole(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    regions = view.regions
    assert regions.boxes.dtype == np.float32 and regions.boxes.shape == (len(regions.embeddings), 4)
    assert (regions.width, regions.height) == (view.photo.shape[1], view.photo.shape[0])
    assert regions.boxes[0].tolist() == [0, 0, regions.width, regions.height]
    assert view.nbytes == view.photo.nbytes + 4 * len(regions.boxes) * (4 + 24 + 16)  # embedding 24, refiner 16
    for sentence in (SENTENCE, "A woman."):
        assert plain(tiny_localizer.ground(view, sentence, top_k=2)) == plain(tiny_localizer(photo, sentence, top_k=2))


def test_each_phrase_is_localized_for_itself(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    for together in tiny_localizer.ground(view, SENTENCE, top_k=3).phrases:
        span = Phrase(together.text, together.start, together.end, together.head)
        alone = tiny_localizer.ground(view, SENTENCE, [span], top_k=3).phrases[0]
        assert alone.box == pytest.approx(together.box, abs=1e-3)
        assert alone.score == pytest.approx(together.score, abs=1e-6)
        assert len(alone.candidates) == len(together.candidates)
        for a, b in zip(alone.candidates, together.candidates, strict=True):
            assert a.box == pytest.approx(b.box, abs=1e-3)


def test_a_phrase_is_read_in_its_sentence(tiny_localizer, photo):
    """The same words in two sentences, and in two places of one; alone they are what `find` looks for."""
    view = tiny_localizer.see(photo)
    sentence = "A man in red, and a man in a striped hat."
    first, _, second, _ = tiny_localizer.ground(view, sentence, [
        Phrase("A man", 0, 5, "man"), Phrase("red", 9, 12, "red"), Phrase("a man", 18, 23, "man"),
        Phrase("a striped hat", 27, 40, "hat"),
    ]).phrases  # fmt: skip
    by_hand = tiny_localizer.model.embed_phrases(
        ["A man", "a man"], [Context("", "in red and"), Context("in red and", "in a striped")]
    )
    for score, cosines in zip((first.score, second.score), by_hand @ view.regions.embeddings.T, strict=True):
        assert (cosines - score).abs().min() < 1e-6  # of the region chosen, which need not be the best one
    assert abs(first.score - second.score) > 1e-3
    assert abs(view.find("a man").score - first.score) > 1e-3
    assert view.find("a man").score == tiny_localizer.ground(view, "a man !").phrases[0].score


def test_requests_around_a_phrase_move_nothing(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    [dog] = tiny_localizer.ground(view, "the dog").phrases
    for query in ("Find the dog, please!", "a photo of the dog", "can you show me the dog"):
        [found] = tiny_localizer.ground(view, query).phrases
        assert (found.text, found.score, found.box) == ("the dog", dog.score, dog.box)


def test_what_a_sentence_denies_is_looked_for_and_negated(tiny_localizer, photo):
    man, hat = tiny_localizer(photo, "a man without a hat").phrases
    assert (man.text, man.negated, hat.text, hat.negated) == ("a man", False, "a hat", True)
    assert [p["negated"] for p in tiny_localizer(photo, "no hat").to_dict()["phrases"]] == [True]


def test_find_reads_a_query_as_a_person_means_it(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    plain = view.find("a blue ball")
    for query, start in (("find a blue ball", 5), ("a photo of a blue ball.", 11), ("where is a blue ball?", 9)):
        found = view.find(query)
        assert (found.text, found.start, found.end, found.head) == ("a blue ball", start, start + 11, "ball")
        assert (found.box, found.score, found.negated) == (plain.box, plain.score, False)  # read alone
    denied = view.find("no hat")
    assert (denied.text, denied.start, denied.negated, denied.box) == ("hat", 3, True, view.find("hat").box)


def test_of_an_unknown_word_nothing_is_told(make_localization_model, photo):
    model = make_localization_model()
    model.calibration = unfitted(model.network.image(torch.zeros(50, model.regions.feature_size)).detach())
    localizer = Localizer(model, "cpu", "float32")
    dog, zorblax = localizer(photo, "a dog and a red zorblax").phrases
    assert (dog.known, dog.present, dog.confidence) == (True, 0.5, 0.5)
    assert (zorblax.known, zorblax.present, zorblax.confidence, zorblax.doubtful) == (False, None, None, True)
    assert len(zorblax.box) == 4


def test_find_takes_the_phrase_as_it_is(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    found = view.find("the man in a red hat", top_k=2)
    assert (found.text, found.start, found.end, found.head) == ("the man in a red hat", 0, 20, "man")
    assert len(found.candidates) == 2
    assert view.find("a blue ball").box == tiny_localizer(photo, "a blue ball").phrases[0].box
    assert view.find("quickly").head == "quickly"  # no noun phrase, still looked for
    for empty in ("", " \n"):
        with pytest.raises(SspeError, match="The phrase is empty"):
            view.find(empty)


def test_given_phrases_are_taken_instead_of_found_ones(tiny_localizer, photo):
    sentence = "Here it runs: red."
    phrases = [Phrase("runs: red", 8, 17, "red"), Phrase("it", 5, 7, "it")]
    found = tiny_localizer(photo, sentence, phrases=phrases)
    assert [(p.text, p.start, p.end, p.head) for p in found.phrases] == [
        ("runs: red", 8, 17, "red"),
        ("it", 5, 7, "it"),
    ]
    assert tiny_localizer(photo, "A man.", phrases=[]).phrases == ()


@pytest.mark.parametrize("phrase", [Phrase("a dog", 0, 5, "dog"), Phrase("A", 0, 5, "A"), Phrase("", 3, 3, "")])
def test_phrases_of_another_sentence_are_refused(tiny_localizer, photo, phrase):
    with pytest.raises(SspeError, match="give spans of this very sentence"):
        tiny_localizer(photo, "A man.", phrases=[phrase])


def test_a_sentence_without_a_noun(tiny_localizer, photo):
    for sentence in ("...", "☂", "It is there.", "is jumping"):
        found = tiny_localizer(photo, sentence)
        assert found.phrases == () and found.sentence == sentence and found.photo.size


@pytest.mark.parametrize("sentence", ["", "  \n\t"])
def test_an_empty_sentence(tiny_localizer, photo, sentence):
    with pytest.raises(SspeError, match="The sentence is empty"):
        tiny_localizer(photo, sentence)
    with pytest.raises(SspeError, match="The sentence is empty"):
        tiny_localizer.ground(tiny_localizer.see(photo), sentence)
    with pytest.raises(SspeError, match="The sentence is empty"):
        tiny_localizer.batch([photo, photo], ["A man.", sentence])


@pytest.mark.parametrize("top_k", [0, -1])
def test_no_candidate_at_all(tiny_localizer, photo, top_k):
    for ask in (tiny_localizer, lambda *a, **k: tiny_localizer.batch([a[0]], a[1], **k)):
        with pytest.raises(SspeError, match=f"top_k is {top_k}"):
            ask(photo, "A man.", top_k=top_k)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 2)])
def test_tiny_and_thin_photos(tiny_localizer, size):
    found = tiny_localizer(Image.new("RGB", size, "teal"), "A man and a dog.", top_k=5)
    assert (found.width, found.height) == size
    for phrase in found.phrases:
        x1, y1, x2, y2 = phrase.box
        assert 0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1] and np.isfinite(phrase.score)
    assert found.draw().size == size


def test_the_same_again(tiny_localizer, checkpoint, photo):
    again = Localizer.from_pretrained(str(checkpoint), device="cpu", precision="float32")
    results = {plain(tiny_localizer(photo, SENTENCE, top_k=5)) for _ in range(3)}
    assert results == {plain(again(photo, SENTENCE, top_k=5))}
    assert again.identity == tiny_localizer.identity


def test_bfloat16_is_near(checkpoint, tiny_localizer, photo):
    rough = Localizer.from_pretrained(checkpoint, device="cpu", precision="bfloat16")
    view, exact = rough.see(photo), tiny_localizer.see(photo)
    a, b = view.regions, exact.regions
    assert (a.boxes == b.boxes).all()
    cosine = (a.embeddings.float() * b.embeddings).sum(dim=1)
    assert cosine.min() > 0.95
    assert not (a.embeddings == b.embeddings).all()  # it was bfloat16
    phrases = ["a man", "a red ball"]
    placed, exactly = rough.model.locate(a, phrases).boxes, tiny_localizer.model.locate(b, phrases).boxes
    assert placed.dtype == np.float32
    assert np.median(np.abs(placed - exactly)) < 0.02 * max(b.width, b.height)


def test_a_long_sentence(tiny_localizer, photo):
    sentence = "A man and a dog. " * 290
    found = tiny_localizer(photo, sentence)
    assert len(found.phrases) == 580
    assert all(sentence[p.start : p.end] == p.text for p in found.phrases)


# Bad photos and checkpoints


def test_bad_photos(tiny_localizer, tmp_path):
    with pytest.raises(PhotoError, match="no file"):
        tiny_localizer(tmp_path / "absent.jpg", "A man.")
    with pytest.raises(PhotoError, match="megapixels"):
        tiny_localizer(Image.new("1", (20_000, 10_000)), "A man.")
    with pytest.raises(PhotoError):
        tiny_localizer("x" * 5000, "A man.")


def test_from_pretrained(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(sspe.checkpoint, "SHIPPED", checkpoint.parent)
    assert Localizer.from_pretrained("tiny", device="cpu").identity == sspe.checkpoint.identity(checkpoint)
    with pytest.raises(CheckpointError, match="tiny"):
        Localizer.from_pretrained("huge")
    monkeypatch.setitem(sspe.checkpoint.DEFAULTS, "localization", "tiny")
    assert Localizer.from_pretrained(device="cpu").identity == sspe.checkpoint.identity(checkpoint)


@pytest.mark.parametrize("device", ["cuda:99", "mps", "meta", "tpu", ""])
def test_a_device_that_is_not_here(checkpoint, device):
    with pytest.raises(SspeError, match="device") as error:
        Localizer.from_pretrained(checkpoint, device=device)
    assert "\n" not in str(error.value) and "choose auto" in str(error.value)


def test_an_unknown_precision(checkpoint):
    with pytest.raises(SspeError, match="no precision 'float8'; choose one of auto, float32, bfloat16"):
        Localizer.from_pretrained(checkpoint, device="cpu", precision="float8")


def test_the_costly_half_names_its_stages(tiny_localizer, photo):
    stages = []
    view = tiny_localizer.see(photo, stages.append)
    assert stages == ["Opening the photo", "Edge Boxes", f"Embedding {len(view.regions.boxes)} regions"]


def test_similarities_are_the_cosines_of_the_proposals(tiny_localizer, photo):
    sentence = "A red ball and the blue box."
    view = tiny_localizer.see(photo)
    found = tiny_localizer.ground(view, sentence, top_k=40)
    phrases = [Phrase(p.text, p.start, p.end, p.head) for p in found.phrases]
    scores = tiny_localizer.similarities(view, sentence, phrases)
    assert scores.shape == (2, len(view.regions.boxes)) and scores.dtype == np.float32
    for phrase, row in zip(found.phrases, scores, strict=True):
        for candidate in phrase.candidates:
            assert np.abs(row - candidate.score).min() < 1e-4
    assert tiny_localizer.similarities(view, sentence, []).shape == (0, len(view.regions.boxes))
    with pytest.raises(SspeError, match="give spans of this very sentence"):
        tiny_localizer.similarities(view, "Another one.", phrases)


def test_the_scores_of_a_similarity_network_are_its_own_and_no_cosines(make_localization_model, photo):
    localizer = Localizer(make_localization_model(kind="similarity", refiner=0), "cpu", "float32")
    sentence = "A red ball and the blue box."
    view = localizer.see(photo)
    found = localizer.ground(view, sentence, top_k=40)
    scores = localizer.similarities(view, sentence, [Phrase(p.text, p.start, p.end, p.head) for p in found.phrases])
    assert (scores > 0).all() and (scores < 1).all()
    for phrase, row in zip(found.phrases, scores, strict=True):
        for candidate in phrase.candidates:
            assert np.abs(row - candidate.score).min() < 1e-6


def test_a_photo_seen_by_another_localizer_is_refused(tiny_localizer, checkpoint, make_localization_model, photo):
    phrases = [Phrase("A man", 0, 5, "man")]
    view = tiny_localizer.see(photo)
    same = Localizer.from_pretrained(checkpoint, device="cpu", precision="float32")
    assert plain(same.ground(view, "A man.")) == plain(tiny_localizer.ground(view, "A man."))
    others = (
        Localizer.from_pretrained(checkpoint, device="cpu", precision="bfloat16"),
        Localizer(make_localization_model(seed=1), "cpu", "float32"),
    )
    for other in others:
        for ask in (lambda: other.ground(view, "A man."), lambda: other.similarities(view, "A man.", phrases)):  # noqa: B023
            with pytest.raises(SspeError, match=r"seen by another localizer .* use its own see\(\)\.$"):
                ask()
    unsaved = others[1].see(photo)
    with pytest.raises(SspeError, match="seen by another localizer"):  # two networks that are no file's
        Localizer(make_localization_model(seed=2), "cpu", "float32").ground(unsaved, "A man.")


def test_the_edge_map_is_the_one_that_edge_boxes_saw(tiny_localizer, photo):
    view = tiny_localizer.see(photo)
    edges = tiny_localizer.edges(view)
    side = tiny_localizer.model.edge_boxes.settings.size
    assert edges.shape == (side, side)
    assert edges.min() >= 0 and 0 < edges.max() <= 1
