"""Checkpoints: what is saved comes back, and whatever else is given is refused in one sentence."""

import dataclasses
import json
import pickle
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sspe.checkpoint
from sspe.checkpoint import DEFAULTS, VERSION, find_checkpoint, identity, load_checkpoint, save_checkpoint
from sspe.errors import CheckpointError, SspeError
from sspe.models.calibration import EVIDENCE, Calibration
from sspe.text.context import ALONE, Context
from sspe.vision.photo import open_photo

PHRASES = ["a man", "the large red ball", "woman", "a striped hat on a dog", "unheard-of zyx"]


CONTEXTS = [Context("", " in a red hat"), ALONE, Context("the man, a ", " and a dog"), ALONE, Context("the", "car")]


def rewritten(checkpoint, path, change):
    """A copy of the checkpoint after ``change(tensors, metadata)``."""
    tensors = load_file(checkpoint)
    with safe_open(checkpoint, framework="pt") as file:
        metadata = dict(file.metadata())
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    return path


def one_sentence(error) -> str:
    """The text of an error, which must read as one sentence."""
    text = str(error.value)
    assert "\n" not in text and len(text) < 500 and text.endswith((".", ")"))
    return text


def test_embeddings_come_back_as_they_were(make_localization_model, checkpoint, photos):
    made, (loaded, _) = make_localization_model(), load_checkpoint(checkpoint)
    photo = open_photo(photos[0])
    boxes = made.edge_boxes(photo)
    assert np.array_equal(loaded.edge_boxes(photo), boxes)
    made, loaded = made.for_inference("cpu", "float32"), loaded.for_inference("cpu", "float32")
    regions, phrases = made.embed_regions(photo, boxes), made.embed_phrases(PHRASES, CONTEXTS)
    found = loaded.embed_regions(photo, boxes)
    assert regions.embeddings.dtype == torch.float32 and phrases.dtype == torch.float32
    torch.testing.assert_close(found.embeddings, regions.embeddings, atol=4e-3, rtol=0)
    torch.testing.assert_close(found.described, regions.described, atol=4e-2, rtol=0)
    torch.testing.assert_close(loaded.embed_phrases(PHRASES, CONTEXTS), phrases, atol=4e-3, rtol=0)
    refined, again = made.locate(regions, PHRASES, CONTEXTS).boxes, loaded.locate(found, PHRASES, CONTEXTS).boxes
    assert np.abs(again - refined).max() < 0.01 * max(photo.shape)
    # The tolerance is one of float16, far below what other weights would give.
    other = make_localization_model(seed=1).for_inference("cpu", "float32")
    others = other.embed_regions(photo, boxes)
    assert (others.embeddings - regions.embeddings).abs().max() > 0.2
    assert (others.described - regions.described).abs().max() > 0.4
    assert (other.embed_phrases(PHRASES, CONTEXTS) - phrases).abs().max() > 0.2
    assert np.abs(other.locate(others, PHRASES, CONTEXTS).boxes - refined).max() > 0.1 * max(photo.shape)


@pytest.mark.parametrize(("refiner", "context"), [(0, 0), (0, 3), (8, 0), (24, 5)])
def test_settings_come_back_and_with_them_every_part(make_localization_model, tmp_path, refiner, context):
    made = make_localization_model(refiner=refiner, context=context)
    save_checkpoint(made, tmp_path / "a.safetensors", {})
    loaded, _ = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.settings == made.settings and loaded.settings.network.refiner == refiner
    assert (loaded.network.refiner is None) == (refiner == 0)
    assert loaded.text_encoder.settings() == made.text_encoder.settings()
    assert (loaded.text_encoder.context, loaded.text_encoder.feature_size) == (context, 48 if context else 24)
    loaded.for_inference("cpu", "float32")
    both = [model.embed_phrases(["a man"] * 2, [ALONE, Context("the", "in red")]) for model in (made, loaded)]
    torch.testing.assert_close(both[1], both[0], atol=4e-3, rtol=0)
    assert torch.allclose(*both[1]) == (context == 0)


