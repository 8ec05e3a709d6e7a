"""COCO files, by what is in them and through pycocotools, the readers that most programs build on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import sspe
from sspe.results import Candidate, Localization, LocalizedPhrase, to_coco
from sspe.searching import results as search_results
from sspe.searching.results import FoundPhrase, Hit

SENTENCE = "A dog beside a man, and a  dog."


def phrase(text: str, start: int, box: tuple, confidence=None, present=None, **more) -> LocalizedPhrase:
    candidates = (Candidate(box, 0.25),)
    return LocalizedPhrase(
        text, start, start + len(text), text.split()[-1], box, 0.25, candidates, confidence, present, **more
    )


@pytest.fixture
def found() -> Localization:
    """Two dogs, one of them at the beginning of the sentence, and a man."""
    phrases = (
        phrase("A dog", 0, (10.0, 20.0, 60.0, 90.0), np.float32(0.5), 0.9),
        phrase("a man", 13, (100.004, 40.0, 150.0, 80.5), 0.123456, 0.33333333),
        phrase("a  dog", 24, (-0.0, 0.0, 200.0, 100.0), 0.5, 0.0),
    )
    return Localization(SENTENCE, 200, 100, phrases, np.full((100, 200, 3), 128, np.uint8))


def opened(coco: dict, tmp_path) -> COCO:
    """The file as pycocotools opens it."""
    (tmp_path / "coco.json").write_text(json.dumps(coco), encoding="utf-8")
    return COCO(str(tmp_path / "coco.json"))


def test_a_file_has_all_that_the_format_asks_for(found):
    coco = found.to_coco("dog.jpg")
    assert list(coco) == ["info", "licenses", "images", "annotations", "categories"]
    assert coco["info"]["version"] == sspe.__version__ and coco["licenses"] == []
    assert coco["images"] == [{"id": 1, "file_name": "dog.jpg", "width": 200, "height": 100, "sentence": SENTENCE}]
    assert coco["categories"] == [
        {"id": 1, "name": "a dog", "supercategory": "dog"}, {"id": 2, "name": "a man", "supercategory": "man"}
    ]  # fmt: skip
    assert coco["annotations"][1] == {
        "id": 2, "image_id": 1, "category_id": 2, "bbox": [100.0, 40.0, 50.0, 40.5], "area": 2025.0,
        "segmentation": [], "iscrowd": 0, "score": 0.0412, "similarity": 0.25, "present": 0.3333,
        "box_confidence": 0.1235, "phrase": 1, "start": 13, "end": 18, "negated": False, "known": True,
    }  # fmt: skip
    assert [a["category_id"] for a in coco["annotations"]] == [1, 2, 1]
    assert [a["score"] for a in coco["annotations"]] == [0.45, 0.0412, 0.0]
    assert json.loads(json.dumps(coco)) == coco == found.to_coco("dog.jpg")


def test_several_things_have_an_annotation_each(found):
    boxes = ((10.0, 20.0, 60.0, 90.0), (110.0, 20.5, 160.0, 90.0))
    dogs, man, _ = found.phrases
    several = replace(found, phrases=(replace(dogs, boxes=boxes), replace(man, chosen_by="on the left", negated=True)))
    annotations = several.to_coco("a.png")["annotations"]
    assert [a["phrase"] for a in annotations] == [0, 0, 1] and [a["id"] for a in annotations] == [1, 2, 3]
    assert [a["bbox"] for a in annotations[:2]] == [[10, 20, 50, 70], [110, 20.5, 50, 69.5]]
    assert annotations[2]["chosen_by"] == "on the left" and "chosen_by" not in annotations[0]
    assert [a["negated"] for a in annotations] == [False, False, True]


def test_what_is_not_known_is_left_out(found):
    dog, *_ = found.phrases
    uncalibrated = replace(dog, confidence=None, present=None)
    annotations = replace(found, phrases=(uncalibrated, replace(uncalibrated, known=False))).to_coco()["annotations"]
    assert [a["known"] for a in annotations] == [True, False]
    assert not {"score", "box_confidence", "present"} & {key for annotation in annotations for key in annotation}


def test_files_of_several_photos_count_on(found):
    coco = to_coco([found, found], ["a.jpg", "b.jpg"])
    assert [image["id"] for image in coco["images"]] == [1, 2]
    assert [a["id"] for a in coco["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert [a["image_id"] for a in coco["annotations"]] == [1, 1, 1, 2, 2, 2] and len(coco["categories"]) == 2
    with pytest.raises(ValueError, match="2 localizations need as many file names, and 1"):
        to_coco([found, found], ["a.jpg"])
    assert replace(found, phrases=()).to_coco()["annotations"] == []


def test_pycocotools_reads_shows_and_measures(found, tmp_path, capsys):
    coco = opened(found.to_coco("dog.jpg"), tmp_path)
    coco.info()
    assert f"version: {sspe.__version__}" in capsys.readouterr().out
    assert coco.getCatIds(catNms=["a dog"]) == coco.getCatIds(supNms=["dog"]) == [1]
    assert coco.getImgIds(catIds=[2]) == [1] and coco.getAnnIds(areaRng=[0, 3000]) == coco.getAnnIds(catIds=[2])
    answers = coco.loadRes(found.to_coco("dog.jpg")["annotations"])
    assert [a["score"] for a in answers.loadAnns(answers.getAnnIds())] == [0.45, 0.0412, 0.0]
    measured = COCOeval(coco, answers, "bbox")
    measured.evaluate()
    measured.accumulate()
    measured.summarize()
    assert measured.stats[0] == pytest.approx(1)  # every box is there, and found
    figure = Figure()
    FigureCanvasAgg(figure)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.pyplot.gca", figure.gca)
        coco.showAnns(coco.loadAnns(coco.getAnnIds()), draw_bbox=True)
    (drawn,) = (c for c in figure.gca().collections if len(c.get_paths()) == 3 and c.get_facecolor().size == 0)
    assert drawn.get_paths()[0].get_extents().bounds == (10, 20, 50, 70)


def test_hits_of_a_search(tmp_path):
    phrases = (
        FoundPhrase("A red hat", (1.0, 2.0, 11.0, 22.0), 0.25, 0.7),
        FoundPhrase("a dog", (0, 0, 5, 5), 0.5, None),
    )
    hit = Hit("b/a.jpg", tmp_path / "a.jpg", 40, 30, None, 0.1, 0.7, phrases)
    coco = search_results.to_coco([hit])
    assert coco["categories"][0] == {"id": 1, "name": "a red hat", "supercategory": "hat"}
    assert [a.get("score") for a in coco["annotations"]] == [0.7, None]
    assert [a["similarity"] for a in coco["annotations"]] == [0.25, 0.5]
    assert opened(coco, tmp_path).loadImgs(1)[0]["file_name"] == "b/a.jpg"
