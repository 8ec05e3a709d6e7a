"""sspe/training/region_features.py: a backbone that names regions, and what is trained on it."""

from collections import Counter

import pytest
import torch
from annotated import annotated, dataset, plainly
from safetensors.torch import load_file

from sspe.training.localization_batches import Collate
from sspe.training.localization_data import training_photos
from sspe.training.recipes import recipe
from sspe.training.region_features import BACKGROUND, noun_classes, noun_targets, wanted

TINY = ["text.encoder=tfidf", "detector.boxes=0", "batch=4"]


def test_the_most_frequent_head_nouns_are_the_classes():
    photos = [
        annotated("1", ("a tall man and the man", {"a tall man": [[0, 0, 9, 9]], "the man": [[5, 5, 9, 9]]})),
        annotated("2", ("two dogs chase it", {"two dogs": [[0, 0, 9, 9]], "it": []})),
    ]
    assert noun_classes(photos, 1)[0] == {"": 0, "man": 1}
    assert set(noun_classes(photos, 5)[0]) == {"", "man", "dogs"}  # what has no box is not looked for


@pytest.mark.slow
def test_a_run_learns_the_head_and_what_starts_from_it_takes_the_backbone_alone(train, tmp_path, caplog):
    from sspe.vision.folding import collapsed_state
    from sspe.vision.region_encoder import RegionEncoder

    measured = train(tmp_path / "features", *TINY, name="region-features", limit=4)
    assert 0 <= measured["right_nouns"] <= 1
    published = collapsed_state(RegionEncoder(recipe("region-features").regions, pretrained=True))
    made = load_file(tmp_path / "features" / "best.safetensors")
    changed = {name for name, tensor in published.items() if not torch.equal(tensor.half(), made[f"regions.{name}"])}
    assert changed and all(name.startswith("head.") for name in changed)

    start = tmp_path / "features" / "best.safetensors"
    with caplog.at_level("INFO"):
        changes = ["text.encoder=mean", "epochs=1", "regions_per_phrase=0"]
        train(tmp_path / "run", *changes, name="ablation", start=start, limit=4, val_limit=2)
    assert "start anew: network.image, network.text" in caplog.text
    after = load_file(tmp_path / "run" / "best.safetensors")
    assert all(torch.equal(tensor, after[name]) for name, tensor in made.items() if name.startswith("regions."))


def test_regions_get_the_nouns_and_types_of_their_phrases():
    photo = annotated(
        "1",
        ("a man with a dog", {"a man": [[0, 0, 50, 50]], "a dog": [[60, 0, 100, 50]]}),
        ("a guy", {"a guy": [[0, 0, 50, 50]]}),
    )
    _, table = training_photos([photo])
    batch = Collate(table, context=0)([dataset([photo], plainly(negative_iou=0.5))[0, 0]])
    classes, _ = noun_classes([photo], 5)
    targets = noun_targets(table.texts, classes, {"man": Counter(people=3, other=1)})
    shown, positive = wanted(batch, targets), batch.matches.positive
    man, guy, dog = (
        positive[[table.texts[r] == text for r in batch.phrases]][0] for text in ("a man", "a guy", "a dog")
    )
    assert man.any() and (man == guy).all() and shown[man][:, [classes["man"], classes["guy"]]].eq(1).all()
    assert shown[man & ~dog, len(classes) :].sum(dim=1).eq(1).all() and shown[man].max() == 1
    nothing = batch.matches.negative.all(dim=0)
    assert nothing.any() and shown[nothing, BACKGROUND].eq(1).all() and shown[nothing, 1:].sum() == 0
    assert not shown[man | dog, BACKGROUND].any()
