"""Files with one sentence per line: Flickr30K as published, both Flickr sets as Kaggle has them; neuraltalk's."""

import logging

import pytest
from caption_files import draw, image, sentences_of, write_json

from sspe.data.captions import open_captions
from sspe.errors import DataError


def tokens(root, ids):
    """Flickr30K's file, its photos in the folder that the archive unpacks to."""
    draw(root / "flickr30k-images", *(f"{id}.jpg" for id in ids))
    lines = [f"{id}.jpg#{i}\t{line}\n" for id in ids for i, line in enumerate(sentences_of(id))]
    (root / "results_20130124.token").write_text("".join(lines), encoding="utf-8")
    return root / "results_20130124.token"


def kaggle8k(root, ids):
    draw(root / "Images", *(f"{id}.jpg" for id in ids))
    lines = [f"{id}.jpg,{line}\n" for id in ids for line in sentences_of(id)]
    (root / "captions.txt").write_text("image,caption\n" + "".join(lines), encoding="utf-8")
    return root / "captions.txt"


def kaggle30k(root, ids):
    """A folder too deep, as its archive has it, and bars between the columns."""
    draw(root / "flickr30k_images" / "flickr30k_images", *(f"{id}.jpg" for id in ids))
    lines = [f"{id}.jpg| {i}| {line}\n" for id in ids for i, line in enumerate(sentences_of(id))]
    (root / "results.csv").write_text("image_name| comment_number| comment\n" + "".join(lines), encoding="utf-8")
    return root / "results.csv"


@pytest.mark.parametrize("write", [tokens, kaggle8k, kaggle30k])
def test_every_file_says_the_same_from_its_folder_and_by_its_name(tmp_path, write, caplog):
    file = write(tmp_path, ["7", "40", "20"])
    for data in (tmp_path, file):
        with caplog.at_level(logging.WARNING):
            captions = open_captions(data)
        assert [photo.id for photo in captions] == ["7", "40", "20"] and captions.left_out == {}
        assert all(photo.sentences == tuple(sentences_of(photo.id)) and photo.path.is_file() for photo in captions)
    assert all("has no splits: all its photos are taken for 'val'" in message for message in caplog.messages)
    (tmp_path / "val.txt").write_text("20\n")
    (tmp_path / "train.txt").write_text("40.jpg\n7.jpg\n")
    assert [photo.id for photo in open_captions(tmp_path)] == ["20"]
    assert [photo.id for photo in open_captions(file, "train")] == ["40", "7"]
    with pytest.raises(DataError, match=r"no split 'test'; the splits there are train, val\."):
        open_captions(file, "test")


def test_the_odd_lines_of_kaggles_files(tmp_path):
    file = kaggle30k(tmp_path, ["7", "8"])
    text = file.read_text(encoding="utf-8").replace("7.jpg| 4| Sentence", "7.jpg| 4   Sentence")  # a bar is missing
    file.write_text(text, encoding="utf-8")
    assert open_captions(file)[0].sentences == tuple(sentences_of("7"))
    file.write_text(text + "9.jpg\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"results\.csv, line 12 is '9\.jpg', expected"):
        open_captions(file)

    file = kaggle8k(tmp_path / "other", ["7"])
    lines = [
        "image,caption",
        '7.jpg,"A red, white and ""blue"" flag ."',
        "7.jpg,A red, plain flag .",
        *["7.jpg,A ."] * 3,
    ]
    file.write_text("\r\n".join(lines), encoding="utf-8")
    assert open_captions(file)[0].sentences[:2] == ('A red, white and "blue" flag .', "A red, plain flag .")
    file.write_text("image,caption\n7.jpg\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"captions\.txt, line 2 is '7\.jpg', expected"):
        open_captions(file)
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="begins with 'a,b', expected the columns"):
        open_captions(file)


def test_neuraltalks_folder(tmp_path):
    images = [image("7", "val"), image("8", "train", first=10)]
    write_json(tmp_path / "dataset.json", {"images": images, "dataset": "flickr8k"})
    draw(tmp_path / "imgs", "7.jpg", "8.jpg")
    (photo,) = open_captions(tmp_path)
    assert photo.path == tmp_path / "imgs" / "7.jpg"


def test_the_photo_nested_least_counts_and_the_own_folder_is_not_combed(tmp_path):
    file = tokens(tmp_path / "data", ["7"])
    draw(tmp_path / "data" / "flickr30k-images" / "small", "7.jpg")
    assert open_captions(file)[0].path == tmp_path / "data" / "flickr30k-images" / "7.jpg"
    (tmp_path / "data" / "flickr30k-images").rename(tmp_path / "data" / "holidays")
    with pytest.raises(DataError, match=r"no file of it lies in .*name the folder of the photos \(--photos\)"):
        open_captions(file)
    assert open_captions(file, photos=tmp_path / "data")[0].path == tmp_path / "data" / "holidays" / "7.jpg"
