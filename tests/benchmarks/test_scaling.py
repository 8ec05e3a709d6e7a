"""How cost grows: the slopes that are said are those of the points, and every series is one that is run."""

import numpy as np
import pytest
import scaling
from PIL import Image
from scaling import SERIES, Bench, Series, row


def test_slopes_of_known_growth():
    squares = Series("photos", "ms", [(n, 3.0 * n**2) for n in (1, 2, 5, 10)])
    assert squares.slope == pytest.approx(2)
    assert row("squares", squares) == "| squares | photos | 1: 3, 2: 12, 5: 75, 10: 300 ms | 2.00 |"
    steady = Series("photos", "MB", [(n, 500 + 0.02 * n) for n in range(1, 50)], flat=True)
    assert steady.slope == pytest.approx(0.02)
    assert row("flat", steady).endswith("| 20.0 kB per photo |") and row("flat", steady).count(":") == 6


def test_every_series_is_a_method_and_only_they_are_taken(capsys):
    assert all(callable(getattr(Bench, name)) for name in SERIES)
    with pytest.raises(SystemExit):
        scaling.main(["--only", "run"])
    assert "invalid choice: 'run'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_run_of_what_needs_no_training(tiny_localizer, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(scaling.Localizer, "from_pretrained", lambda *_: tiny_localizer)
    usual = tiny_localizer.model.edge_boxes
    names = [name for name in SERIES if name not in ("batch", "processes")]
    assert scaling.main(["--quick", "--through", "20", "--output", str(tmp_path), "--only", *names]) == 0
    assert tiny_localizer.model.edge_boxes is usual
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert [line[0] for line in lines] == [f"| {name}" for name in names]
    for name, (_, _, measured, _) in zip(names, lines, strict=True):
        assert measured.count(":") == (6 if name == "flat" else 3 if name == "memory" else 2)
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert (np.asarray(picture.convert("L")) < 128).sum() > 100
