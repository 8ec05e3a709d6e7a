"""Each of several things, and the one that words choose, in drawn scenes whose things a stand-in knows by name."""

from dataclasses import replace

import numpy as np
import pytest

from sspe.data.synthetic.scenes import Scene, Thing
from sspe.models.answering import Reading, answer, in_order, things_of_a_kind
from sspe.models.localization import Located
from sspe.phrases.asked import ask
from sspe.phrases.head import head_of
from sspe.phrases.number import singular_of
from sspe.phrases.which import Which
from sspe.vision.boxes import iou, nms, union

BALLS = [(20, 100, 70, 150), (130, 80, 200, 150), (240, 110, 280, 150)]  # left to right; the middle one is the biggest
DOGS = [(30, 170, 90, 210), (210, 170, 280, 215)]
CHAIR = [(200, 20, 240, 80)]
SCENE = Scene(
    "grass",
    "blue",
    90,
    [
        Thing("ball", "red", "plain", "", BALLS),
        Thing("dog", "black", "plain", "", DOGS),
        Thing("chair", "blue", "plain", "", CHAIR),
    ],
)


class Drawn:
    """Knows where the things of a drawn scene are: a region scores by its overlap with one, or with all, of a name."""

    def __init__(self, scene: Scene, width: int = 320, height: int = 240):
        self.width, self.height = width, height
        self.things = {thing.noun: np.array(thing.boxes, np.float32) for thing in scene.things}
        self.asked: list[str] = []
        rng = np.random.default_rng(0)
        frames = [union(boxes)[None] for boxes in self.things.values()]
        near = [boxes + rng.normal(0, 3, boxes.shape) for boxes in self.things.values() for _ in range(4)]
        corners = np.sort(rng.uniform(0, [width, height], (40, 2, 2)), axis=1).reshape(-1, 4)
        self.boxes = np.concatenate([*self.things.values(), *frames, *near, corners]).astype(np.float32)

    def read(self, texts, contexts):
        self.asked = list(texts)
        return Texts(texts)

    def locate_read(self, regions, texts):
        scores = []
        for text in texts:
            head = head_of(text)
            boxes = self.things[singular_of(head)]
            right = boxes if singular_of(head) == head else union(boxes)[None]
            scores.append(0.8 * iou(self.boxes, right).max(axis=1))
        scores = np.array(scores, np.float32)
        places = np.repeat(self.boxes[None], len(texts), axis=0)
        kept = tuple(nms(self.boxes, row) for row in scores)
        return Located(scores, places, kept, np.ones(len(texts), bool))

    def glance(self, regions, texts, best):
        located = self.locate_read(regions, texts)
        return replace(located, kept=tuple(kept[:best] for kept in located.kept))


class Texts(tuple):
    """Phrases as the stand-in reads them."""

    def rows(self, rows):
        return Texts(self[rows])


