"""benchmarks/reference_loss.py: our terms are the released code's, and both are what a plain loop gives."""

import pytest
import reference_loss
import torch
from torch.nn import functional


@pytest.mark.parametrize("sentences", [2, 5])
def test_every_term_has_the_released_value_and_gradient(sentences):
    found = reference_loss.differences(60, sentences=sentences)
    assert list(found) == ["region_anchor", "phrase_anchor", "phrase_structure"]
    for name, (value, value_off, gradient_off) in found.items():
        assert value > 0.03, name  # or there would be nothing to compare
        assert value_off < 1e-5 and gradient_off < 1e-4, name


def test_the_whole_loss_is_the_released_one():
    a, b, matches = reference_loss.make_batch(40)
    x, y = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
    ours, theirs = reference_loss.our_loss(x, y, matches), reference_loss.released_loss(x, y, matches)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5) and ours > 0.1


def test_the_released_terms_of_two_photos_by_hand():
    """Photos at right angles; the first two sentences read their photo exactly, the others the wrong one."""
    x = torch.eye(2)
    y = x[[0, 0, 0, 1]]
    near, far = 1e-4**0.5, 2.0001**0.5
    found = reference_loss.released_terms(x, y, margin=0.05, top_k=1)
    # The third sentence lies on the wrong photo: its pair loses margin + far - near from either side.
    lost = 0.05 + far - near
    assert found["phrase_anchor"].item() == pytest.approx(lost / 4, rel=1e-5)
    # The first photo's nearest wrong sentence is the third, as near as its own two. Of the second photo both wrong ones
    # are far, as far as its own third and farther than its fourth.
    assert found["region_anchor"].item() == pytest.approx((0.05 + 0.05 + 0.05 + 0) / 4, rel=1e-5)
    # Siblings: 0 and 1 coincide, 2 and 3 are far apart; the nearest wrong ones of 0, 1 and 2 coincide with them, and
    # those of 3 are far.
    assert found["phrase_structure"].item() == pytest.approx((0.05 + 0.05 + lost + 0.05) / 4, rel=1e-5)


def test_time_and_memory_are_printed_for_both(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["reference_loss.py", "--pairs", "40", "--repeats", "1"])
    monkeypatch.setattr(reference_loss, "measured_apart", lambda *asked: reference_loss.cost(*asked))
    reference_loss.main()
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["pairs", "value", "off", "gradient", "off", "released", "sspe"]
    assert line.split()[0] == "40" and line.count(" ms ") == line.count(" MB") == 2
