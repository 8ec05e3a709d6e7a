"""The index is made, kept up to date, and whole at any moment."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sspe import Collection, Localizer
from sspe.errors import CollectionError
from sspe.indexing import build as indexing
from sspe.indexing.manifest import FILE, VERSION, only_writer, read_manifest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(photos, tmp_path):
    """Five photos, two of them in a folder below."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for number, photo in enumerate(photos[:5]):
        shutil.copy(photo, folder / ("below" if number > 2 else "") / f"{number}.jpg")
    return folder


@pytest.fixture
def build(folder, tiny_localizer):
    """build(...) -> the collection, after a run of the indexer over the folder."""
    return lambda where=folder, **options: Collection.build(where, localizer=tiny_localizer, **options)


def did(collection):
    built = collection.built
    return {name: getattr(built, name) for name in ("embedded", "copied", "kept", "moved", "forgotten")}


def did_nothing_but(**counts):
    return {"embedded": 0, "copied": 0, "kept": 0, "moved": 0, "forgotten": 0, **counts}


def answers(collection):
    """What a search says, in figures that do not depend on how photos are spread over segments."""
    return {
        hit.path: [(p.text, np.round(p.box, 2).tolist(), round(p.score, 5)) for p in hit.phrases]
        for query in ("a red hat", "the dog beside a man")
        for hit in collection.search(query).hits
    }


def test_a_first_run_embeds_every_photo_and_a_second_none(build):
    first = build()
    assert did(first) == did_nothing_but(embedded=5) and len(first.photos) == 5
    assert {record.path for record in first.photos} == {"0.jpg", "1.jpg", "2.jpg", "below/3.jpg", "below/4.jpg"}
    for record in first.photos:
        assert Image.open(first.path_of(record)).size == (record.width, record.height)
    second = build()
    assert did(second) == did_nothing_but(kept=5) and answers(second) == answers(first)


def test_a_rename_a_move_and_a_touch_embed_nothing(build, folder):
    before = answers(build())
    (folder / "0.jpg").rename(folder / "below" / "renamed.jpg")
    os.utime(folder / "1.jpg", ns=(1, 1))
    after = build()
    assert did(after) == did_nothing_but(kept=4, moved=1)
    before["below/renamed.jpg"] = before.pop("0.jpg")
    assert answers(after) == before
    assert did(build()) == did_nothing_but(kept=5)


def test_an_edited_photo_is_a_new_one(build, folder):
    build()
    Image.open(folder / "0.jpg").rotate(180).save(folder / "0.jpg")
    assert did(build()) == did_nothing_but(kept=4, embedded=1)
    assert len(build().photos) == 5


def test_two_photos_that_changed_places(build, folder):
    before = answers(build())
    (folder / "0.jpg").rename(folder / "x.jpg")
    (folder / "1.jpg").rename(folder / "0.jpg")
    (folder / "x.jpg").rename(folder / "1.jpg")
    swapped = build()
    assert did(swapped) == did_nothing_but(kept=3, copied=2)
    assert answers(swapped) == {**before, "0.jpg": before["1.jpg"], "1.jpg": before["0.jpg"]}


def test_a_copy_is_a_photo_of_its_own(build, folder):
    build()
    shutil.copy(folder / "0.jpg", folder / "copy.jpg")
    copied = build()
    assert did(copied) == did_nothing_but(kept=5, copied=1)
    found = answers(copied)
    assert found["copy.jpg"] == found["0.jpg"]
    (folder / "0.jpg").unlink()
    assert did(build()) == did_nothing_but(kept=5, forgotten=1)


def test_deleted_photos_are_forgotten_beneath_the_folder_walked_alone(build, folder):
    build()
    (folder / "0.jpg").unlink()
    (folder / "below" / "3.jpg").unlink()
    part = build(folder / "below", index=folder / ".sspe")
    assert did(part) == did_nothing_but(kept=1, forgotten=1)
    assert {record.path for record in part.photos} == {"0.jpg", "1.jpg", "2.jpg", "below/4.jpg"}
    assert did(build()) == did_nothing_but(kept=3, forgotten=1)


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "empty"])
def test_a_folder_that_is_missing_or_empty_keeps_its_index(build, folder, tmp_path, missing):
    index = tmp_path / "index"
    before = answers(build(index=index))
    shutil.rmtree(folder)
    if not missing:
        folder.mkdir()
    after = build(index=index)
    assert after.built.offline and after.built.kept == 5 and answers(after) == before
    assert after.offline == ((folder.resolve(),) if missing else ())


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(build, folder):
    (folder / "broken.jpg").write_bytes(b"no picture")
    found = build()
    assert found.built.embedded == 5
    assert list(found.built.skipped) == list(found.skipped) == ["broken.jpg"]
    assert "not a picture" in found.skipped["broken.jpg"]
    (folder / "broken.jpg").unlink()
    assert not build().skipped


def test_a_folder_may_be_moved_with_its_index(build, folder, tmp_path, tiny_localizer):
    before = answers(build())
    moved = folder.rename(tmp_path / "elsewhere")
    found = Collection.open(moved, tiny_localizer)
    assert answers(found) == before
    assert found.search("a dog").hits[0].file.is_file()
    assert did(build(moved)) == did_nothing_but(kept=5)


def test_parts_are_searched_as_one_index(build, folder, tmp_path, tiny_localizer):
    whole = build(index=tmp_path / "whole")
    for i in (1, 2, 3):
        build(index=tmp_path / "parts", part=(i, 3))
    parts = Collection.open(tmp_path / "parts", tiny_localizer)
    assert len(parts.photos) == 5 and answers(parts) == answers(whole)
    ours, theirs = (c.search(["a dog", "a man"]) for c in (parts, whole))
    assert [hit.path for hit in ours.hits] == [hit.path for hit in theirs.hits]
    assert np.allclose([hit.score for hit in ours.hits], [hit.score for hit in theirs.hits], atol=1e-5)


