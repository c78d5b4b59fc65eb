"""A TAP service for tests: queries are really run, by SQLite with the geometry that the tests need."""

import email.parser
import io
import sqlite3
import threading
import warnings
from typing import Any

import numpy as np

from retriever.astrometry import separation_arcsec
from tests.archive import Archive, Reply, Request

Tables = dict[str, dict[str, list[Any]]]

JOB = """<?xml version="1.0"?>
<uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="1.1">
  <uws:jobId>{number}</uws:jobId><uws:ownerId xsi:nil="true"/><uws:phase>{phase}</uws:phase>
  <uws:quote>2018-01-01T02:00:00Z</uws:quote><uws:creationTime>2018-01-01T00:00:00Z</uws:creationTime>
  <uws:startTime>2018-01-01T00:05:00Z</uws:startTime><uws:endTime>2018-01-01T02:00:00Z</uws:endTime>
  <uws:executionDuration>7200</uws:executionDuration><uws:destruction>2018-02-01T00:00:00Z</uws:destruction>
  <uws:parameters/>
  {end}
</uws:job>"""


class TAPServer:
    """Routes of one TAP service; added to an `Archive`."""

    def __init__(self, archive: Archive, tables: Tables, path: str = "/tap", max_rows: int = 10_000) -> None:
        self.archive, self.tables, self.path, self.max_rows = archive, tables, path, max_rows
        self.jobs: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.fail_jobs = False
        archive.routes[f"{path}/sync"] = self.sync
        archive.routes[f"{path}/async"] = self.create
        archive.routes[f"{path}/async/"] = self.job
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return self.archive.url + self.path

    # ---- the protocol ---------------------------------------------------------------------------------------------

    def sync(self, request: Request) -> Reply:
        return self.answer(*form(request))

    def create(self, request: Request) -> Reply:
        with self.lock:
            number = str(len(self.jobs) + 1)
            self.jobs[number] = {"form": form(request), "phase": "PENDING", "polls": 0}
        return Reply(b"", 303, {"Location": f"{self.url}/async/{number}"})

    def job(self, request: Request) -> Reply:
        number, _, rest = request.path.removeprefix(f"{self.path}/async/").partition("/")
        job = self.jobs[number]
        if request.method == "DELETE":
            self.deleted.append(number)
            return Reply(b"")
        if rest == "phase" and request.method == "POST":
            job["phase"] = "EXECUTING"
            return Reply(b"", 303, {"Location": f"{self.url}/async/{number}"})
        if rest == "results/result":
            return self.answer(*job["form"])
        job["polls"] += job["phase"] == "EXECUTING"
        if job["polls"] > 1 and job["phase"] == "EXECUTING":
            job["phase"] = "ERROR" if self.fail_jobs else "COMPLETED"
        if rest == "phase":
            return Reply(job["phase"].encode())
        end = ""
        if job["phase"] == "COMPLETED":
            where = f"{self.url}/async/{number}/results/result"
            end = f'<uws:results><uws:result id="result" xlink:href="{where}"/></uws:results>'
        if job["phase"] == "ERROR":
            end = '<uws:errorSummary type="fatal" hasDetail="false"><uws:message>We have problem</uws:message></uws:errorSummary>'
        body = JOB.format(number=number, phase=job["phase"], end=end)
        return Reply(body.encode(), headers={"Content-Type": "text/xml"})

    # ---- the query ------------------------------------------------------------------------------------------------

    def answer(self, words: dict[str, str], uploads: Tables) -> Reply:
        limit = min(int(words.get("MAXREC") or self.max_rows), self.max_rows)
        try:
            names, rows = run(words["QUERY"], self.tables, uploads)
        except sqlite3.Error as error:
            return Reply(votable([], [], f'<INFO name="QUERY_STATUS" value="ERROR">{error}</INFO>'), 400)
        status = '<INFO name="QUERY_STATUS" value="OK"/>'
        after = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>' if len(rows) > limit else ""
        return Reply(votable(names, rows[:limit], status, after), headers={"Content-Type": "application/x-votable+xml"})


def form(request: Request) -> tuple[dict[str, str], Tables]:
    """Words and uploaded tables of a request."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return request.params, {}
    message = email.parser.BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.body)
    words, files = dict(request.params), {}
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename():
            files[name] = content
        else:
            words[name] = content.decode()
    uploads = {}
    for one in words.get("UPLOAD", "").split(";"):
        table, _, where = one.partition(",")
        if table:
            uploads[table] = columns_of(files[where.removeprefix("param:")])
    return words, uploads


def columns_of(document: bytes) -> dict[str, list[Any]]:
    from astropy.io.votable import parse_single_table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = parse_single_table(io.BytesIO(document)).to_table()
    return {name: np.ma.getdata(table[name]).tolist() for name in table.colnames}


def run(query: str, tables: Tables, uploads: Tables) -> tuple[list[str], list[tuple[Any, ...]]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("ATTACH ':memory:' AS TAP_UPLOAD")
        for schema in sorted({name.split(".")[0] for name in tables if "." in name and "/" not in name}):
            connection.execute(f"ATTACH ':memory:' AS \"{schema}\"")
        connection.create_function("POINT", 3, lambda frame, ra, dec: f"{ra} {dec}")
        connection.create_function("CIRCLE", 4, lambda frame, ra, dec, radius: f"{ra} {dec} {radius}")
        connection.create_function("CONTAINS", 2, contains)
        for name, columns in {**tables, **{f"TAP_UPLOAD.{key}": value for key, value in uploads.items()}}.items():
            schema, _, plain = name.rpartition(".") if "/" not in name else ("", "", name)
            place = f'"{schema}"."{plain}"' if schema else f'"{plain}"'
            names = ", ".join(f'"{column}"' for column in columns)
            connection.execute(f"CREATE TABLE {place} ({names})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {place} VALUES ({marks})", zip(*columns.values(), strict=True))
        cursor = connection.execute(query)
        return [column[0] for column in cursor.description], cursor.fetchall()
    finally:
        connection.close()


def contains(point: str, circle: str) -> int:
    ra, dec = map(float, point.split())
    ra0, dec0, radius = map(float, circle.split())
    return int(separation_arcsec(ra, dec, ra0, dec0) <= radius * 3600)


def votable(names: list[str], rows: list[tuple[Any, ...]], status: str, after: str = "") -> bytes:
    fields, cells = "", ""
    for k, name in enumerate(names):
        values = [row[k] for row in rows if row[k] is not None]
        kind = "double" if any(isinstance(value, float) for value in values) else "long"
        if any(isinstance(value, str) for value in values):
            fields += f'<FIELD name="{name}" datatype="char" arraysize="*"/>'
        else:
            fields += f'<FIELD name="{name}" datatype="{kind}"/>'
    for row in rows:
        cells += "<TR>" + "".join(f"<TD>{'' if value is None else value}</TD>" for value in row) + "</TR>"
    table = f"<TABLE>{fields}<DATA><TABLEDATA>{cells}</TABLEDATA></DATA></TABLE>" if names else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results">{status}{table}{after}</RESOURCE></VOTABLE>'
    ).encode()
