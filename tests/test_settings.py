"""Settings: a range or choices in every field, changes written as text, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from sspe import settings
from sspe.errors import SspeError
from sspe.settings import (
    LocalizationModelSettings,
    LossSettings,
    NetworkSettings,
    RetrievalModelSettings,
    changed,
    check,
    listed,
    setting,
)

GROUPS = [
    group
    for name, group in vars(settings).items()
    if name.endswith("Settings") and dataclasses.is_dataclass(group) and not name.endswith("ModelSettings")
]


@dataclasses.dataclass(frozen=True)
class Inner:
    share: float = setting(0.5, "a share", at_least=0, at_most=1)
    kind: str = setting("round", "a shape", choices=("round", "square"))


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str = "not a setting"
    count: int = setting(3, "a count", at_least=1)
    rate: float = setting(1.0, "any number")
    file: str | None = setting(None, "a file")
    word: str = setting("a", "a word")
    on: bool = setting(True, "a switch")
    words: tuple[str, ...] = setting(("x",), "some words")
    inner: Inner = dataclasses.field(default_factory=Inner)


def test_a_change_is_read_as_the_setting_is_typed():
    made = changed(
        Outer(), [" count = 4 ", "rate=1e-3", "file=a=b", "on=false", "words=a,b", "inner.share=1", "inner.kind=square"]
    )
    assert made == Outer(
        count=4, rate=1e-3, file="a=b", on=False, words=("a", "b"), inner=Inner(share=1.0, kind="square")
    )
    assert isinstance(made.inner.share, float)
    assert changed(made, ["on=1", "words="]) == dataclasses.replace(made, on=True, words=())
    assert changed(Outer(), ["count=4", "count=5"]).count == 5
    assert Outer() == changed(Outer(), [])


def test_none_is_no_value_only_where_there_may_be_none():
    assert changed(Outer(file="x"), ["file=None"]).file is None
    assert changed(Outer(), ["word=none"]).word == "none"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("count", "--set takes key=value, for example loss.margin=0.2, and got 'count'"),
        ("size=1", "no setting 'size'; 'size' must be one of count, file, inner, on, rate, word, words"),
        ("name=x", "no setting 'name'"),
        ("inner.size=1", "no setting 'inner.size'; 'size' must be one of kind, share"),
        ("inner=1", "'inner' is a group of settings; set one of inner.share, inner.kind"),
        ("count.size=1", "no setting 'count.size'; 'count' holds a single value"),
        ("=2", "no setting ''"),
        ("count=2.5", "count is 3 so far, and '2.5' is no whole number"),
        ("count=", "'' is no whole number"),
        ("rate=wide", "rate is 1.0 so far, and 'wide' is no number"),
        ("rate=nan", "'nan' is no number"),
        ("rate=inf", "'inf' is no number"),
        ("on=perhaps", "'perhaps' is neither true nor false"),
    ],
)
def test_a_change_that_cannot_be_made_is_one_sentence(change, words):
    with pytest.raises(SspeError) as error:
        changed(Outer(), [change])
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Outer(count=0), "count is 0; it must be at least 1"),
        (Outer(inner=Inner(share=1.1)), "inner.share is 1.1; it must be from 0 to 1"),
        (Outer(inner=Inner(share=-0.1)), "inner.share is -0.1; it must be from 0 to 1"),
        (Outer(inner=Inner(kind="flat")), "inner.kind is 'flat'; choose one of round, square"),
        (Outer(rate=float("nan")), "rate is nan; it must be a number"),
        (Outer(rate=float("inf")), "rate is inf; it must be a number"),
        (Outer(rate="1"), "rate is '1'; it must be a number"),
        (Outer(rate=True), "rate is True; it must be a number"),
        (Outer(count=3.0), "count is 3.0; it must be a whole number"),
        (Outer(on=1), "on is 1; it must be true or false"),
        (Outer(word=None), "word is None; it must be a word"),
        (Outer(file=1), "file is 1; it must be a word, or none"),
        (Outer(words="x,y"), "words is 'x,y'; it must be several words"),
    ],
)
def test_a_value_out_of_its_range_is_one_sentence(value, words):
    with pytest.raises(SspeError, match=r"^The setting ") as error:
        check(value)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_numbers_of_numpy_are_numbers():
    check(Outer(count=np.int64(3), rate=np.float32(0.5)))
    with pytest.raises(SspeError, match=r"count is .*it must be at least 1"):
        check(Outer(count=np.int64(0)))


def test_limits_belong_to_the_range():
    for share in (0, 1):
        check(Outer(count=1, inner=Inner(share=share)))


def test_settings_are_listed_with_value_and_meaning():
    found = list(listed(Outer()))
    assert found[0] == ("count", 3, "a count") and ("inner.kind", "round", "a shape (round, square)") in found
    assert len(found) == 8


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_number_has_a_range_and_every_default_is_in_it(group):
    check(group())
    for field in dataclasses.fields(group):
        assert field.metadata["about"]
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert field.metadata["at_least"] is not None, field.name


@pytest.mark.parametrize(
    ("group", "change", "words"),
    [
        (NetworkSettings(), "dropout=1.5", "dropout is 1.5; it must be from 0 to 1"),
        (NetworkSettings(), "kind=other", "kind is 'other'; choose one of embedding, similarity, cca"),
        (LossSettings(), "top_k=0", "top_k is 0; it must be at least 1"),
        (settings.RegionSettings(), "mode=none", "mode is 'none'; choose one of roi, crops"),
        (settings.EdgeBoxesSettings(), "alpha=1", "alpha is 1.0; it must be from 0.05 to 0.95"),
        (settings.PhotoSettings(), "views=two", "views is 'two'; choose one of one, mirror, crops"),
        (settings.TextSettings(), "context=-2", "context is -2; it must be at least 0"),
    ],
)
def test_values_that_no_model_could_use(group, change, words):
    with pytest.raises(SspeError) as error:
        check(changed(group, [change]))
    assert words in str(error.value)


@pytest.mark.parametrize("made", [LocalizationModelSettings(), RetrievalModelSettings()])
def test_settings_travel_as_json(made):
    assert type(made).from_dict(json.loads(json.dumps(made.as_dict()))) == made


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[1] / "checkpoints").glob("sspe-*.safetensors")), ids=lambda file: file.stem
)
def test_the_settings_of_shipped_checkpoints_are_in_range(file):
    kinds = {"localization": LocalizationModelSettings, "retrieval": RetrievalModelSettings}
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
    check(kinds[metadata.get("task", "localization")].from_dict(json.loads(metadata["settings"])))