def test_small_segments_become_one(build, folder, monkeypatch):
    monkeypatch.setattr(indexing, "COMMIT", -1.0)  # a commit after every photo
    build()
    (segment,) = read_manifest(folder / ".sspe").segments
    assert segment.photos == segment.stored == 5
    files = {file.name for file in (folder / ".sspe").iterdir()}
    assert files == {FILE, "lock", "coding.safetensors", segment.file, segment.table}


def test_a_run_that_is_stopped_keeps_what_it_did(build, folder, tiny_localizer):
    def stop(done, total, path):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(report=stop)
    assert len(Collection.open(folder, tiny_localizer).photos) == 3
    assert did(build()) == did_nothing_but(kept=3, embedded=2)


def test_one_writer_at_a_time(build, folder):
    build()
    with only_writer(folder / ".sspe"), pytest.raises(CollectionError, match="Another process is writing"):
        build()
    assert did(build()) == did_nothing_but(kept=5)


def test_a_full_disk_leaves_the_old_index_whole(build, folder, photos, monkeypatch):
    before = answers(build())
    shutil.copy(photos[6], folder / "new.jpg")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sspe.indexing.segments.flush", full)
        with pytest.raises(CollectionError, match="No space left on device"):
            build()
    opened = Collection.open(folder, Localizer(build().localizer.model, identity=build().localizer.identity))
    assert {path: found for path, found in answers(opened).items() if path != "new.jpg"} == before


def test_a_folder_that_cannot_be_written_asks_for_another_place(build, folder):
    (folder / ".sspe").write_text("a file where the index is to be")
    with pytest.raises(CollectionError, match="--index PATH"):
        build()


def test_there_must_be_a_folder(build, tmp_path):
    with pytest.raises(CollectionError, match="There is no folder"):
        build(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_an_index_of_another_checkpoint_is_refused(build, folder, tiny_localizer):
    build()
    other = Localizer(tiny_localizer.model, "cpu", "float32", "another")
    for use in (Collection.open, lambda where, localizer: Collection.build(where, localizer=localizer)):
        with pytest.raises(CollectionError, match=r"made with the checkpoint .*, and this is another"):
            use(folder, other)


def test_an_index_of_another_version_is_refused(build, folder, tiny_localizer, monkeypatch):
    build()
    monkeypatch.setattr("sspe.indexing.manifest.VERSION", VERSION + 1)
    with pytest.raises(CollectionError, match="another version"):
        Collection.open(folder, tiny_localizer)


def changed(file, place, by=1):
    data = bytearray(file.read_bytes())
    data[place] ^= by
    file.write_bytes(data)


def test_a_flipped_byte_of_the_manifest(build, folder, tiny_localizer):
    build()
    changed(folder / ".sspe" / FILE, -30)
    for use in (Collection.open, lambda where, localizer: Collection.build(where, localizer=localizer)):
        with pytest.raises(CollectionError, match="damaged"):
            use(folder, tiny_localizer)


@pytest.mark.parametrize("part", ["codes", "rows", "things", "table", "cut off", "gone"])
def test_a_damaged_segment_is_refused_and_the_next_run_mends_it(build, folder, tiny_localizer, part):
    before = answers(build())
    (entry,) = read_manifest(folder / ".sspe").segments
    file = folder / ".sspe" / (entry.table if part == "table" else entry.file)
    if part == "gone":
        file.unlink()
    elif part == "cut off":
        file.write_bytes(file.read_bytes()[:-100])
    elif part == "table":
        changed(file, 20)
    else:
        length = int.from_bytes(file.read_bytes()[:8], "little")
        begin, end = json.loads(file.read_bytes()[8 : 8 + length])[part]["data_offsets"]
        changed(file, 8 + length + (begin + end) // 2) if end > begin else changed(file, 12)
    with pytest.raises(CollectionError, match="`sspe index`"):
        Collection.open(folder, tiny_localizer).search("a dog")
    mended = build()
    assert mended.built.repaired == 5 and answers(mended) == before


def test_a_reader_keeps_what_it_opened(build, folder):
    reader = build()
    before = answers(reader)
    for photo in folder.rglob("*.jpg"):
        if photo.name != "0.jpg":
            photo.unlink()
    assert len(build().photos) == 1
    assert answers(reader) == before


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_answers(folder, photos, checkpoint, tiny_localizer, tmp_path):
    for number, photo in enumerate(photos):
        shutil.copy(photo, folder / f"more-{number}.jpg")
    undisturbed = answers(Collection.build(folder, tmp_path / "undisturbed", tiny_localizer))
    command = f"""
from sspe import Collection, Localizer
from sspe.indexing import build
build.COMMIT = 0.05
print("begun", flush=True)
Collection.build({str(folder)!r}, {str(tmp_path / "killed")!r}, Localizer.from_pretrained({str(checkpoint)!r}, "cpu"))
"""
    rng = np.random.default_rng(0)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        try:
            process.wait(rng.uniform(0.5, 6))
        except subprocess.TimeoutExpired:
            process.kill()  # -9
            process.wait()
        process.stdout.close()
        if (tmp_path / "killed" / FILE).exists():
            Collection.open(tmp_path / "killed", tiny_localizer)
    assert answers(Collection.build(folder, tmp_path / "killed", tiny_localizer)) == undisturbed
