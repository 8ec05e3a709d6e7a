"""The tab Search as a visitor meets it: typing, chips, keys, tiles, export, photos of their own."""

import json
import zipfile

import pytest
from album import NAMES, make_album
from fake_collection import FakeCollection
from visitor import PHONE

from sspe.web.page import build_app
from sspe.web.shelves import Shelves

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return FakeCollection(make_album(tmp_path_factory.mktemp("photos") / "album"))


@pytest.fixture(scope="module")
def address(localizer, collection):
    """Address of a page whose collection is the album."""
    from serving import served

    with served(build_app(localizer, shelves=Shelves(localizer, collection, FakeCollection.build))) as url:
        yield url


def open_search(page):
    page.get_by_role("tab", name="Search").click()
    expect(page.locator(".se-tile")).to_have_count(6)
    return page


@pytest.fixture
def search(visit):
    """The tab on a desktop screen, with all six photos."""
    return open_search(visit())


def names(page):
    return page.locator(".se-tile").evaluate_all("nodes => nodes.map(node => node.tile.name)")


def look_for(page, words, count):
    page.locator(".se-field").fill(words)
    expect(page.locator(".se-tile")).to_have_count(count)


def test_opens_on_all_photos(search):
    assert names(search) == sorted(NAMES)
    expect(search.locator(".se-count")).to_have_text("6 photos")
    expect(search.locator(".se-frame img")).to_have_count(6)


def test_results_come_while_typing(search):
    field = search.locator(".se-field")
    field.press_sequentially("a dog", delay=30)
    expect(search.locator(".se-tile")).to_have_count(3)
    expect(field).to_be_focused()
    expect(field).to_have_value("a dog")
    expect(search.locator(".se-count")).to_have_text("3 of 6 photos")
    expect(search.locator(".se-facts")).to_have_text("searched 6 of 6 · 1 ms · exact")
    assert search.locator(".se-figure").all_inner_texts() == ["87 %", "78 %", "73 %"]
    field.fill("")
    expect(search.locator(".se-tile")).to_have_count(6)


def test_boxes_sit_where_the_data_say(search):
    look_for(search, "red ball", 1)
    frame = search.locator(".se-frame").first
    expect(frame.locator("img")).to_be_visible()
    around, box = frame.bounding_box(), frame.locator(".se-box").bounding_box()
    # 160 x 120 pixels, box 16, 30, 80, 90; the crop is 102.4 pixels wide and high: from 0 to 102 and 8 to 111.
    assert box["x"] - around["x"] == pytest.approx(16 / 102 * around["width"], abs=3)
    assert box["width"] == pytest.approx(64 / 102 * around["width"], abs=3)
    assert around["width"] == pytest.approx(around["height"], rel=0.02)


def test_chips_add_and_leave_out_by_keyboard(search):
    field = search.locator(".se-field")
    chips = search.locator(".se-sign")
    for words in ("a dog", "- a leash"):
        field.fill(words)
        field.press("Enter")
    expect(chips).to_have_text(["+ a dog", "− a leash"])
    expect(search.locator(".se-tile")).to_have_count(2)
    expect(search.locator(".se-facts")).to_contain_text("1 left out")
    look_for(search, "a ball", 1)  # beside the chips
    field.fill("")
    expect(search.locator(".se-tile")).to_have_count(2)
    field.press("Backspace")  # in the empty field: the last chip goes
    expect(chips).to_have_text(["+ a dog"])
    expect(search.locator(".se-tile")).to_have_count(3)
    field.fill("- a leash")
    field.press("Enter")
    chips.nth(1).click()  # turned: the leash is to be there now
    expect(chips.nth(1)).to_have_text("+ a leash")
    expect(chips.nth(1)).to_be_focused()
    expect(search.locator(".se-name")).to_have_text(["dog and leash and tree.png"])
    search.keyboard.press("Delete")
    search.get_by_role("button", name="Remove + a dog").click()
    expect(search.locator(".se-tile")).to_have_count(6)
    expect(field).to_be_focused()


def test_a_sentence_becomes_its_phrases(search):
    look_for(search, "a dog and a ball", 1)
    search.locator(".se-field").press("Enter")
    expect(search.locator(".se-sign")).to_have_text(["+ a dog", "+ a ball"])
    expect(search.locator(".se-pick .se-box")).to_have_count(2)


def test_nothing_found_is_a_sentence(search):
    look_for(search, "a horse", 0)
    expect(search.locator(".se-message:visible")).to_contain_text("no photo shows “a horse” with a probability of 40 %")
    look_for(search, "a zorblax", 0)
    expect(search.locator(".se-message:visible")).to_contain_text("“a zorblax” is not a word it knows")
    expect(search.locator(".se-saving")).to_be_hidden()  # there is nothing to export


