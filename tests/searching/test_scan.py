"""The scan finds what a comparison with everything finds, leaves out what is gone, and merges indexes exactly."""

import numpy as np
import pytest

from sspe.indexing.coding import Coding
from sspe.indexing.records import CodedPhoto, PhotoRecord
from sspe.indexing.segments import Segment, write_segment
from sspe.searching.ranking import HUB_WEIGHT, TEMPERATURE, hubness, soft_maximum
from sspe.searching.scan import Scanner, Sought, merged

SIZE, THINGS = 96, 3


@pytest.fixture(scope="module")
def coding():
    nothing = np.zeros((0, 0), np.float32)
    basis = np.eye(SIZE, dtype=np.float32)
    scale = np.full(SIZE, 1 / 127, np.float32)
    return Coding(basis, basis, scale, np.zeros(0, np.float32), nothing, np.zeros(0, np.float32))


@pytest.fixture(scope="module")
def collection(coding, tmp_path_factory):
    """Photos of 3 to 9 regions in two segments, and what they are made of."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("scan")
    photos = []
    for number in range(300):
        regions = 3 + number % 7
        x = rng.normal(size=(regions, SIZE)) * np.linspace(2, 0.1, SIZE)
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        codes, rows = coding.encode(x, None, np.zeros((regions, 4)))
        things = (rng.random((regions, THINGS)) * 255 * (rng.random((regions, THINGS)) < 0.2)).astype(np.uint8)
        record = PhotoRecord(f"{number}.jpg", 0, 0, 0, "", 10, 10, None, 1)
        seen = np.zeros(things.shape[1], np.float16)
        photos.append(CodedPhoto(record, codes, rows, things, float(rng.random() / 10), seen))
    segments = [Segment(folder, write_segment(folder, part)) for part in (photos[:120], photos[120:])]
    return photos, segments


@pytest.fixture
def sought():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(2, SIZE)) * np.linspace(2, 0.1, SIZE)
    named = np.array([[0, 0.7, 0], [0, 0, 0]], np.float32)
    return Sought((y / np.linalg.norm(y, axis=1, keepdims=True)).astype(np.float32), named)


def everything(coding, photos, sought):
    """Score of every photo, (P, N), by definition."""
    found = []
    for photo in photos:
        scores = sought.numbers @ coding.numbers(photo.codes, photo.rows).T + sought.named @ (photo.things.T / 255)
        soft = TEMPERATURE * np.log(np.exp(scores / TEMPERATURE).sum(axis=1))
        found.append(soft - HUB_WEIGHT * photo.hubness if sought.soft else scores.max(axis=1))
    return np.array(found).T


def live(segments):
    return [np.ones(segment.entry.stored, bool) for segment in segments]


def numbers(ranked):
    return [120 * segment + row for _, segment, row in ranked.places]


@pytest.mark.parametrize("phrases", [[0], [1], [0, 1]])
@pytest.mark.parametrize("soft", [True, False])
def test_the_best_photos_are_those_of_a_full_comparison(coding, collection, sought, phrases, soft):
    photos, segments = collection
    sought = Sought(sought.numbers[phrases], sought.named[phrases], soft)
    expected = everything(coding, photos, sought)
    ranked = Scanner(segments, coding, live(segments)).rank(sought, 40)
    order = np.argsort(-expected.mean(axis=0), kind="stable")
    assert numbers(ranked)[:30] == order[:30].tolist()
    assert np.allclose(ranked.scores, expected[:, numbers(ranked)], atol=1e-5)
    assert np.allclose(ranked.order, expected.mean(axis=0)[numbers(ranked)], atol=1e-5)


def test_what_is_gone_is_neither_found_nor_counted(coding, collection, sought):
    _, segments = collection
    whole = Scanner(segments, coding, live(segments)).rank(sought, 20)
    alive = live(segments)
    for _, segment, row in whole.places[:10]:
        alive[segment][row] = False
    left = Scanner(segments, coding, alive).rank(sought, 10)
    assert left.places == whole.places[10:20]
    assert left.sums[0].tolist() == [290, 290]
    none = Scanner(segments, coding, [~alive for alive in live(segments)]).rank(sought, 10)
    assert none.places == [] and none.order.shape == (0,)


def test_indexes_searched_apart_are_merged_exactly(coding, collection, sought):
    _, segments = collection
    whole = Scanner(segments, coding, live(segments)).rank(sought, 50, np.full(2, 0.3))
    parts = [Scanner([segment], coding, live([segment])).rank(sought, 50, np.full(2, 0.3)) for segment in segments]
    both = merged(parts, 50)
    # Below the first forty or so, a photo may be here that the scan of codes had left just outside the fifty there.
    assert [(index, row) for index, _, row in both.places[:40]] == [(s, row) for _, s, row in whole.places[:40]]
    assert np.allclose(both.scores[:, :40], whole.scores[:, :40]) and np.allclose(both.sums, whole.sums)
    assert np.allclose(both.means, whole.means) and np.allclose(both.deviations, whole.deviations)
    assert whole.sums[3].min() > 0


def test_the_scores_of_chosen_photos(coding, collection, sought):
    photos, segments = collection
    scanner = Scanner(segments, coding, live(segments))
    found = scanner.scores([(0, 5), (1, 7)], sought)
    assert np.allclose(found, everything(coding, [photos[5], photos[127]], sought), atol=1e-5)


def test_a_soft_maximum_counts_what_comes_near():
    scores = np.array([[0.5, 0.5, 0.5, 0.1, 0.5]], np.float32)
    three, one, two = soft_maximum(scores, np.array([0, 2, 3, 5]))[0][[0, 1, 2]]
    assert three == pytest.approx(0.5 + TEMPERATURE * np.log(2)) and one == pytest.approx(0.5) and 0.5 < two < three


def test_hubness_is_the_mean_over_the_nearest_phrases():
    x = np.eye(4, dtype=np.float32)[:1]
    phrases = np.zeros((20, 5), np.float32)
    phrases[:3, 0] = (0.9, 0.5, 0.1)
    phrases[0, 4] = 0.2
    assert hubness(x, np.ones((1, 1), np.float32), phrases) == pytest.approx((1.1 + 0.5) / 2)
    assert hubness(x, np.ones((1, 1), np.float32), phrases[:0]) == 0
