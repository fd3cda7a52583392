import pytest

from camembert_bio.corpus.licences import conditions, terms


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["CC0", "CC BY 4.0", "Licence Ouverte 2.0", "domaine public", "MIT"], "attribution at most"),
        (["CC BY 4.0 and Licence Ouverte 2.0", "https://creativecommons.org/licenses/by/4.0/"], "attribution at most"),
        (["CC BY 4.0", "CC-BY-NC"], "non-commercial (CC-BY-NC)"),
        (
            ["https://creativecommons.org/licenses/by-nc-sa/4.0/"],
            "non-commercial (https://creativecommons.org/licenses/by-nc-sa/4.0/); share-alike (https://creativecommons.org/licenses/by-nc-sa/4.0/)",
        ),
        (["CC BY-SA", "GFDL", "CC BY-ND"], "share-alike (CC BY-SA, GFDL); no derivatives (CC BY-ND)"),
        (["Masson SA"], "and what these ask, which are not known here: Masson SA"),
        (
            ["non-commercial use"],
            "non-commercial (non-commercial use); and what these ask, which are not known here: non-commercial use",
        ),
        (["CC BY 4.0, no commercial use"], "non-commercial (CC BY 4.0, no commercial use)"),
        (["CC BY, pas d'utilisation commerciale"], "non-commercial (CC BY, pas d'utilisation commerciale)"),
        (["CC BY, not for commercial use"], "non-commercial (CC BY, not for commercial use)"),
        (["CC BY - partage dans les mêmes conditions"], "share-alike (CC BY - partage dans les mêmes conditions)"),
        # A name that says more than is understood asks more than attribution.
        (["CC BY 4.0, research only"], "and what these ask, which are not known here: CC BY 4.0, research only"),
        (
            ["CC BY-SA, at our ward"],
            "share-alike (CC BY-SA, at our ward); and what these ask, which are not known here: CC BY-SA, at our ward",
        ),
    ],
)
def test_the_licence_that_results(licences, expected):
    assert conditions(terms(licences)) == expected


@pytest.mark.parametrize(
    ("licences", "conflicts"),
    [
        (["CC0", "CC BY 4.0", "CC BY-SA 3.0", "CC BY-SA 4.0"], []),
        (["CC BY-NC 4.0", "CC BY-NC-SA 4.0", "CC BY"], []),
        (["CC BY-SA 3.0 and GFDL", "GFDL"], []),
        (["Masson SA", "CC BY-SA"], []),
        (["CC BY-SA", "GFDL"], ["each of these asks that the whole be under itself: CC BY-SA, GFDL"]),
        (["ODbL", "GFDL"], ["each of these asks that the whole be under itself: GFDL, ODbL"]),
        (
            ["CC BY-NC", "CC BY-SA"],
            ["commercial use of the whole is forbidden by CC BY-NC, and to forbid it by CC BY-SA"],
        ),
        (
            ["CC BY, no commercial use", "GFDL"],
            ["commercial use of the whole is forbidden by CC BY, no commercial use, and to forbid it by GFDL"],
        ),
        (
            ["CC BY-NC-SA", "CC BY-SA"],
            [
                "each of these asks that the whole be under itself: CC BY-NC-SA, CC BY-SA",
                "commercial use of the whole is forbidden by CC BY-NC-SA, and to forbid it by CC BY-SA",
            ],
        ),
        (
            ["CC BY-ND 4.0"],
            ["a changed text may not be passed on under CC BY-ND 4.0, and a corpus holds cleaned texts"],
        ),
    ],
)
def test_licences_that_no_corpus_can_obey_together(licences, conflicts):
    assert terms(licences)["conflicts"] == conflicts


def test_a_licence_does_not_steer_the_terminal():
    shown = conditions(terms(["CC-BY-NC \x1b[31mred\x07", "mine\x9b2J\u202e"]))
    assert shown.isprintable() and "CC-BY-NC" in shown and "\ufffd[31mred\ufffd" in shown
