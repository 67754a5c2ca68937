"""Interactive explorers for JupyterLab: each shows results of the library and the command that reproduces them."""

from leptonfit.workbook.explore.fit import FitExplorer
from leptonfit.workbook.explore.multistart import MultistartExplorer
from leptonfit.workbook.explore.neutrinos import NeutrinoExplorer
from leptonfit.workbook.explore.profile import ProfileExplorer
from leptonfit.workbook.explore.vortex import VortexExplorer

__all__ = ["FitExplorer", "MultistartExplorer", "NeutrinoExplorer", "ProfileExplorer", "VortexExplorer"]
