"""Recipes: what each name means, changes by --set, and what is refused."""

import json

import pytest

from sspe.errors import SspeError
from sspe.recipes import RECIPES, Recipe, recipe


def test_names():
    assert {"default", "frozen", "synthetic"} <= set(RECIPES)
    assert recipe("default") == Recipe()
    assert recipe("frozen").fine_tune is False and Recipe().fine_tune is True
    assert (recipe("synthetic").regions.side, recipe("synthetic").proposals.count) == (224, 100)
    assert len({json.dumps(recipe(name).as_dict()) for name in RECIPES}) == len(RECIPES)


def test_unknown_name_lists_those_that_exist():
    with pytest.raises(SspeError, match="no recipe 'best'; choose one of default, frozen, synthetic"):
        recipe("best")


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("backbone_lr=1e-5", "backbone_lr", 1e-5),
        ("warm_up=0", "warm_up", 0.0),
        ("fine_tune=false", "fine_tune", False),
        ("flip=0", "flip", False),
        ("text.head=True", "text.head", True),
        (" loss.margin = 0.2 ", "loss.margin", 0.2),
        ("loss.top_k=7", "loss.top_k", 7),
        ("regions.backbone=efficientnet_lite1", "regions.backbone", "efficientnet_lite1"),
        ("text.vectors=a.txt,b.txt", "text.vectors", ("a.txt", "b.txt")),
        ("text.vectors=", "text.vectors", ()),
        ("proposals.forest=a=b.yml", "proposals.forest", "a=b.yml"),
        ("proposals.forest=none", "proposals.forest", None),
    ],
)
def test_a_change_keeps_the_type_and_nothing_else_changes(change, path, value):
    changed, old = recipe("synthetic", [change]).as_dict(), recipe("synthetic").as_dict()
    new, _ = taken_out(changed, path), taken_out(old, path)
    assert new == value and type(new) is type(value)
    assert changed == old


def taken_out(settings: dict, path: str):
    """The value at "group.name", which is no longer there afterwards."""
    *groups, name = path.split(".")
    for group in groups:
        settings = settings[group]
    return settings.pop(name)


def test_changes_add_up_and_the_last_one_counts():
    made = recipe("frozen", ["epochs=3", "loss.margin=0.3", "epochs=5", "loss.top_k=9"])
    assert (made.epochs, made.loss.margin, made.loss.top_k, made.batch) == (5, 0.3, 9, 64)
    assert recipe("frozen").epochs == 12  # the recipe itself is as it was


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("epochs", "--set takes key=value, for example loss.margin=0.2, and got 'epochs'"),
        ("margin=0.2", "no setting 'margin'; 'margin' must be one of backbone_lr, batch"),
        ("loss.margins=0.2", "no setting 'loss.margins'; 'margins' must be one of margin"),
        ("loss=0.2", "'loss' is a group of settings; set one of loss.margin"),
        ("epochs.margin=0.2", "no setting 'epochs.margin'; 'epochs' holds a single value"),
        ("loss.margin.x=0.2", "no setting 'loss.margin.x'"),
        ("=2", "no setting ''"),
        ("epochs=2.5", "epochs is 4 so far, and '2.5' is no whole number"),
        ("epochs=", "'' is no whole number"),
        ("loss.margin=wide", "loss.margin is 0.1 so far, and 'wide' is no number"),
        ("loss.margin=nan", "'nan' is no number"),
        ("branch_lr=inf", "'inf' is no number"),
        ("flip=perhaps", "'perhaps' is neither true nor false"),
        ("epochs=0", "epochs is 0; it must be at least 1"),
        ("batch=-4", "batch is -4; it must be at least 1"),
        ("regions.side=0", "regions.side is 0; it must be at least 1"),
        ("proposals.count=0", "proposals.count is 0; it must be at least 1"),
        ("branch_lr=-1", "branch_lr is -1.0; it must be at least 0"),
        ("network.dropout=1.5", "network.dropout is 1.5; it must be from 0 to 1"),
        ("warm_up=2", "warm_up is 2.0; it must be from 0 to 1"),
        ("negative_iou=0.9", "negative_iou is 0.9 and positive_iou is 0.6"),
        ("regions.mode=windows", "regions.mode is 'windows'; choose one of roi, crops"),
    ],
)
def test_changes_that_cannot_be_made(change, told):
    with pytest.raises(SspeError) as error:
        recipe("synthetic", [change])
    assert told in str(error.value) and "\n" not in str(error.value)


def test_settings_are_plain_values():
    for name in RECIPES:
        settings = recipe(name).as_dict()
        assert json.loads(json.dumps(settings))["loss"]["margin"] == settings["loss"]["margin"]
