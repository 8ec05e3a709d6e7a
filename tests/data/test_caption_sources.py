"""The corners of each published format of sentences, and files that are none."""

import json

import numpy as np
import pytest
from caption_files import (
    SPLITS,
    captions_file,
    coco,
    draw,
    entities,
    flickr8k,
    image,
    karpathy,
    sentences_of,
    write_json,
)

from sspe.data.captions import open_captions
from sspe.errors import DataError


def test_unrelated_sentences_are_kept_to_measure_and_left_out_to_train(tmp_path):
    root = entities(tmp_path / "data", {"val": ["7", "8"]})
    (root / "UNRELATED_CAPTIONS").write_text("# format: <imageID> <sentence number>\n7 2\n")
    assert len(open_captions(root).sentences) == 10
    captions = open_captions(root, unrelated=False)
    assert (
        captions[0].sentences == tuple(sentences_of("7")[:1] + sentences_of("7")[2:])
        and len(captions[1].sentences) == 5
    )
    np.testing.assert_array_equal(captions.owners, [0] * 4 + [1] * 5)
    (root / "UNRELATED_CAPTIONS").write_text("".join(f"7 {number}\n" for number in range(1, 6)))
    with pytest.raises(DataError, match="only unrelated sentences for the photo 7"):
        open_captions(root, unrelated=False)
    assert [photo.id for photo in open_captions(root, unrelated=False, incomplete="skip")] == ["8"]


def test_entities_with_the_lists_of_flickr8k(tmp_path):
    root = entities(tmp_path / "data", {"val": ["7", "8"]})
    (root / "Flickr_8k.testImages.txt").write_text("8_693b08cb0e.jpg\n7_0123456789.jpg\n")
    assert [photo.id for photo in open_captions(root, "test")] == ["8", "7"]
    (root / "Flickr_8k.devImages.txt").write_text("8_693b08cb0e.jpg\n")
    assert [photo.id for photo in open_captions(root, "val")] == ["7", "8"]  # val.txt is the list of val
    found = open_captions(root, ids_file=root / "Flickr_8k.devImages.txt")
    assert [photo.id for photo in found] == ["8"] and found.sentences == sentences_of("8")
    (root / "Flickr_8k.devImages.txt").write_text("9_693b08cb0e.jpg\n")
    with pytest.raises(DataError, match="no sentences for the photo 9_693b08cb0e"):
        open_captions(root, ids_file=root / "Flickr_8k.devImages.txt")


def test_synthetic(tmp_path, scenes, monkeypatch):
    monkeypatch.setattr("sspe.data.synthetic.scenes.synthetic_root", lambda: scenes)
    captions = open_captions("synthetic", "train")
    assert len(captions) == 24 and len(captions.sentences) == 120
    assert not any("[" in sentence or "EN#" in sentence for sentence in captions.sentences)


def test_broken_brackets_are_named(tmp_path):
    root = entities(tmp_path / "data", {"val": ["7"]})
    (root / "Sentences" / "7.txt").write_text("Fine .\n[A cook] stirs .\n")
    with pytest.raises(DataError, match=r"7\.txt, line 2 has the bracket"):
        open_captions(root, incomplete="skip")


def test_flickr8k_from_its_file_and_from_one_folder(tmp_path):
    root = flickr8k(tmp_path / "data", {"val": ["7", "8"], "test": ["9"]})
    text = root / "Flickr8k_text"
    for data in (text, text / "Flickr8k.token.txt"):
        assert [photo.id for photo in open_captions(data, "test")] == ["9"]
    for file in text.iterdir():
        file.rename(root / file.name)
    assert [photo.id for photo in open_captions(root)] == ["7", "8"]
    with pytest.raises(DataError, match=r"no split 'train'; the splits there are test, val\."):
        open_captions(root, "train")


def test_flickr8k_sentences_come_by_number(tmp_path):
    root = flickr8k(tmp_path / "data", {"val": ["7"]})
    file = captions_file(root)
    file.write_text("\n".join(reversed(file.read_text(encoding="utf-8").splitlines())), encoding="utf-8")
    assert open_captions(root)[0].sentences == tuple(sentences_of("7"))
    file.write_text("".join(f"7.jpg#{i}\tNumber #{i} runs ahead of #3 .\n" for i in range(5)))
    assert open_captions(root)[0].sentences[4] == "Number #4 runs ahead of #3 ."
    file.write_text(file.read_text(encoding="utf-8") + "\n\n7.jpg\tA child .\n")
    with pytest.raises(DataError, match=r"token\.txt, line 8 is '7\.jpg\\tA child \.'"):
        open_captions(root)


