"""Photos with sentences, in small files made here in each published format."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from sspe.data.captions import CaptionedPhoto, open_captions
from sspe.errors import DataError

FLICKR8K_LISTS = {"train": "trainImages", "val": "devImages", "test": "testImages"}


def said(name, count=5):
    return [f"Sentence {i} of {name} in a café ." for i in range(count)]


def draw(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 6)).save(folder / name)


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return file


def entities(root, splits, sentences=said):
    """Flickr30K Entities without its Annotations, which sentences do not need."""
    draw(root / "flickr30k-images", *(f"{id}.jpg" for ids in splits.values() for id in ids))
    (root / "Sentences").mkdir(parents=True)
    for split, ids in splits.items():
        (root / f"{split}.txt").write_text("".join(f"{id}\n" for id in ids))
        for id in ids:
            lines = [f"[/EN#1/other Sentence] {line.partition(' ')[2]}" for line in sentences(id)]
            (root / "Sentences" / f"{id}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return root


def flickr8k(root, splits, sentences=said):
    """Both archives, unpacked side by side."""
    text = root / "Flickr8k_text"
    text.mkdir(parents=True)
    draw(root / "Flicker8k_Dataset", *(f"{id}.jpg" for ids in splits.values() for id in ids))
    lines = []
    for split, ids in splits.items():
        (text / f"Flickr_8k.{FLICKR8K_LISTS[split]}.txt").write_text("".join(f"{id}.jpg\n" for id in ids))
        lines += [f"{id}.jpg#{i}\t{line}" for id in ids for i, line in enumerate(sentences(id))]
    # The published file names this photo, which is in no list and has no file.
    lines += [f"2258277193_586949ec62.jpg.1#{i}\tPeople waiting ." for i in range(5)]
    (text / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def image(id, split, sentences=None, first=0, **more):
    """An image of Karpathy's files."""
    sentences = said(id) if sentences is None else sentences
    ids = list(range(first, first + len(sentences)))
    return {
        "sentids": ids,
        "imgid": first,
        "sentences": [
            {"tokens": raw.lower().split()[:-1], "raw": raw, "imgid": first, "sentid": sentid}
            for raw, sentid in zip(sentences, ids, strict=True)
        ],
        "split": split,
        "filename": f"{id}.jpg",
        **more,
    }


def karpathy(root, splits, sentences=said, name="flickr8k"):
    chosen = [(id, split) for split, ids in splits.items() for id in ids]
    images = [image(id, split, sentences(id), first=100 * i) for i, (id, split) in enumerate(chosen)]
    draw(root / "images", *(f"{id}.jpg" for id, _ in chosen))
    write_json(root / f"dataset_{name}.json", {"images": images, "dataset": name})
    return root


def coco(root, splits, sentences=said, year="2014"):
    """annotations/captions_<split><year>.json; the annotations of the photos are mixed, as in the published files."""
    for split, ids in splits.items():
        numbers = {id: 1000 + i for i, id in enumerate(ids)}
        images = [{"id": number, "file_name": f"{id}.jpg", "height": 6, "width": 8} for id, number in numbers.items()]
        told = [(i, id, line) for id in ids for i, line in enumerate(sentences(id))]
        annotations = [
            {"image_id": numbers[id], "id": 7 * k, "caption": line} for k, (_, id, line) in enumerate(sorted(told))
        ]
        draw(root / f"{split}{year}", *(f"{id}.jpg" for id in ids))
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
        write_json(root / "annotations" / f"captions_{split}{year}.json", content)
    return root


FORMATS = (entities, flickr8k, karpathy, coco)
SPLITS = {"train": ["30", "10"], "val": ["7", "40", "20"]}


def captions_file(root):
    """The one file of captions of val, whichever format."""
    (file,) = [*root.rglob("dataset_*.json"), *root.rglob("captions_val*.json"), *root.rglob("*.token.txt")]
    return file


@pytest.mark.parametrize("write", FORMATS)
def test_every_format_says_the_same(tmp_path, write):
    root = write(tmp_path / "data", SPLITS)
    captions = open_captions(root)
    assert [photo.id for photo in captions] == ["7", "40", "20"] and captions.left_out == {}
    for photo in captions:
        assert photo.sentences == tuple(said(photo.id))
        assert photo.path.name == f"{photo.id}.jpg" and photo.path.is_file()
    assert captions[-1] == CaptionedPhoto("20", captions[2].path, tuple(said("20"))) and len(captions[1:]) == 2
    assert captions.sentences == said("7") + said("40") + said("20")
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
    assert open_captions(root, photos=tmp_path / "elsewhere")[0].path == tmp_path / "elsewhere" / "7.jpg"
    with pytest.raises(DataError, match=r"No folder of photos at .*nowhere"):
        open_captions(root, photos=tmp_path / "nowhere")


@pytest.mark.parametrize("write", FORMATS)
def test_the_first_five_sentences_count(tmp_path, write):
    captions = open_captions(write(tmp_path / "data", SPLITS, lambda id: said(id, 7 if id == "40" else 5)))
    assert [photo.sentences for photo in captions] == [tuple(said(id)) for id in ("7", "40", "20")]


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_photos_with_too_few_sentences(tmp_path, write, count, caplog):
    root = write(tmp_path / "data", SPLITS, lambda id: said(id, count if id in ("7", "20", "10") else 5))
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
    root = write(tmp_path / "data", {"val": ["7", "8"]}, lambda id: [*said(id, 4), "A  last\t one ."])
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
    assert [photo.id for photo in captions] == ["7", "40", "20"] and captions[0].sentences == tuple(said("7"))
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


# Each format's own corners


def test_unrelated_sentences_are_kept_to_measure_and_left_out_to_train(tmp_path):
    root = entities(tmp_path / "data", {"val": ["7", "8"]})
    (root / "UNRELATED_CAPTIONS").write_text("# format: <imageID> <sentence number>\n7 2\n")
    assert len(open_captions(root).sentences) == 10
    captions = open_captions(root, unrelated=False)
    assert captions[0].sentences == tuple(said("7")[:1] + said("7")[2:]) and len(captions[1].sentences) == 5
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
    assert [photo.id for photo in found] == ["8"] and found.sentences == said("8")
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
    assert open_captions(root)[0].sentences == tuple(said("7"))
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
    with pytest.raises(DataError, match=r"neither Sentences/, Flickr8k\.token\.txt"):
        open_captions(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"neither Flickr8k\.token\.txt nor a \.json file"):
        open_captions(tmp_path / "notes.txt")
    root = entities(tmp_path / "data", SPLITS)
    with pytest.raises(DataError, match=r"no split 'test' .*the splits there are train, val\."):
        open_captions(root, "test")
    with pytest.raises(DataError, match="limit is 0"):
        open_captions(root, limit=0)
    with pytest.raises(DataError, match="absent as UTF-8"):
        open_captions(root, ids_file=tmp_path / "absent")
    with pytest.raises(ValueError, match="expected one of refuse, skip"):
        open_captions(root, incomplete="keep")
