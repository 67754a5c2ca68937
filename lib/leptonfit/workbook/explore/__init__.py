"""Live explorers for JupyterLab: widgets over the library, each with the command that repeats what is on screen."""

from leptonfit.workbook.explore.multistart import MultistartExplorer
from leptonfit.workbook.explore.neutrinos import NeutrinoExplorer
from leptonfit.workbook.explore.profile import ProfileExplorer
from leptonfit.workbook.explore.vortex import VortexExplorer

__all__ = ["MultistartExplorer", "NeutrinoExplorer", "ProfileExplorer", "VortexExplorer"]
