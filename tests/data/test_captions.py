"""Photos with sentences: what all published formats have in common, and what is incomplete."""

import json
import logging

import numpy as np
import pytest
from caption_files import (
    FORMATS,
    SPLITS,
    captions_file,
    coco,
    entities,
    flickr8k,
    image,
    karpathy,
    sentences_of,
    write_json,
)

from sspe.data.captions import CaptionedPhoto, open_captions
from sspe.errors import DataError


@pytest.mark.parametrize("write", FORMATS)
def test_every_format_says_the_same(tmp_path, write):
    root = write(tmp_path / "data", SPLITS)
    captions = open_captions(root)
    assert [photo.id for photo in captions] == ["7", "40", "20"] and captions.left_out == {}
    for photo in captions:
        assert photo.sentences == tuple(sentences_of(photo.id))
        assert photo.path.name == f"{photo.id}.jpg" and photo.path.is_file()
    assert captions[-1] == CaptionedPhoto("20", captions[2].path, tuple(sentences_of("20"))) and len(captions[1:]) == 2
    assert captions.sentences == sentences_of("7") + sentences_of("40") + sentences_of("20")
    np.testing.assert_array_equal(captions.owners, np.repeat([0, 1, 2], 5))
    assert [photo.id for photo in open_captions(root, "train")] == ["30", "10"]
    assert [photo.id for photo in open_captions(root, limit=2)] == ["7", "40"]


@pytest.mark.parametrize("write", FORMATS)
def test_photos_by_id_of_any_split(tmp_path, write):
    root = write(tmp_path / "data", SPLITS)
    ids = tmp_path / "ids"
    ids.write_text("20\n\n7.jpg\n" if write is coco else "10\n\n7.jpg\n")  # one file of COCO is one split
    found = [photo.id for photo in open_captions(root, ids_file=ids)]
    assert found == ["20", "7"] if write is coco else ["10", "7"]
    ids.write_text("7\n99\n7\n")
    with pytest.raises(DataError, match=r"ids lists the photo 7 2 times .*1 with too few sentences, 1 with a rep"):
        open_captions(root, ids_file=ids)
    captions = open_captions(root, ids_file=ids, incomplete="skip")
    assert [photo.id for photo in captions] == ["7"]
    assert captions.left_out == {"too_few_sentences": 1, "repeated_ids": 1}
    ids.write_text("\n")
    with pytest.raises(DataError, match="list of ids is empty"):
        open_captions(root, ids_file=ids)


@pytest.mark.parametrize("write", FORMATS)
def test_photos_in_another_folder(tmp_path, write):
    root = write(tmp_path / "data", {"val": ["7", "8"]})
    (folder,) = {path.parent for path in root.rglob("*.jpg")}
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="photo"):
        open_captions(root)
    with pytest.raises(DataError, match="--photos"):
        open_captions(root)
    assert open_captions(root, photos=tmp_path / "elsewhere")[0].path == tmp_path / "elsewhere" / "7.jpg"
    (tmp_path / "elsewhere").rename(tmp_path / "deeper")
    (tmp_path / "elsewhere" / "part").mkdir(parents=True)
    (tmp_path / "deeper").rename(tmp_path / "elsewhere" / "part" / "2")
    assert open_captions(root, photos=tmp_path / "elsewhere")[1].path.relative_to(tmp_path).parts[1:3] == ("part", "2")
    with pytest.raises(DataError, match=r"No folder of photos at .*nowhere"):
        open_captions(root, photos=tmp_path / "nowhere")


@pytest.mark.parametrize("write", FORMATS)
def test_the_first_five_sentences_count(tmp_path, write):
    captions = open_captions(write(tmp_path / "data", SPLITS, lambda id: sentences_of(id, 7 if id == "40" else 5)))
    assert [photo.sentences for photo in captions] == [tuple(sentences_of(id)) for id in ("7", "40", "20")]


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_photos_with_too_few_sentences(tmp_path, write, count, caplog):
    root = write(tmp_path / "data", SPLITS, lambda id: sentences_of(id, count if id in ("7", "20", "10") else 5))
    with pytest.raises(DataError) as error:
        open_captions(root)
    told = str(error.value)
    assert f"has {count or 'no'} sentence{'s' * (count != 1)} for the photo 7, expected 5 (among 3 photos: 2 " in told
    assert "--incomplete skip" in told and told.endswith(".") and "\n" not in told and str(root) in told
    with caplog.at_level(logging.WARNING):
        captions = open_captions(root, incomplete="skip")
    assert [photo.id for photo in captions] == ["40"] and captions.left_out == {"too_few_sentences": 2}
    assert len(caplog.messages) == 1 and "2 with too few sentences; the first: " in caplog.messages[0]


@pytest.mark.parametrize("write", FORMATS)
def test_blank_sentences_are_none(tmp_path, write):
    root = write(tmp_path / "data", {"val": ["7", "8"]}, lambda id: [*sentences_of(id, 4), "A  last\t one ."])
    assert open_captions(root)[0].sentences[4] in ("A last one .", "Sentence last one .")
    for file in root.rglob("*"):
        if file.suffix in (".txt", ".json") and "last" in file.read_text(encoding="utf-8"):
            text = file.read_text(encoding="utf-8").replace("[/EN#1/other Sentence]  last\t one .", "")
            file.write_text(text.replace("A  last\\t one .", "  ").replace("A  last\t one .", ""), encoding="utf-8")
    with pytest.raises(DataError, match="has 4 sentences for the photo 7"):
        open_captions(root)


