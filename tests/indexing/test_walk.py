"""Which photos a walk finds, and what it leaves out."""

import os

import pytest

from sspe.indexing.walk import walk


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def paths(folder):
    return [file.path for file in walk(folder).files]


def test_pictures_are_found_below_the_folder_sorted_with_forward_slashes(tmp_path):
    touch(tmp_path, "b.JPG", "a/c.png", "a/d/e.heic", "a.txt", "raw.cr2", "f.avif", "g.jfif", "h.jp2")
    assert paths(tmp_path) == ["a/c.png", "a/d/e.heic", "b.JPG", "f.avif", "g.jfif", "h.jp2"]
    assert walk(tmp_path).passed_over == 2


def test_hidden_and_system_folders_are_left_out(tmp_path):
    touch(
        tmp_path,
        ".sspe/a.jpg",
        ".else/a.jpg",
        ".b.jpg",
        "@eaDir/c.jpg",
        "System Volume Information/d.jpg",
        "#recycle/e.jpg",
        "f.jpg",
    )
    assert paths(tmp_path) == ["f.jpg"]
    assert walk(tmp_path).passed_over == 5


def test_a_link_is_followed_once_and_never_in_circles(tmp_path):
    touch(tmp_path, "photos/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "photos" / "up").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    assert paths(tmp_path / "photos") == ["a.jpg", "more/b.jpg"]


def test_size_and_time_are_those_of_the_file(tmp_path):
    touch(tmp_path, "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(5, 7_000_000_001))
    (file,) = walk(tmp_path).files
    assert (file.size, file.modified) == (1, 7_000_000_001)


def test_a_link_to_nothing_is_passed_over(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    touch(tmp_path, "b.jpg")
    found = walk(tmp_path)
    assert [file.path for file in found.files] == ["b.jpg"] and list(found.unreadable) == ["a.jpg"]


def test_a_forbidden_folder_is_named_and_hides_what_is_in_it(tmp_path, closed_is_forbidden):
    touch(tmp_path, "a.jpg", "closed/b.jpg", "closedtoo.jpg")
    found = walk(tmp_path)
    assert [file.path for file in found.files] == ["a.jpg", "closedtoo.jpg"]
    assert found.unreadable == {"closed": "the folder cannot be read (Permission denied)"}
    assert found.hides("closed/b.jpg") and not found.hides("closedtoo.jpg")


@pytest.mark.parametrize("name", ["ä ö.jpg", "a\nb.png"])
def test_names_of_any_letters(tmp_path, name):
    touch(tmp_path, name)
    assert paths(tmp_path) == [name]
