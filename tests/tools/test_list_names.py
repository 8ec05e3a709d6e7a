"""The list of nouns, made from dictionary files of a few synsets."""

import list_names
import pytest

from sspe.errors import DataError
from sspe.vision.detections import THINGS

HEADER = "  1 This software and database is being provided\n"


def write_wordnet(folder):
    """Every thing a synset of its own, a puppy beneath the dog, and a tiger, a fierce person, beneath the person."""
    data, index, offsets = [], {}, {}

    def add(words, above=None, sense=0):
        offset = f"{len(data) + 1:08}"
        pointers = f"001 @ {above} n 0000" if above else "000"
        data.append(f"{offset} 03 n {len(words):02x} {' '.join(f'{word} 0' for word in words)} {pointers} | a gloss")
        for word in words:
            senses = index.setdefault(word.lower(), [])
            senses += ["99999999"] * (sense - len(senses))
            senses.append(offset)
        return offset

    for thing in THINGS:
        lemma = list_names.LEMMAS.get(thing, thing.replace(" ", "_"))
        if list_names.SENSES.get(thing, 0) is not None:
            offsets[thing] = add([lemma], sense=list_names.SENSES.get(thing, 0))
    puppy = add(["Puppy", "young_dog"], offsets["dog"])
    add(["pug_puppy"], puppy)
    add(["tiger"], offsets["person"])
    add(["dog_in_the_manger"])
    add(["dog_in_the_manger"], offsets["person"])  # its second sense, which does not count
    lines = [f"{word} n {len(senses)} 1 @ {len(senses)} 0 {' '.join(senses)}" for word, senses in index.items()]
    (folder / "data.noun").write_text(HEADER + "\n".join(data) + "\n", "latin-1")
    (folder / "index.noun").write_text(HEADER + "\n".join(lines) + "\n", "latin-1")


def test_the_nouns_beneath_a_thing_name_it(tmp_path):
    write_wordnet(tmp_path)
    assert list_names.main([str(tmp_path), str(tmp_path / "list.tsv")]) == 0
    names = dict(line.split("\t") for line in (tmp_path / "list.tsv").read_text().splitlines())
    assert names["puppy"] == names["young dog"] == names["pug puppy"] == names["dog"] == "dog"
    assert names["bag"] == "backpack,handbag,suitcase" and names["stop sign"] == "stop sign"
    assert "tiger" not in names and "dog in the manger" not in names
    assert set(THINGS) <= set(names)


def test_a_folder_without_the_dictionary_is_one_sentence(tmp_path, capsys):
    assert list_names.main([str(tmp_path), str(tmp_path / "list.tsv")]) == 2
    assert "data.noun cannot be read" in capsys.readouterr().err and not (tmp_path / "list.tsv").exists()
    with pytest.raises(DataError, match="give the folder `dict` of WordNet"):
        list_names.WordNet(tmp_path)
