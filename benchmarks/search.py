"""Speed of the finders and of detrending on one core, beside other packages on the same arrays.

    python benchmarks/search.py                    # every case (a few minutes)
    python benchmarks/search.py --case flare --repeat 3
    python benchmarks/search.py --quick            # small, only to see that it runs

Packages that are not installed are left out: ``pip install -e ".[nifty,wotan]" altaipony``. Each time is the median of
the repetitions, and is taken right after that of the package it is compared with.
"""

import argparse
import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before numpy is imported

import numpy as np  # noqa: E402

from retriever.detrending.biweight import Biweight  # noqa: E402
from retriever.detrending.running_median import RunningMedian  # noqa: E402
from retriever.finders.bls import BLSFinder, period_grid  # noqa: E402
from retriever.finders.flare import FlareFinder  # noqa: E402
from retriever.finders.lomb_scargle import LombScargleFinder  # noqa: E402
from retriever.finders.matched_filter import MatchedFilter, template_widths  # noqa: E402
from retriever.lightcurve import Lightcurve  # noqa: E402
from retriever.lightcurves import LightcurveBatch, LightcurveSet  # noqa: E402
from retriever.profiles import PROFILES  # noqa: E402


def lightcurve(time_: np.ndarray, flux: np.ndarray) -> Lightcurve:
    errors = np.ones(time_.size)
    return Lightcurve.from_columns(
        band="TESS", time=58000.0 + time_, flux=flux, flux_err=errors, mag=None, mag_err=None, zero_point=20.44,
        flux_unit="e-/s",
    )  # fmt: skip


def batch(lightcurves: list[Lightcurve]) -> LightcurveBatch:
    (of_all,) = LightcurveSet.of([(lc,) for lc in lightcurves]).batches
    return of_all


def sector(seed: int, n: int = 20_000, flares: int = 10) -> Lightcurve:
    """A sector of two-minute images of a star that rotates, with flares."""
    rng = np.random.default_rng(seed)
    time_ = np.arange(n) / 720.0
    flux = 1000.0 + 10.0 * np.sin(2 * np.pi * time_ / 4.87) + rng.standard_normal(n)
    for begin, height in zip(rng.uniform(0, time_[-1], flares), rng.uniform(10, 50, flares), strict=True):
        flux += height * np.exp(-np.maximum(time_ - begin, 0.0) / 0.02) * (time_ >= begin)
    return lightcurve(time_, flux)


def seconds(work: Callable[[], object], repeat: int) -> float:
    work()
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def show(what: str, value: float, unit: str, goal: str) -> None:
    print(f"| {what} | {value:.3g} {unit} | {goal} |", flush=True)


def matched_filter(repeat: int, quick: bool) -> None:
    from scipy.signal import correlate

    n, rng = 2_000 if quick else 100_000, np.random.default_rng(1)
    step = 1.0 / 720.0
    lc = lightcurve(step * np.arange(n), 1000.0 + rng.standard_normal(n))
    shortest, longest, overlap = 0.01, 2.0, with_widths(0.01, 2.0)
    finder = MatchedFilter(shortest=shortest, longest=longest, overlap=overlap)
    widths = template_widths("gaussian", shortest, longest, overlap)
    profile, begin, end = PROFILES["gaussian"]
    kernels = [profile(np.arange(begin * w, end * w, step), np.array(w)) for w in widths]
    deviation = lc.flux - 1000.0

    def by_scipy() -> None:
        for kernel in kernels:
            correlate(deviation, kernel, mode="same", method="fft")

    many = batch([lc])
    theirs = seconds(by_scipy, repeat)
    ours = seconds(lambda: finder.find_many(many), repeat)
    show(f"matched_filter, {n} even epochs, {len(widths)} widths, to scipy's FFT correlation", ours / theirs, "x", "3")
    for low, high in ((0.01, 1.0), (1.0, 100.0), (5.0, 100.0)):
        m = 5 if quick else 200
        curves = batch(
            [lightcurve(np.sort(rng.uniform(0, 1000, 500)), 100 + rng.standard_normal(500)) for _ in range(m)]
        )
        finder = MatchedFilter(shortest=low, longest=high, overlap=with_widths(low, high))
        rate = m / seconds(lambda curves=curves, finder=finder: finder.find_many(curves), repeat)
        show(f"matched_filter, 500 uneven epochs in 1000 d, 20 widths of {low:g} to {high:g} d", rate, "/s", "1500")


def with_widths(low: float, high: float, number: int = 20) -> float:
    """The least overlap for which there are so many templates."""
    few, many = 0.9, 0.99999
    while many - few > 1e-5:
        middle = 0.5 * (few + many)
        enough = len(template_widths("gaussian", low, high, middle)) >= number
        few, many = (few, middle) if enough else (middle, many)
    return many


