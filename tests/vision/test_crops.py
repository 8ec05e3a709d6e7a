"""Ten crops of a photo: where they are cut."""

import numpy as np
import pytest

from sspe.vision.crops import ten_crops


def ramp(height: int, width: int) -> np.ndarray:
    """A photo whose first channel tells the column and whose second tells the row, in shares of 200."""
    y, x = np.mgrid[:height, :width]
    return np.stack([200 * x / width, 200 * y / height, 0 * x], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(256, 512), (512, 256), (128, 128), (1000, 700), (230, 300)])
def test_corners_centre_and_mirror_images(height, width):
    crops = ten_crops(ramp(height, width))
    assert crops.shape == (10, 224, 224, 3) and crops.dtype == np.uint8
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])
    middle = crops[:5, 112, 112, :2].astype(int)  # column and row that the middle of each crop shows
    left, right = middle[[0, 2], 0], middle[[1, 3], 0]
    assert (left == left[0]).all() and (right == right[0]).all()
    assert abs(left[0] + right[0] - 200) <= 4 and abs(middle[4, 0] - 100) <= 2 and abs(middle[4, 1] - 100) <= 2
    half = 200 * 112 / max(256, 256 * width / height)  # half a crop, in the ramp's numbers
    assert left[0] == pytest.approx(half, abs=2)


def test_an_exact_case():
    photo = np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8)
    crops = ten_crops(photo)
    np.testing.assert_array_equal(crops[3], photo[32:, 76:])
    np.testing.assert_array_equal(crops[4], photo[16:240, 38:262])
    with pytest.raises(ValueError, match="a shorter side of as many, got 100"):
        ten_crops(photo, shorter=100)
