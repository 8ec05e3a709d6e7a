"""Recipes of both tasks: what each name means, the paper's values, and what is refused."""

import dataclasses
import json

import pytest

from sspe.errors import SspeError
from sspe.training.recipes import RECIPES, LocalizationRecipe, RetrievalRecipe, recipe

EVERY = [(task, name) for task, recipes in RECIPES.items() for name in recipes]


def test_names():
    names = ["default", "short", "names", "frozen", "region-features", "ablation", "paper", "synthetic"]
    assert list(RECIPES["localization"]) == names
    assert list(RECIPES["retrieval"]) == ["retrieval", "retrieval-frozen", "paper", "released"]
    assert recipe("default") == LocalizationRecipe() and recipe("retrieval", task="retrieval") == RetrievalRecipe()
    assert recipe("short") == dataclasses.replace(LocalizationRecipe(), epochs=4)
    assert recipe("frozen").fine_tune is False and LocalizationRecipe().fine_tune is True
    assert (recipe("synthetic").regions.side, recipe("synthetic").proposals.count) == (224, 100)
    assert recipe("retrieval-frozen", task="retrieval").epochs == 0
    assert RetrievalRecipe().epochs and RetrievalRecipe().frozen_epochs


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_every_recipe_passes_its_own_checks_has_a_line_and_is_plain_values(task, name):
    made = recipe(name, ["loss.margin=0.3"], task)
    assert recipe(name, task=task) == RECIPES[task][name]
    assert made.name == name and made.summary and "\n" not in made.summary
    assert json.loads(json.dumps(made.as_dict()))["loss"]["margin"] == 0.3
    assert not {"name", "summary"} & set(made.as_dict())


@pytest.mark.parametrize(("task", "names"), [(task, ", ".join(recipes)) for task, recipes in RECIPES.items()])
def test_an_unknown_name_lists_those_that_exist(task, names):
    with pytest.raises(SspeError, match=f"no recipe 'best' for {task}; choose one of {names}"):
        recipe("best", task=task)


def test_defaults_of_the_full_pipeline():
    r = recipe("default")
    assert r.proposals.count == 500 and r.network.refiner and r.regions.surroundings and r.text.context
    assert 0 < r.alone < 1 and 0 < r.zoom < 1 and r.refined_iou < r.positive_iou


def test_the_papers_recipe_is_the_papers():
    """Values remembered from the paper's text, or verified in code of its authors; docs/paper_to_code.md has both."""
    r = recipe("paper")
    # The network: fc 2048, fc 512, the embedding network alone, with the released code's dropout.
    assert (r.network.kind, r.network.hidden, r.network.embedding, r.network.dropout) == ("embedding", 2048, 512, 0.5)
    # The objective: m = 0.1, weights 1, lambda 1 = 2, lambda 2 = 0.1, lambda 3 = 0.2, K = 50.
    assert (r.loss.margin, r.loss.region_anchor, r.loss.phrase_anchor, r.loss.top_k) == (0.1, 1, 2, 50)
    assert (r.loss.region_structure, r.loss.phrase_structure) == (0.1, 0.2)
    # Training: SGD with momentum 0.9 from 0.1, a tenth every ten of 30 epochs, decay 5e-4, 1,500 pairs per batch.
    assert (r.optimiser, r.momentum, r.branch_lr, r.decay_every, r.epochs) == ("sgd", 0.9, 0.1, 10, 30)
    assert (r.weight_decay, r.batch * r.regions_per_phrase) == (5e-4, 1500)
    # At most ten regions per phrase, positives from an IoU of 0.7, negatives below 0.3.
    assert (r.regions_per_phrase, r.positive_iou, r.negative_iou) == (10, 0.7, 0.3)
    # Features: VGG-16, frozen; HGLMM of 30 centres, after PCA 6,000 numbers; 200 Edge Boxes.
    assert (r.regions.backbone, r.regions.mode, r.fine_tune) == ("vgg16", "roi", False)
    assert (r.text.encoder, r.text.centres, r.text.pca) == ("hglmm", 30, 6000)
    boxes = r.proposals
    assert (boxes.count, boxes.alpha, boxes.beta, boxes.eta, boxes.min_score) == (200, 0.65, 0.65, 1, 0.01)