def test_code_in_a_phrase_is_shown_and_never_run(search):
    code = "<img src=x onerror=alert(1)> ${alert(1)}"
    look_for(search, code, 0)
    expect(search.locator(".se-message:visible")).to_contain_text(code)
    search.locator(".se-field").press("Enter")
    expect(search.locator(".se-sign")).to_have_text("+ " + code)


def test_the_slider_filters_at_once_and_asks_for_more(search, collection):
    look_for(search, "a dog", 3)
    slider = search.get_by_label("At least")
    expect(slider).to_have_value("40")
    before = len(collection.asked)
    slider.fill("75")
    expect(search.locator(".se-tile")).to_have_count(2)
    expect(search.locator(".se-count")).to_have_text("2 of 6 photos")
    slider.fill("99")
    expect(search.locator(".se-message:visible")).to_contain_text("No photo reaches 99 %")
    assert len(collection.asked) == before  # nobody was asked
    slider.fill("0")
    expect(search.locator(".se-tile")).to_have_count(6)
    assert collection.asked[-1][3] == 0


def test_order_by_date_is_among_the_hits(search):
    look_for(search, "a dog", 3)
    order = search.get_by_label("Order of the photos")
    order.select_option("newest")
    assert names(search) == ["dog and ball 2021.png", "dog 2019.png", "dog and leash and tree.png"]
    expect(search.locator(".se-name").first).to_have_text("2021-05-01 dog and ball 2021.png")
    order.select_option("oldest")
    assert names(search) == ["dog 2019.png", "dog and ball 2021.png", "dog and leash and tree.png"]


def focused(page):
    return page.evaluate("document.activeElement.closest('.se-tile')?.tile.name")


def selected(page):
    return page.locator(".se-tile.chosen .se-name").all_inner_texts()


def test_an_answer_like_the_last_one_holds_up_no_later_question(search):
    field = search.locator(".se-field")
    field.fill("- a horse")
    field.press("Enter")
    expect(search.locator(".se-message:visible")).to_contain_text("only what is not to be there")
    for words in ("a", ""):  # the same question again, and so the very same answer
        field.fill(words)
    search.wait_for_timeout(1000)
    field.fill("a cat")
    expect(search.locator(".se-tile")).to_have_count(1, timeout=6500)  # a lost one is sent again after 8 s


def test_keys_move_select_and_look(search):
    ordered = sorted(NAMES)
    search.locator(".se-field").press("ArrowDown")
    assert focused(search) == ordered[0]
    search.keyboard.press("ArrowRight")
    assert focused(search) == ordered[1]
    search.keyboard.press("x")
    assert selected(search) == ordered[1:2]
    search.keyboard.press("Shift+ArrowRight")
    search.keyboard.press("Shift+ArrowRight")
    assert selected(search) == ordered[1:4]
    expect(search.locator(".se-what")).to_have_text("Export 3 selected:")
    search.keyboard.press("Control+a")
    assert selected(search) == ordered
    search.keyboard.press("Escape")
    assert selected(search) == []
    search.keyboard.press("Home")
    search.keyboard.press(" ")
    dialog = search.locator(".se-look")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text(ordered[0])
    search.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text(ordered[1])
    search.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    # The browser says a moment later that it has closed, and then the keys go on from the photo last shown.
    expect(search.locator(".se-tile").nth(1).locator(".se-pick")).to_be_focused()


def test_ranges_by_mouse(search):
    tiles = search.locator(".se-pick")
    tiles.nth(1).click(modifiers=["Control"])
    tiles.nth(4).click(modifiers=["Shift"])
    assert selected(search) == sorted(NAMES)[1:5]
    search.get_by_role("button", name="Select none").click()
    assert selected(search) == []
    search.get_by_role("button", name="Select all").click()
    assert selected(search) == sorted(NAMES)


def test_the_whole_photo_on_hover(search):
    look_for(search, "red ball", 1)
    tile = search.locator(".se-tile")
    expect(tile.locator(".se-frame")).to_have_count(1)
    tile.hover()
    whole = tile.locator(".se-whole")
    expect(whole.locator("img")).to_be_visible()
    size = whole.bounding_box()
    assert size["width"] / size["height"] == pytest.approx(160 / 120, rel=0.02)
    search.mouse.move(2, 2)
    expect(whole).to_be_hidden()


