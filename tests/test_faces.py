"""Arguments that the faces of the models refuse: one line with the argument, its value and what is allowed."""

import math

import numpy as np
import pytest

from leptonfit import Effort, neutrino, vortex
from leptonfit.vortex import Choice, VortexModel

NO_NUMBER = (math.nan, math.inf, "3", None, True, [1.0, 2.0], 1j)
NO_COUNT = (0, -1, 2.5, math.nan, "3", None, True)
NO_NAME = ("other", None, 3, np.array(["e", "mu"]))
NO_ARRAY = ("3", None, 1.0, [[1.0]], [1.0, math.nan], [1j])
NO_FLAG = ("yes", None, 1, math.nan)
NO_OBJECT = (None, 3.0, "report_2025", {})
REFUSED = {
    "VortexModel": {
        "measurements": NO_OBJECT,
        "sigma_m_model": (*NO_NUMBER, 0.0, -1.0),
        "sigma_g_model": (*NO_NUMBER, 0.0),
        "include_sigma_exp": NO_FLAG,
        "closure": NO_NAME,
        "r_max": (*NO_NUMBER, 0.1),
        "gradient": NO_NUMBER,
        "moment_factor": NO_NUMBER,
        "moment_map": NO_NAME,
    },
    "Choice": {"frame": NO_NAME, "bounds": NO_NAME},
    "certify_scan": {"model": NO_OBJECT, "low": (*NO_NUMBER, -1.0, 4.0), "high": (*NO_NUMBER, -1.0, 1e300)},
    "compare_choice": {
        "choice": NO_OBJECT,
        "model": NO_OBJECT,
        "grid": NO_ARRAY,
        "reference": (*NO_NUMBER, -1.0),
        "effort": NO_OBJECT,
    },
    "feasible_c_mu": {"model": NO_OBJECT, "beta": (*NO_ARRAY, [-1.0])},
    "lay_out_flow": {"amplitude": NO_NUMBER, "r_max": (*NO_NUMBER, 0.9), "extent": NO_NUMBER, "n": (*NO_COUNT, 1)},
    "scan_outer_radius": {"r_max": (*NO_ARRAY, [0.9])},
    "sigma_shift": {"model": NO_OBJECT, "edge": (*NO_NUMBER, 0.0)},
    "solution_manifold": {
        "model": NO_OBJECT,
        "beta": (*NO_NUMBER, -1.0),
        "lepton": NO_NAME,
        "n_radius": NO_COUNT,
        "n_amplitude": NO_COUNT,
    },
    "moment_factor": {"current": NO_NAME, "shape": NO_NAME},
    "solve_golden_loop": {
        "older_constants": (*NO_ARRAY, [1.0]),
        "alpha_inverse": (*NO_NUMBER, 10.0),
        "alpha_inverse_sigma": (*NO_NUMBER, -1.0),
    },
    "estimate_sigma_model": {"model": NO_OBJECT, "beta_range": (*NO_ARRAY, [1.0]), "effort": NO_OBJECT},
    "Choices": {"solar_model": NO_NAME, "solar_fluxes": NO_NAME, "atomic_response": NO_NAME, "nuisances": ("pp", [3])},
    "ScanSettings": {
        "confidence": (1.0, "0.9", None, ()),
        "method": NO_NAME,
        "n_thresholds": NO_COUNT,
        "n_toys": NO_COUNT,
        "choices": NO_OBJECT,
    },
    "analyse_all": {"slugs": ("xenonnt", ["other"], [3], None), "confidence": (1.0, None), "choices": NO_OBJECT},
    "vary_choices": {"slugs": ("xenonnt", ["other"], [3], None), "choices": NO_OBJECT},
    "scan_all": {"slugs": ("xenonnt", ["other"], [3], None)},
    "apply_form": {"form": ("3", None, [[1.0]], [[math.nan] * 3] * 3), "moments": ("3", None, [1.0, math.nan, 1.0])},
    "bound_components": {"form": ("3", None, 1.0, [[1.0, 2.0]]), "limit": (*NO_NUMBER, -1.0)},
    "majorana_form": {"state": ("3", None, 1.0, [[1.0]])},
    "dirac_form": {"state": ("3", None, 1.0, [[1.0]])},
    "flavour_shares": {"mixing": NO_OBJECT, "state": ("3", None, 1.0, [[1.0]])},
    "flavour_state": {"mixing": NO_OBJECT, "flavour": NO_NAME},
    "to_flavour_basis": {"mixing": NO_OBJECT, "form": ("3", None, 1.0, [[1.0]])},
    "share_mass_states": {"mixing": NO_OBJECT, "energy": ("3", None, [math.nan], [-1.0]), "potential": NO_NUMBER},
    "propagate_mixing": {"basis": NO_NAME, "mixing": NO_OBJECT},
    "load_states": {"mixing": NO_OBJECT},
    "calibrate_quenching": {"points": NO_OBJECT, "n_points": (1, -1, True, "3", 2.5)},
    "quench_lindhard": {"recoil": ("3", None, [-1.0]), "n_protons": NO_COUNT, "k": ("3", None, [math.nan], -0.1)},
    "combine_published": {
        "table": NO_OBJECT,
        "sigma_log10": (*NO_NUMBER, 0.0, -1.0),
        "estimator": NO_NAME,
        "include_disputed": NO_FLAG,
    },
    "compare_spectrum": {"likelihood": NO_OBJECT, "theta": ("3", None, 1.0, [[1.0]])},
    "fit_charges": {
        "experiment": NO_OBJECT,
        "kind": NO_NAME,
        "groups": ("e", [], None, ["other"], [3]),
        "unit": (*NO_NUMBER, 0.0),
        "reach": (*NO_NUMBER, 0.0),
    },
    "measure_tuning": {"slug": ("xenonnt",)},
    "to_moment": {"theta": ("3", None, 1j)},
}


