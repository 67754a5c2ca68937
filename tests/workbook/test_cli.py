import pytest

from leptonfit.workbook import cli, page, run


def test_a_failed_notebook_is_exit_1_and_a_line_on_stderr(capsys, monkeypatch):
    line = "02_profile_scan: cell 3 failed: ValueError: no"
    monkeypatch.setattr(run, "execute", lambda request, say: [line])
    monkeypatch.setattr(page, "write_pdf", lambda folder: f"PDF of {folder.name}")
    monkeypatch.setattr("sys.argv", ["leptonfit", "run"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("PDF of latest\n", f"leptonfit: {line}\n")


def test_an_error_of_ours_is_not_taken_for_bad_input(monkeypatch):
    def broken(*_, **__):
        raise ValueError("a fault in the library")

    monkeypatch.setattr(run, "execute", broken)
    monkeypatch.setattr("sys.argv", ["leptonfit", "run"])
    with pytest.raises(ValueError, match="a fault in the library"):
        cli.main()
