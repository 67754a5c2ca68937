import pandas as pd
import pytest

from leptonfit.datafiles import InputError
from leptonfit.workbook import sweep

pytestmark = pytest.mark.slow


def test_a_sweep_runs_each_value_and_compares_them(checkout):
    names = ["02_profile_scan", "03_c_mu_calibration"]
    few = ["beta_min=1.2", "beta_max=1.3", "n_beta=3", "n_starts=4"]  # all within the set: less to compute
    parameter, requests = sweep.check_sweep(names, [*few, "sigma_m_model=1e-6,1e-3"], jobs=2, root=checkout)
    said = []
    assert sweep.execute_sweep(parameter, requests, jobs=2, say=said.append) == []
    folder = checkout / "reports" / "latest" / "sweep"
    table = pd.read_csv(folder / "comparison.csv", dtype={"sigma_m_model": str})
    assert table["sigma_m_model"].tolist() == ["1e-6", "1e-3"]
    assert table["02_profile_scan"].tolist() == ["not_identified", "not_identified"]
    assert table["beta_low"][0] == pytest.approx(1.1148662, abs=1e-6)
    assert table["beta_low"][1] < table["beta_low"][0] - 1e-4  # a looser model lets the set begin earlier
    assert table["c_mu_high"].tolist() == pytest.approx([318.635] * 2, abs=1e-3)
    page = (folder / "index.html").read_text()
    for value in ("1e-6", "1e-3"):
        assert f'href="{value}/index.html"' in page
        assert (folder / value / "index.html").is_file()
    assert "http" not in page.replace("http-equiv", "")
    said.clear()
    assert sweep.execute_sweep(parameter, requests, say=said.append) == []
    assert sum("up to date" in line for line in said) == 4


def test_a_list_is_swept_item_by_item_unless_another_parameter_is(checkout):
    parameter, requests = sweep.check_sweep(["12_recoil_spectra"], ["datasets=lz_ws2024,xenonnt"], root=checkout)
    assert (parameter, list(requests)) == ("datasets", ["lz_ws2024", "xenonnt"])
    assignments = ["datasets=lz_ws2024,xenonnt", "seed=1,2"]
    parameter, requests = sweep.check_sweep(["12_recoil_spectra"], assignments, root=checkout)
    assert (parameter, list(requests)) == ("seed", ["1", "2"])
    assert requests["1"].overrides == {"datasets": "lz_ws2024,xenonnt", "seed": 1}


@pytest.mark.parametrize(
    ("names", "assignments", "message"),
    [
        ([], ["sigma_m_model=1e-6,1e-5"], "at least one notebook"),
        (["02_profile_scan"], ["sigma_m_model=1e-6"], "one parameter with several values, .*, not 0"),
        (["02_profile_scan"], ["sigma_m_model=1e-6,1e-5", "n_beta=3,4"], "not 2"),
        (["02_profile_scan"], ["sigma_m_model=1e-6,1e-6"], "a value is given twice"),
        (["02_profile_scan"], ["sigma_m_model=1e-6,-1"], "sigma_m_model = -1.0: must be a number from 1e-12 to 1000"),
        (["02_profile_scan"], ["sigma_m_model=1e-6,"], "sigma_m_model = : must be a number from 1e-12 to 1000"),
    ],
)
def test_refused_sweeps_write_nothing(names, assignments, message, checkout):
    with pytest.raises(InputError, match=message):
        sweep.check_sweep(names, assignments, root=checkout)
    assert not (checkout / "reports").exists()
