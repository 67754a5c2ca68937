"""Interactive explorers for JupyterLab: each shows results of the library and the command that reproduces them.

Names are listed in the stub file and loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
