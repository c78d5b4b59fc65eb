"""What to cite for surveys."""

__all__ = ["REFERENCES", "reference_of"]

REFERENCES = {
    "ZTF": "Bellm et al. 2019, PASP 131, 018002; Masci et al. 2019, PASP 131, 018003",
    "TESS": "Ricker et al. 2015, JATIS 1, 014003",
    "KEPLER": "Borucki et al. 2010, Science 327, 977; for K2: Howell et al. 2014, PASP 126, 398",
    "GAIA": "Gaia Collaboration 2016, A&A 595, A1; Gaia Collaboration 2023, A&A 674, A1",
    "ATLAS": "Tonry et al. 2018, PASP 130, 064505; Smith et al. 2020, PASP 132, 085002",
    "PANSTARRS": "Chambers et al. 2016, arXiv:1612.05560; Flewelling et al. 2020, ApJS 251, 7",
    "NEOWISE": "Mainzer et al. 2014, ApJ 792, 30; Wright et al. 2010, AJ 140, 1868",
}
"""By the name of the survey, as observatories in the config have it."""


def reference_of(survey: str) -> str:
    """What to cite for a survey; "" for one that is not known here.

    Examples
    --------
    >>> reference_of("TESS")
    'Ricker et al. 2015, JATIS 1, 014003'
    """
    return REFERENCES.get(survey.upper(), "")
