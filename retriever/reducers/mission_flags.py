"""Bits of the quality flags of TESS and Kepler, by name."""

from collections.abc import Iterable

from retriever.errors import ConfigError, nearest

__all__ = ["KEPLER_FLAGS", "TESS_FLAGS", "mask_of"]

TESS_FLAGS = {
    "attitude_tweak": 1, "safe_mode": 2, "coarse_point": 4, "earth_point": 8, "argabrightening": 16,
    "desaturation": 32, "cosmic_ray": 64, "manual_exclude": 128, "sensitivity_dropout": 256,
    "impulsive_outlier": 512, "collateral_cosmic_ray": 1024, "stray_light": 2048, "scattered_light": 4096,
    "planet_search_exclude": 8192, "bad_calibration": 16384, "insufficient_targets": 32768,
}  # fmt: skip
"""TESS Science Data Products Description Document (EXP-TESS-ARC-ICD-0014), table 32, and later release notes."""

KEPLER_FLAGS = {
    "attitude_tweak": 1, "safe_mode": 2, "coarse_point": 4, "earth_point": 8, "zero_crossing": 16, "desaturation": 32,
    "argabrightening": 64, "cosmic_ray": 128, "manual_exclude": 256, "sensitivity_dropout": 1024,
    "impulsive_outlier": 2048, "argabrightening_on_ccd": 4096, "collateral_cosmic_ray": 8192,
    "detector_anomaly": 16384, "no_fine_point": 32768, "no_data": 65536, "rolling_band": 131072,
    "rolling_band_in_mask": 262144, "possible_thruster_firing": 524288, "thruster_firing": 1048576,
}  # fmt: skip
"""Kepler Archive Manual (KDMC-10008), table 2-3, and K2's additions to it."""


def mask_of(names: Iterable[str], kepler: bool) -> int:
    """The bits of some flags of a mission; those that only the other one has are left out.

    Raises
    ------
    ConfigError
        For a flag that neither has.

    Examples
    --------
    >>> mask_of(["safe_mode", "argabrightening"], kepler=False), mask_of(["safe_mode", "no_data"], kepler=True)
    (18, 65538)
    """
    mask = 0
    for name in names:
        if name not in TESS_FLAGS and name not in KEPLER_FLAGS:
            hint = nearest(name, {**TESS_FLAGS, **KEPLER_FLAGS})
            raise ConfigError(f"the reducer's bad_flags name {name!r}, which TESS and Kepler do not have{hint}")
        mask |= (KEPLER_FLAGS if kepler else TESS_FLAGS).get(name, 0)
    return mask
