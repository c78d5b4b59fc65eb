"""The browser in a real one: Chromium looks, sorts, pages and judges by keyboard; its pages pass axe-core's checks.

With ``pytest tests/browser/test_chromium.py --pictures docs/pictures`` the pictures of the documentation are made anew.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import retriever as package
from retriever.report.verdicts import read_verdicts
from tests.browser.conftest import serving

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
CHROMIUM, DRIVER = (
    next(filter(None, map(shutil.which, names)), None) for names in (("chromium", "google-chrome"), ("chromedriver",))
)
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed (Debian: chromium-driver)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]  # fmt: skip
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
WIDTHS = (400, 1280, 2560)


@pytest.fixture(scope="module")
def chromium() -> Iterator["selenium.webdriver.Chrome"]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.implicitly_wait(10)
    yield driver
    driver.quit()


@pytest.fixture
def look(chromium, site: str, version):
    """Opens a page of the browser, or one of the version."""
    messages(chromium)  # those of earlier tests

    def look(path: str = "", *, width: int = 1280, dark: bool = False) -> None:
        chromium.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
        chromium.get(site if path == "/" else f"{site}/versions/{version.name}{path}")
        if "detections/" in path or "sources/" in path:
            assert chromium.find_elements("css selector", ".chart canvas"), chromium.page_source

    return look


def texts(chromium, selector: str) -> list[str]:
    return [each.text for each in chromium.find_elements("css selector", selector)]


def press(chromium, keys: str) -> None:
    """Press a key, and wait for the page that it leads to."""
    old = chromium.find_element("css selector", "h1")
    chromium.find_element("css selector", "body").send_keys(keys)
    from selenium.webdriver.support.expected_conditions import staleness_of
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(chromium, 10).until(staleness_of(old))


def messages(chromium) -> list[str]:
    return [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]


def test_look_sort_page_and_judge_by_keyboard(chromium, look, version, folder: Path) -> None:
    look()
    first_page = texts(chromium, "a.row")
    assert len(first_page) == 50
    chromium.find_element("link text", "time_peak").click()
    assert "sort=time_peak" in chromium.current_url
    times = [float(text) for text in texts(chromium, "tbody td:nth-child(7)")]
    assert times == sorted(times, reverse=True)
    chromium.find_element("css selector", "a[rel=next]").click()
    assert chromium.find_element("css selector", ".pager span").text.startswith("page 2")
    look("?snr=5")
    chromium.find_element("css selector", "a.row").click()
    names = [
        version.detections.source[k]
        for k in version.detections.snr.abs().sort_values(ascending=False, kind="stable").index
    ]
    heads = []
    for key in "rbj":
        heads.append(chromium.find_element("css selector", "h1").text)
        press(chromium, key)
    press(chromium, "k")
    heads.append(chromium.find_element("css selector", "h1").text)
    shown = [name if len(name) <= 120 else f"{name[:119]}…" for name in names]
    assert heads == [*shown[:3], shown[2]]
    chromium.find_element("css selector", "body").send_keys("n")
    chromium.switch_to.active_element.send_keys("broad")
    chromium.switch_to.active_element.send_keys("\ue00c")  # Escape
    press(chromium, "u")
    verdicts = read_verdicts(folder / "outputs")
    assert [(each.source, each.verdict, each.note) for each in verdicts] == [
        (names[0], "real", ""), (names[1], "bogus", ""), (names[2], "unsure", "broad"),
    ]  # fmt: skip
    look()
    chromium.refresh()
    assert texts(chromium, "tbody td:last-child")[:4] == ["real", "bogus", "unsure", ""]
    look(f"/detections/{version.detections.index[version.detections.source == names[0]][0]}")
    press(chromium, "x")
    assert [each.verdict for each in read_verdicts(folder / "outputs")][-1] == ""
    assert messages(chromium) == []


def test_light_curves_zoom_fold_and_change_their_level(chromium, look) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    look("/detections/3")
    state = "return [...document.querySelectorAll('.chart canvas')].map(each => each.toDataURL()).join()"
    wait, seen = WebDriverWait(chromium, 10), [chromium.execute_script(state)]
    chromium.find_element("name", "period").send_keys("3.3")
    for selector in ("#whole", "#fold", "option[value=flux]", "input[name=errors]"):
        chromium.find_element("css selector", selector).click()
        wait.until(lambda driver: driver.execute_script(state) not in seen)
        seen.append(chromium.execute_script(state))
    assert chromium.find_element("id", "fold").get_attribute("aria-pressed") == "true"
    chromium.find_element("xpath", "//option[text()='reduced']").click()
    wait.until(lambda driver: "60 epochs" in driver.find_element("id", "told").text)
    chromium.find_element("xpath", "//option[text()='raw']").click()
    wait.until(lambda driver: driver.find_element("name", "excluded").is_selected())
    assert messages(chromium) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", ["/", "", "/sources", "/sources/0", "/detections/0", "/nowhere"])
def test_pages_pass_the_checks_of_axe(chromium, look, path: str, dark: bool) -> None:
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe-core-python is not installed").Axe()
    look(path, dark=dark)
    found = axe.run(chromium, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_into_the_window(chromium, look, width: int) -> None:
    for path in ("/", "", "/sources", "/detections/0"):
        look(path, width=width)
        wide = chromium.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, (path, wide)


def test_names_run_no_scripts(chromium, look, version) -> None:
    for row in range(6):
        look(f"/sources/{row}")
        assert chromium.title.endswith("retriever")
    look("?sort=source&up=1")
    assert messages(chromium) == []


def test_pictures(chromium, request, stand: Path, tmp_path: Path) -> None:
    """Pictures of the report and the browser; kept where ``--pictures`` says."""
    asked = request.config.getoption("--pictures")
    folder = Path(asked) if asked else tmp_path
    folder.mkdir(exist_ok=True)
    made = package.run("catalog.size=300", "simulator=box", "scrambler=standard", quiet=True)
    report = made.report().as_uri()
    place = int(made.detections.snr.abs().idxmax())
    with serving(stand / "outputs", stand / "data", hosts=["127.0.0.1"]) as site:
        pages = {"report": report, "detections": f"{site}/versions/{made.name}",
                 "detection": f"{site}/versions/{made.name}/detections/{place}"}  # fmt: skip
        for name, address in pages.items():
            for width, height in ((1280, 860), (400, 860)):
                screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
                chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
                chromium.execute_cdp_cmd(
                    "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
                )
                chromium.get(address)
                if name == "detection":
                    assert chromium.find_elements("css selector", ".chart canvas")
                assert chromium.execute_script("return document.documentElement.scrollWidth") <= width, name
                path = folder / f"{name}-{width}.png"
                assert chromium.save_screenshot(str(path)) and path.stat().st_size > 5000
