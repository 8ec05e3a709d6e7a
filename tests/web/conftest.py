"""Fixtures of the page's tests: pictures good and bad, a fake localizer, a served page."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # fake_localizer and serving, under any import mode of pytest

from fake_localizer import FakeLocalizer


@pytest.fixture
def localizer() -> FakeLocalizer:
    return FakeLocalizer()


@pytest.fixture
def picture(tmp_path) -> Path:
    """A 64 x 48 picture, left half red, right half blue."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :32, 0] = 255
    pixels[:, 32:, 2] = 255
    path = tmp_path / "two halves.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def server():
    """Address of a page around the fake localizer, whose tab Search has the example photos."""
    from fake_collection import FakeCollection
    from serving import served

    from sspe.web.page import build_app
    from sspe.web.shelves import Shelves

    shelves = Shelves(FakeLocalizer(), build=FakeCollection.build)
    shelves.wait()
    with served(build_app(FakeLocalizer(), shelves=shelves)) as url:
        yield url


@pytest.fixture
def album(tmp_path) -> Path:
    """A folder of six pictures, named by what they show."""
    from album import make_album

    return make_album(tmp_path / "album")
