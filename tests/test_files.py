"""Atomic writing, the cache folder, and keys of settings."""

import os

import pytest

from sspe.errors import SspeError
from sspe.files import (
    atomic_write,
    cache_dir,
    check_writable,
    locked,
    make_folder,
    remove_unfinished,
    settings_key,
    written,
)


def test_the_file_appears_only_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "er" / "note.txt"
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".txt"  # some writers append a missing suffix
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("halfway")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_name_without_suffix_and_an_existing_file(tmp_path):
    path = tmp_path / "note"
    for text in ("first", "second"):
        with atomic_write(str(path)) as temporary:
            temporary.write_text(text)
    assert path.read_text() == "second" and list(tmp_path.iterdir()) == [path]


def test_the_permissions_are_those_of_any_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_text("")
        (tmp_path / "b").write_text("")
        assert os.umask(0o027) == 0o027  # atomic_write put it back
    finally:
        os.umask(old)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"]
    assert modes == [0o640, 0o640]


def test_writing_onto_a_folder_fails_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("x")
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "new" / "out.json")
    assert make_folder(tmp_path / "a" / "b").is_dir() and make_folder(str(tmp_path / "a" / "b")).is_dir()
    with pytest.raises(SspeError, match="is a folder, and a file is to be written there"):
        check_writable(tmp_path)
    for bad in (lambda: check_writable(tmp_path / "file" / "out.json"), lambda: make_folder(tmp_path / "file")):
        with pytest.raises(SspeError, match="cannot be made"):
            bad()


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SSPE_CACHE", str(tmp_path / "c"))
    assert cache_dir() == tmp_path / "c"
    monkeypatch.setenv("SSPE_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "sspe"


def test_settings_keys():
    key = settings_key(192, {"alpha": 0.5, "beta": 1}, "5")
    assert len(key) == 16 and int(key, 16) >= 0
    assert key == settings_key(192, {"beta": 1, "alpha": 0.5}, "5")  # the order of names says nothing
    others = [settings_key(192, {"alpha": 0.5, "beta": 2}, "5"), settings_key(192), settings_key("192"), settings_key()]
    assert len({key, *others}) == 5


@pytest.fixture
def small_disk():
    """Files of this process may have 20,000 bytes, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource", reason="this system has no limit of the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path, small_disk):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with (
        pytest.raises(SspeError, match=r"note\.txt could not be written \(File too large\); make room on the"),
        written(path) as new,
    ):
        new.write_bytes(bytes(30_000))
    with pytest.raises(SspeError, match=r"written \(the writer's own words\);"), written(path, RuntimeError):
        raise RuntimeError("the writer's own words\nand a stack")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed(tmp_path):
    path = tmp_path / "note.txt"
    writing = atomic_write(path)
    writing.__enter__().write_text("half")  # never left, as by a kill
    others = [tmp_path / name for name in (".note-short.txt", ".other-12345678.txt", "note-12345678.txt")]
    for other in others:
        other.write_text("")
    remove_unfinished(path)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_a_lock_is_held_until_its_file_is_closed(tmp_path):
    with locked(tmp_path / "lock") as held:
        assert held is not None and locked(tmp_path / "lock") is None
    again = locked(tmp_path / "lock")
    assert again is not None
    again.close()