@pytest.mark.parametrize("name", ["paper", "ablation"])
def test_what_the_paper_does_not_have_is_left_out(name):
    r = recipe(name)
    assert not (r.loss.same_photo or r.network.refiner or r.regions.geometry or r.regions.surroundings)
    assert not (r.text.context or r.text.head or r.calibrated or r.mining_epoch or r.fine_tune) and r.alone == 1
    assert not (r.flip or r.colour) and r.zoom == 1


def test_the_loss_of_retrieval_in_the_words_of_regions():
    changes = ["photo_anchor=2", "sentence_anchor=3", "photo_structure=4", "sentence_structure=5", "top_k=6"]
    terms = recipe("retrieval", [f"loss.{change}" for change in changes], "retrieval").loss.terms
    assert (terms.region_anchor, terms.phrase_anchor, terms.region_structure, terms.phrase_structure) == (2, 3, 4, 5)
    assert (terms.top_k, terms.same_photo, terms.margin) == (6, 0, 0.1)


def test_the_anchors_of_retrieval_weigh_what_they_do_in_the_released_code():
    for name in ("retrieval", "retrieval-frozen", "released"):
        loss = recipe(name, task="retrieval").loss
        assert (loss.photo_anchor, loss.sentence_anchor) == (1.0, 1.5)  # (1) and (2)


def test_the_papers_recipe_for_retrieval_is_the_papers():
    """As above: some values are remembered, docs/paper_to_code.md says which."""
    r = recipe("paper", task="retrieval")
    assert (r.network.kind, r.network.hidden, r.network.embedding, r.network.dropout) == ("embedding", 2048, 512, 0.5)
    # m = 0.1, weights 1, lambda 1 = 2 on the sentence anchor, lambda 2 = 0.1, lambda 3 = 0.2, K = 50.
    loss = r.loss
    assert (loss.margin, loss.photo_anchor, loss.sentence_anchor, loss.top_k) == (0.1, 1, 2, 50)
    assert (loss.photo_structure, loss.sentence_structure, loss.farthest) == (0.1, 0.2, False)
    assert (r.optimiser, r.momentum, r.frozen_lr, r.decay_every, r.frozen_epochs) == ("sgd", 0.9, 0.1, 10, 30)
    assert (r.weight_decay, r.frozen_batch * r.sentences, r.epochs) == (5e-4, 1500, 0)
    assert (r.photos.backbone, r.photos.side, r.photos.views) == ("vgg19", 224, "crops")
    assert (r.text.encoder, r.text.centres, r.text.pca) == ("hglmm", 30, 6000)


def test_the_released_recipe_is_the_released_codes():
    """Adam at 1e-4 without decay, 20 epochs of 500 images and two sentences each; m = 0.05, weights 1, 1.5, 0, 0.05."""
    r = recipe("released", task="retrieval")
    loss = r.loss
    assert (loss.margin, loss.photo_anchor, loss.sentence_anchor, loss.top_k) == (0.05, 1, 1.5, 10)
    assert (loss.photo_structure, loss.sentence_structure, loss.farthest) == (0, 0.05, True)
    assert (r.optimiser, r.weight_decay, r.frozen_lr, r.frozen_epochs) == ("adamw", 0, 1e-4, 20)
    assert (r.frozen_batch, r.sentences, r.epochs) == (500, 2, 0) and r.decay_every >= r.frozen_epochs
    assert (r.network.hidden, r.network.embedding, r.network.dropout) == (2048, 512, 0.5)
    paper = recipe("paper", task="retrieval")
    assert (r.photos, r.text, r.network) == (paper.photos, paper.text, paper.network)


