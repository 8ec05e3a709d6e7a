"""What a visitor does on the page and sees there; shared by the tests of this folder."""

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def upload(page, path):
    """Put a file into the photo field in place of whatever is there."""
    remove = page.get_by_label("Remove Image")
    if remove.count():
        remove.click()
    page.set_input_files("#photo input[type=file]", path)
    remove.wait_for()  # the field offers this once the upload is done


def ask(page, sentence, enter=False):
    box = page.locator("#sentence textarea")
    box.fill(sentence)
    if enter:
        box.press("Enter")
    else:
        page.click("#localize")


def words(page):
    """The sentence as the view shows it, without numbers and scores."""
    return page.locator(".lv-sentence").evaluate(
        "p => [...p.children].map(n => (n.querySelector('.lv-words') || n).textContent).join('')"
    )


def box(page, key):
    return page.locator(f'.lv-box[data-key="{key}"]')


def phrase(page, key):
    return page.locator(f'.lv-phrase[data-key="{key}"]')


def row(page, key):
    return page.locator(f'.lv-table tr[data-key="{key}"]')


def active(page):
    """What is lit: {"lv-box": [keys], "lv-phrase": [keys], "row": [keys]}."""
    return page.evaluate(
        """() => Object.fromEntries([['box', '.lv-box'], ['phrase', '.lv-phrase'], ['row', '.lv-table tr']].map(
           ([name, s]) => [name, [...document.querySelectorAll(s + '.active')].map(n => n.dataset.key)]))"""
    )


def lit(*keys):
    return {"box": list(keys), "phrase": list(keys), "row": list(keys)}


def color(locator, name):
    return numbers(locator.evaluate("(node, name) => getComputedStyle(node)[name]", name))


def numbers(color):
    return [float(value) for value in color[color.index("(") + 1 : -1].split(",")[:3]]