def bls(repeat: int, quick: bool) -> None:
    from astropy.timeseries import BoxLeastSquares

    rng = np.random.default_rng(2)

    def curve(n: int, cadence: float) -> Lightcurve:
        time_ = cadence * np.arange(n)
        return lightcurve(time_, 1000.0 - 5.0 * ((time_ - 0.7) % 3.3 < 0.12) + rng.standard_normal(n))

    lc, finder = curve(300 if quick else 1300, 1 / 48), BLSFinder()
    span = float(lc.time[-1] - lc.time[0])
    periods = period_grid(span, finder.shortest, span / 2, finder.stellar_density, finder.oversampling)
    one = batch([lc])
    theirs = seconds(lambda: BoxLeastSquares(lc.time, lc.flux, lc.flux_err).power(periods, finder.durations), repeat)
    ours = seconds(lambda: finder.find_many(one), repeat)
    show(f"bls, {lc.n_epochs} epochs, to astropy on the same periods and durations", ours / theirs, "x", "1.1")
    curves = [curve(2000 if quick else 20_000, 1 / 720) for _ in range(1 if quick else 3)]
    many = batch(curves)

    def by_astropy() -> None:
        for each in curves:
            model = BoxLeastSquares(each.time, each.flux, each.flux_err)
            grid = model.autoperiod(finder.durations, minimum_period=finder.shortest, minimum_n_transit=2)
            model.power(grid, finder.durations)

    theirs = seconds(by_astropy, 1)
    ours = seconds(lambda: finder.find_many(many), repeat)
    show(f"bls, {len(curves)} light curves of {curves[0].n_epochs} epochs: astropy's default grid to ours",
         theirs / ours, "x", "4")  # fmt: skip


def lomb_scargle(repeat: int, quick: bool) -> None:
    if not has("nifty_ls"):
        return
    from astropy.timeseries import LombScargle

    rng = np.random.default_rng(3)
    for n, span in ((300, 1000.0), (20_000, 27.0)):
        time_ = np.sort(rng.uniform(0, span, n))
        lc = lightcurve(time_, 1000.0 + 0.5 * np.sin(2 * np.pi * time_ / 0.62) + rng.standard_normal(n))
        frequency = np.arange(1 / span, 10.0, 1 / (5 * span))
        one, finder = batch([lc]), LombScargleFinder(fap_threshold=1.0)
        import nifty_ls  # noqa: F401  it adds its method to astropy's

        model = LombScargle(lc.time, lc.flux, lc.flux_err)
        theirs = seconds(
            lambda model=model, frequency=frequency: model.power(
                frequency, method="fastnifty", assume_regular_frequency=True
            ),
            repeat,
        )
        ours = seconds(lambda one=one, finder=finder: finder.find_many(one), repeat)
        show(f"lomb_scargle, {n} epochs, {frequency.size} frequencies, to nifty-ls", ours / theirs, "x", "1.2")


def flare(repeat: int, quick: bool) -> None:
    curves = [sector(seed, 2000 if quick else 20_000) for seed in range(2 if quick else 10)]
    detrender, finder = RunningMedian(window=0.4), FlareFinder()

    def ours() -> None:
        finder.find_many(batch([detrender.detrend(lc) for lc in curves]))

    rate = len(curves) / seconds(ours, repeat)
    show(f"running_median and flare, sectors of {curves[0].n_epochs} epochs", rate, "/s", "200")
    alone = batch([detrender.detrend(lc) for lc in curves])
    show("flare alone", len(curves) / seconds(lambda: finder.find_many(alone), repeat), "/s", "")
    biweight = Biweight(window=1.0)
    rate = len(curves) / seconds(lambda: [biweight.detrend(lc) for lc in curves], repeat)
    show("biweight of a day", rate, "/s", "")
    if has("wotan"):
        from wotan import flatten

        for method, window in (("median", 0.4), ("biweight", 1.0)):
            rate = len(curves) / seconds(
                lambda method=method, window=window: [
                    flatten(lc.time, lc.flux, method=method, window_length=window, break_tolerance=0.5) for lc in curves
                ],
                repeat,
            )
            show(f"wotan, {method} of {window:g} d, one fit", rate, "/s", "")
    if has("altaipony"):
        warnings.simplefilter("ignore")  # of what its dependencies lack
        from altaipony.altai import find_flares_in_cont_obs_period

        quiet = [(lc.flux, lc.flux_err) for lc in (detrender.detrend(lc) for lc in curves)]

        def by_altaipony() -> None:
            for flux, errors in quiet:
                find_flares_in_cont_obs_period(flux, np.full(flux.size, np.median(flux)), errors)

        show("AltaiPony's search of detrended light curves", len(curves) / seconds(by_altaipony, repeat), "/s", "")


CASES = {"matched_filter": matched_filter, "bls": bls, "lomb_scargle": lomb_scargle, "flare": flare}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small light curves, once each")
    words = parser.parse_args()
    print("| case | measured | goal |\n|---|---|---|")
    for name in words.case or CASES:
        CASES[name](1 if words.quick else words.repeat, words.quick)


if __name__ == "__main__":
    main()