def boxes_of(sentence: str, start: int = 0, end: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The box and the boxes of one phrase of a sentence, the whole by default."""
    model = Drawn(SCENE)
    located, things = answer(model, model, [ask(sentence, start, end or len(sentence))])
    return located.boxes[0, located.kept[0][0]], things[0]


def same(given, expected) -> bool:
    overlap = iou(given, np.array(expected))
    return len(given) == len(expected) and (overlap.max(axis=1) > 0.8).all() and (overlap.max(axis=0) > 0.8).all()


def test_three_of_a_kind_are_three_boxes_and_one_around_them():
    for phrase in ("three balls", "the balls"):
        box, boxes = boxes_of(phrase)
        assert same(boxes, BALLS) and same(box[None], [union(np.array(BALLS))])


def test_as_many_as_the_words_say():
    assert len(boxes_of("two balls")[1]) == 2
    assert same(boxes_of("five balls")[1], BALLS)  # there are no more
    assert same(boxes_of("both dogs")[1], DOGS)


def test_one_thing_is_one_box():
    box, boxes = boxes_of("the chair")
    assert same(boxes, CHAIR) and (boxes[0] == box).all()


@pytest.mark.parametrize(
    ("phrase", "right"),
    [
        ("the left dog", DOGS[0]),
        ("the dog on the right", DOGS[1]),
        ("the biggest ball", BALLS[1]),
        ("the smallest ball", BALLS[2]),
        ("the tallest ball", BALLS[1]),
        ("the middle ball", BALLS[1]),
        ("the second ball from the right", BALLS[1]),
        ("the third ball from the left", BALLS[2]),
        ("the highest ball", BALLS[1]),
        ("the ball left of the chair", BALLS[1]),
        ("the ball right of the chair", BALLS[2]),
        ("the dog below the chair", DOGS[1]),
        ("the dog next to the chair", DOGS[1]),
    ],
)
def test_words_choose_one(phrase, right):
    box, boxes = boxes_of(phrase)
    assert same(boxes, [right]) and (boxes[0] == box).all()


def test_one_thing_outside_what_the_phrase_names_is_none_of_them():
    class Astray(Drawn):  # takes a single ball for what fills the photo
        def glance(self, regions, texts, best):
            scores = 0.8 * iou(np.array([[0, 0, self.width, self.height]], np.float32), self.boxes) ** 4
            return Located(scores, self.boxes[None].copy(), (nms(self.boxes, scores[0]),), np.ones(1, bool))

    model = Astray(SCENE)
    model.boxes = np.concatenate([model.boxes, [[0, 0, model.width, model.height]]]).astype(np.float32)
    located, things = answer(model, model, [ask("balls", 0, 5)])
    assert same(things[0], [union(np.array(BALLS, np.float32))])
    assert same(located.boxes[0, located.kept[0][:1]], things[0])


def test_words_choose_several():
    box, boxes = boxes_of("the two balls on the right")
    assert same(boxes, BALLS[1:]) and same(box[None], [union(np.array(BALLS[1:]))])
    assert same(boxes_of("the balls on the left")[1], BALLS[:1])


def test_the_chosen_one_leads_the_candidates():
    model = Drawn(SCENE)
    located, _ = answer(model, model, [ask("the dog on the right", 0, 7), ask("the dog on the right", 0, 20)])
    plain = model.locate_read(model, ["the dog"])
    for kept in located.kept:
        assert sorted(kept) == sorted(plain.kept[0]) and same(model.boxes[kept[:1]], DOGS[1:])


def test_only_what_needs_it_is_read_once_more():
    model = Drawn(SCENE)
    answer(
        model, model, [ask(text, 0, len(text)) for text in ("the chair", "two dogs", "a ball", "dogs", "the left dog")]
    )
    assert model.asked == ["the chair", "two dogs", "a ball", "dogs", "the dog", "dog"]


def test_a_detector_tells_things_from_their_frame():
    boxes = np.array([[0, 0, 100, 50], [0, 0, 50, 50], [55, 0, 100, 50]], np.float32)
    scores, kept = np.array([0.3, 0.25, 0.24], np.float32), np.arange(3)
    seen = np.array([0.1, 0.9, 0.8], np.float32)
    assert things_of_a_kind(Reading(boxes, scores, kept, seen), count=2).tolist() == [1, 2]


def test_order_of_boxes():
    boxes = np.array([[0, 0, 10, 40], [50, 50, 90, 70], [20, 80, 30, 90]], np.float32)
    first = {"left": 0, "right": 1, "top": 0, "bottom": 2, "biggest": 1, "smallest": 2, "tallest": 0, "shortest": 2}
    assert {by: int(in_order(boxes, Which(by, (by,)), 100, 100)[0]) for by in first} == first
    assert in_order(boxes, Which("top left", ("top", "left")), 100, 100)[0] == 0
    assert in_order(boxes, Which("middle", ("middle",)), 100, 100)[0] == 2
