"""Recipes of retrieval: what each name means, and what is refused."""

import json

import pytest

from sspe.errors import SspeError
from sspe.training.recipes import RETRIEVAL_RECIPES, RetrievalRecipe, retrieval_recipe


def test_names():
    assert retrieval_recipe("retrieval") == RetrievalRecipe()
    assert RetrievalRecipe().epochs and RetrievalRecipe().frozen_epochs
    assert retrieval_recipe("retrieval-frozen").epochs == 0
    with pytest.raises(SspeError, match="no recipe 'frozen' of retrieval; choose one of retrieval, retrieval-frozen"):
        retrieval_recipe("frozen")


@pytest.mark.parametrize("name", RETRIEVAL_RECIPES)
def test_every_recipe_passes_its_own_checks_and_is_plain_values(name):
    assert retrieval_recipe(name) == RETRIEVAL_RECIPES[name]
    settings = retrieval_recipe(name, ["loss.margin=0.3"]).as_dict()
    assert json.loads(json.dumps(settings))["loss"]["margin"] == 0.3


def test_the_loss_in_the_words_of_regions():
    changes = ["photo_anchor=2", "sentence_anchor=3", "photo_structure=4", "sentence_structure=5", "top_k=6"]
    terms = retrieval_recipe("retrieval", [f"loss.{change}" for change in changes]).loss.terms
    assert (terms.region_anchor, terms.phrase_anchor, terms.region_structure, terms.phrase_structure) == (2, 3, 4, 5)
    assert (terms.top_k, terms.same_photo, terms.margin) == (6, 0, 0.1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["frozen_epochs=0", "epochs=0"], "both 0; nothing would be trained"),
        (["frozen_epochs=-1"], "frozen_epochs is -1; it must be at least 0"),
        (["batch=1"], "batch is 1; a step compares photos, so it must be at least 2"),
        (["frozen_batch=1"], "frozen_batch is 1; a step compares photos"),
        (["sentences=0"], "sentences is 0; it must be at least 1"),
        (["sentences=1"], "needs two of each photo: set sentences=2 or loss.sentence_structure=0"),
        (["photos.side=0"], "photos.side is 0"),
        (["photos.views=two"], "photos.views is 'two'; choose one of one, mirror, crops"),
        (["photos.views=crops"], "Ten crops are not fine-tuned"),
        (["network.kind=similarity"], "network.kind is 'similarity'; choose one of embedding, cca"),
        (["network.kind=cca"], "with network.kind=cca set epochs=0"),
        (["network.refiner=8"], "set network.refiner=0, text.context=0"),
        (["text.context=5"], "set network.refiner=0, text.context=0"),
        (["loss.photo_anchor=-1"], "loss.photo_anchor is -1.0; it must be at least 0"),
        (["zoom=2"], "zoom is 2.0; it must be from 0 to 1"),
        (["loss.region_anchor=1"], "no setting 'loss.region_anchor'"),
    ],
)
def test_changes_that_cannot_be_made(changes, told):
    with pytest.raises(SspeError) as error:
        retrieval_recipe("retrieval", changes)
    assert told in str(error.value) and "\n" not in str(error.value)
