import shutil

import pytest

from leptonfit.workbook.store import write_checksums


@pytest.fixture
def edited(root, tmp_path):
    """A copy of the data folder in which a file of `neutrino/` has been changed, its checksums written anew."""

    def edit(name, old, new):
        folder = tmp_path / "data"
        shutil.copytree(root / "data", folder, dirs_exist_ok=True)
        path = folder / "neutrino" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        write_checksums(folder)
        return folder

    return edit
