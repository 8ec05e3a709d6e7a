"""Search of a million real regions: python benchmarks/search.py --data ROOT

All photos of train and val, 150 regions each, for this measurement alone; a collection keeps 100. Phrases of val are
the queries. Said are build time, memory, disk, the time of a search's two scans and of the whole with ten refined
boxes, and the share of the first ten photos by exact float32 scores that are among the first ten found. Beside it
stands FAISS, a flat index in float16 on the same vectors in the same run, where faiss-cpu is installed.

Region features are taken from the cache folder where they are, and all of it takes about ten minutes on two idle cores;
otherwise each photo takes a third of a second more.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from sspe.checkpoint import find_checkpoint, load_checkpoint
from sspe.data import open_dataset
from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.evaluation.search import phrases_of
from sspe.indexing.coding import Coding
from sspe.indexing.embedding import kept_of
from sspe.indexing.records import PhotoRecord
from sspe.indexing.segments import Segment, write_segment
from sspe.models.localization import LocalizationModel
from sspe.searching.query import Asked
from sspe.searching.ranking import HUB_WEIGHT, soft_maximum
from sspe.searching.searcher import Query, Searcher
from sspe.searching.unfitted import unfitted_search
from sspe.text.words import words_of
from sspe.training.localization_data import training_photos

REGIONS = 150  # per photo
SEGMENT = 1000
FIRST = 10


def main() -> None:
    """Build, search, compare, print."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", required=True, help="a folder of Flickr30K Entities")
    p.add_argument("--checkpoint", help="a .safetensors file or a shipped one's name")
    p.add_argument("--photos", type=int, help="only so many of train and of val")
    p.add_argument("--queries", type=int, default=300)
    options = p.parse_args()
    model, _ = load_checkpoint(find_checkpoint(options.checkpoint))
    model.for_inference("cpu", "float32")
    with tempfile.TemporaryDirectory() as folder:
        searcher, vectors = build(model, options, Path(folder))
        val = open_dataset(options.data, "val")
        phrases = [phrase for phrase in phrases_of(val) if len(words_of(phrase)) >= 2]
        drawn = np.random.default_rng(0).permutation(len(phrases))[: options.queries]
        queries = [searcher.read([Asked(phrases[i])]) for i in drawn]
        measure(searcher, vectors, queries)
        beside_faiss(vectors, queries)


def build(model: LocalizationModel, options: argparse.Namespace, folder: Path) -> tuple[Searcher, np.ndarray]:
    """The index in a folder, opened, and all embeddings (photos, regions, E + T) float16, mapped."""
    store = FeatureStore(model.settings.regions.side, model.settings.proposals, detector=model.detector)
    frozen = FrozenFeatures(model.regions, "float32")
    val = open_dataset(options.data, "val", limit=options.photos)
    train, _ = training_photos(open_dataset(options.data, "train", limit=options.photos), context=False)
    photos = [(photo, np.zeros((0, 4), np.float32)) for photo in val] + [(t.record, t.annotated) for t in train]
    fit = model.search or unfitted_search(model)
    coding, hubs = Coding.of(fit), fit.phrases.float().numpy()
    size = model.settings.network.embedding + (80 if model.network.named else 0)
    vectors = np.lib.format.open_memmap(folder / "exact.npy", "w+", np.float16, (len(photos), REGIONS, size))
    kept, segments, writing = [], [], 0.0
    for number, (photo, annotated) in enumerate(tqdm(photos, "embedding", file=sys.stderr)):
        found = store.proposals(photo.path)
        features = frozen.get(photo.path, np.concatenate([annotated, found.boxes]))[len(annotated) :][:REGIONS]
        pixels = found.scaled(photo.width, photo.height)
        regions = model.embed_features(
            torch.from_numpy(features), pixels.boxes[:REGIONS], pixels.detections, photo.width, photo.height
        )
        vectors[number, : len(features)] = regions.embeddings.numpy()
        began = time.perf_counter()
        record = PhotoRecord(photo.id, 0, 0, 0, "", photo.width, photo.height, None, 1)
        kept.append(kept_of(model, coding, hubs, record, regions))
        if len(kept) == SEGMENT or number + 1 == len(photos):
            segments.append(write_segment(folder, kept))
            kept = []
        writing += time.perf_counter() - began
    on_disk = sum((folder / entry.file).stat().st_size + (folder / entry.table).stat().st_size for entry in segments)
    before = memory()
    began = time.perf_counter()
    opened = [Segment(folder, entry) for entry in segments]
    live = [np.ones(segment.entry.stored, bool) for segment in opened]
    searcher = Searcher(model, fit, [(coding, opened, live)])
    regions = sum(len(segment.codes) for segment in opened)
    print(f"{len(photos)} photos, {regions:,} regions of {size} numbers")
    print(f"coding and writing {writing:.1f} s; opening and checking {time.perf_counter() - began:.1f} s")
    print(f"on disk {on_disk / 1e6:.0f} MB, {on_disk / len(photos) / 1e3:.1f} KB per photo of {REGIONS} regions")
    print(f"memory for the open index {memory() - before:.0f} MB")
    return searcher, vectors


