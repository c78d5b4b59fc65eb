"""The browser shows what the tables hold, to those who may see it, and keeps what they say."""

import html
import io
import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

import retriever as package
from retriever.report.verdicts import VERDICT_FILE, read_verdicts
from retriever.store.models import Verdict
from tests.browser.conftest import NAMES, WORDS, serving


class Page(HTMLParser):
    """What a page has: texts of cells, links, fields of forms, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[dict[str, str]] = []
        self.fields: dict[str, str] = {}
        self.loaded: list[str] = []
        self.tags: set[str] = set()
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs) -> None:
        own = dict(attrs)
        self.tags.add(tag)
        self.loaded += [own[key] for key in ("src", "href") if key in own and tag in ("script", "link", "img")]
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self._cell = True
            self.rows[-1].append("")
        elif tag == "a":
            self.links.append(own)
        elif tag == "input" and own.get("name"):
            self.fields[own["name"]] = own.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag != "td"

    def handle_data(self, text: str) -> None:
        if self._cell:
            self.rows[-1][-1] += text


def page(client: httpx.Client, address: str, status: int = 200) -> Page:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    return Page(answer.text)


def judge(client: httpx.Client, address: str, verdict: str, **other: str) -> httpx.Response:
    fields = page(client, address).fields
    fields.pop("excluded", None)
    return client.post("/verdicts", data={**fields, "verdict": verdict, **other})


def shown_names(found: Page) -> list[str]:
    return [cells[0] for cells in found.rows if len(cells) > 5]


def test_versions_are_listed(client: httpx.Client, version) -> None:
    (cells,) = [cells for cells in page(client, "/").rows if cells]
    assert cells[0] == version.name and cells[2:4] == ["60", str(len(version.detections))]


def test_detections_are_sorted_filtered_and_paged(client: httpx.Client, version) -> None:
    detections = version.detections
    assert len(detections) > 55
    here = f"/versions/{version.name}"

    def expected(frame: pd.DataFrame) -> list[str]:
        return [name if len(name) <= 60 else f"{name[:59]}…" for name in frame["source"]]

    strongest = detections.iloc[np.argsort(-detections.snr.abs(), kind="stable")]
    assert shown_names(page(client, here)) == expected(strongest[:50])
    assert shown_names(page(client, f"{here}?page=2")) == expected(strongest[50:100])
    assert shown_names(page(client, f"{here}?page=99")) == []
    by_time = detections.sort_values("time_peak", kind="stable")
    assert shown_names(page(client, f"{here}?sort=time_peak&up=1")) == expected(by_time[:50])
    by_name = detections.sort_values("source", ascending=False, kind="stable")
    assert shown_names(page(client, f"{here}?sort=source")) == expected(by_name[:50])
    some = strongest[strongest.source.str.contains("star 1")]
    assert shown_names(page(client, f"{here}?source=STAR+1")) == expected(some)
    limit = float(strongest.snr.abs().iloc[20])
    assert shown_names(page(client, f"{here}?snr={limit!r}")) == expected(strongest[:21])
    assert len(shown_names(page(client, f"{here}?verdict=none"))) == 50
    assert (
        shown_names(page(client, f"{here}?observatory=nowhere")) == shown_names(page(client, f"{here}?finder=x")) == []
    )
    for words in ("sort=nothing", "snr=many", "snr=nan", "verdict=maybe", "page=0"):
        assert "Not shown" in client.get(f"{here}?{words}").text


def test_sources_are_sorted_and_filtered(client: httpx.Client, version) -> None:
    here = f"/versions/{version.name}/sources"
    counts = version.detections.source.value_counts()
    rows = [cells for cells in page(client, here).rows if cells]
    assert [int(cells[4]) for cells in rows] == sorted((counts.get(name, 0) for name in NAMES), reverse=True)[:50]
    rows = [cells for cells in page(client, f"{here}?sort=dec&up=1&source=star").rows if cells]
    assert [cells[0] for cells in rows] == [f"star {k}" for k in range(50)]


def test_names_are_text_wherever_they_are_shown(client: httpx.Client, version) -> None:
    found = page(client, f"/versions/{version.name}/sources?sort=name&up=1")
    assert "<script>document.title='taken'</script>" in [cells[0] for cells in found.rows if cells]
    for row in range(6):
        text = client.get(f"/versions/{version.name}/sources/{row}").text
        assert html.escape(NAMES[row][:50], quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in text
        assert "<script>document" not in text and len(text) < 60_000
    places = [int(np.flatnonzero(version.detections.source == name)[0]) for name in NAMES[:6]]
    for place in places:
        found = page(client, f"/versions/{version.name}/detections/{place}")
        assert json.loads(found.fields["event"])["source"] in NAMES[:6]


def test_the_page_of_a_detection_shows_what_is_known(client: httpx.Client, version) -> None:
    row = version.detections.iloc[7]
    text = client.get(f"/versions/{version.name}/detections/7?sort=time_peak&up=1").text
    for words in ("Epochs around the peak", "Where it comes from", "SIMBAD", "Aladin Lite", "MAST", "VizieR", "ZTF"):
        assert words in text
    found = Page(text)
    values = {cells[0]: cells[1] for cells in found.rows if len(cells) == 4 and cells[0]}
    assert float(values["snr"]) == pytest.approx(row.snr, rel=1e-3)
    assert int(values["n_epochs"]) == row.n_epochs
    (lc,) = version.source(row.source).lightcurves()
    assert any(f"{lc.time[row.peak]:.4f}" == cells[0] for cells in found.rows if len(cells) > 8)
    order = version.detections.sort_values("time_peak", kind="stable").index.tolist()
    at = order.index(7)
    near = {link["rel"]: link["href"] for link in found.links if link.get("rel") in ("next", "prev")}
    assert near["next"] == f"/versions/{version.name}/detections/{order[at + 1]}?sort=time_peak&up=1"
    assert near["prev"] == f"/versions/{version.name}/detections/{order[at - 1]}?sort=time_peak&up=1"


def test_light_curves_as_numbers_are_those_of_the_version(client: httpx.Client, version) -> None:
    row = version.detections.iloc[3]
    source = version.source(row.source)
    for level in ("processed", "reduced"):
        (chart,) = client.get(f"/versions/{version.name}/sources/{source.row}/lightcurves.json?level={level}").json()
        (lc,) = source.lightcurves(level)
        np.testing.assert_allclose(chart["x"], lc.time, rtol=0, atol=1e-7)
        for name in ("mag", "mag_err", "flux", "flux_err"):
            values = np.array([np.nan if value is None else value for value in chart[name]])
            np.testing.assert_allclose(values, getattr(lc, name), rtol=1e-5)
        assert chart["usable"] == (~lc.qflag).astype(int).tolist() and chart["every"] == 1
        assert chart["spans"][0]["peak"] == row.time_peak or len(source.detections) > 1
    address = f"/versions/{version.name}/sources/{source.row}/lightcurves.json?level="
    (chart,) = client.get(address + "raw").json()
    (raw,) = source.lightcurves("raw")
    np.testing.assert_allclose(chart["x"], raw.columns["mjd"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(chart["mag"], raw.columns["mag"], rtol=1e-6)
    assert chart["time"] == "MJD (the survey's own clock)" and chart["magnitudes"] and chart["dropped"] == {}
    assert client.get(address + "cooked").status_code == 404


def test_pages_work_without_scripts_and_load_nothing_from_elsewhere(client: httpx.Client, version) -> None:
    here = f"/versions/{version.name}"
    for address in ("/", here, f"{here}/sources", f"{here}/sources/1", f"{here}/detections/0", f"{here}/nowhere"):
        answer = client.get(address)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy and policy.startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        found = Page(answer.text)
        assert all(address.startswith("/") for address in found.loaded) and "style" not in found.tags
        assert not re.search(r"\son\w+=|\sstyle=", answer.text)
        for loaded in found.loaded:
            assert client.get(loaded).status_code == 200
    for picture in (f"{here}/detections/0/event.png", f"{here}/sources/1/lightcurves.png"):
        answer = client.get(picture)
        assert answer.headers["content-type"] == "image/png" and answer.content[1:4] == b"PNG"


def test_the_report_is_shown_with_a_policy_of_its_own(client: httpx.Client, version) -> None:
    here = f"/versions/{version.name}/report"
    assert "retriever report" in client.get(here).text
    version.report()
    answer = client.get(here)
    assert answer.status_code == 200 and "sandbox" in answer.headers["content-security-policy"]


# ---- verdicts -------------------------------------------------------------------------------------------------------


def test_a_verdict_is_kept_shown_and_found_in_other_versions(
    client: httpx.Client, version, folder: Path, retriever
) -> None:
    here = f"/versions/{version.name}"
    detections = version.detections
    order = np.argsort(-detections.snr.abs().to_numpy(), kind="stable").tolist()
    answer = judge(client, f"{here}/detections/{order[0]}", "real", note="a <b>fine</b> one", who="Ada")
    assert answer.url.path == f"{here}/detections/{order[1]}"
    answer = judge(client, f"{here}/detections/{order[1]}", "bogus")
    text = client.get(f"{here}/detections/{order[0]}").text
    assert "a &lt;b&gt;fine&lt;/b&gt; one" in text and "by Ada" in text
    assert [cells[-1] for cells in page(client, here).rows if cells][:3] == ["real", "bogus", ""]
    assert len(shown_names(page(client, f"{here}?verdict=real"))) == 1
    (first, second) = read_verdicts(folder / "outputs")
    assert (first.verdict, first.who, first.source) == ("real", "Ada", detections.source[order[0]])
    assert second.who == "Ada"  # the name is remembered
    assert np.isnan(first.period) and first.time_peak == detections.time_peak[order[0]]
    with package.open().session() as session:
        assert session.scalars(sa.select(Verdict.verdict).order_by(Verdict.at)).all() == ["real", "bogus"]
    other = package.run(*[word for word in WORDS if "threshold" not in word], "finder.snr_threshold=6",
                        catalog={"name": list(NAMES), "ra": [10.0 + k for k in range(60)], "dec": [k - 30.0 for k in range(60)]},
                        quiet=True)  # fmt: skip
    assert other.name != version.name
    words = [cells[-1] for cells in page(client, f"/versions/{other.name}").rows if cells]
    assert words[:3] == ["real", "bogus", ""]
    compared = json.loads(retriever("compare", version.name, other.name, "--json").out)
    assert compared["detections"]["verdicts"] == {"both": {"real": 1, "bogus": 1}, "only": [{}, {}]}
    assert "judged in both: 1 real, 1 bogus" in retriever("compare", version.name, other.name).out
    (folder / "outputs" / "retriever.db").unlink()
    assert json.loads(retriever("rebuild", "--json").out)["verdicts"] == 2
    with package.open().session() as session:
        assert len(session.scalars(sa.select(Verdict.id)).all()) == 2


def test_a_verdict_can_be_changed_and_withdrawn(client: httpx.Client, version) -> None:
    place = f"/versions/{version.name}/detections/5"

    def word() -> str:
        rows = page(
            client, f"/versions/{version.name}?sort=source&up=1&source={version.detections.source[5][:20]}"
        ).rows
        return next(cells[-1] for cells in rows if cells)

    for verdict in ("unsure", "real", ""):
        judge(client, place, verdict)
        assert word() == verdict
    assert package.open().verdicts.verdict.tolist() == ["unsure", "real", ""]


def test_forms_of_others_are_refused(client: httpx.Client, site: str, version, folder: Path) -> None:
    fields = page(client, f"/versions/{version.name}/detections/0").fields | {"verdict": "real"}
    event = json.dumps(json.loads(fields["event"]) | {"source": "another"})
    for wrong, headers in (
        ({"form": ""}, {}),
        ({"form": "0" * 64}, {}),
        ({"event": event}, {}),
        ({"signature": ""}, {}),
        ({}, {"Origin": "http://example.org"}),
        ({}, {"Origin": "null"}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
        ({}, {"Host": "example.org"}),
        ({}, {"Host": "["}),
        ({}, {"Origin": "http://["}),
    ):
        assert client.post("/verdicts", data={**fields, **wrong}, headers=headers).status_code == 403, (wrong, headers)
    with httpx.Client(base_url=site) as stranger:
        assert stranger.post("/verdicts", data=fields).status_code == 403
        assert stranger.get("/", headers={"Host": "evil.example.org"}).status_code == 403
    assert client.get("/verdicts").status_code == 405
    assert not (folder / "outputs" / VERDICT_FILE).exists()
    for wrong in ({"verdict": "maybe"}, {"note": "x" * 3000}, {"who": "x" * 100}):
        assert client.post("/verdicts", data={**fields, **wrong}).status_code == 404
    assert not (folder / "outputs" / VERDICT_FILE).exists()
    assert (
        client.post("/verdicts", data={**fields, "next": "https://example.org"}).url.path == f"/versions/{version.name}"
    )


def test_a_browser_for_others_wants_its_token(folder: Path, version) -> None:
    with serving(folder / "outputs", folder / "data", token="a secret") as address, httpx.Client() as client:
        for words in ("", "?token=", "?token=another"):
            answer = client.get(f"{address}/{words}")
            assert answer.status_code == 401 and version.name not in answer.text
        assert client.get(f"{address}/static/browser.js").status_code == 401
        assert client.post(f"{address}/verdicts?token=a+secret").status_code == 401
        cookie = f"retriever-{httpx.URL(address).port}=abc." + "0" * 64
        assert httpx.get(address, headers={"Cookie": cookie}).status_code == 401
        answer = client.get(f"{address}//example.org/?token=a+secret&x=1")
        assert answer.status_code == 303 and answer.headers["location"] == "/example.org/?x=1"
        assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=Strict" in answer.headers["set-cookie"]
        assert version.name in client.get(address).text
        fields = page(client, f"{address}/versions/{version.name}/detections/0").fields
        assert client.post(f"{address}/verdicts", data={**fields, "verdict": "real"}).status_code == 303


def test_browsers_on_other_ports_and_cookies_of_others_are_no_hindrance(
    client: httpx.Client, folder: Path, version
) -> None:
    here = f"/versions/{version.name}/detections/0"
    client.cookies.set("settings", '{"theme": "dark", "wide"}')  # as other programs on this machine leave them
    fields = page(client, here).fields | {"verdict": "real"}
    with serving(folder / "outputs", folder / "data", token="a secret") as other:
        assert client.get(f"{other}/?token=a+secret").status_code == 200
        assert client.get(f"{other}{here}").status_code == 200
    assert client.post("/verdicts", data=fields).status_code == 200
    assert [each.verdict for each in read_verdicts(folder / "outputs")] == ["real"]


def test_what_is_left_to_judge_goes_on_from_a_detection_that_was_judged(client: httpx.Client, version) -> None:
    order = np.argsort(-version.detections.snr.abs(), kind="stable")
    here = f"/versions/{version.name}/detections"
    judge(client, f"{here}/{order[0]}?verdict=none", "real")
    text = client.get(f"{here}/{order[0]}?verdict=none").text
    assert f'rel="next" href="{here}/{order[1]}?verdict=none"' in text


def test_two_who_judge_at_once_lose_nothing(site: str, version, folder: Path) -> None:
    def many(who: str) -> None:
        with httpx.Client(base_url=site, timeout=60) as client:
            fields = page(client, f"/versions/{version.name}/detections/0").fields
            for k in range(25):
                answer = client.post("/verdicts", data={**fields, "verdict": "real", "who": who, "note": str(k)})
                assert answer.status_code == 303

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(many, "abcd"))
    lines = (folder / "outputs" / VERDICT_FILE).read_text().splitlines()
    assert sorted((json.loads(line)["who"], int(json.loads(line)["note"])) for line in lines) == [
        (who, k) for who in "abcd" for k in range(25)
    ]


def test_a_verdict_typed_while_the_version_is_made_anew_is_kept(client: httpx.Client, version, folder: Path) -> None:
    fields = page(client, f"/versions/{version.name}/detections/0").fields
    tables = [folder / "outputs" / version.name / f"{name}.parquet" for name in ("detections", "segments", "sources")]
    kept = [table.read_bytes() for table in tables]
    for table in tables:
        table.unlink()
    answer = client.post("/verdicts", data={**fields, "verdict": "real"})
    assert answer.status_code == 503 and "run the version again" in answer.text
    assert client.get("/").status_code == 200
    for table, content in zip(tables, kept, strict=True):
        table.write_bytes(content)
    assert len(shown_names(page(client, f"/versions/{version.name}?verdict=real"))) == 1


def test_verdicts_as_csv_are_no_formulas(client: httpx.Client, version, folder: Path, retriever) -> None:
    place = int(np.flatnonzero(version.detections.source == NAMES[2])[0])
    judge(client, f"/versions/{version.name}/detections/{place}", "real", note="=1+1", who="@me")
    text = client.get("/verdicts.csv").text
    (row,) = pd.read_csv(io.StringIO(text)).to_dict("records")
    assert (row["source"], row["note"], row["who"]) == ("'" + NAMES[2], "'=1+1", "'@me")
    assert retriever("verdicts", "--csv", "v.csv").code == 0 and Path("v.csv").read_text() == text
    assert retriever("verdicts", "--csv", "v.csv").code == 2
    ended = retriever("verdicts")
    assert ended.code == 0 and "real" in ended.out and "=1+1" in ended.out
    assert json.loads(retriever("verdicts", "--json").out)[0]["period"] is None


def test_what_goes_wrong_is_a_sentence(client: httpx.Client, version, folder: Path) -> None:
    for address, status in (
        ("/versions/none", 404), ("/versions/..%2F..", 404), (f"/versions/{version.name}/detections/99999", 404),
        (f"/versions/{version.name}/sources/99999", 404), ("/static/../app.py", 404), ("/static/%2e%2e/app.py", 404),
        (f"/versions/{version.name}/sources/99999/lightcurves.json", 404),
    ):  # fmt: skip
        answer = client.get(address)
        assert answer.status_code == status and "Traceback" not in answer.text, address
    path = folder / "outputs" / version.name / "detections.parquet"
    path.write_bytes(path.read_bytes()[:100])
    assert client.get(f"/versions/{version.name}").status_code == 503
    (folder / "outputs" / version.name / "version.json").write_text("{")
    assert client.get("/").status_code == 200


def test_the_command_serves_until_it_is_interrupted(folder: Path, version) -> None:
    words = [sys.executable, "-m", "retriever.cli", "browse", "--port"]
    server = subprocess.Popen([*words, "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        assert version.name in httpx.get(address).text
        port = address.rstrip("/").rpartition(":")[2]
        busy = subprocess.run([*words, port], capture_output=True, text=True)
        assert busy.returncode == 2 and "choose another with --port" in busy.stderr and busy.stderr.count("\n") == 1
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=20)
    assert server.returncode == 0 and errors == ""
    assert subprocess.run([*words, "99999"], capture_output=True).returncode == 2


def test_for_others_the_command_prints_a_token(folder: Path, version) -> None:
    words = [sys.executable, "-m", "retriever.cli", "browse", "--port", "0", "--host", "0.0.0.0"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        port, _, token = address.partition(":")[2].rpartition(":")[2].partition("/?token=")
        assert len(token) >= 20
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 401
        answer = httpx.get(f"http://127.0.0.1:{port}/?token={token}", follow_redirects=True)
        assert version.name in answer.text
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=20)


def test_pages_of_a_source_with_several_detections_lead_to_each_other(stand: Path) -> None:
    version = package.run("catalog.size=5", "observatories.demo.epochs=200", "finder.snr_threshold=2.5", quiet=True)
    name = version.detections.source.mode()[0]
    places = version.detections.index[version.detections.source == name].tolist()
    assert len(places) > 2
    here = f"/versions/{version.name}"
    with serving(stand / "outputs", stand / "data", hosts=["127.0.0.1"]) as site, httpx.Client(base_url=site) as client:
        answer = client.get(f"{here}/detections/{places[1]}?snr=2")
        assert answer.status_code == 200
        linked = [int(row) for row in re.findall(rf'<li><a href="{here}/detections/(\d+)\?snr=2', answer.text)]
        assert linked == [place for place in places if place != places[1]]
        answer = client.get(f"{here}/sources/{version.source(name).row}")
        assert [int(row) for row in re.findall(rf'<li><a href="{here}/detections/(\d+)"', answer.text)] == places