def test_a_calibration_comes_back_and_none_stays_none(make_localization_model, checkpoint, tmp_path):
    assert load_checkpoint(checkpoint)[0].calibration is None
    made = make_localization_model()
    rng = torch.Generator().manual_seed(0)
    bank = torch.nn.functional.normalize(torch.randn(7, 24, generator=rng), dim=1)
    made.calibration = Calibration(bank, *torch.randn(2, len(EVIDENCE) + 1, generator=rng))
    save_checkpoint(made, tmp_path / "a.safetensors", {})
    loaded = load_checkpoint(tmp_path / "a.safetensors")[0].calibration
    for name, tensor in vars(made.calibration).items():
        assert getattr(loaded, name).dtype == torch.float32
        torch.testing.assert_close(getattr(loaded, name), tensor, atol=2e-3, rtol=2e-3)


def test_saving_leaves_the_pipeline_in_training(make_localization_model, tmp_path, photos):
    model, photo = make_localization_model(), open_photo(photos[0])
    boxes = model.edge_boxes(photo)
    before = model.embed_regions(photo, boxes)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_checkpoint(model, tmp_path / "a.safetensors", {})
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    after = model.embed_regions(photo, boxes)
    assert torch.equal(after.embeddings, before.embeddings) and torch.equal(after.described, before.described)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_loading_draws_no_random_numbers(checkpoint):
    torch.manual_seed(0)
    load_checkpoint(checkpoint)
    drawn = torch.rand(4)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(4))


