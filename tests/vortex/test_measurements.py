import shutil

import numpy as np
import pytest
from scipy import constants

from leptonfit.datafiles import InputError
from leptonfit.vortex.measurements import QUANTITIES, SETS, load_measurements

CODATA_NAMES = {
    "m_mu": "muon-electron mass ratio",
    "m_tau": "tau-electron mass ratio",
    "g_e": "electron g factor",
    "g_mu": "muon g factor",
}


def test_codata_values_and_errors_are_those_scipy_ships():
    measured = load_measurements("codata_2022")
    for name, codata in CODATA_NAMES.items():
        value, _, error = constants.physical_constants[codata]
        at = QUANTITIES.index(name)
        assert measured.values[at] == abs(value)
        assert np.sqrt(measured.covariance[at, at]) == pytest.approx(error, rel=1e-12)


def test_the_muon_correlation_follows_from_the_measurement_equation():
    measured = load_measurements("codata_2022")
    m, g = QUANTITIES.index("m_mu"), QUANTITIES.index("g_mu")
    sigma = np.sqrt(np.diag(measured.covariance))
    anomaly = constants.physical_constants["muon mag. mom. anomaly"][0]
    expected = 2 * anomaly * (sigma[m] / measured.values[m]) / sigma[g]
    assert measured.covariance[m, g] / (sigma[m] * sigma[g]) == pytest.approx(expected, rel=0.02)


def test_the_report_set_has_the_values_the_report_quotes():
    values = load_measurements("report_2025").values
    assert values.tolist() == [1.0, 206.7682826, 3477.228, 2.00231930436256, 2.0023318418]


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_positive_definite_once_the_unit_is_left_out(name):
    covariance = load_measurements(name).covariance
    assert (covariance[0] == 0).all()
    sigma = np.sqrt(np.diag(covariance))[1:]
    assert (np.linalg.eigvalsh(covariance[1:, 1:] / np.outer(sigma, sigma)) > 0.5).all()


def test_unknown_set_is_refused():
    with pytest.raises(InputError, match="measurements = 'pdg': must be one of report_2025, codata_2022"):
        load_measurements("pdg")


def test_a_changed_byte_is_refused(tmp_path):
    from leptonfit.datafiles import ROOT

    shutil.copytree(ROOT / "data", tmp_path, dirs_exist_ok=True)
    changed = tmp_path / "charged_leptons.toml"
    changed.write_text(changed.read_text().replace("206.7682826", "206.7682827"))
    with pytest.raises(InputError, match=r"charged_leptons\.toml: its SHA-256 is"):
        load_measurements("report_2025", data=tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('unit = "m_e"\nsource = "December', 'unit = "MeV"\nsource = "December', "m_mu.unit = MeV: must be m_e"),
        ("value = 206.7682826", "value = 105.658", "report_2025.m_mu = 105.658: must be a number from 206 to 207"),
        (
            '[["m_mu", "g_mu", 0.063]]',
            '[["m_mu", "g_mu", 0.9], ["m_mu", "g_e", 0.9], ["g_mu", "g_e", -0.9]]',
            "must be possible together (positive definite)",
        ),
        ("value = 3477.228", "value = -3477.228", "report_2025.m_tau = -3477.228: must be a number from 3470 to 3485"),
        ("value = 3477.228", "value = true", "report_2025.m_tau = true: must be a number from 3470"),
        ("value = 3477.228", "value = nan", "report_2025.m_tau = nan: must be a number from 3470"),
        ("uncertainty = 0.23", "uncertainty = -0.23", "m_tau.uncertainty = -0.23: must be a number, 0 or more"),
        ('"g_mu", 0.063]', '"g_mu", 2]', "correlations[0][2] = 2: must be a number above -1 and below 1"),
        ('["m_mu", "g_mu",', '["m_mu", "m_mu",', "of m_mu and m_mu: must be two different quantities, once"),
        ("[report_2025.m_tau]", "[report_2025.m_tau_lepton]", "report_2025.m_tau is missing"),
    ],
)
def test_bad_data_are_refused_in_one_line(edited, old, new, said):
    folder = edited("../charged_leptons.toml", old, new)
    with pytest.raises(InputError) as refused:
        [load_measurements(name, data=folder) for name in SETS]
    assert str(refused.value).startswith("data file charged_leptons.toml: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
