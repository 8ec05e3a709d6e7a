"""Localizer.batch: order, errors of single photos, generators; and a localizer in a forked process."""

import json
import os
import select
import signal

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sspe.errors import PhotoError, SspeError
from sspe.localizer import AHEAD
from sspe.results import Localization
from sspe.vision.photo import open_photo

SENTENCE = "A man in a red hat, and the large dog with a blue ball."


def plain(localization: Localization) -> str:
    return json.dumps(localization.to_dict())


def test_a_batch_is_in_order_and_gives_what_single_calls_give(tiny_localizer, photos):
    some = photos[:5]
    found = list(tiny_localizer.batch(some, SENTENCE, top_k=2))
    assert [plain(f) for f in found] == [plain(tiny_localizer(p, SENTENCE, top_k=2)) for p in some]
    sentences = ["A man.", "A dog.", "A red ball.", "It is there.", "A car and a box."]
    found = list(tiny_localizer.batch(iter(some), iter(sentences)))
    assert [f.sentence for f in found] == sentences
    assert [plain(f) for f in found] == [plain(tiny_localizer(p, s)) for p, s in zip(some, sentences, strict=True)]


def test_a_bad_photo_in_a_batch_yields_its_error_and_the_others_go_on(tiny_localizer, photos, tmp_path):
    words, cut, absent = tmp_path / "words.jpg", tmp_path / "cut.jpg", tmp_path / "absent.jpg"
    words.write_text("no picture")
    cut.write_bytes(photos[0].read_bytes()[:2000])
    given = [words, photos[0], absent, cut, photos[1], tmp_path, np.zeros((2, 2)), photos[2], None, 7, b""]
    found = list(tiny_localizer.batch(given, "A man."))
    told = {0: "words.jpg", 2: "absent.jpg", 3: "cut.jpg", 5: "folder", 6: "float64", 8: "None", 9: "int", 10: "known"}
    assert [i for i, f in enumerate(found) if isinstance(f, PhotoError)] == list(told)
    for i, what in told.items():
        assert what in str(found[i]) and "\n" not in str(found[i])
    assert plain(found[7]) == plain(tiny_localizer(photos[2], "A man."))


def test_a_batch_that_does_not_count_up(tiny_localizer, photos):
    with pytest.raises(SspeError, match="3 photos need one sentence or as many, and 2 were given"):
        tiny_localizer.batch(photos[:3], ["A man.", "A dog."])
    for single in (str(photos[0]), photos[0], photos[0].read_bytes(), Image.open(photos[0])):
        with pytest.raises(SspeError, match="a list of photos"):
            tiny_localizer.batch(single, "A man.")
    assert list(tiny_localizer.batch([], "A man.")) == []


def test_a_batch_opens_few_photos_ahead(tiny_localizer, photos, monkeypatch):
    """So that a folder of any size fits in memory."""
    opened = []

    def noted(source):
        opened.append(source)
        return open_photo(source)

    monkeypatch.setattr("sspe.localizer.open_photo", noted)
    for done, _ in enumerate(tiny_localizer.batch(photos[:8], "A man."), 1):
        assert done <= len(opened) <= done + AHEAD
    assert opened == photos[:8]


def test_a_batch_takes_from_generators_what_it_needs(tiny_localizer, photos):
    asked = []

    def endless():
        while True:
            asked.append(len(asked))
            yield photos[0]

    for done, found in zip(range(1, 4), tiny_localizer.batch(endless(), "A man."), strict=False):
        assert found.phrases and len(asked) <= done + AHEAD


def test_a_batch_loses_nothing_of_what_came_before_a_fault(tiny_localizer, photos):
    def breaking(things):
        yield from things
        raise ConnectionResetError("the camera is gone")

    def results(batch, error, told):
        found = []
        with pytest.raises(error, match=told):
            found += batch  # list.__iadd__ keeps what came before
        return [f.sentence for f in found]

    three = ["A man.", "A dog.", "A red ball."]
    assert (
        results(tiny_localizer.batch(breaking(photos[:3]), "A man."), ConnectionResetError, "camera") == ["A man."] * 3
    )
    for some, sentences, told in (
        (photos[:5], iter(three), "no sentence for its number 4"),
        (iter(photos[:3]), [*three, "A box."], "no photo for its number 4"),
        (photos[:4], iter([*three, " "]), "The sentence is empty"),
    ):
        assert results(tiny_localizer.batch(some, sentences), SspeError, told) == three


def test_a_batch_may_be_left_early(tiny_localizer, photos):
    results = tiny_localizer.batch(photos[:6], "A man.")
    next(results)
    results.close()
    assert tiny_localizer(photos[0], "A man.").phrases


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_gives_the_same_or_says_at_once_how(tiny_localizer, photos, monkeypatch, threads):
    home = tiny_localizer.model.home
    monkeypatch.setattr(home, "_threads", max(threads, torch.get_num_threads(), cv2.getNumThreads()))
    expected = plain(tiny_localizer(photos[0], SENTENCE)) if home._threads == 1 else "multiprocessing.get_context"
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            answer = plain(tiny_localizer(photos[0], SENTENCE))
        except BaseException as error:
            answer = str(error)
        os.write(writer, answer.encode()[:4000])
        os._exit(0)
    os.close(writer)
    try:
        assert select.select([reader], [], [], 60)[0], "the child hangs"
        answer = os.read(reader, 4000).decode()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
    assert answer == expected[:4000] if home._threads == 1 else expected in answer
