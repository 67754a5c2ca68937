"""Contact sheet of finished figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def plot_contact_sheet(figure: Figure, pictures: Mapping[str, Path], *, columns: int = 4) -> Figure:
    """Finished figures side by side, each with its name."""
    for number, (name, path) in enumerate(pictures.items(), start=1):
        ax = figure.add_subplot(-(-len(pictures) // columns), columns, number)
        ax.imshow(plt.imread(path), interpolation="antialiased")
        ax.set_title(name, fontsize=8)
        ax.set_axis_off()
    return figure
