"""Small files of photos and sentences in each published format, for tests."""

import json

from PIL import Image

FLICKR8K_LISTS = {"train": "trainImages", "val": "devImages", "test": "testImages"}


def sentences_of(name, count=5):
    return [f"Sentence {i} of {name} in a café ." for i in range(count)]


def draw(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 6)).save(folder / name)


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return file


def entities(root, splits, sentences=sentences_of):
    """Flickr30K Entities without its Annotations, which sentences do not need."""
    draw(root / "flickr30k-images", *(f"{id}.jpg" for ids in splits.values() for id in ids))
    (root / "Sentences").mkdir(parents=True)
    for split, ids in splits.items():
        (root / f"{split}.txt").write_text("".join(f"{id}\n" for id in ids))
        for id in ids:
            lines = [f"[/EN#1/other Sentence] {line.partition(' ')[2]}" for line in sentences(id)]
            (root / "Sentences" / f"{id}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return root


def flickr8k(root, splits, sentences=sentences_of):
    """Both archives, unpacked side by side."""
    text = root / "Flickr8k_text"
    text.mkdir(parents=True)
    draw(root / "Flicker8k_Dataset", *(f"{id}.jpg" for ids in splits.values() for id in ids))
    lines = []
    for split, ids in splits.items():
        (text / f"Flickr_8k.{FLICKR8K_LISTS[split]}.txt").write_text("".join(f"{id}.jpg\n" for id in ids))
        lines += [f"{id}.jpg#{i}\t{line}" for id in ids for i, line in enumerate(sentences(id))]
    # The published file names this photo, which is in no list and has no file.
    lines += [f"2258277193_586949ec62.jpg.1#{i}\tPeople waiting ." for i in range(5)]
    (text / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def image(id, split, sentences=None, first=0, **more):
    """An image of Karpathy's files."""
    sentences = sentences_of(id) if sentences is None else sentences
    ids = list(range(first, first + len(sentences)))
    return {
        "sentids": ids,
        "imgid": first,
        "sentences": [
            {"tokens": raw.lower().split()[:-1], "raw": raw, "imgid": first, "sentid": sentid}
            for raw, sentid in zip(sentences, ids, strict=True)
        ],
        "split": split,
        "filename": f"{id}.jpg",
        **more,
    }


def karpathy(root, splits, sentences=sentences_of, name="flickr8k"):
    chosen = [(id, split) for split, ids in splits.items() for id in ids]
    images = [image(id, split, sentences(id), first=100 * i) for i, (id, split) in enumerate(chosen)]
    draw(root / "images", *(f"{id}.jpg" for id, _ in chosen))
    write_json(root / f"dataset_{name}.json", {"images": images, "dataset": name})
    return root


def coco(root, splits, sentences=sentences_of, year="2014"):
    """annotations/captions_<split><year>.json; the annotations of the photos are mixed, as in the published files."""
    for split, ids in splits.items():
        numbers = {id: 1000 + i for i, id in enumerate(ids)}
        images = [{"id": number, "file_name": f"{id}.jpg", "height": 6, "width": 8} for id, number in numbers.items()]
        lines = [(i, id, line) for id in ids for i, line in enumerate(sentences(id))]
        annotations = [
            {"image_id": numbers[id], "id": 7 * k, "caption": line} for k, (_, id, line) in enumerate(sorted(lines))
        ]
        draw(root / f"{split}{year}", *(f"{id}.jpg" for id in ids))
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
        write_json(root / "annotations" / f"captions_{split}{year}.json", content)
    return root


FORMATS = (entities, flickr8k, karpathy, coco)
SPLITS = {"train": ["30", "10"], "val": ["7", "40", "20"]}


def captions_file(root):
    """The one file of captions of val, whichever format."""
    (file,) = [*root.rglob("dataset_*.json"), *root.rglob("captions_val*.json"), *root.rglob("*.token.txt")]
    return file