def test_changes_add_up_and_leave_the_recipe_as_it_was():
    made = recipe("frozen", ["epochs=3", "loss.margin=0.3", "epochs=5", "loss.top_k=9"])
    assert (made.epochs, made.loss.margin, made.loss.top_k, made.batch) == (5, 0.3, 9, 64)
    assert recipe("frozen").epochs == 12


def test_runs_that_read_the_same_data_are_known():
    base = recipe("ablation")
    assert base.reads == recipe("ablation", ["loss.margin=0.3", "epochs=9"]).reads
    for change in ("text.context=3", "proposals.count=50", "regions.side=96", "regions_per_phrase=3"):
        assert base.reads != recipe("ablation", [change]).reads
    retrieval = recipe("retrieval", task="retrieval")
    assert retrieval.reads == recipe("retrieval", ["photos.side=64"], "retrieval").reads
    assert retrieval.reads != recipe("retrieval", ["text.encoder=mean"], "retrieval").reads


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("epochs=0", "epochs is 0; it must be at least 1"),
        ("batch=-4", "batch is -4; it must be at least 1"),
        ("regions.side=0", "regions.side is 0; it must be from 32 to 4096"),
        ("branch_lr=-1", "branch_lr is -1.0; it must be at least 0"),
        ("warm_up=2", "warm_up is 2.0; it must be from 0 to 1"),
        ("optimiser=adam", "optimiser is 'adam'; choose one of adamw, sgd"),
        ("margin=0.2", "no setting 'margin'; 'margin' must be one of alone, backbone_lr, bare, batch"),
        ("name=mine", "no setting 'name'"),
        ("regions.mode=crops", "with regions.mode=crops set regions.surroundings=0"),
        ("unseen=0.1", "set fine_tune=false, or unseen=0"),
        ("things=2", "Things are shown by name where a detector finds them: set detector.boxes, or things=0"),
        ("regions.mode=crops regions.surroundings=0", "Crops are not fine-tuned: set fine_tune=false"),
        ("negative_iou=0.9", "negative_iou is 0.9 and positive_iou is 0.6"),
        ("nouns=5 fine_tune=false", "set fine_tune=true, or nouns=0"),
        ("mining_epoch=2", "set fine_tune=false or mining_epoch=0"),
        ("network.kind=cca", "with network.kind=cca set fine_tune=false and network.refiner=0"),
    ],
)
def test_changes_that_no_localization_run_could_use(changes, words):
    with pytest.raises(SspeError) as error:
        recipe("synthetic", changes.split())
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("frozen_epochs=0 epochs=0", "both 0; nothing would be trained"),
        ("frozen_epochs=-1", "frozen_epochs is -1; it must be at least 0"),
        ("batch=1", "batch is 1; it must be at least 2"),
        ("frozen_batch=1", "frozen_batch is 1; it must be at least 2"),
        ("sentences=1", "needs two of each photo: set sentences=2 or loss.sentence_structure=0"),
        ("photos.views=crops", "Ten crops are not fine-tuned"),
        ("network.kind=similarity", "network.kind is 'similarity'; choose one of embedding, cca"),
        ("network.kind=none", "network.kind is 'none'; choose one of embedding, cca"),
        ("network.kind=cca", "with network.kind=cca set epochs=0"),
        ("network.refiner=8", "set network.refiner=0, text.context=0"),
        ("text.context=5", "set network.refiner=0, text.context=0"),
        ("loss.region_anchor=1", "no setting 'loss.region_anchor'"),
    ],
)
def test_changes_that_no_retrieval_run_could_use(changes, words):
    with pytest.raises(SspeError) as error:
        recipe("retrieval", changes.split(), "retrieval")
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("change", ["fine_tune=false", "fine_tune=false regions.mode=crops"])
def test_without_surroundings_the_backbone_may_stand_still_or_look_at_crops(change):
    assert recipe("synthetic", [*change.split(), "regions.surroundings=0"]).regions.surroundings == 0
