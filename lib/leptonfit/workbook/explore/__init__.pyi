from .fit import FitExplorer as FitExplorer
from .multistart import MultistartExplorer as MultistartExplorer
from .neutrinos import NeutrinoExplorer as NeutrinoExplorer
from .profile import ProfileExplorer as ProfileExplorer
from .vortex import VortexExplorer as VortexExplorer
