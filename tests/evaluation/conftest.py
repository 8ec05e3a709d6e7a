"""What the tests of the measures share: results made by hand."""

import numpy as np
import pytest

from sspe.evaluation.answers import Judged, PhraseResult


@pytest.fixture(scope="session")
def result():
    """result(ious, ...) -> a PhraseResult whose boxes overlap so, best score first; the rest as told or plain."""

    def make(ious, kept=None, types=(), floors=(0.0, 0.0), photo="1", scores=None, **more) -> PhraseResult:
        ious = np.array(ious, np.float32)
        scores = np.linspace(0.9, 0.1, len(ious)) if scores is None else scores
        values = {
            "sentence": 0,
            "start": 0,
            "text": "it",
            "right": np.array([0, 0, 50, 50], np.float32),
            "answer": np.array([10, 0, 60, 50], np.float32),
            "frame": (100, 50),
            "any_iou": float(ious[0]),
            "alone_iou": float(ious[0]),
            "judged": Judged(),
            "judged_alone": Judged(),
        }
        return PhraseResult(
            photo=photo,
            types=types,
            ious=ious,
            scores=np.array(scores, np.float32),
            kept=np.arange(len(ious)) if kept is None else np.array(kept),
            floors=floors,
            **{**values, **more},
        )

    return make
