"""The browser's pages."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from retriever.api.archive import Archive
from retriever.api.source import SourceInVersion
from retriever.api.version import Version
from retriever.browser.guard import REPORT_POLICY, Guard, Signer
from retriever.browser.query import (
    DETECTION_COLUMNS,
    PAGE,
    SOURCE_COLUMNS,
    Query,
    detection,
    history,
    name_at,
    order_of,
    places_of,
    rows_of,
    source_rows,
    sources_order,
)
from retriever.browser.series import charts
from retriever.detection import DETECTIONS
from retriever.errors import ConfigError, DataError, RetrieverError, StoreError
from retriever.pages.report import REPORT
from retriever.pages.words import number, shorter
from retriever.report.show import lineage_of
from retriever.report.verdicts import (
    EVENT_COLUMNS,
    VERDICTS,
    WITHDRAWN,
    Verdict,
    add_verdict,
    counts_of_verdicts,
    read_verdicts,
    verdict_on,
)
from retriever.report.versions import VersionFolder, version_names

__all__ = ["make_app"]

_LEVELS = ("processed", "detrended", "reduced", "raw")
_AROUND = 6
"""Epochs that are listed before and after the peak."""

_NEAR_ARCSEC = 5.0
_PACKAGE = Path(__file__).parent


def make_app(
    archive: Archive, *, hosts: Sequence[str] = (), token: str = "", who: str = "",
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
) -> Starlette:  # fmt: skip
    """The application that serves the pages.

    Parameters
    ----------
    archive
        The outputs folder and the data folder.
    hosts
        Names that it may be asked by; all where none are given.
    token
        What the first request has to bring; nothing where it is empty.
    who
        Whose verdicts these are, until they give another name.
    on_verdict
        Is told each verdict after it is kept and answered.
    """
    pages = _Pages(archive, who, on_verdict)
    return Starlette(
        routes=[
            Route("/", pages.versions),
            Route("/verdicts", pages.judge, methods=["POST"]),
            Route("/verdicts.csv", pages.verdicts_csv),
            Route("/versions/{version}", pages.detections),
            Route("/versions/{version}/report", pages.report),
            Route("/versions/{version}/sources", pages.sources),
            Route("/versions/{version}/sources/{row:int}", pages.source),
            Route("/versions/{version}/sources/{row:int}/lightcurves.json", pages.lightcurves),
            Route("/versions/{version}/sources/{row:int}/lightcurves.png", pages.picture),
            Route("/versions/{version}/detections/{row:int}", pages.detection),
            Route("/versions/{version}/detections/{row:int}/event.png", pages.event),
            Mount("/static", StaticFiles(directory=_PACKAGE / "static")),
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=token, signer=pages.signer)],
        exception_handlers={HTTPException: pages.not_there, RetrieverError: pages.failed, Exception: pages.failed},
    )


class _Pages:
    """The pages of one outputs folder."""

    def __init__(self, archive: Archive, who: str, on_verdict: Callable[[Verdict], None]) -> None:
        self._archive, self._who, self._on_verdict = archive, who, on_verdict
        self.signer = Signer()
        self._environment = Environment(
            loader=PackageLoader("retriever.browser"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters |= {"number": number, "shorter": shorter, "part": lambda text: quote(str(text), "")}
        for name in self._environment.list_templates():
            self._environment.get_template(name)  # compiled now, so that the first page need not wait

    # ---- lists ----------------------------------------------------------------------------------------------------

    def versions(self, request: Request) -> Response:
        """All versions, the newest first."""
        folders = [VersionFolder(self._archive.outputs / name) for name in version_names(self._archive.outputs)]
        rows = [_version_row(folder) for folder in folders]
        rows.sort(key=lambda row: str(row["created"]), reverse=True)
        judged = counts_of_verdicts([each.verdict for each in read_verdicts(self._archive.outputs)])
        return self._page(request, "versions.html", title="Versions", rows=rows, judged=judged)

    def detections(self, request: Request) -> Response:
        """The detections of a version."""
        version = self._version(request)
        query = Query.parse(request.query_params, DETECTION_COLUMNS)
        order = order_of(version, query)
        return self._page(
            request, "detections.html", title=version.name, version=version.name, query=query, n=len(order),
            n_pages=max(1, -(-len(order) // PAGE)), rows=rows_of(version, order, query.page), columns=DETECTION_COLUMNS,
            surveys=sorted(version.manifest["inputs"]["observatories"]), verdicts=("none", *VERDICTS),
            has_report=(version.folder / REPORT).exists(), units=DETECTIONS.units,
        )  # fmt: skip

    def sources(self, request: Request) -> Response:
        """The sources of a version."""
        version = self._version(request)
        query = Query.parse(request.query_params, SOURCE_COLUMNS, sort="detections")
        order = sources_order(version, query)
        return self._page(
            request, "sources.html", title=f"Sources of {version.name}", version=version.name, query=query,
            n=len(order), n_pages=max(1, -(-len(order) // PAGE)), columns=SOURCE_COLUMNS,
            rows=source_rows(version, order[(query.page - 1) * PAGE : query.page * PAGE]),
        )  # fmt: skip

    # ---- one of them ------------------------------------------------------------------------------------------------

    def detection(self, request: Request) -> Response:
        """A detection, to be judged."""
        version = self._version(request)
        row = int(request.path_params["row"])
        query = Query.parse(request.query_params, DETECTION_COLUMNS)
        found = detection(version, row)
        order = order_of(version, query)
        at = np.flatnonzero(order == row)
        place = int(at[0]) if at.size else -1  # a filter on verdicts may leave it out since it was judged
        source = self._source_named(version, found["source"])
        event = json.dumps({name: _none(found.get(name, "")) for name in EVENT_COLUMNS} | {"version": version.name})
        return self._page(
            request, "detection.html", title=f"{shorter(found['source'], 60)} in {version.name}",
            version=version.name, query=query, row=row, found=_described(found), detection=found, place=place,
            n=len(order), next=int(order[place + 1]) if place < len(order) - 1 else None,
            previous=int(order[place - 1]) if place > 0 else None, history=history(version, found), verdicts=VERDICTS,
            event=event, signature=self.signer.sign("event", event), who=self._name_of(request),
            levels=_LEVELS, **self._of_source(version, source), epochs=_epochs(source, found),
        )  # fmt: skip

    def source(self, request: Request) -> Response:
        """A source with its light curves and detections."""
        version = self._version(request)
        source = self._source(request, version)
        return self._page(
            request, "source.html", title=f"{shorter(source.name, 60)} in {version.name}", version=version.name,
            levels=_LEVELS, **self._of_source(version, source),
        )  # fmt: skip

    def _of_source(self, version: VersionFolder, source: SourceInVersion) -> dict[str, Any]:
        """What the pages of detections and sources both show."""
        catalog = source.catalog
        try:
            lineage = lineage_of(version, source.name, None, self._archive.outputs, self._archive.data)
        except RetrieverError:
            lineage = []
        return {
            "source": source.name,
            "source_row": source.row,
            "catalog": {"ra (deg)": catalog.ra, "dec (deg)": catalog.dec, "magnitude": catalog.mag,
                        "band": catalog.band, "also known as": ", ".join(catalog.aliases), **catalog.extra},
            "links": _links(catalog.ra, catalog.dec),
            "others": _with_places(version, source),
            "properties": _properties(source),
            "lineage": lineage,
        }  # fmt: skip

    # ---- pictures and numbers ---------------------------------------------------------------------------------------

    def lightcurves(self, request: Request) -> Response:
        """Light curves of a source as numbers."""
        version = self._version(request)
        source = self._source(request, version)
        level = request.query_params.get("level", "processed")
        shown = charts(_curves(source, level), _with_places(version, source))
        return Response(json.dumps(shown, allow_nan=False, separators=(",", ":")), media_type="application/json")

    def picture(self, request: Request) -> Response:
        """All light curves of a source as an image, for pages without scripts."""
        source = self._source(request, self._version(request))
        return _image(lambda ax: source.plot(ax))

    def event(self, request: Request) -> Response:
        """A detection as an image, for pages without scripts."""
        from retriever.plots import plot_event

        version = self._version(request)
        found = detection(version, int(request.path_params["row"]))
        source = self._source_named(version, found["source"])
        for lightcurve in source.lightcurves("processed", observatory=found["observatory"]):
            if lightcurve.number == found["lightcurve"]:
                return _image(partial(plot_event, lightcurve, found))
        raise StoreError("the light curve of this detection is not there; run the version again")

    def report(self, request: Request) -> Response:
        """The report of a version."""
        version = self._version(request)
        path = version.folder / REPORT
        if not path.exists():
            raise ConfigError(f"{version.name} has no report yet: retriever report {version.name} writes it")
        return FileResponse(path, headers={"Content-Security-Policy": REPORT_POLICY})

    # ---- verdicts ---------------------------------------------------------------------------------------------------

    async def judge(self, request: Request) -> Response:
        """Keep a verdict, and go on to the next detection."""
        form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
        if not self.signer.is_signed("form", request.state.session, form.get("form", "")):
            raise HTTPException(403, "this form is not from this browser's own pages; load the page again")
        if not self.signer.is_signed("event", form.get("event", ""), form.get("signature", "")):
            raise HTTPException(403, "the browser was started anew since this page was loaded; load the page again")
        event = json.loads(form["event"])
        who = form.get("who", "").strip() or self._who
        verdict = verdict_on(
            event, verdict=form.get("verdict", ""), who=who, note=form.get("note", "").strip(), version=event["version"]
        )
        await run_in_threadpool(add_verdict, self._archive.outputs, verdict)
        here = f"/versions/{quote(event['version'], '')}"
        stay = form.get("verdict", "") == WITHDRAWN
        goal = form.get("row", "") if stay else form.get("next", "")
        path = f"{here}/detections/{int(goal)}" if goal.isdecimal() else here
        words = form.get("words", "").lstrip("?")
        response = RedirectResponse(f"{path}?{words}" if words else path, 303,
                                    background=BackgroundTask(self._on_verdict, verdict))  # fmt: skip
        response.set_cookie("who", quote(who), max_age=10**7, httponly=True, samesite="strict")
        return response

    def verdicts_csv(self, request: Request) -> Response:
        """All verdicts."""
        from retriever.exports.tables import write_csv

        text = StringIO()
        write_csv(self._archive.verdicts, text)
        headers = {"Content-Disposition": 'attachment; filename="verdicts.csv"'}
        return Response(text.getvalue(), media_type="text/csv", headers=headers)

    # ---- what they share --------------------------------------------------------------------------------------------

    def _version(self, request: Request) -> VersionFolder:
        name = str(request.path_params["version"])
        if name not in version_names(self._archive.outputs):
            raise HTTPException(404, f"there is no version {name[:80]!r} here")
        return VersionFolder(self._archive.outputs / name)

    def _source(self, request: Request, version: VersionFolder) -> SourceInVersion:
        return self._source_named(version, name_at(version, int(request.path_params["row"])))

    def _source_named(self, version: VersionFolder, name: str) -> SourceInVersion:
        return Version(version, self._archive.data).source(name)

    def _name_of(self, request: Request) -> str:
        return unquote(request.cookies.get("who", "")) or self._who

    def _page(self, request: Request, template: str, *, status: int = 200, **content: object) -> Response:
        session = getattr(request.state, "session", "")
        text = self._environment.get_template(template).render(form=self.signer.sign("form", session), **content)
        return HTMLResponse(text, status)

    def not_there(self, request: Request, error: Exception) -> Response:
        """A page that does not exist, or a form that is refused."""
        status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
        return self._failure(request, status, detail)

    def failed(self, request: Request, error: Exception) -> Response:
        """What went wrong, in a sentence."""
        if isinstance(error, StoreError):
            return self._failure(request, 503, str(error))
        if isinstance(error, RetrieverError):
            return self._failure(request, 404, str(error))
        print(
            f"retriever: unexpected {type(error).__name__} at {request.url.path}: {error}", file=sys.stderr, flush=True
        )
        return self._failure(request, 500, f"unexpected {type(error).__name__}; the terminal says more")

    def _failure(self, request: Request, status: int, text: str) -> Response:
        if request.url.path.endswith(".json"):
            return JSONResponse({"error": text}, status)
        return self._page(request, "error.html", status=status, title="Not shown", text=text)


# ---- pieces of pages ----------------------------------------------------------------------------------------------


def _version_row(folder: VersionFolder) -> dict[str, Any]:
    row: dict[str, Any] = {"name": folder.name, "created": "", "project": "", "sources": None, "detections": None,
                           "report": (folder.folder / REPORT).exists()}  # fmt: skip
    try:
        inputs = folder.manifest["inputs"]
        row |= {"created": folder.created.isoformat(" ", "minutes")[:16], "project": str(inputs["project"]["name"])}
        for table in ("sources", "detections"):
            with folder.open_table(table) as file:
                row[table] = file.metadata.num_rows
    except (StoreError, KeyError):
        pass  # being made just now, or broken: what is known is shown
    return row


def _described(found: Mapping[str, Any]) -> list[tuple[str, Any, str, str]]:
    """Columns of a detection that say something: name, value, unit, meaning."""
    known = {spec.name: spec for spec in DETECTIONS.columns}
    return [
        (name, value, known[name].unit if name in known else "", known[name].description if name in known else "")
        for name, value in found.items()
        if value == value and value != ""
    ]


def _with_places(version: VersionFolder, source: SourceInVersion) -> list[dict[str, Any]]:
    """The detections of a source, with the row of each in the version's table."""
    found = source.detections.to_dict("records")
    return [{**each, "row": row} for each, row in zip(found, places_of(version, source.name), strict=True)]