def test_enter_on_a_tile_localizes_its_phrases(search):
    look_for(search, "a dog and a ball", 1)
    search.locator(".se-field").press("ArrowDown")
    search.keyboard.press("Enter")
    expect(search.locator(".lv-photo img")).to_have_attribute("alt", "The photo, 160 by 120 pixels")
    expect(search.locator("#sentence textarea")).to_have_value("a dog and a ball")
    expect(search.get_by_role("tab", name="Localize")).to_have_attribute("aria-selected", "true")
    expect(search.locator(".lv-box")).to_have_count(2)


def test_more_and_not_like_this(search):
    look_for(search, "a dog", 3)
    first = search.locator(".se-tile").first
    first.hover()
    first.get_by_role("button", name="More like this").click()
    expect(search.locator(".se-sign")).to_have_text("+like this")
    expect(search.locator(".se-figure").first).to_have_text("1.00")
    expect(search.locator(".se-field")).to_have_value("")
    look_for(search, "a ball", 3)  # words again, instead of the region
    expect(search.locator(".se-sign")).to_have_count(0)
    dog = search.locator(".se-tile", has_text="dog and ball")
    dog.hover()
    dog.get_by_role("button", name="Not like this").click()
    expect(search.locator(".se-tile")).to_have_count(2)
    expect(search.locator(".se-facts")).to_contain_text("1 left out")


def save(page, kind, folder):
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Export: {kind}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_export_of_all_and_of_the_selection(search, tmp_path):
    look_for(search, "a dog", 3)
    paths = save(search, "Paths", tmp_path)
    assert paths.name == "photos.txt"
    assert paths.read_text(encoding="utf-8").splitlines() == names(search)
    search.locator(".se-pick").nth(1).click(modifiers=["Control"])
    data = json.loads(save(search, "COCO", tmp_path).read_text(encoding="utf-8"))
    assert [image["file_name"] for image in data["images"]] == ["dog and ball 2021.png"]
    with zipfile.ZipFile(save(search, "ZIP", tmp_path)) as packed:
        assert packed.namelist() == ["dog and ball 2021.png"]


def test_photos_of_the_visitors_own(search, collection, tmp_path):
    bad = tmp_path / "words.txt"
    bad.write_text("no photo")
    files = [collection.folder / name for name in NAMES[:2]]
    search.set_input_files("#drop input[type=file]", [*files, bad])
    expect(search.locator(".se-shelf")).to_have_text("2 photos of yours")
    expect(search.locator(".se-tile")).to_have_count(2)
    expect(search.locator(".se-skipped summary")).to_have_text("1 file left out")
    search.locator(".se-skipped summary").click()
    expect(search.locator(".se-skipped li")).to_contain_text("words.txt: not a photo by its name")
    look_for(search, "a ball", 1)
    expect(search.locator(".se-frame img").first).to_be_visible()
    search.get_by_role("button", name="Back to the photos of the page").click()
    expect(search.locator(".se-tile")).to_have_count(3)
    search.get_by_role("button", name="Search your own photos").click()
    expect(search.locator(".se-tile")).to_have_count(1)


def test_dropping_nothing_but_bad_files_is_a_sentence(search, tmp_path):
    bad = tmp_path / "words.txt"
    bad.write_text("no photo")
    search.set_input_files("#drop input[type=file]", [bad])
    expect(search.locator(".toast-body")).to_contain_text("None of the files is a photo that can be opened")
    expect(search.locator(".se-tile")).to_have_count(6)


def test_phone(visit):
    page = open_search(visit(**PHONE))
    look_for(page, "a dog", 3)
    page.locator(".se-field").press("Enter")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    columns = page.locator(".se-wall").evaluate("node => getComputedStyle(node).gridTemplateColumns.split(' ').length")
    assert columns == 2
    page.get_by_role("button", name="Show the whole photo: dog 2019.png").tap()  # there is no hovering
    expect(page.locator(".se-look")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Close").tap()
    page.get_by_role("button", name="Select dog 2019.png").tap()
    assert selected(page) == ["dog 2019.png"]
    page.get_by_role("button", name="Search your own photos").tap()
    expect(page.locator("#drop")).to_be_in_viewport()


def test_nothing_jumps_while_results_come(search):
    search.evaluate(
        """() => { window.jumps = 0; new PerformanceObserver(list => {
             for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.jumps += entry.value;
           }).observe({type: 'layout-shift', buffered: false}); }"""
    )
    look_for(search, "a dog", 3)
    look_for(search, "a ball", 3)
    search.wait_for_timeout(500)
    assert search.evaluate("window.jumps") < 0.1
