"""Recipes: what each name means, changes by --set, and what is refused."""

import dataclasses
import json

import pytest

from sspe.errors import SspeError
from sspe.training.recipes import RECIPES, Recipe, recipe


def test_names():
    assert {"default", "frozen", "synthetic"} <= set(RECIPES)
    assert recipe("default") == Recipe()
    assert recipe("frozen").fine_tune is False and Recipe().fine_tune is True
    assert (recipe("synthetic").regions.side, recipe("synthetic").proposals.count) == (224, 100)
    assert recipe("short") == dataclasses.replace(Recipe(), epochs=recipe("short").epochs)
    assert recipe("short").epochs < Recipe().epochs
    assert len({json.dumps(recipe(name).as_dict()) for name in RECIPES}) == len(RECIPES)


def test_defaults_of_the_full_pipeline():
    r = recipe("default")
    assert r.proposals.count == 500 and r.network.refiner and r.regions.surroundings and r.text.context
    assert 0 < r.alone < 1 and 0 < r.zoom < 1 and r.refined_iou < r.positive_iou


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_passes_its_own_checks(name):
    assert recipe(name) == RECIPES[name]
    assert recipe(name, ["epochs=2"]).epochs == 2


def test_unknown_name_lists_those_that_exist():
    with pytest.raises(
        SspeError, match="no recipe 'best'; choose one of default, short, frozen, ablation, paper, synthetic"
    ):
        recipe("best")


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("backbone_lr=1e-5", "backbone_lr", 1e-5),
        ("warm_up=0", "warm_up", 0.0),
        ("network.hidden=0", "network.hidden", 0),
        ("optimiser=sgd", "optimiser", "sgd"),
        ("calibrated=false", "calibrated", False),
        ("regions.weights=vgg.pth", "regions.weights", "vgg.pth"),
        ("zoom=1", "zoom", 1.0),
        ("alone=0", "alone", 0.0),
        ("sampled_near=0.25", "sampled_near", 0.25),
        ("network.refiner=0", "network.refiner", 0),
        ("regions.surroundings=0", "regions.surroundings", 0),
        ("text.context=0", "text.context", 0),
        ("loss.refinement=0.5", "loss.refinement", 0.5),
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
        ("margin=0.2", "no setting 'margin'; 'margin' must be one of alone, backbone_lr, batch"),
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
        ("alone=1.1", "alone is 1.1; it must be from 0 to 1"),
        ("sampled_near=-0.1", "sampled_near is -0.1; it must be from 0 to 1"),
        ("refined_iou=2", "refined_iou is 2.0; it must be from 0 to 1"),
        ("zoom=1.5", "zoom is 1.5; it must be from 0 to 1"),
        ("network.refiner=-1", "network.refiner is -1; it must be at least 0"),
        ("regions.surroundings=-1", "regions.surroundings is -1; it must be at least 0"),
        ("regions.margin=-0.5", "regions.margin is -0.5; it must be at least 0"),
        ("text.context=-2", "text.context is -2; it must be at least 0"),
        ("loss.refinement=-1", "loss.refinement is -1.0; it must be at least 0"),
        ("fine_tune=false", "with fine_tune=false or regions.mode=crops set regions.surroundings=0"),
        ("regions.mode=crops", "with fine_tune=false or regions.mode=crops set regions.surroundings=0"),
        ("negative_iou=0.9", "negative_iou is 0.9 and positive_iou is 0.6"),
        ("mining_epoch=2", "set fine_tune=false or mining_epoch=0"),
        ("network.kind=cca", "with network.kind=cca set fine_tune=false and network.refiner=0"),
        ("network.kind=other", "network.kind is 'other'; choose one of embedding, similarity, cca"),
        ("optimiser=adam", "optimiser is 'adam'; choose one of adamw, sgd"),
        ("mined=0", "mined is 0; it must be at least 1"),
        ("momentum=2", "momentum is 2.0; it must be from 0 to 1"),
        ("loss.region_structure=-1", "loss.region_structure is -1.0; it must be at least 0"),
        ("text.pca=0", "text.pca is 0; it must be at least 1"),
        ("regions.mode=windows", "regions.mode is 'windows'; choose one of roi, crops"),
    ],
)
def test_changes_that_cannot_be_made(change, told):
    with pytest.raises(SspeError) as error:
        recipe("synthetic", [change])
    assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("change", ["fine_tune=false", "regions.mode=crops"])
def test_without_surroundings_the_backbone_may_stand_still_or_look_at_crops(change):
    key, _, value = change.partition("=")
    made = recipe("synthetic", [change, "regions.surroundings=0"]).as_dict()
    assert made["regions"]["surroundings"] == 0 and str(taken_out(made, key)).lower() == value
    with pytest.raises(SspeError, match=r"^The surroundings of a region are learnt .* set regions\.surroundings=0\.$"):
        recipe("frozen", ["regions.surroundings=8"])


def test_settings_are_plain_values():
    for name in RECIPES:
        settings = recipe(name).as_dict()
        assert json.loads(json.dumps(settings))["loss"]["margin"] == settings["loss"]["margin"]
