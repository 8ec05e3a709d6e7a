"""Every odd corner of the Entities format, on small files made here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sspe.data import open_dataset
from sspe.data.entities import Flickr30kEntities, parse_sentence
from sspe.errors import DataError, PhotoError


def thing(names: list[str], *boxes: tuple, flags: str = "") -> str:
    """One <object>; boxes are xmin, ymin, xmax, ymax as written in the file."""
    corners = "".join(
        "<bndbox>"
        + "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), b, strict=True))
        + "</bndbox>"
        for b in boxes
    )
    return "<object>" + "".join(f"<name>{name}</name>" for name in names) + corners + flags + "</object>"


def add(root: Path, id: str, sentences: list[str], things: list[str], frame=(100, 80), size=None, split="val") -> None:
    """Write one photo with its annotation into a folder in the published layout."""
    for folder in ("Annotations", "Sentences", "flickr30k-images"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    xml = f"<annotation><size><width>{frame[0]}</width><height>{frame[1]}</height></size>{''.join(things)}</annotation>"
    (root / "Annotations" / f"{id}.xml").write_text(xml)
    (root / "Sentences" / f"{id}.txt").write_text("".join(line + "\n" for line in sentences), encoding="utf-8")
    Image.new("RGB", size or frame).save(root / "flickr30k-images" / f"{id}.jpg")
    with open(root / f"{split}.txt", "a") as ids:
        ids.write(f"{id}\n")


def test_sentence_phrases_and_boxes(tmp_path):
    add(
        tmp_path,
        "5",
        ["[/EN#7/people A cook] stirs [/EN#8/other/vehicles a pot] before [/EN#0/notvisual it] boils .", "Soup ."],
        [thing(["7"], (1, 1, 50, 80)), thing(["8"], (11, 21, 30, 40))],
    )
    photo = Flickr30kEntities(tmp_path, "val")[0]
    assert (photo.id, photo.width, photo.height, photo.path.name) == ("5", 100, 80, "5.jpg")
    first, second = photo.sentences
    assert first.text == "A cook stirs a pot before it boils ."
    assert [(p.text, p.start, p.end) for p in first.phrases] == [("A cook", 0, 6), ("a pot", 13, 18), ("it", 26, 28)]
    assert [p.types for p in first.phrases] == [("people",), ("other", "vehicles"), ()]
    assert [p.chain for p in first.phrases] == ["7", "8", "0"]
    # 1-based inclusive in the file, half-open here.
    np.testing.assert_array_equal(first.phrases[0].boxes, [[0, 0, 50, 80]])
    np.testing.assert_array_equal(first.phrases[1].box, [10, 20, 30, 40])
    assert first.phrases[0].boxes.dtype == np.float32
    assert (second.text, second.phrases, second.index) == ("Soup .", (), 1)


def test_one_chain_with_several_boxes_and_one_box_with_several_chains(tmp_path):
    add(
        tmp_path,
        "5",
        ["[/EN#1/people Two boys] , [/EN#2/people one] waving ."],
        [thing(["1", "2"], (1, 1, 10, 10)), thing(["1"], (21, 31, 40, 50))],
    )
    boys, one = Flickr30kEntities(tmp_path, "val")[0].sentences[0].phrases
    np.testing.assert_array_equal(boys.boxes, [[0, 0, 10, 10], [20, 30, 40, 50]])
    np.testing.assert_array_equal(boys.box, [0, 0, 40, 50])
    np.testing.assert_array_equal(one.boxes, [[0, 0, 10, 10]])


def test_scenes_unknown_chains_and_chain_zero_have_no_box(tmp_path):
    flags = "<scene>1</scene><nobndbox>1</nobndbox>"
    line = "[/EN#3/scene A city] , [/EN#4/other a dream] and [/EN#0/notvisual it] ."
    add(tmp_path, "5", [line], [thing(["3"], flags=flags), thing(["0"], (1, 1, 9, 9))])
    phrases = Flickr30kEntities(tmp_path, "val")[0].sentences[0].phrases
    assert [p.boxes.shape for p in phrases] == [(0, 4)] * 3
    with pytest.raises(ValueError, match="A city"):
        _ = phrases[0].box


def test_boxes_follow_the_size_of_the_photo_file(tmp_path):
    add(tmp_path, "5", ["[/EN#1/other A kite] ."], [thing(["1"], (11, 9, 50, 40))], frame=(100, 80), size=(50, 240))
    photo = Flickr30kEntities(tmp_path, "val")[0]
    assert (photo.width, photo.height) == (50, 240)
    np.testing.assert_allclose(photo.sentences[0].phrases[0].box, [5, 24, 25, 120])


def test_a_frame_turned_against_its_photo_is_noticed(tmp_path):
    line, kite = ["[/EN#1/other A kite] ."], [thing(["1"], (11, 9, 50, 40))]
    add(tmp_path, "5", line, kite, frame=(500, 375), size=(224, 299))  # rounded, as a smaller copy is
    add(tmp_path, "6", line, kite, frame=(500, 375), size=(299, 224))
    add(tmp_path, "7", line, kite, frame=(100, 99), size=(99, 100))  # nearly square: nobody can tell
    turned, upright, square = (Flickr30kEntities(tmp_path, "val", ids=[id]) for id in "567")
    assert len(upright[0].sentences[0].phrases[0].boxes) == len(square[0].sentences[0].phrases[0].boxes) == 1
    with pytest.raises(
        DataError, match=r"5\.xml has boxes in a frame of 500 x 375, .* 224 x 299 .* by 90 degrees; turn"
    ):
        turned[0]
    # What a photo's EXIF data says counts for both: here they fit again.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (224, 299)).save(tmp_path / "flickr30k-images" / "5.jpg", exif=exif)
    assert Flickr30kEntities(tmp_path, "val", ids=["5"])[0].width == 299


def test_photos_in_folders_below(tmp_path):
    add(tmp_path, "5", ["A kite ."], [])
    (tmp_path / "flickr30k-images").rename(tmp_path / "flickr30k_images")
    (tmp_path / "flickr30k_images" / "part").mkdir()
    (tmp_path / "flickr30k_images" / "5.jpg").rename(tmp_path / "flickr30k_images" / "part" / "5.jpg")
    assert Flickr30kEntities(tmp_path, "val")[0].path == tmp_path / "flickr30k_images" / "part" / "5.jpg"


def test_boxes_are_clipped_and_empty_ones_dropped(tmp_path):
    things = [thing(["1"], (-5, 0, 130, 40), (101, 5, 120, 9)), thing(["2"], (200, 200, 220, 220))]
    add(tmp_path, "5", ["[/EN#1/other A kite] over [/EN#2/other a tree] ."], things)
    kite, tree = Flickr30kEntities(tmp_path, "val")[0].sentences[0].phrases
    np.testing.assert_array_equal(kite.boxes, [[0, 0, 100, 40]])
    assert len(tree.boxes) == 0


def test_unrelated_captions_are_left_out_and_keep_the_others_numbers(tmp_path):
    add(tmp_path, "5", ["One .", "Two .", "Three ."], [])
    (tmp_path / "UNRELATED_CAPTIONS").write_text("# format: <imageID> <sentence number>\n9 1\n5 2")
    assert [(s.index, s.text) for s in Flickr30kEntities(tmp_path, "val")[0].sentences] == [
        (0, "One ."),
        (2, "Three ."),
    ]
    assert len(Flickr30kEntities(tmp_path, "val", unrelated=True)[0].sentences) == 3
    (tmp_path / "UNRELATED_CAPTIONS").write_text("5 two\n")
    with pytest.raises(DataError, match="UNRELATED_CAPTIONS, line 1"):
        Flickr30kEntities(tmp_path, "val")


def test_ids_limit_order_and_random_access(tmp_path):
    for id in ("30", "10", "20"):
        add(tmp_path, id, [f"Number {id} ."], [])
    add(tmp_path, "40", ["Elsewhere ."], [], split="train")
    photos = Flickr30kEntities(tmp_path, "val")
    assert [p.id for p in photos] == ["30", "10", "20"]
    assert photos[-1].id == "20" and photos[1] is photos[1] and [p.id for p in photos[1:]] == ["10", "20"]
    with pytest.raises(IndexError):
        photos[3]
    assert [p.id for p in Flickr30kEntities(tmp_path, "val", limit=2)] == ["30", "10"]
    (tmp_path / "mine.ids").write_text("40\n\n10\n")
    assert [p.id for p in open_dataset(tmp_path, ids_file=tmp_path / "mine.ids")] == ["40", "10"]
    with pytest.raises(DataError, match="limit is 0"):
        Flickr30kEntities(tmp_path, "val", limit=0)
    with pytest.raises(DataError, match=r"77\.xml, one of 1 missing there for 2"):
        Flickr30kEntities(tmp_path, ids=["10", "77"])


@pytest.mark.parametrize("folder", ["flickr30k_images", "flickr30k-images", "elsewhere"])
def test_photo_folders(tmp_path, folder):
    add(tmp_path, "5", ["One ."], [])
    (tmp_path / "flickr30k-images").rename(tmp_path / folder)
    given = tmp_path / folder if folder == "elsewhere" else None
    assert open_dataset(tmp_path, photos=given)[0].path == tmp_path / folder / "5.jpg"


def test_missing_folders_splits_and_files(tmp_path):
    with pytest.raises(DataError, match="No data at"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"No folder .*nowhere"):
        Flickr30kEntities(tmp_path / "nowhere")
    add(tmp_path, "5", ["One ."], [])
    add(tmp_path, "6", ["Two ."], [], split="train")
    (tmp_path / "README.txt").write_text("Not a list of ids.\n")
    with pytest.raises(DataError, match=r"no split 'test' .*the splits there are train, val\."):
        open_dataset(tmp_path, "test")
    with pytest.raises(DataError, match=r"No folder of photos at .*nowhere"):
        open_dataset(tmp_path, photos=tmp_path / "nowhere")
    for folder, name in (("flickr30k-images", "5.jpg"), ("Sentences", "5.txt"), ("Annotations", "5.xml")):
        (tmp_path / folder / name).rename(tmp_path / "aside")
        with pytest.raises(DataError, match=f"No file .*{name}"):
            open_dataset(tmp_path, "val")
        (tmp_path / "aside").rename(tmp_path / folder / name)
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(DataError, match="list of ids is empty"):
        open_dataset(tmp_path, "val")


SIZE = "<size><width>100</width><height>80</height></size>"


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ("<annotation>", "not readable XML"),
        ("", "not readable XML"),
        ("<annotation></annotation>", "no <size>"),
        (f"<annotation>{SIZE.replace('100', '0')}</annotation>", "<size> of 0 x 80"),
        (f"<annotation>{SIZE.replace('100', 'wide')}</annotation>", '"wide" as <width>'),
        (f"<annotation>{SIZE}{thing(['1'], (9, 1, 5, 5))}</annotation>", r"from \(9, 1\) to \(5, 5\)"),
        (f"<annotation>{SIZE}{thing(['1'], (1, 9, 5, 5))}</annotation>", "ends before it starts"),
        (f"<annotation>{SIZE}{thing(['1'], (1, 'top', 5, 5))}</annotation>", '"top" as <ymin>'),
        (f"<annotation>{SIZE}{thing(['1'], (1, 1, 'nan', 5))}</annotation>", '"nan" as <xmax>'),
        (f"<annotation>{SIZE}<object><name>1</name><bndbox/></object></annotation>", "no <xmin> in a <bndbox>"),
    ],
)
def test_broken_annotations_are_named(tmp_path, xml, said):
    add(tmp_path, "5", ["One ."], [])
    (tmp_path / "Annotations" / "5.xml").write_text(xml)
    with pytest.raises(DataError, match=said) as error:
        Flickr30kEntities(tmp_path, "val")[0]
    assert "5.xml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[/EN#1/people A cook stirs .", 'a "[" without its "]"'),
        ("[/EN#1/people A cook [/EN#2/other a pot] .", 'a "[" without its "]"'),
        ("/EN#1/people A cook] stirs .", 'a "]" without its "["'),
        ("[/EN#1/people A cook] ] stirs .", 'a "]" without its "["'),
        ("[A cook] stirs .", 'the bracket "[A cook]"'),
        ("[/EN#1/people] stirs .", "expected the form"),
        ("[/EN#1/people  ] stirs .", "expected the form"),
    ],
)
def test_broken_brackets_are_named_with_file_and_line(tmp_path, line, said):
    add(tmp_path, "5", ["Fine .", line], [])
    with pytest.raises(DataError) as error:
        Flickr30kEntities(tmp_path, "val")[0]
    assert said in str(error.value) and "5.txt, line 2" in str(error.value)


def test_sentences_that_are_not_utf8_and_photos_that_are_not_photos(tmp_path):
    add(tmp_path, "5", [], [])
    (tmp_path / "Sentences" / "5.txt").write_bytes(b"\xff\xfe caf\xe9")
    with pytest.raises(DataError, match=r"5\.txt as UTF-8"):
        Flickr30kEntities(tmp_path, "val")[0]
    (tmp_path / "flickr30k-images" / "5.jpg").write_bytes(b"not a photo")
    with pytest.raises(PhotoError, match=r"5\.jpg"):
        Flickr30kEntities(tmp_path, "val")[0]


@pytest.mark.parametrize(
    ("line", "text", "phrases"),
    [
        ("", "", []),
        ("Nothing here .", "Nothing here .", []),
        ("[/EN#1/other x]", "x", ["x"]),
        ("[/EN#1/other a][/EN#2/other b]", "ab", ["a", "b"]),
        ("On [/EN#1/other  a  hat ] .", "On  a  hat  .", ["a  hat"]),
        ("[/EN#1/other Żółw 🐢] i [/EN#2/other kot]", "Żółw 🐢 i kot", ["Żółw 🐢", "kot"]),
        ("One\u2028line with [/EN#1 no type] .", "One\u2028line with no type .", ["no type"]),
    ],
)
def test_spans_cut_the_sentence_verbatim(line, text, phrases):
    sentence = parse_sentence(line, {}, 0, "here")
    assert sentence.text == text
    assert [sentence.text[p.start : p.end] for p in sentence.phrases] == phrases == [p.text for p in sentence.phrases]
