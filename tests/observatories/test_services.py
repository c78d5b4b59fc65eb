"""The same questions to the services on loopback and, with pytest -m network, to the real ones."""

from collections.abc import Iterator

import pytest
from hydra import compose, initialize_config_dir

from retriever.config import CONFIG_FOLDER, build_setup
from retriever.rawtable import RawPhotometry
from retriever.source import Source
from tests.archive import Archive
from tests.mast_server import MASTServer
from tests.surveys import ZTF_PATH, ztf_route
from tests.tap_server import TAPServer

ZZ_CETI = Source(name="GD 133", ra=169.80146, dec=2.34242, pmra=-0.6, pmdec=-24.0, epoch=2016.0, mag=14.76)
PI_MEN = Source(name="TIC 261136679", ra=84.2912, dec=-80.4691, mag=5.5)
KIC = Source(name="KIC 10666592", ra=292.247, dec=47.9695, mag=10.5)
RR_LYRAE = Source(name="RR Lyr", ra=291.36630, dec=42.78436, aliases=("Gaia DR3 2125982599343482624",), mag=7.6)


@pytest.fixture(params=["loopback", pytest.param("network", marks=pytest.mark.network)])
def services(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Addresses to use in place of the real ones; none where these are to be asked."""
    if request.param == "network":
        yield {}
        return
    with Archive(routes={ZTF_PATH: ztf_route(mag=14.8)}).serving() as archive:
        mast = MASTServer(archive)
        mast.add_star(261136679, PI_MEN.ra, PI_MEN.dec, gaia=5.5, sectors=(1, 4))
        tap = TAPServer(archive, {
            "neowiser_p1bs_psd": {name: [1.0] for name in ("saa_sep", "qi_fact", "nb", "na")} | {
                "mjd": [58000.0], "ra": [ZZ_CETI.ra], "dec": [ZZ_CETI.dec], "w1mpro": [15.0], "w1sigmpro": [0.1],
                "w2mpro": [15.0], "w2sigmpro": [0.2], "qual_frame": [10], "moon_masked": ["00"], "cc_flags": ["0000"],
                "ph_qual": ["AA"],
            },
            "dbo.detection": {
                "objID": [1], "obsTime": [55500.0], "ra": [ZZ_CETI.ra], "dec": [ZZ_CETI.dec], "filterID": [1],
                "psfFlux": [1e-5], "psfFluxErr": [1e-7], "infoFlag": [0], "expTime": [43.0],
            },
            "I/355/epphot": {
                name: [2125982599343482624 if name == "Source" else 1700.0 if name.startswith("Time") else 1.0]
                for name in (
                    "Source", "TransitID", "TimeG", "FG", "e_FG", "Gmag", "GrVFlag", "TimeBP", "FBP", "e_FBP", "BPmag",
                    "BPrVFlag", "TimeRP", "FRP", "e_FRP", "RPmag", "RPrVFlag",
                )
            },
        })  # fmt: skip
        yield {"ztf": archive.url + ZTF_PATH, "tess": archive.url, "kepler": archive.url,
               **dict.fromkeys(("neowise", "panstarrs", "gaia_epochs"), tap.url)}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "source", "bands"),
    [
        ("ztf", ZZ_CETI, {"g", "r"}), ("tess", PI_MEN, {"TESS"}), ("neowise", ZZ_CETI, {"W1"}), ("panstarrs", ZZ_CETI, {"g"}),
        ("gaia_epochs", RR_LYRAE, {"G", "BP", "RP"}),
    ],
)  # fmt: skip
def test_a_known_star_has_light_curves(services, name: str, source: Source, bands: set[str]) -> None:
    words = [f"observatory={name}"] + ([f"observatories.{name}.url={services[name]}"] if services else [])
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        setup = build_setup(compose("config", words))
    (answer,) = setup.observatories[name].fetch([source])
    assert isinstance(answer, RawPhotometry), answer
    assert answer.n_rows and answer.provenance["fetched"]
    reduction = setup.reducers[name].reduce(source, answer)
    assert bands <= {lightcurve.band for lightcurve in reduction.lightcurves}


def test_the_star_catalog_knows_a_number(services) -> None:
    words = ["observatory=tess"] + ([f"observatories.tess.url={services['tess']}"] if services else [])
    with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        setup = build_setup(compose("config", words))
    star = setup.observatories["tess"].find_place("261136679")
    assert star.ra == pytest.approx(84.29, abs=0.05) and star.dec == pytest.approx(-80.47, abs=0.05)