def _curves(source: SourceInVersion, level: str) -> list[Any]:
    """Light curves of a level; a survey that has none because a stage failed is passed over, unless all are."""
    if level not in _LEVELS:
        raise ConfigError(f"there is no level {level[:40]!r}; choose {', '.join(_LEVELS)}")
    found: list[Any] = []
    problems: list[RetrieverError] = []
    for name in source.observatories:
        try:
            if level == "raw":
                found += source.raw_curves(name)
            else:
                found += source.lightcurves(level, observatory=name)
        except (StoreError, DataError) as error:
            problems.append(error)
    if problems and not found:
        raise problems[0]
    return found


def _epochs(source: SourceInVersion, found: Mapping[str, Any]) -> dict[str, Any]:
    """Epochs around the peak of a detection, with all that is known of each."""
    try:
        curves = source.lightcurves("processed", observatory=found["observatory"])
    except (StoreError, DataError) as error:
        return {"columns": [], "rows": [], "problem": str(error), "peak": -1}
    for lightcurve in curves:
        if lightcurve.number == found["lightcurve"]:
            first = max(0, int(found["peak"]) - _AROUND)
            frame = lightcurve.to_pandas().iloc[first : int(found["peak"]) + _AROUND + 1]
            return {"columns": list(frame), "rows": frame.to_numpy().tolist(), "problem": "",
                    "peak": int(found["peak"]) - first}  # fmt: skip
    return {"columns": [], "rows": [], "problem": "the light curve is not there; run the version again", "peak": -1}


