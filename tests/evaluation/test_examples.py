"""Which results are drawn, and that a person sees both boxes."""

import numpy as np
import pytest
from PIL import Image

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.evaluation.answers import Judged
from sspe.evaluation.examples import draw_results, typical, worst

GREEN, RED = (0, 200, 83), (255, 23, 68)


def test_the_worst_are_farthest_off_then_surest_one_a_photo(result):
    def sure(iou, confidence, photo, **more):
        return result([iou], photo=photo, judged=Judged(np.zeros(1), confidence, 0.5), **more)

    results = [
        sure(0.9, 0.9, "1"),
        sure(0.02, 0.3, "2"),
        sure(0.0, 0.8, "3", text="surest"),  # .02 and 0 are equally far off
        sure(0.0, 0.7, "3"),
        sure(0.4, 0.99, "4"),
    ]
    assert [(r.photo, r.text) for r in worst(results, 9)] == [("3", "surest"), ("2", "it"), ("4", "it"), ("1", "it")]
    assert [r.photo for r in worst(results, 2)] == ["3", "2"]


def test_without_probabilities_the_score_says_how_sure(result):
    results = [result([0.0], photo=photo, scores=[score]) for photo, score in (("1", 0.2), ("2", 0.9), ("3", 0.5))]
    assert [r.photo for r in worst(results, 3)] == ["2", "3", "1"]


def test_typical_ones_are_drawn_by_the_seed(result):
    results = [result([0.5], photo=str(n % 20), start=n) for n in range(60)]
    drawn = typical(results, 8)
    assert len({r.photo for r in drawn}) == len(drawn) == 8 and typical(results, 8) == drawn
    assert [r.start for r in typical(results, 8, seed=1)] != [r.start for r in drawn]
    assert len(typical(results, 100)) == 20
    assert any(r.start >= 20 for r in drawn)  # not always a photo's first phrase


@pytest.fixture
def photo(tmp_path):
    """A grey photo of 400 x 300 pixels with a phrase."""
    Image.new("RGB", (400, 300), (128, 128, 128)).save(tmp_path / "a.png")
    text = "A man, in a / red hat, " + "walks along a very long street and " * 6
    phrase = AnnotatedPhrase("A man, in a / red hat", 0, 21, [[0, 0, 9, 9]], ("people",))
    return lambda id="7": AnnotatedPhoto(id, tmp_path / "a.png", 400, 300, (AnnotatedSentence(text, (phrase,), 3),))


def placed(result, photo="7", **more):
    boxes = {"right": np.array([20, 30, 120, 130], np.float32), "answer": np.array([200, 50, 350, 250], np.float32)}
    return result([0.1], photo=photo, sentence=3, text="A man, in a / red hat", types=("people",), **boxes, **more)


@pytest.mark.parametrize("judged", [Judged(), Judged(np.zeros(1), 0.25, 0.75)])
def test_a_picture_shows_the_right_box_green_and_the_answer_red(tmp_path, result, photo, judged):
    draw_results([placed(result, judged=judged)] * 2, [photo()], tmp_path / "new" / "pictures")
    names = sorted(path.name for path in (tmp_path / "new" / "pictures").iterdir())
    assert names == ["01_7_A-man-in-a-red-hat.png", "02_7_A-man-in-a-red-hat.png"]
    with Image.open(tmp_path / "new" / "pictures" / names[0]) as picture:
        assert picture.format == "PNG" and picture.width == 400 and picture.height > 300 + 3 * 18
        pixels = np.asarray(picture.convert("RGB"))
    for (x1, y1, x2, y2), color in (((20, 30, 120, 130), GREEN), ((200, 50, 350, 250), RED)):
        for y, x in (((y1 + y2) // 2, x1 + 1), ((y1 + y2) // 2, x2 - 1), (y1 + 1, x1 + 9), (y2 - 1, x1 + 9)):
            assert tuple(pixels[y, x]) == color
        assert tuple(pixels[(y1 + y2) // 2, (x1 + x2) // 2]) == (128, 128, 128)
    below = pixels[300:]
    assert (below.max(axis=(1, 2)) == 255).all() and (below.min(axis=2) < 100).sum() > 500  # black on white
    assert (below[:, -4:] == 255).all()  # the long sentence is wrapped


def test_a_photo_named_by_its_path_is_drawn_into_the_folder(tmp_path, result, photo):
    id = "photos/../../7.jpg"
    draw_results([placed(result, photo=id)], [photo(id)], tmp_path / "deep" / "pictures")
    assert len(list((tmp_path / "deep" / "pictures").glob("*.png"))) == 1