def test_karpathys_coco(tmp_path):
    root = tmp_path / "data"
    images = [
        image("COCO_val2014_000000000001", "val", filepath="val2014", cocoid=1),
        image("COCO_val2014_000000000002", "restval", first=10, filepath="val2014", cocoid=2),
        image("COCO_train2014_000000000003", "train", first=20, filepath="train2014", cocoid=3),
    ]
    write_json(root / "dataset_coco.json", {"images": images, "dataset": "coco"})
    draw(root / "train2014", "COCO_train2014_000000000003.jpg")
    draw(root / "val2014", "COCO_val2014_000000000001.jpg", "COCO_val2014_000000000002.jpg")
    (photo,) = open_captions(root / "dataset_coco.json")
    assert photo.id == "COCO_val2014_000000000001" and photo.path == root / "val2014" / f"{photo.id}.jpg"
    assert [photo.id[-1] for photo in open_captions(root, "train+restval")] == ["3", "2"]
    with pytest.raises(DataError, match=r"no split 'test'; the splits there are restval, train, val\."):
        open_captions(root, "test")


def test_coco_of_two_years(tmp_path):
    root = coco(tmp_path / "data", {"train": ["1"], "val": ["2"]})
    assert [photo.id for photo in open_captions(root, "val2014")] == ["2"]
    coco(root, {"val": ["000000000003"]}, year="2017")
    assert [photo.id for photo in open_captions(root, "val2017")] == ["000000000003"]
    assert [photo.id for photo in open_captions(root, "train")] == ["1"]
    file = root / "annotations" / "captions_val2017.json"
    assert [photo.id for photo in open_captions(file, "whatever")] == ["000000000003"]
    for split, count in (("val", "2"), ("test", "no")):
        with pytest.raises(DataError, match=f"has {count} files for the split '{split}'.* are train2014, val2014, val"):
            open_captions(root, split)


def test_several_files_of_karpathys_in_one_folder(tmp_path):
    root = karpathy(karpathy(tmp_path / "data", SPLITS), SPLITS, name="flickr30k")
    with pytest.raises(DataError, match=r"holds dataset_flickr30k\.json, dataset_flickr8k\.json; give one"):
        open_captions(root)
    assert len(open_captions(root / "dataset_flickr30k.json")) == 3


# JSON of the wrong kind

GOOD = {"image_id": 1, "id": 2, "caption": "A ."}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        ([1, 2], r"another kind of JSON \(found \[1, 2\]\)"),
        ({}, r"\(found the keys \[\]\)"),
        ({"info": {}, "images": [{"id": 1, "file_name": "a.jpg"}]}, r'\(found the keys \["info", "images"\]\)'),
        ({"images": []}, "another kind of JSON"),
        ({"images": {"a": 1}, "annotations": []}, "another kind of JSON"),
        ({"images": [1], "annotations": []}, r"images\[0\] has 1, expected a number"),
        ({"images": [{"id": 1}], "annotations": []}, r"images\[0\] has null as 'file_name', expected a text"),
        (
            # instances_val2014.json
            {"images": [], "annotations": [{"image_id": 1, "id": 2, "bbox": [1, 2, 3, 4]}]},
            r"annotations\[0\] has null as 'caption'",
        ),
        (
            {"images": [], "annotations": [{**GOOD, "id": [1]}]},
            r"annotations\[0\] has \[1\] as 'id', expected a number",
        ),
        ({"images": [], "annotations": []}, "list of ids is empty"),
        ({"images": [{**image("7", "val"), "split": None}]}, r"images\[0\] has null as 'split', expected a text"),
        ({"images": [{**image("7", "val"), "filename": 7}]}, r"images\[0\] has 7 as 'filename', expected a text"),
        ({"images": [{**image("7", "val"), "sentences": "A ."}]}, "as 'sentences', expected a list"),
        ({"images": [{**image("7", "val"), "sentences": ["A ."]}]}, r'sentences\[0\] has "A \.", expected a text'),
        ({"images": [{**image("7", "val"), "sentences": [{"raw": "A .", "sentid": {}}]}]}, r"has \{\} as 'sentid'"),
    ],
)
@pytest.mark.parametrize("incomplete", ["refuse", "skip"])
def test_json_of_the_wrong_kind(tmp_path, content, told, incomplete):
    file = tmp_path / "captions.json"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=told) as error:
        open_captions(file, incomplete=incomplete)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="No data at"):
        open_captions(tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"neither Sentences/ nor any of Flickr8k\.token\.txt, results_.*results\.csv; give"
    ):
        open_captions(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt begins with 'hello', expected the columns"):
        open_captions(tmp_path / "notes.txt")
    (tmp_path / "notes.txt").rename(tmp_path / "notes.doc")
    with pytest.raises(DataError, match=r"no file of captions by its name; give a \.token, \.json or \.csv file"):
        open_captions(tmp_path / "notes.doc")
    root = entities(tmp_path / "data", SPLITS)
    with pytest.raises(DataError, match=r"no split 'test' .*the splits there are train, val\."):
        open_captions(root, "test")
    with pytest.raises(DataError, match="limit is 0"):
        open_captions(root, limit=0)
    with pytest.raises(DataError, match="absent as UTF-8"):
        open_captions(root, ids_file=tmp_path / "absent")
    with pytest.raises(ValueError, match="expected one of refuse, skip"):
        open_captions(root, incomplete="keep")
