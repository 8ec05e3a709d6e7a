"""Retriever: photos and sentences in, ranked lists out; with regions beside; what it refuses."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import sspe
import sspe.checkpoint
import sspe.evaluate
from sspe.checkpoint import load_checkpoint, save_checkpoint
from sspe.errors import CheckpointError, PhotoError, SspeError
from sspe.localizer import Localizer
from sspe.models.calibration import EVIDENCE, Calibration
from sspe.models.retrieval import Bank
from sspe.phrases.chunker import extract_phrases
from sspe.retriever import REGION_WEIGHT, REGIONS, Retriever

SENTENCES = [
    "A man and a large red ball.",
    "It rains.",
    "Two dogs, a car and the blue box.",
    "A woman in a striped hat.",
]


@pytest.fixture(scope="module")
def matcher_file(make_retrieval_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "sspe-retrieval.safetensors"
    save_checkpoint(make_retrieval_model(), path, {"recipe": "none", "data": "random weights"})
    return path


@pytest.fixture(scope="module")
def retriever(matcher_file):
    return Retriever.from_pretrained(matcher_file, "cpu", "float32")


@pytest.fixture(scope="module")
def calibrated(make_localization_model, tmp_path_factory):
    """The file of a model for localization with a bank of 50 made regions."""
    model = make_localization_model()
    bank = torch.nn.functional.normalize(torch.randn(50, 24, generator=torch.Generator().manual_seed(3)), dim=1)
    model.calibration = Calibration(bank, *torch.zeros(2, len(EVIDENCE) + 1))
    path = tmp_path_factory.mktemp("calibrated") / "sspe-lite0.safetensors"
    save_checkpoint(model, path, {"recipe": "none", "data": "random weights"})
    return path


@pytest.fixture(scope="module")
def with_regions(matcher_file, calibrated):
    return Retriever.from_pretrained(matcher_file, "cpu", "float32", regions=calibrated)


def test_vectors_and_scores(retriever, photos):
    seen, read = retriever.embed_photos(photos[:5]), retriever.embed_sentences(SENTENCES)
    assert (len(seen), len(read)) == (5, 4) and seen.regions is None and read.phrases is None
    for vectors in (seen.embeddings, read.embeddings):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))
    scores = retriever.scores(seen, read)
    assert scores.shape == (5, 4) and scores.dtype == np.float32
    np.testing.assert_allclose(scores, (seen.embeddings @ read.embeddings.T).numpy(), atol=1e-6)


def test_ranked_photos(retriever, photos):
    seen = retriever.embed_photos(photos[:6])
    scores = retriever.scores(seen, retriever.embed_sentences(SENTENCES[:1]))[:, 0]
    found = retriever.search_photos(SENTENCES[0], seen, top_k=4)
    assert found.sentence == SENTENCES[0] and len(found.photos) == 4
    assert [p.index for p in found.photos] == np.argsort(-scores)[:4].tolist()
    for photo in found.photos:
        assert photo.photo == str(photos[photo.index]) and photo.score == scores[photo.index]
    assert retriever.search_photos(SENTENCES[0], photos[:6], top_k=4) == found  # files as well as what was made of them
    assert len(retriever.search_photos(SENTENCES[0], seen, top_k=99).photos) == 6
    told = json.loads(json.dumps(found.to_dict()))
    assert told["sentence"] == SENTENCES[0]
    first = found.photos[0]
    assert told["photos"][0] == {"photo": first.photo, "index": first.index, "score": round(first.score, 4)}


def test_ranked_sentences(retriever, photos):
    found = retriever.describe(photos[2], SENTENCES, top_k=3)
    scores = retriever.scores(retriever.embed_photos([photos[2]]), retriever.embed_sentences(SENTENCES))[0]
    assert found.photo == str(photos[2])
    assert [s.index for s in found.sentences] == np.argsort(-scores)[:3].tolist()
    assert all(s.sentence == SENTENCES[s.index] and s.score == scores[s.index] for s in found.sentences)
    assert retriever.describe(photos[2], retriever.embed_sentences(SENTENCES), top_k=3) == found
    told = json.loads(json.dumps(found.to_dict()))
    assert [s["sentence"] for s in told["sentences"]] == [s.sentence for s in found.sentences]


def test_pictures_without_a_file(retriever, photos):
    image = Image.open(photos[0])
    found = retriever.search_photos("A red ball.", [image, np.asarray(image.convert("RGB"))])
    assert [p.photo for p in found.photos] == [None, None] and [p.index for p in found.photos] == [0, 1]
    assert found.photos[0].score == pytest.approx(found.photos[1].score, abs=1e-6)
    assert found.to_dict()["photos"][0]["photo"] is None


def test_equal_photos_rank_in_their_order(retriever, photos):
    found = retriever.search_photos("A red ball.", [photos[1]] * 8, top_k=5)
    assert [p.index for p in found.photos] == [0, 1, 2, 3, 4]


def test_photos_are_asked_for_a_few_at_a_time(retriever, photos):
    asked = []

    def source():
        for path in (photos * 3)[:40]:
            asked.append(path)
            yield path

    seen = []
    embed = retriever.model.photos.encode
    retriever.model.photos.encode = lambda part: (seen.append((len(part), len(asked))), embed(part))[1]
    try:
        assert len(retriever.embed_photos(source())) == 40
    finally:
        del retriever.model.photos.encode
    assert [count for count, _ in seen] == [8] * 5
    assert seen[0][1] <= 17 and seen[1][1] <= 25


def test_nothing_to_embed(retriever, with_regions):
    for one in (retriever, with_regions):
        seen, read = one.embed_photos([]), one.embed_sentences([])
        assert one.scores(seen, read).shape == (0, 0)
        assert one.scores(seen, one.embed_sentences(SENTENCES)).shape == (0, 4)


# Local scaling


def test_a_bank_takes_from_the_cosines_what_is_usual_for_either_side(make_retrieval_model, photos, tmp_path):
    """Against a literal statement; and through a checkpoint."""
    model = make_retrieval_model()
    plain = Retriever(model, "cpu", "float32")
    strangers, said = photos[6:18], [f"A {colour} ball {place}." for colour in ("red", "blue") for place in
        ("on a box", "in a car", "under a hat", "by a dog", "near a man", "behind a woman")]  # fmt: skip
    bank = Bank(plain.embed_photos(strangers).embeddings, plain.embed_sentences(said).embeddings)
    cosines = plain.scores(plain.embed_photos(photos[:4]), plain.embed_sentences(SENTENCES))
    with_strangers = plain.scores(plain.embed_photos(photos[:4]), plain.embed_sentences(said))
    of_strangers = plain.scores(plain.embed_photos(strangers), plain.embed_sentences(SENTENCES))
    model.bank = bank
    save_checkpoint(model, tmp_path / "scaled.safetensors", {})
    for scaled in (plain, Retriever.from_pretrained(tmp_path / "scaled.safetensors", "cpu", "float32")):
        seen, read = scaled.embed_photos(photos[:4]), scaled.embed_sentences(SENTENCES)
        found = scaled.scores(seen, read)
        for i in range(4):
            for j in range(len(SENTENCES)):
                of_photo = np.mean(sorted(with_strangers[i])[-10:])
                of_sentence = np.mean(sorted(of_strangers[:, j])[-10:])
                assert found[i, j] == pytest.approx(cosines[i, j] - (of_photo + of_sentence) / 2, abs=3e-3)
        np.testing.assert_allclose(scaled.cosines(seen, read), cosines, atol=3e-3)


def test_a_bank_smaller_than_the_neighbourhood_and_an_empty_one(make_retrieval_model, photos):
    model = make_retrieval_model()
    one = Retriever(model, "cpu", "float32")
    model.bank = Bank(one.embed_photos(photos[8:9]).embeddings, one.embed_sentences(["A dog."]).embeddings)
    assert np.isfinite(one.scores(one.embed_photos(photos[:2]), one.embed_sentences(SENTENCES))).all()
    with pytest.raises(ValueError, match=r"sentences have the shape \(0, 24\)"):
        Bank(model.bank.photos, torch.zeros(0, 24))


# With regions


def test_regions_add_how_far_the_phrases_best_cosines_exceed_the_usual(with_regions, retriever, photos):
    """Against a literal statement, phrase by phrase and photo by photo."""
    seen, read = with_regions.embed_photos(photos[:3]), with_regions.embed_sentences(SENTENCES)
    assert all(r.dtype == torch.float16 and 0 < len(r) <= REGIONS for r in seen.regions)
    plain = retriever.scores(retriever.embed_photos(photos[:3]), retriever.embed_sentences(SENTENCES))
    scores = with_regions.scores(seen, read)
    model = with_regions.localizer.model
    bank = model.calibration.bank
    for i, path in enumerate(photos[:3]):
        view = with_regions.localizer.see(path)
        regions = view.regions.embeddings[:REGIONS]
        for j, sentence in enumerate(SENTENCES):
            surplus = []
            for phrase in extract_phrases(sentence, pronouns=False):
                context = sspe.text.context.Context.of(sentence, phrase.start, phrase.end)
                y = model.embed_phrases([phrase.text], [context])
                usual = sorted((y @ bank.T)[0].tolist())[48]  # of 50: 99.5 % from the lowest, rounded down
                surplus.append(float((y @ regions.T).max()) - usual)
            expected = plain[i, j] + REGION_WEIGHT * (sum(surplus) / len(surplus) ** 0.5 if surplus else 0)
            assert scores[i, j] == pytest.approx(expected, abs=2e-3)
    assert extract_phrases(SENTENCES[1], pronouns=False) == []
    np.testing.assert_allclose(scores[:, 1], plain[:, 1], atol=1e-6)
    np.testing.assert_allclose(with_regions.whole_scores(seen, read), plain, atol=1e-6)


def test_the_weight_of_regions(matcher_file, calibrated, photos, retriever):
    weightless = Retriever.from_pretrained(matcher_file, "cpu", "float32", regions=calibrated, region_weight=0.0)
    scores = [
        one.scores(one.embed_photos(photos[:2]), one.embed_sentences(SENTENCES)) for one in (weightless, retriever)
    ]
    np.testing.assert_allclose(*scores, atol=1e-6)


def test_the_help_names_the_default_weight(capsys):
    with pytest.raises(SystemExit):
        sspe.evaluate.main(["retrieval", "--help"])
    assert f"what the regions weigh (default: {REGION_WEIGHT})" in " ".join(capsys.readouterr().out.split())


def test_no_sentence_has_a_noun_phrase(with_regions, photos):
    assert with_regions.search_photos("It rains.", photos[:2]).photos
    assert with_regions.describe(photos[0], ["It rains.", "Why?"]).sentences


def test_regions_of_the_shipped_checkpoint(matcher_file, calibrated, monkeypatch):
    monkeypatch.setattr(sspe.checkpoint, "SHIPPED", calibrated.parent)
    made = Retriever.from_pretrained(matcher_file, "cpu", regions=True)
    assert made.localizer.identity == sspe.checkpoint.identity(calibrated)
    with pytest.raises(CheckpointError, match="is a checkpoint for retrieval, and one for localization is needed"):
        Retriever.from_pretrained(matcher_file, "cpu", regions=matcher_file)


def test_a_checkpoint_without_a_bank_has_no_say(matcher_file, checkpoint):
    with pytest.raises(CheckpointError, match=r"has no bank of regions.*or leave regions out"):
        Retriever.from_pretrained(matcher_file, "cpu", regions=checkpoint)


# Checkpoints


def test_through_a_checkpoint_nothing_changes(make_retrieval_model, matcher_file, photos):
    made = Retriever(make_retrieval_model(), "cpu", "float32")
    loaded = Retriever.from_pretrained(str(matcher_file), "cpu", "float32")
    assert loaded.identity == sspe.checkpoint.identity(matcher_file) and made.identity == "unsaved"
    scores = [one.scores(one.embed_photos(photos[:4]), one.embed_sentences(SENTENCES)) for one in (made, loaded)]
    np.testing.assert_allclose(*scores, atol=2e-3)  # float16 on disk
    model, about = load_checkpoint(matcher_file, "retrieval")
    assert about["recipe"] == "none" and model.settings == make_retrieval_model().settings


def test_a_checkpoint_of_the_other_task(matcher_file, checkpoint):
    with pytest.raises(CheckpointError) as error:
        Retriever.from_pretrained(checkpoint)
    assert "is a checkpoint for localization, and one for retrieval is needed" in str(error.value)
    assert "Localizer and `sspe localize`" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(CheckpointError, match=r"for retrieval.*Retriever and `sspe evaluate retrieval`"):
        Localizer.from_pretrained(matcher_file)


def test_the_default_checkpoint(matcher_file, monkeypatch, tmp_path):
    monkeypatch.setattr(sspe.checkpoint, "SHIPPED", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as error:
        sspe.Retriever.from_pretrained()
    assert "train one with `sspe train --task retrieval`" in str(error.value) and "--checkpoint" in str(error.value)
    assert "\n" not in str(error.value)
    monkeypatch.setattr(sspe.checkpoint, "SHIPPED", matcher_file.parent)
    assert sspe.Retriever.from_pretrained(device="cpu").identity == sspe.checkpoint.identity(matcher_file)


# Bad input


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda r, photos: r.search_photos(" ", photos[:1]), "Sentence 1 of 1 is empty"),
        (lambda r, photos: r.search_photos("A dog.", []), "no photo to search"),
        (lambda r, photos: r.search_photos("A dog.", photos[0]), "single one was given; put it into a list"),
        (
            lambda r, photos: r.search_photos("A dog.", Image.open(photos[0])),
            "single one was given; put it into a list",
        ),
        (
            lambda r, photos: r.search_photos("A dog.", photos[0].read_bytes()),
            "single one was given; put it into a list",
        ),
        (lambda r, photos: r.search_photos("A dog.", photos[:1], top_k=0), "top_k is 0"),
        (lambda r, photos: r.describe(photos[0], []), "no sentence to choose from"),
        (lambda r, photos: r.describe(photos[0], "A dog."), "A list of sentences is taken"),
        (lambda r, photos: r.describe(photos[0], ["A dog.", ""]), "Sentence 2 of 2 is empty"),
        (lambda r, photos: r.describe(photos[0], ["A dog."], top_k=-1), "top_k is -1"),
    ],
)
def test_what_cannot_be_ranked_is_one_sentence(retriever, photos, call, told):
    with pytest.raises(SspeError) as error:
        call(retriever, photos)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_photo_that_cannot_be_opened_costs_the_others_nothing(retriever, with_regions, photos, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    given = [tmp_path / "bad.jpg", photos[0], None, photos[1]]
    for one in (retriever, with_regions):
        seen, plain = one.embed_photos(iter(given)), one.embed_photos(photos[:2])
        assert (seen.files, seen.places) == ((str(photos[0]), str(photos[1])), (1, 3))
        assert list(seen.errors) == [0, 2] and "bad.jpg" in str(seen.errors[0]) and "None" in str(seen.errors[2])
        read = one.embed_sentences(SENTENCES)
        np.testing.assert_allclose(one.scores(seen, read), one.scores(plain, read), atol=1e-5)
        found = one.search_photos("A dog.", given)
        assert sorted((photo.index, photo.photo) for photo in found.photos) == [
            (1, str(photos[0])),
            (3, str(photos[1])),
        ]
        told = json.loads(json.dumps(found.to_dict()))["errors"]
        assert [error["index"] for error in told] == [0, 2] and "bad.jpg" in told[0]["error"]
    for ask in (lambda: retriever.search_photos("A dog.", given[:1]), lambda: retriever.describe(given[0], SENTENCES)):
        with pytest.raises(PhotoError, match=r"bad\.jpg"):
            ask()