@pytest.fixture(scope="module")
def usual():
    """Usual arguments of the functions in `REFUSED`."""
    model = VortexModel(vortex.load_measurements("report_2025"), sigma_m_model=1e-6, sigma_g_model=2e-8)
    mixing, identity = neutrino.load_mixing(), np.eye(3)
    settings = {"confidence": (0.9,), "method": "cls", "n_thresholds": 4, "n_toys": 100}
    return {
        "VortexModel": {"measurements": model.measurements, "sigma_m_model": 1e-6, "sigma_g_model": 2e-8},
        "certify_scan": {"model": model, "low": 2.9, "high": 3.1},
        "compare_choice": {
            "choice": Choice(),
            "model": model,
            "grid": [2.9, 3.1],
            "reference": 3.04,
            "effort": Effort(2, 1),
        },
        "feasible_c_mu": {"model": model, "beta": [3.0]},
        "lay_out_flow": {"amplitude": 0.5, "r_max": 10.0, "n": 5},
        "sigma_shift": {"model": model, "edge": 3.1},
        "solution_manifold": {"model": model, "beta": 3.0},
        "moment_factor": {"current": "uniform_rigid"},
        "solve_golden_loop": {"older_constants": (1.0, 1.0)},
        "estimate_sigma_model": {
            "build": lambda one: one.problem,
            "model": model,
            "beta_range": (2.9, 3.1),
            "effort": Effort(2, 1),
        },
        "ScanSettings": settings,
        "analyse_all": {"slugs": ["xenonnt"], "confidence": (0.9,), "n_toys": 100, "seed": 1},
        "vary_choices": {"slugs": ["xenonnt"], "choices": neutrino.Choices(), "confidence": 0.9},
        "scan_all": {"slugs": ["xenonnt"], "settings": neutrino.ScanSettings(**settings), "seed": 1},
        "apply_form": {"form": identity, "moments": np.ones(3)},
        "bound_components": {"form": identity, "limit": 1.0},
        "flavour_shares": {"mixing": mixing, "state": identity},
        "flavour_state": {"mixing": mixing, "flavour": "e"},
        "to_flavour_basis": {"mixing": mixing, "form": identity},
        "share_mass_states": {"mixing": mixing, "energy": [1.0], "potential": 1e-11},
        "propagate_mixing": {"slug": "xenonnt", "basis": "majorana", "mixing": mixing},
        "load_states": {"slug": "xenonnt", "mixing": mixing},
        "calibrate_quenching": {"points": neutrino.load_response()},
        "quench_lindhard": {"recoil": [1.0], "n_protons": 32, "k": 0.16},
        "combine_published": {"table": neutrino.load_published(), "sigma_log10": 0.1},
        "compare_spectrum": {"likelihood": neutrino.load_likelihood("xenonnt"), "theta": [1.0]},
        "fit_charges": {
            "experiment": neutrino.load_experiment("xenonnt"),
            "kind": "charge",
            "groups": ["e"],
            "unit": 1e-12,
            "reach": 10.0,
        },
    }


@pytest.mark.parametrize("name", REFUSED)
def test_the_faces_of_the_models_refuse_what_they_cannot_use(name, usual):
    function = getattr(vortex, name, None) or getattr(neutrino, name)
    for argument, values in REFUSED[name].items():
        for value in values:
            with pytest.raises((TypeError, ValueError)) as refused:
                function(**usual.get(name, {}) | {argument: value})
            said = str(refused.value)
            assert said.startswith(argument) or f"{argument} =" in said, (argument, value, said)
            assert "must" in said, (argument, value, said)
            assert "\n" not in said, (argument, value, said)
