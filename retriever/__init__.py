"""retriever: search the light curves of many sources for rare events.

The public Python interface opens an outputs folder and reads the versions in it::

    import retriever
    version = retriever.open("outputs").versions["DEMO_1f3a"]
    version.detections

`retriever.run` runs a search, `retriever.finders` and the like have the algorithms, `retriever.plots` the plots.
Importing `retriever` loads nothing else; each name is imported when it is used.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.1"

__all__ = [
    "Analyzed",
    "Detection",
    "Injection",
    "Lightcurve",
    "Reduction",
    "Simulated",
    "Source",
    "SourceTable",
    "open",
    "run",
]

_EXPORTS = {
    "Analyzed": ("retriever.detection", "Analyzed"),
    "Detection": ("retriever.detection", "Detection"),
    "Injection": ("retriever.detection", "Injection"),
    "Lightcurve": ("retriever.lightcurve", "Lightcurve"),
    "Reduction": ("retriever.lightcurve", "Reduction"),
    "Simulated": ("retriever.detection", "Simulated"),
    "Source": ("retriever.source", "Source"),
    "SourceTable": ("retriever.source", "SourceTable"),
    "open": ("retriever.api.archive", "open_archive"),
    "run": ("retriever.api.running", "run"),
}

if TYPE_CHECKING:
    from retriever.api.archive import open_archive as open
    from retriever.api.running import run
    from retriever.detection import Analyzed, Detection, Injection, Simulated
    from retriever.lightcurve import Lightcurve, Reduction
    from retriever.source import Source, SourceTable
else:

    def __getattr__(name):
        if name not in _EXPORTS:
            raise AttributeError(f"module 'retriever' has no attribute {name!r}")
        import importlib

        module, attribute = _EXPORTS[name]
        return getattr(importlib.import_module(module), attribute)

    def __dir__():
        return [*__all__, "__version__"]