def test_a_loaded_checkpoint_saves_as_the_same_file(checkpoint, tmp_path):
    model, about = load_checkpoint(checkpoint)
    save_checkpoint(model, tmp_path / "again.safetensors", about)
    again = load_file(tmp_path / "again.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in load_file(checkpoint).items())


def test_tensors_are_float16_and_the_metadata_says_what_they_are(checkpoint):
    with safe_open(checkpoint, framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["format"], metadata["version"]) == ("sspe", VERSION)
    settings, text, about = (json.loads(metadata[name]) for name in ("settings", "text", "about"))
    assert settings["regions"]["side"] == 96 and settings["network"]["embedding"] == 24
    assert settings["regions"]["surroundings"] == settings["network"]["refiner"] == 16
    assert settings["proposals"]["count"] == 40
    assert text["name"] == "mean" and text["settings"]["words"][0][:3] == ["a", "the", "man"]
    assert text["settings"]["context"] == 3
    assert about["recipe"] == "none" and torch.__version__.startswith(about["libraries"]["torch"])
    floating = [tensor for tensor in load_file(checkpoint).values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floating} == {torch.float16}
    _, loaded = load_checkpoint(checkpoint)
    assert loaded == about


def test_a_failing_save_leaves_the_old_file_whole(make_localization_model, checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "kept.safetensors"
    path.write_bytes(checkpoint.read_bytes())

    def fail(tensors, file, metadata):
        file.write_bytes(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(SspeError, match=r"kept\.safetensors could not be written \(disk full\); make room"):
        save_checkpoint(make_localization_model(), path, {})
    with pytest.raises(TypeError):  # what cannot be written as JSON is found before anything is written
        save_checkpoint(make_localization_model(), path, {"about": object()})
    assert path.read_bytes() == checkpoint.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["kept.safetensors"]


def test_unknown_version(checkpoint, tmp_path):
    for version in ("0", str(int(VERSION) + 1)):
        path = rewritten(
            checkpoint, tmp_path / "odd.safetensors", lambda _, metadata, v=version: metadata.update(version=v)
        )
        with pytest.raises(
            CheckpointError, match=f"has format version {version} and this sspe reads version {VERSION}"
        ) as e:
            load_checkpoint(path)
        one_sentence(e)


def test_foreign_safetensors(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="was not written by sspe") as error:
        load_checkpoint(tmp_path / "foreign.safetensors")
    one_sentence(error)


PARTS = ["network.image.layers.4.bias", "regions.map.0.weight", "text.vectors.0"]
PARTS += ["network.refiner.changes.bias", "regions.around.describe.weight"]


@pytest.mark.parametrize("name", PARTS)
def test_missing_tensor_is_named(checkpoint, tmp_path, name):
    path = rewritten(checkpoint, tmp_path / "less.safetensors", lambda tensors, metadata: tensors.pop(name))
    with pytest.raises(CheckpointError, match=re.escape(name.removeprefix("text."))) as error:
        load_checkpoint(path)
    assert "less.safetensors" in one_sentence(error)


def test_misshapen_and_surplus_tensors(checkpoint, tmp_path):
    def cut(tensors, metadata):
        tensors["network.image.layers.4.bias"] = tensors["network.image.layers.4.bias"][:-1].clone()

    def add(tensors, metadata):
        tensors["network.third"] = torch.zeros(2)

    for change, name in ((cut, "network.image.layers.4.bias"), (add, "network.third")):
        with pytest.raises(CheckpointError, match=f"does not fit.*{re.escape(name)}") as error:
            load_checkpoint(rewritten(checkpoint, tmp_path / "odd.safetensors", change))
        one_sentence(error)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("settings"),
        lambda m: m.pop("text"),
        lambda m: m.update(settings="no JSON"),
        lambda m: m.update(settings="[]"),
        lambda m: m.update(settings='{"regions": {"sides": 3}, "network": {}, "proposals": {}}'),
        lambda m: m.update(settings='{"regions": {"mode": "x"}, "network": {}, "proposals": {}}'),
        lambda m: m.update(settings='{"regions": {"backbone": "x"}, "network": {}, "proposals": {}}'),
        lambda m: m.update(text='{"name": "bag"}'),
        lambda m: m.update(text='{"name": "bag", "settings": {}}'),
        lambda m: m.update(text='{"name": "mean", "settings": {"words": [["one"]], "head": true}}'),
        lambda m: m.update(text='"mean"'),
        lambda m: m.update(text='{"name": "mean", "settings": null}'),
    ],
)
def test_damaged_metadata(checkpoint, tmp_path, change):
    path = rewritten(checkpoint, tmp_path / "odd.safetensors", lambda tensors, metadata: change(metadata))
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    one_sentence(error)


NONSENSE = [
    ("regions.side", -3, "regions.side is -3; it must be from 32 to 4096"),
    ("regions.side", 96.5, "it must be a whole number"),
    ("regions.side", 10**12, "it must be from 32 to 4096"),
    ("regions.geometry", 1, "regions.geometry is 1; it must be true or false"),
    ("regions.mode", "pieces", "choose one of roi, crops"),
    ("regions.weights", ["a"], "it must be a word, or none"),
    ("network.dropout", "0.5" * 100, "network.dropout is '0.50.50.50.5"),
    ("network.dropout", float("nan"), "network.dropout is nan; it must be from 0 to 1"),
    ("network.hidden", 10**7, "it must be from 0 to 16384"),
    ("network.kind", None, "it must be a word"),
    ("proposals.alpha", 7, "proposals.alpha is 7; it must be from 0.05 to 0.95"),
    ("proposals.count", True, "it must be a whole number"),
    ("detector.least", -0.1, "detector.least is -0.1; it must be from 0 to 1"),
]


@pytest.mark.parametrize(("key", "value", "words"), NONSENSE)
def test_a_setting_that_no_model_has(checkpoint, tmp_path, key, value, words):
    def change(tensors, metadata):
        settings, (group, name) = json.loads(metadata["settings"]), key.split(".")
        settings[group][name] = value
        metadata["settings"] = json.dumps(settings)

    with pytest.raises(CheckpointError, match=r"odd\.safetensors cannot be used: the setting ") as error:
        load_checkpoint(rewritten(checkpoint, tmp_path / "odd.safetensors", change))
    assert words in one_sentence(error)


@pytest.mark.parametrize("context", [-1, 2.0, "3", None, True])
def test_a_context_that_no_text_encoder_reads(checkpoint, tmp_path, context):
    def change(tensors, metadata):
        text = json.loads(metadata["text"])
        text["settings"]["context"] = context
        metadata["text"] = json.dumps(text)

    with pytest.raises(CheckpointError, match=r"words around a phrase|text vector") as error:
        load_checkpoint(rewritten(checkpoint, tmp_path / "odd.safetensors", change))
    one_sentence(error)


def test_a_flipped_byte_anywhere(checkpoint, tmp_path):
    """In the length of the header, the header and the tensors; of the metadata only what is read matters."""
    whole, path = checkpoint.read_bytes(), tmp_path / "flipped.safetensors"
    header = 8 + int.from_bytes(whole[:8], "little")
    key = whole.index(b'"settings"') + 3  # metadata are written in an order that is another one every time
    for place in (0, 6, 9, key, header - 40, header + 1, (header + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(CheckpointError) as error:
            load_checkpoint(path)
        assert str(path) in one_sentence(error)
    assert "damaged: its checksum is not the one written" in str(error.value)


def test_a_file_without_a_checksum_is_read(checkpoint, tmp_path):
    """Those written before there was one."""
    old = rewritten(checkpoint, tmp_path / "old.safetensors", lambda tensors, metadata: metadata.pop("checksum"))
    assert load_checkpoint(old)[0].settings == load_checkpoint(checkpoint)[0].settings


def test_a_pickle_under_our_name_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    for write in (pickle.dumps, lambda trap: pickle.dumps({"format": "sspe", "model": trap})):
        (tmp_path / "trap.safetensors").write_bytes(write(Trap()))
        with pytest.raises(CheckpointError, match=r"is not a readable \.safetensors file") as error:
            load_checkpoint(tmp_path / "trap.safetensors")
        one_sentence(error)
    torch.save({"model": Trap()}, tmp_path / "trap.safetensors")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "trap.safetensors")
    assert not (tmp_path / "sprung").exists()


def test_truncated_files_and_files_that_are_none(checkpoint, tmp_path):
    whole = checkpoint.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:5], b"", b"not a checkpoint at all"):
        path = tmp_path / "broken.safetensors"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"is not a readable \.safetensors file") as error:
            load_checkpoint(path)
        assert str(path) in one_sentence(error)