def _properties(source: SourceInVersion) -> list[tuple[str, str, Any, str]]:
    """Properties of a source that have a value: survey, name, value, unit."""
    frame = source.properties
    units = frame.attrs.get("units", {})
    return [
        (str(row.get("observatory", "")), name, value, str(units.get(name, "")))
        for row in frame.to_dict("records")
        for name, value in row.items()
        if name not in ("source", "observatory") and value == value and value != ""
    ]


def _links(ra: float, dec: float) -> list[tuple[str, str]]:
    """Where else to look at a place on the sky."""
    here = f"{ra:.6f} {dec:+.6f}"
    addresses: list[tuple[str, str, dict[str, object]]] = [
        ("SIMBAD", "https://simbad.cds.unistra.fr/simbad/sim-coo",
         {"Coord": here, "CooFrame": "ICRS", "Radius": _NEAR_ARCSEC, "Radius.unit": "arcsec"}),
        ("VizieR", "https://vizier.cds.unistra.fr/viz-bin/VizieR", {"-c": here, "-c.rs": _NEAR_ARCSEC}),
        ("Aladin Lite", "https://aladin.cds.unistra.fr/AladinLite/", {"target": here, "fov": 0.05}),
        ("ZTF at IRSA", "https://irsa.ipac.caltech.edu/cgi-bin/ZTF/nph_light_curves",
         {"POS": f"CIRCLE {ra:.6f} {dec:.6f} {_NEAR_ARCSEC / 3600:.6f}", "FORMAT": "ipac_table"}),
        ("MAST", "https://mast.stsci.edu/portal/Mashup/Clients/Mast/Portal.html", {"searchQuery": here}),
    ]  # fmt: skip
    return [(name, f"{address}?{urlencode(words)}") for name, address, words in addresses]


def _image(draw: Callable[[Any], object]) -> Response:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots())
    content = BytesIO()
    figure.savefig(content, format="png")
    return Response(content.getvalue(), media_type="image/png")


def _none(value: Any) -> Any:
    return None if value != value else value
