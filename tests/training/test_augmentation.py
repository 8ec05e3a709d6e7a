"""A training photo changed at random: mirrored, recoloured, cut to a window; its boxes follow."""

from pathlib import Path

import numpy as np
import pytest
import torch
from annotated import MAN, Store, annotated, dataset, plainly

from sspe.data.caches import StoredPhoto
from sspe.training.localization_batches import Example, RegionPhraseDataset
from sspe.training.localization_data import training_photos
from sspe.vision.boxes import area, flip

SIDE = 32
PAPER = annotated(  # 100 x 50 pixels; a note in a corner, a drawing, and a stain at the border
    "1",
    (
        "a note , a drawing and a stain",
        {"a note": [[0, 0, 25, 14]], "a drawing": [[30, 12, 75, 40]], "a stain": [[70, 20, 100, 34]]},
    ),
)
CORNER = annotated("1", ("a note", {"a note": [[0, 0, 8, 4]]}))


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


# A window of the photo


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
