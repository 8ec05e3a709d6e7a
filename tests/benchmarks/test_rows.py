"""benchmarks/rows.py: what both tables do alike."""

import ablation
import ablation_retrieval
import pytest


@pytest.mark.parametrize(
    ("table", "names"),
    [(ablation, "base, network, directions, "), (ablation_retrieval, "base, loss, network, text")],
    ids=["localization", "retrieval"],
)
def test_what_cannot_be_run_is_said(run, table, names, capsys):
    assert run(table, "--rows", "everything") == 2
    assert f"There is no row or group 'everything'; choose among {names}" in capsys.readouterr().err
    assert run(table, "--print") == 0
    assert capsys.readouterr().out == "No row is finished yet.\n"


@pytest.mark.parametrize("table", [ablation, ablation_retrieval], ids=["localization", "retrieval"])
def test_every_row_is_listed_with_its_command(run, table, capsys, tmp_path):
    assert run(table, "--list") == 0
    listed = capsys.readouterr().out.splitlines()
    rows = [row for row in table.ROWS if not row.by_name_only]
    assert listed[::2] == [row.about for row in rows]
    assert all(line.startswith("    ") for line in listed[1::2]) and len(set(listed[1::2])) == len(rows)
    assert not (tmp_path / "runs").exists()