@pytest.mark.parametrize("write", FORMATS)
def test_missing_photo_files(tmp_path, write):
    root = write(tmp_path / "data", SPLITS)
    (missing,) = root.rglob("40.jpg")
    missing.unlink()
    with pytest.raises(DataError, match=r"names the photo 40, and no file of it lies in .*: 1 without a photo file"):
        open_captions(root)
    captions = open_captions(root, incomplete="skip")
    assert [photo.id for photo in captions] == ["7", "20"] and captions.left_out == {"missing_photos": 1}
    for photo in [*root.rglob("7.jpg"), *root.rglob("20.jpg")]:
        photo.unlink()
    with pytest.raises(DataError, match="3 without a photo file") as error:  # nothing would be left
        open_captions(root, incomplete="skip")
    assert "skip" not in str(error.value) and "name the folder of the photos" in str(error.value)


@pytest.mark.parametrize("write", [entities, flickr8k])
def test_an_id_twice_in_the_list_of_a_split(tmp_path, write):
    root = write(tmp_path / "data", SPLITS)
    (listed,) = [*root.glob("val.txt"), *root.rglob("*devImages.txt")]
    listed.write_text(listed.read_text(encoding="utf-8") + listed.read_text(encoding="utf-8").split()[0])
    with pytest.raises(DataError, match="lists the photo 7 2 times"):
        open_captions(root)
    captions = open_captions(root, incomplete="skip")
    assert [photo.id for photo in captions] == ["7", "40", "20"] and captions.left_out == {"repeated_ids": 1}


def repeat_token_line(root):
    file = captions_file(root)
    file.write_text(file.read_text(encoding="utf-8") + "7.jpg#2\tAnother sentence .\n", encoding="utf-8")
    return "7.jpg#2 a second time"


def repeat_karpathy_image(root):
    file = captions_file(root)
    content = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, {"images": [*content["images"], image("7", "val", ["Another ."] * 5, first=9000)]})
    return "the photo 7.jpg a second time"


def repeat_coco_image(root):
    file = captions_file(root)
    content = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, {**content, "images": [*content["images"], {"id": 1000, "file_name": "8.jpg"}]})
    return "the image id 1000 a second time"


def repeat_coco_file(root):
    file = captions_file(root)
    content = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, {**content, "images": [*content["images"], {"id": 9, "file_name": "7.jpg"}]})
    return "the photo 7.jpg a second time"


def repeat_coco_annotation(root):
    file = captions_file(root)
    content = json.loads(file.read_text(encoding="utf-8"))
    again = {**content["annotations"][0], "caption": "Another ."}
    write_json(file, {**content, "annotations": [*content["annotations"], again]})
    return "the annotation id 0 a second time"


@pytest.mark.parametrize(
    ("write", "repeat"),
    [
        (flickr8k, repeat_token_line),
        (karpathy, repeat_karpathy_image),
        (coco, repeat_coco_image),
        (coco, repeat_coco_file),
        (coco, repeat_coco_annotation),
    ],
)
def test_ids_that_occur_twice(tmp_path, write, repeat):
    root = write(tmp_path / "data", SPLITS)
    told = repeat(root)
    with pytest.raises(DataError) as error:
        open_captions(root)
    assert f"{told} (among 3 photos: 1 with a repeated id)" in str(error.value)
    captions = open_captions(root, incomplete="skip")
    assert captions.left_out == {"repeated_ids": 1}
    assert [photo.id for photo in captions] == ["7", "40", "20"] and captions[0].sentences == tuple(sentences_of("7"))
    if write is not coco:  # what is wrong with other photos does not matter
        assert len(open_captions(root, "train")) == 2


def test_a_sentid_twice_leaves_its_photo_short_of_a_sentence(tmp_path):
    root = karpathy(tmp_path / "data", {"val": ["7", "8"]})
    file = captions_file(root)
    content = json.loads(file.read_text(encoding="utf-8"))
    content["images"][0]["sentences"][4]["sentid"] = 3
    write_json(file, content)
    with pytest.raises(DataError, match="the sentid 3 a second time"):
        open_captions(root)
    assert open_captions(root, incomplete="skip").left_out == {"too_few_sentences": 1, "repeated_ids": 1}


def test_sentences_of_an_image_that_is_not_listed(tmp_path):
    root = coco(tmp_path / "data", SPLITS)
    file = captions_file(root)
    content = json.loads(file.read_text(encoding="utf-8"))
    lost = [{"id": 900 + i, "image_id": 55, "caption": "Nowhere ."} for i in range(2)]
    write_json(file, {**content, "annotations": [*lost, *content["annotations"]]})
    with pytest.raises(DataError, match=r"a sentence of the image 55, which it does not list .*2 of a photo that"):
        open_captions(root)
    assert open_captions(root, incomplete="skip").left_out == {"unknown_photos": 2}