def test_no_file_and_a_folder(tmp_path):
    for find in (find_checkpoint, load_checkpoint):
        with pytest.raises(CheckpointError, match=r"does not exist|There is no checkpoint") as error:
            find(tmp_path / "absent.safetensors")
        assert "absent.safetensors" in one_sentence(error)
        with pytest.raises(CheckpointError, match="is a folder") as error:
            find(tmp_path)
        one_sentence(error)
        with pytest.raises(CheckpointError):
            find("x" * 5000)


def test_a_folder_named_like_a_repository_is_not_looked_up_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "runs" / "first").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(CheckpointError, match="runs/first is a folder"):
        find_checkpoint("runs/first")


@pytest.fixture
def shipped(checkpoint, tmp_path, monkeypatch):
    """A folder of shipped checkpoints: the default one and another."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in (DEFAULTS["localization"], "other"):
        (folder / f"{name}.safetensors").write_bytes(checkpoint.read_bytes())
    monkeypatch.setattr(sspe.checkpoint, "SHIPPED", folder)
    return folder


def test_names(shipped, checkpoint):
    assert find_checkpoint() == find_checkpoint(DEFAULTS["localization"])
    assert find_checkpoint().parent == shipped
    assert find_checkpoint("other") == find_checkpoint("other.safetensors") == shipped / "other.safetensors"
    assert find_checkpoint(str(checkpoint)) == checkpoint


def test_an_unknown_name_lists_those_that_exist(shipped):
    with pytest.raises(CheckpointError, match=f"'nobody'.*other, {DEFAULTS['localization']}") as error:
        find_checkpoint("nobody")
    one_sentence(error)


def test_no_shipped_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(sspe.checkpoint, "SHIPPED", tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="There is no checkpoint for localization in") as error:
        find_checkpoint()
    one_sentence(error)


def test_a_repository_without_a_network_is_one_sentence(monkeypatch):
    def fail(repository, **_):
        assert repository == "someone/weights"
        raise ConnectionError("a long story\nof sockets")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(CheckpointError, match="'someone/weights' could not be downloaded") as error:
        find_checkpoint("someone/weights")
    assert "sockets" not in one_sentence(error)


def test_a_repository_holds_one_checkpoint(monkeypatch, tmp_path, checkpoint):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(CheckpointError, match=r"holds 0 \.safetensors files; it must hold one"):
        find_checkpoint("someone/weights")
    (tmp_path / "model.safetensors").write_bytes(checkpoint.read_bytes())
    assert find_checkpoint("someone/weights") == tmp_path / "model.safetensors"
    (tmp_path / "more.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"holds 2 \.safetensors files"):
        find_checkpoint("someone/weights")


def test_identity_is_of_the_content(checkpoint, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(checkpoint.read_bytes())
    assert identity(copy) == identity(checkpoint)
    copy.write_bytes(checkpoint.read_bytes() + b" ")
    assert identity(copy) != identity(checkpoint)


@pytest.mark.parametrize("kind", ["similarity", "cca"])
def test_other_kinds_of_network_localize_after_a_round_trip(make_localization_model, tmp_path, kind):
    from sspe.models.networks import create_network
    from sspe.settings import NetworkSettings

    model = make_localization_model(refiner=0)
    settings = NetworkSettings(kind=kind, hidden=32, embedding=12, judge=8, refiner=0)
    d, t = model.regions.feature_size, model.text_encoder.feature_size
    model.settings = dataclasses.replace(model.settings, network=settings)
    model.network = create_network(d, t, settings)
    if kind == "cca":
        model.network.fit([(torch.rand(50, d), torch.rand(50, t))])
    save_checkpoint(model, tmp_path / "other.safetensors", {})
    loaded, _ = load_checkpoint(tmp_path / "other.safetensors")
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    boxes = np.array([[0, 0, 80, 60], [0, 0, 30, 30], [20, 10, 70, 50]], np.float32)
    found = []
    for p in (model, loaded):
        p.for_inference("cpu", "float32")
        found.append(p.locate(p.embed_regions(photo, boxes), ["a red hat", "a dog", "the ball"]).scores)
    np.testing.assert_allclose(found[0], found[1], atol=0.02)
    assert found[0].shape == (3, 3) and found[0].std() > 0
    assert (found[0] > (0 if kind == "similarity" else -1)).all() and (found[0] < 1).all()


def test_cca_gives_the_same_embeddings_before_and_after_saving(make_localization_model, tmp_path, photos):
    """Whitening magnifies what float16 does to its matrices and to the features: which photo came first changed."""
    from sspe.models.networks import create_network
    from sspe.settings import NetworkSettings

    model = make_localization_model(refiner=0)
    settings = NetworkSettings(kind="cca", embedding=12, refiner=0)
    model.settings = dataclasses.replace(model.settings, network=settings)
    model.network = create_network(model.regions.feature_size, model.text_encoder.feature_size, settings)
    photo, boxes = open_photo(photos[0]), model.edge_boxes(open_photo(photos[0]))
    model.network.fit([(model.regions.encode(photo, boxes), torch.rand(len(boxes), model.text_encoder.feature_size))])
    save_checkpoint(model, tmp_path / "cca.safetensors", {})
    assert {t.dtype for t in load_file(tmp_path / "cca.safetensors").values() if t.is_floating_point()} == {
        torch.float32
    }
    loaded, _ = load_checkpoint(tmp_path / "cca.safetensors")
    made, again = (m.for_inference("cpu", "float32") for m in (model, loaded))
    torch.testing.assert_close(
        again.embed_regions(photo, boxes).embeddings, made.embed_regions(photo, boxes).embeddings, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(again.embed_phrases(PHRASES), made.embed_phrases(PHRASES), atol=1e-5, rtol=0)
