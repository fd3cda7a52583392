import os
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import camembert_bio
from camembert_bio import config
from camembert_bio.corpus import hook
from camembert_bio.corpus.build import prepare
from camembert_bio.corpus.clean import clean
from camembert_bio.corpus.cleaner import Cleaner
from camembert_bio.corpus.hook import hook_fingerprint
from camembert_bio.corpus.recipe import Clean
from camembert_bio.errors import UserError

from .conftest import recipe, sentences, write_jsonl

FRENCH = "Le patient est venu dans le service pour une douleur qui est apparue avec la toux."
ENGLISH = "The patient was admitted to the ward with chest pain and was treated with aspirin for three days."
ITALIAN = "Il paziente è stato ricoverato in ospedale con febbre e dolore toracico, ed è stato trattato con aspirina."
MODULE = """
import re
import sys

def replace_names(text):
    return re.sub("M(me)? [A-Z][a-zé]+", "<NOM>", text)

def fails(text):
    raise KeyError(text)

def leaves(text):
    sys.exit(3)

def forgets(text):
    return None

limit = 3
"""


@pytest.fixture
def cleaner():
    return Cleaner(Clean())


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module `names_NAME` in the working directory; the name differs by test, as modules stay imported."""
    name = f"names_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return name


def test_every_step_that_changes_a_document_is_counted(cleaner):
    text = f"Il a Ã©tÃ© vu\u00a0:  mala-\ndie <mask> {FRENCH}"
    done = cleaner(text)
    assert done.text == f"Il a été vu : maladie < mask > {FRENCH}"
    assert done.counts == Counter({"mojibake": 1, "characters": 1, "hyphens": 1, "special tokens": 1})
    assert done.dropped is None


def test_counts_add_up_over_documents(cleaner):
    total = Counter()
    for text in (f"{FRENCH}\u00a0!", FRENCH, f"{FRENCH}  {FRENCH}", f"{FRENCH} \ufffd"):
        total += cleaner(text).counts
    assert total == Counter({"characters": 3, "lost characters": 1})


def test_a_joined_word_is_no_special_token(cleaner):
    assert cleaner(f"<ma-\nsk> {FRENCH}").text == f"< mask > {FRENCH}"


@given(st.lists(st.sampled_from([*"aéZ \n\t\f-<>\u00ad\u00a0\u200b\r1/", "mask", "Ã©", " · "]), max_size=40))
@settings(max_examples=300)
def test_what_comes_out_is_clean(parts):
    text = Cleaner(Clean(min_characters=1))("".join(parts)).text
    assert clean(text) == text
    assert unicodedata.is_normalized("NFC", text)


def test_short_documents_are_dropped():
    assert Cleaner(Clean(min_characters=10))("Neuf car.").dropped == "too short"
    assert Cleaner(Clean(min_characters=9))("Neuf car.").dropped is None
    two_words = Cleaner(Clean(min_words=3))("Anticonstitutionnellement parlant")
    assert (two_words.dropped, two_words.text) == ("too short", "")
    assert Cleaner(Clean(min_words=2))("Anticonstitutionnellement parlant").dropped is None


def test_other_languages_are_dropped_when_asked(cleaner):
    french = Cleaner(Clean(languages=("fr",)))
    assert french(FRENCH).dropped is None
    assert (french(ENGLISH).dropped, french(ITALIAN).dropped) == ("language en", "language it")
    assert french(ENGLISH).text == ""
    assert cleaner(ENGLISH).dropped is None
    both = Cleaner(Clean(languages=("fr", "it")))
    assert (both(FRENCH).dropped, both(ITALIAN).dropped, both(ENGLISH).dropped) == (None, None, "language en")
    assert Cleaner(Clean(languages=("en",)))(FRENCH).dropped == "language fr"


def test_the_language_is_told_of_what_stays_and_of_what_goes(cleaner):
    french = Cleaner(Clean(languages=("fr",)))
    told = [french(text).language for text in (FRENCH, ENGLISH, ITALIAN, "TA 12/8, FC 80, SpO2 98 %, T 37", "court")]
    assert told == ["fr", "en", "it", "cannot be told", None]
    assert cleaner(ENGLISH).language is None and cleaner.language(ENGLISH) == "en"
    assert cleaner.language(f"{ENGLISH * 12} {FRENCH * 14}") == "cannot be told"


def test_an_uncertain_language_stays():
    french = Cleaner(Clean(languages=("fr",)))
    assert french("TA 12/8, FC 80, SpO2 98 %, T 37").dropped is None
    assert french("Radio thorax normal, admission chest pain").dropped is None
    assert french(f"{ENGLISH * 12} {FRENCH * 14}").dropped is None
    assert french(ENGLISH * 30).dropped == "language en"


def test_an_unknown_language_is_refused():
    with pytest.raises(UserError, match=r"clean.languages: 'fra' is no language that can be told \(did you mean"):
        Cleaner(Clean(languages=("fra",)))
    with pytest.raises(UserError, match="languages"):
        config.build(Clean, {"languages": []})
    with pytest.raises(UserError, match="languages"):
        config.build(Clean, {"languages": ["French"]})


def test_the_hook_sees_the_text_first(module):
    done = Cleaner(Clean(hook=f"{module}:replace_names"))(f"Mme Lefort\u00a0: {FRENCH}")
    assert done.text == f"<NOM> : {FRENCH}"
    assert done.counts == Counter({"hook": 1, "characters": 1})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fails", "hook raised KeyError"),
        ("leaves", "hook raised SystemExit"),
        ("forgets", "hook returned NoneType"),
    ],
)
def test_what_a_hook_does_wrong_drops_the_document_without_its_text(module, name, reason):
    done = Cleaner(Clean(hook=f"{module}:{name}"))(FRENCH)
    assert (done.text, done.dropped, done.counts) == ("", reason, Counter())


def test_a_hook_that_cannot_be_had_is_refused_at_once(module, tmp_path):
    (tmp_path / f"broken_{module}.py").write_text("import not_there_at_all\n")
    (tmp_path / f"leaving_{module}.py").write_text("import sys; sys.exit()\n")
    for name, told in (
        (f"leaving_{module}:f", r"importing leaving_\w+ failed \(SystemExit"),
        ("nowhere_at_all:f", f"there is no module 'nowhere_at_all' in {tmp_path} or on the path; set PYTHONPATH"),
        (f"{module}:replace_name", "has no function 'replace_name' \\(did you mean 'replace_names'\\?\\)"),
        (f"{module}:limit", "has no function 'limit'"),
        (f"broken_{module}:f", r"importing broken_\w+ failed \(ModuleNotFoundError: No module named 'not_there_at_all"),
    ):
        with pytest.raises(UserError, match=told):
            Cleaner(Clean(hook=name))
    with pytest.raises(UserError, match="hook"):
        config.build(Clean, {"hook": "no_function"})


def test_a_change_of_the_hook_is_another_build(module, tmp_path):
    before = hook_fingerprint(f"{module}:fails")
    assert hook_fingerprint(f"{module}:fails") == before
    assert hook_fingerprint(f"{module}:forgets") != before
    (tmp_path / f"{module}.py").write_text(MODULE + "\n# changed\n", encoding="utf-8")
    assert hook_fingerprint(f"{module}:fails") != before
    with pytest.raises(UserError, match="'builtins:str' is written in no file"):
        hook_fingerprint("builtins:str")


def write_hook(folder, name):
    """A hook that imports from its own folder in every way, and what is not imported; all names are its own."""
    made = {
        f"{name}.py": f"import {name}_plain\nfrom {name}_pkg import deep\n"
        f"def f(text):\n    import {name}_late\n    return {name}_plain.NAME + text\n",
        f"{name}_plain.py": f"from {name}_second import NAME\nimport json, numpy\n",
        f"{name}_second.py": f"import {name}_plain\nNAME = 'a'\n",  # in a circle
        f"{name}_late.py": "",
        f"{name}_other.py": "",
        f"{name}_pkg/__init__.py": "",
        f"{name}_pkg/deep/__init__.py": "from . import inner\nfrom ..sister import x as y\n",
        f"{name}_pkg/deep/inner.py": "",
        f"{name}_pkg/sister.py": "x = 1\n",
    }
    for path, code in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(code)
    return [path for path in made if path != f"{name}_other.py"]


def test_a_change_of_what_the_hook_imports_from_its_folder_is_another_build(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"own_{tmp_path.name}"
    imported = write_hook(tmp_path, name)
    seen = {hook_fingerprint(f"{name}:f")}
    for path in imported:
        (tmp_path / path).write_text((tmp_path / path).read_text() + "# changed\n")
        seen.add(hook_fingerprint(f"{name}:f"))
    assert len(seen) == 1 + len(imported)
    (tmp_path / f"{name}_other.py").write_text("# not imported\n")
    assert hook_fingerprint(f"{name}:f") in seen


def test_where_a_hook_stands_and_what_the_process_loaded_before_change_nothing(tmp_path):
    code = "import sys; {}; from camembert_bio.corpus.hook import hook_fingerprint; print(hook_fingerprint('h:f'))"
    found = set()
    for folder, before in (("a", ""), ("b/c", "sys.path.insert(0, '.'); import h_other, h_late")):
        write_hook(tmp_path / folder, "h")
        command = [sys.executable, "-c", code.format(before or "0")]
        environment = {**os.environ, "PYTHONPATH": str(Path(camembert_bio.__file__).parents[1])}
        done = subprocess.run(command, cwd=tmp_path / folder, env=environment, capture_output=True, check=True)
        found.add(done.stdout)
    assert len(found) == 1


def test_of_an_installed_hook_its_package_counts():
    assert len(hook_fingerprint("ftfy:fix_text")) == 64
    assert {name.partition(".")[0] for name in hook._code("ftfy")} == {"ftfy"} and len(hook._code("ftfy")) > 4


def test_a_change_of_a_helper_is_refused_at_the_same_output(tmp_path, monkeypatch, tokenizer_folder):
    monkeypatch.chdir(tmp_path)
    name = f"built_{tmp_path.name}"
    write_hook(tmp_path, name)
    source = write_jsonl(tmp_path / "a.jsonl", sentences(5))
    changes = {"tokenizer": {"path": str(tokenizer_folder)}, "validation_fraction": 0, "clean": {"hook": f"{name}:f"}}
    made = recipe(tmp_path / "out", source, **changes)
    assert prepare(made).hash == prepare(made).hash
    (tmp_path / f"{name}_second.py").write_text("NAME = 'b'\n")
    with pytest.raises(UserError, match=r"holds another corpus .*recipe.clean.hook: '.* there, '.* here"):
        prepare(made)
