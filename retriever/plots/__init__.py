"""Plots with matplotlib: each function draws on an Axes, or on a new one, and returns it."""

from typing import TYPE_CHECKING

__all__ = [
    "plot_completeness",
    "plot_completeness_map",
    "plot_completeness_of_versions",
    "plot_event",
    "plot_folded",
    "plot_funnel",
    "plot_lightcurve",
    "plot_periodogram",
    "plot_scores",
    "plot_scores_of_versions",
    "plot_sky",
    "plot_sweep",
    "plot_thresholds",
    "plot_thresholds_of_versions",
]

_MODULES = {
    "curves": ("plot_event", "plot_folded", "plot_lightcurve", "plot_periodogram"),
    "catalog": ("plot_funnel", "plot_sky"),
    "results": ("plot_completeness", "plot_completeness_map", "plot_scores", "plot_sweep", "plot_thresholds"),
    "versions": ("plot_completeness_of_versions", "plot_scores_of_versions", "plot_thresholds_of_versions"),
}

if TYPE_CHECKING:
    from retriever.plots.catalog import plot_funnel, plot_sky
    from retriever.plots.curves import plot_event, plot_folded, plot_lightcurve, plot_periodogram
    from retriever.plots.results import (
        plot_completeness,
        plot_completeness_map,
        plot_scores,
        plot_sweep,
        plot_thresholds,
    )
    from retriever.plots.versions import (
        plot_completeness_of_versions,
        plot_scores_of_versions,
        plot_thresholds_of_versions,
    )
else:

    def __getattr__(name):
        import importlib

        for module, names in _MODULES.items():
            if name in names:
                return getattr(importlib.import_module(f"retriever.plots.{module}"), name)
        raise AttributeError(f"module 'retriever.plots' has no attribute {name!r}")
