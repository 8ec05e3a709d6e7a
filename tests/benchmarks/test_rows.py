"""benchmarks/rows.py: what both tables do alike."""

import ablation
import ablation_retrieval
import pytest


@pytest.mark.parametrize(
    ("table", "names"),
    [(ablation, "proposals, base, network, "), (ablation_retrieval, "base, loss, network, text")],
    ids=["localization", "retrieval"],
)
def test_what_cannot_be_run_is_said(run, table, names, capsys):
    assert run(table, "--rows", "everything") == 2
    assert f"There is no row or group 'everything'; choose among {names}" in capsys.readouterr().err
    assert run(table, "--print") == 0
    assert capsys.readouterr().out == "No row is finished yet.\n"
