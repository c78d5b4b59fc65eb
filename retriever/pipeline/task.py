"""One batch: load what is there, call the stages, write a segment for each. Runs in a worker."""

import json
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from retriever.detection import Analyzed, Detection, Injection, Simulated
from retriever.errors import StoreError
from retriever.histogram import ScoreHistogram, SparseCounts
from retriever.identity import DIGEST_CHARS, Digests, join_digests
from retriever.lightcurve import Lightcurve, Reduction
from retriever.outcome import Outcome
from retriever.pipeline.recipe import Recipe
from retriever.rawtable import RawPhotometry
from retriever.source import Source, SourceTable
from retriever.stages.analyze import analyze
from retriever.stages.attempt import Failure, attempt
from retriever.stages.download import download
from retriever.stages.reduce import reduce
from retriever.stages.simulate import simulate
from retriever.store import layout
from retriever.store.batch import INDEXED, Batch
from retriever.store.segments import SegmentFile, pack, read, write

__all__ = ["Job", "JobResult", "run_job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A task with all that a worker needs for it.

    Attributes
    ----------
    observatory, stages
        What to do.
    sources
        The sources.
    asked
        Input digests of the download, source by source.
    raw_digests
        Digests of raw photometry that is there already; empty where it is not.
    inputs
        Stage to the path of the segment that holds its products, and the source rows there.
    keys
        Stage to the key that the coordinator expects.
    """

    observatory: str
    stages: tuple[str, ...]
    sources: SourceTable
    asked: Digests
    raw_digests: Digests
    inputs: Mapping[str, tuple[str, list[int]]]
    keys: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class JobResult:
    """What a job made, or why it could not."""

    batches: list[Batch] = field(default_factory=list)
    outcomes: dict[str, list[int]] = field(default_factory=dict)
    counts: SparseCounts = field(default_factory=dict)
    error: str = ""
    error_trace: str = ""


def run_job(recipe: Recipe, job: Job) -> JobResult:
    """Do one job. A trouble with the store ends the job; what it wrote before stays for the next run."""
    result = JobResult()
    try:
        # a thread of its own writes and syncs while the next stage computes
        with ThreadPoolExecutor(1) as writer:
            work = _Work(recipe, job, result, writer)
            try:
                work.run()
            finally:
                work.collect()
    except StoreError as error:
        result.error, result.error_trace = str(error), traceback.format_exc()
    return result


class _Work:
    """The state of one job while it runs: what each source has so far, stage after stage."""

    def __init__(self, recipe: Recipe, job: Job, result: JobResult, writer: ThreadPoolExecutor) -> None:
        self.recipe, self.job, self.result, self.writer = recipe, job, result, writer
        self.written: list[tuple[str, Future[SegmentFile] | None, dict[str, Any]]] = []
        self.specs = recipe.specs[job.observatory]
        for stage in job.stages:
            if self.specs[stage].key != job.keys[stage]:
                raise StoreError(
                    f"a worker has other code or parameters for stage {stage!r} than the run that sent it work; "
                    "start the run again so that all of it uses the same code"
                )
        self.survey = recipe.surveys[job.observatory]
        self.sources: list[Source] = [job.sources.source(row) for row in range(len(job.sources))]
        self.n = len(self.sources)
        self.failed: list[bool] = [False] * self.n
        self.empty: list[bool] = [False] * self.n
        self.raw: list[RawPhotometry | None] = [None] * self.n
        self.raw_digests = job.raw_digests.copy()
        self.reduced: list[tuple[Lightcurve, ...]] = [()] * self.n
        self.reduced_tables: dict[str, Any] = {}
        self.reduced_rows: list[int] = list(range(self.n))
        self.found: list[Analyzed | None] = [None] * self.n

    def run(self) -> None:
        stages = self.job.stages
        if "download" in stages:
            self._download()
        if "reduce" in stages:
            self._reduce()
        elif "analyze" in stages or "simulate" in stages:
            self.reduced_tables, self.reduced_rows = self._load("reduce", ["lightcurves", "epochs*"])
            self.reduced = layout.unpack_lightcurves(self.reduced_tables, self.reduced_rows)
        if "analyze" in stages:
            self._analyze()
        elif "simulate" in stages:
            self._load_found()
        if "simulate" in stages:
            self._simulate()

    # ---- inputs -------------------------------------------------------------------------------------------------

    def _load(self, stage: str, tables: list[str]) -> tuple[dict[str, Any], list[int]]:
        path, rows = self.job.inputs[stage]
        _, found = read(self.recipe.root(stage) / path, tables)
        return found, rows

    def _load_found(self) -> None:
        tables, rows = self._load("analyze", ["scored", "scores*", "detections"])
        processed = layout.with_scores(tables, rows, self.reduced)
        self.found = [
            Analyzed(
                lightcurves=lightcurves,
                detections=layout.records_of_columns(Detection, tables["detections"], row),
            )
            for lightcurves, row in zip(processed, rows, strict=True)
        ]

    # ---- stages -------------------------------------------------------------------------------------------------

    def _download(self) -> None:
        answers = download(self.survey.observatory, self.sources)
        fetched = datetime.now(UTC).isoformat(timespec="milliseconds")
        book = _Book(self.n)
        kept: list[RawPhotometry | None] = []
        provenance = []
        for k, answer in enumerate(answers):
            if isinstance(answer, Failure):
                self._fail(book, k, answer)
                kept.append(None)
                provenance.append("")
                continue
            kept.append(answer)
            digest = answer.digest()
            self.raw_digests[k] = digest.encode()
            self.empty[k] = answer.is_empty
            book.set(k, Outcome.EMPTY if answer.is_empty else Outcome.DONE, answer.n_rows, digest)
            provenance.append(json.dumps({"fetched": fetched, **answer.provenance}, sort_keys=True))
        self.raw = kept
        there = [(k, answer) for k, answer in enumerate(kept) if answer is not None]
        index = {
            "source": np.array([k for k, _ in there], np.int64),
            "n_tables": np.array([len(answer.tables) for _, answer in there], np.int64),
            "n_rows": np.array([answer.n_rows for _, answer in there], np.int64),
            "provenance": np.array([provenance[k] for k, _ in there], np.str_),
            "aliases": np.array([json.dumps(answer.aliases) for _, answer in there], np.str_),
        }
        self._write("download", book, self.job.asked, {"raw_index": index, **layout.pack_raw(kept)})

    def _reduce(self) -> None:
        if "download" not in self.job.stages:
            tables, rows = self._load("download", ["raw", "headers", "rows*"])
            self.raw = list(layout.unpack_raw(tables, rows))
        book = _Book(self.n)
        dropped: list[tuple[int, str, int]] = []
        for k in self._going(book):
            source, raw = self.sources[k], self.raw[k]
            answer = attempt(f"reducing {source.name}", reduce, self.survey.reducer, source, raw)
            if isinstance(answer, Failure):
                self._fail(book, k, answer)
                continue
            self.reduced[k] = answer.lightcurves
            self.empty[k] = not answer.lightcurves
            dropped += [(k, reason, count) for reason, count in answer.dropped.items()]
            book.set(
                k,
                Outcome.EMPTY if self.empty[k] else Outcome.DONE,
                sum(lc.n_epochs for lc in answer.lightcurves),
                layout.product_digest([lc.columns() for lc in answer.lightcurves], _words(answer)),
            )
        tables = self.reduced_tables = layout.pack_lightcurves(self.reduced)
        tables["dropped"] = {
            "source": np.array([row for row, _, _ in dropped], np.int64),
            "reason": np.array([reason for _, reason, _ in dropped], np.str_),
            "n_rows": np.array([count for _, _, count in dropped], np.int64),
        }
        self._write("reduce", book, self._inputs(), tables)

    def _analyze(self) -> None:
        recipe, book = self.recipe, _Book(self.n)
        for k in self._going(book):
            source, lightcurves = self.sources[k], self.reduced[k]
            parts = (recipe.analysis, recipe.quality, recipe.finder)
            answer = attempt(f"analyzing {source.name}", analyze, *parts, source, lightcurves)
            if isinstance(answer, Failure):
                self._fail(book, k, answer)
                continue
            self.found[k] = answer
            digest = layout.product_digest(
                [{"qflag": lc.qflag, **lc.extra} for lc in answer.lightcurves],
                (answer.detections, answer.properties),
            )
            book.set(k, Outcome.DONE, len(answer.detections), digest)
        before = [self.reduced[k] if found else () for k, found in enumerate(self.found)]
        after = [found.lightcurves if found else () for found in self.found]
        tables = layout.pack_scores(before, after)
        tables |= layout.pack_properties([found.properties if found else {} for found in self.found])
        tables["detections"] = layout.columns_of_records(
            Detection, [found.detections if found else () for found in self.found]
        )
        self._write("analyze", book, self._inputs(), tables)
        histogram = ScoreHistogram()
        done = np.array([k for k, found in enumerate(self.found) if found], np.int64)
        rows = np.array(self.reduced_rows, np.int64)[done]
        layout.count_epochs(histogram, self.reduced_tables, rows, tables, done)
        self.result.counts = histogram.sparse()

    def _simulate(self) -> None:
        recipe, book = self.recipe, _Book(self.n)
        simulated: list[Simulated] = [Simulated(lightcurves=())] * self.n
        for k in self._going(book):
            answer = attempt(f"simulating {self.sources[k].name}", self._simulate_one, k)
            if isinstance(answer, Failure):
                self._fail(book, k, answer)
                continue
            simulated[k] = answer
            book.set(k, Outcome.DONE, len(answer.injections), layout.product_digest([], answer.injections))
        tables = {"injections": layout.columns_of_records(Injection, [one.injections for one in simulated])}
        if recipe.simulator.keep_lightcurves:
            kept = layout.pack_lightcurves([one.lightcurves for one in simulated], "simulated_epochs")
            kept["simulated_lightcurves"] = kept.pop("lightcurves")
            tables |= kept
        self._write("simulate", book, self._inputs(), tables)

    def _simulate_one(self, k: int) -> Simulated:
        recipe, found = self.recipe, self.found[k]
        if found is None:
            raise StoreError(f"the search of {self.sources[k].name!r} is missing; run again")
        return simulate(
            recipe.simulator, recipe.analysis, recipe.quality, recipe.finder,
            self.sources[k], self.job.observatory, recipe.seed, self.reduced[k], found,
        )  # fmt: skip

    # ---- bookkeeping --------------------------------------------------------------------------------------------

    def _going(self, book: "_Book") -> list[int]:
        """Sources that are neither failed nor empty so far; the others are written down as what they are."""
        for k in range(self.n):
            if self.failed[k]:
                book.set(k, Outcome.BLOCKED, 0, "")
            elif self.empty[k]:
                book.set(k, Outcome.EMPTY, 0, "")
        return [k for k in range(self.n) if not (self.failed[k] or self.empty[k])]

    def _fail(self, book: "_Book", k: int, failure: Failure) -> None:
        self.failed[k] = True
        book.set(k, Outcome.FAILED, 0, "", failure.message)

    def _inputs(self) -> Digests:
        return join_digests(self.raw_digests, self.job.sources.digests)

    def _write(self, stage: str, book: "_Book", inputs: Digests, tables: dict[str, Any]) -> None:
        """Write the stage's segment, unless it would hold nothing."""
        spec = self.specs[stage]
        sources = {
            "name": self.job.sources.name,
            "input": inputs,
            "outcome": np.array(book.outcome, np.int8),
            "n_rows": np.array(book.n_rows, np.int64),
            "digest": np.array(book.digest, f"S{DIGEST_CHARS}"),
            "message": np.array(book.message, np.str_),
            "ra": self.job.sources.ra,
            "dec": self.job.sources.dec,
        }
        tables = {"sources": sources, **tables}
        file: Future[SegmentFile] | None = None
        if any(outcome in (Outcome.DONE, Outcome.EMPTY) for outcome in book.outcome):
            story = {
                "what": "a segment of retriever",
                "stage": stage,
                "stage_key": spec.key,
                "observatory": spec.observatory,
                "survey": spec.survey,
                "data_type": spec.data_type,
                "made_from": self.recipe.stories[spec.observatory][stage],
            }
            place = _place(self.sources[0])
            root = self.recipe.root(stage)
            image = pack(story, tables, records=layout.RECORDS)
            file = self.writer.submit(write, root, f"{self.recipe.folder(spec)}/{place[:5]}", place, image)
        self.written.append((stage, file, {name: tables[name] for name in INDEXED if name in tables}))

    def collect(self) -> None:
        """Wait for the files, and put what they hold into the result."""
        for stage, file, tables in self.written:
            segment = file.result() if file else None
            if stage == "download" and segment is not None:
                self._settle()
            self.result.batches.append(
                Batch(
                    stage_key=self.specs[stage].key,
                    root=self.recipe.root_word(stage),
                    file=segment,
                    tables=tables,
                )
            )
            self.result.outcomes[stage] = tables["sources"]["outcome"].tolist()

    def _settle(self) -> None:
        """Let the observatory's client go of the answers that are safe on disk now."""
        observatory = self.survey.observatory
        client = getattr(observatory, "client", None)
        if client is not None:
            done = (source for source, raw in zip(self.sources, self.raw, strict=True) if raw is not None)
            client.settled(observatory.survey, done)


class _Book:
    """Outcomes of one stage, source by source."""

    def __init__(self, n: int) -> None:
        self.outcome = [int(Outcome.PENDING)] * n
        self.n_rows = [0] * n
        self.digest = [""] * n
        self.message = [""] * n

    def set(self, k: int, outcome: Outcome, n_rows: int, digest: str, message: str = "") -> None:
        """Write down the outcome of one source."""
        self.outcome[k], self.n_rows[k], self.digest[k], self.message[k] = (
            int(outcome),
            n_rows,
            digest,
            message,
        )


def _words(reduction: Reduction) -> list[object]:
    words = [
        (
            lc.band,
            lc.series,
            lc.number,
            lc.of,
            lc.zero_point,
            lc.flux_unit,
            lc.time_system.scale,
            lc.time_system.reference,
            lc.time_system.point,
        )
        for lc in reduction.lightcurves
    ]
    return [words, sorted(reduction.dropped.items())]


def _place(source: Source) -> str:
    """Name of a place on the sky, such as RA012.34-015.02, for folders and files."""
    return f"RA{source.ra:06.2f}{source.dec:+07.2f}"
