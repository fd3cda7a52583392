"""CAS clinical cases as the DEFT campaigns distribute them: brat documents, and which campaign used which.

DEFT 2020 has a folder for each part, `t3-appr` and `t3-test`. DEFT 2021 has one, `DEFT-cas-cliniques`, and beside
it `distribution-corpus.txt`: a line a document of tab-separated fields, its file's name first, then what each
campaign used it for (`train 2020`, `test 2021`). Neither can be downloaded: access is by a signed agreement.
Labels: https://deft.limsi.fr/2020/guide-deft.html, table of the README of DEFT 2021: thirteen, of which task 3
scored ten, in two subtasks.
"""

from __future__ import annotations

from pathlib import Path

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.annotation import Labels, found_files, read_text

_FIRST = frozenset({"pathologie", "sosy"})
_SECOND = frozenset({"anatomie", "dose", "examen", "mode", "moment", "substance", "traitement", "valeur"})
_UNSCORED = frozenset({"date", "duree", "frequence"})

CAS1 = Labels(declared=_FIRST, dropped=_SECOND | _UNSCORED)
"""Subtask 1: diseases, signs and symptoms."""
CAS2 = Labels(declared=_SECOND, dropped=_FIRST | _UNSCORED)
"""Subtask 2: the eight other types that were scored."""

CAMPAIGNS = {"deft-2020": "2020", "deft-2021": "2021"}
"""Names of the splits that the corpus itself brings."""
_FOLDERS_2020 = _TRAIN_2020, _TEST_2020 = ("t3-appr", "t3-test")
_DISTRIBUTION = "distribution-corpus.txt"
_DOCUMENTS = "DEFT-cas-cliniques"


def campaign_parts(folder: Path, campaign: str) -> tuple[list[str], list[str]]:
    """The ids of the training and of the test documents of a campaign, as paths from `folder` without suffix.

    Raises `UserError` when the folder has neither layout, or nothing of that campaign.
    """
    path = folder / _DISTRIBUTION
    if path.is_file():
        return _used_for(path, f"train {CAMPAIGNS[campaign]}"), _used_for(path, f"test {CAMPAIGNS[campaign]}")
    if campaign == "deft-2020" and (folder / _TRAIN_2020).is_dir() and (folder / _TEST_2020).is_dir():
        train, test = ([f"{name}/{i}" for i, _ in found_files(folder / name, (".ann",))] for name in _FOLDERS_2020)
        return train, test
    expected = f"{_DISTRIBUTION} beside {_DOCUMENTS}"
    if campaign == "deft-2020":
        expected = f"{_TRAIN_2020} and {_TEST_2020}, nor {expected}"
    raise UserError(f"{folder} holds no {expected}; give the folder of a DEFT release, or train and test folders")


def _used_for(path: Path, use: str) -> list[str]:
    lines = [[field.strip() for field in line.split("\t")] for line in read_text(path).splitlines()]
    found = [f"{_DOCUMENTS}/{name.removesuffix('.txt')}" for name, *uses in lines if use in uses]
    if not found:
        raise UserError(f"{path} gives no document the use {use!r}; is it the file of DEFT 2021?")
    return found