def measure(searcher: Searcher, vectors: np.ndarray, queries: list[Query]) -> None:
    """Times of every query, and how many of the first ten photos are those of exact scores."""
    scanner = searcher.scanners[0]
    first = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(s.first) for s in scanner.segments]))])
    hubs = HUB_WEIGHT * np.concatenate([s.hubness for s in scanner.segments])
    starts = np.cumsum([0, *(s.entry.stored for s in scanner.segments)])
    scans, between, wholes, found = [], [], [], []
    for query in queries[:5]:  # warm
        searcher.rank(query)
    for query in queries:
        began = time.perf_counter()
        ranked = searcher.rank(query)
        scans.append(time.perf_counter() - began)
        found.append({int(starts[place[1]] + place[2]) for place in ranked.places[:FIRST]})
    for query in queries:
        began = time.perf_counter()
        ranked = searcher.rank(query)
        between.append(time.perf_counter() - began)
        for place in ranked.places[:FIRST]:
            searcher.locate(place, query)
        wholes.append(time.perf_counter() - began)
    hits = []
    for number, scores in enumerate(exact(vectors, queries)):
        of_photo = soft_maximum(scores.reshape(1, -1)[:, kept_places(first)], first)[0] - hubs
        hits.append(len(found[number] & set(np.argsort(-of_photo)[:FIRST].tolist())) / FIRST)
    print(f"photo recall@{FIRST} against exact float32: {np.mean(hits):.4f} over {len(queries)} phrases")
    looked_at = f"{FIRST} photos looked at"
    for name, times in (
        ("scans alone", scans),
        (f"scans that follow {looked_at}", between),
        (f"a scan and {looked_at}", wholes),
    ):
        p50, p99 = np.percentile(np.array(times) * 1000, [50, 99])
        print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def vector_of(query: Query) -> np.ndarray:
    """What is sought as one vector (1, E + T) float32."""
    return np.concatenate([query.sought.numbers, query.sought.named], axis=1)


def kept_places(first: np.ndarray) -> np.ndarray:
    """Where the regions that are there stand among REGIONS for each photo."""
    counts = np.diff(first)
    return np.concatenate([photo * REGIONS + np.arange(count) for photo, count in enumerate(counts)])


def exact(vectors: np.ndarray, queries: list[Query]):
    """Scores (photos, regions) of each query, in float32, a block of photos at a time for all of them."""
    y = torch.from_numpy(np.concatenate([vector_of(query) for query in queries]))
    scores = torch.empty(len(queries), *vectors.shape[:2])
    for start in tqdm(range(0, len(vectors), 100), "exact", file=sys.stderr):
        block = torch.from_numpy(vectors[start : start + 100].astype(np.float32))
        scores[:, start : start + 100] = torch.einsum("pe,nre->pnr", y, block)
    yield from scores.numpy()


def beside_faiss(vectors: np.ndarray, queries: list[Query]) -> None:
    """The same vectors in a flat FAISS index in float16: the best region alone decides about a photo."""
    try:
        import faiss
    except ImportError:
        print("faiss is not installed: pip install faiss-cpu")
        return
    size = vectors.shape[2]
    before, began = memory(), time.perf_counter()
    index = faiss.IndexScalarQuantizer(size, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:10].reshape(-1, size).astype(np.float32))
    for start in range(0, len(vectors), 100):
        index.add(vectors[start : start + 100].reshape(-1, size).astype(np.float32))
    print(
        f"FAISS flat float16: built in {time.perf_counter() - began:.1f} s, {memory() - before:.0f} MB in memory, "
        f"{index.ntotal * index.code_size / 1e6:.0f} MB on disk"
    )
    times = []
    for query in queries:
        y = vector_of(query)
        began = time.perf_counter()
        index.search(y, 1000)
        times.append(time.perf_counter() - began)
    p50, p99 = np.percentile(np.array(times) * 1000, [50, 99])
    print(f"FAISS flat float16, best 1,000 regions: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def memory() -> float:
    """Megabytes that this process holds now, without what is only mapped from files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
