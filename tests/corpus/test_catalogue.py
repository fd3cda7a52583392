"""The list of public sources: whole, honest, and of use in a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from camembert_bio import cli, config
from camembert_bio.corpus import archives, catalogue, documents
from camembert_bio.corpus.catalogue import SOURCES, PublicSource
from camembert_bio.corpus.recipe import Source
from camembert_bio.errors import UserError
from camembert_bio.files import sha256_file

MORFITT = Path(__file__).parents[2] / "../shared/data/tasks/morfitt"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(["sources", *arguments])
    told = capsys.readouterr()
    return int(left.value.code or 0), told.out, told.err


def test_names_differ_and_pages_are_web_addresses() -> None:
    assert len({source.name for source in SOURCES}) == len(SOURCES)
    assert all(source.page.startswith(("https://", "http://natalia.grabar.free.fr/")) for source in SOURCES)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_what_is_downloaded_is_https_and_has_a_plain_name(source: PublicSource) -> None:
    assert bool(source.addresses) == (source.access == "direct")
    for address in source.addresses:
        assert address.url.startswith("https://")
        assert Path(address.file).name == address.file
        assert address.sha256 is None or len(address.sha256) == 64
        assert address.url.endswith(".zip") == archives.is_archive(address.file)
    fields = set(catalogue.as_json(source))
    assert set(source.unverified) <= fields


@pytest.mark.parametrize("source", [source for source in SOURCES if source.format], ids=lambda source: source.name)
def test_the_lines_for_a_recipe_are_a_source_of_a_recipe(source: PublicSource) -> None:
    (entry,) = yaml.safe_load(catalogue.recipe_lines(source))
    made = config.build(Source, entry)
    assert made.format == source.format and made.licence == source.licence


def test_the_table_marks_what_is_not_confirmed() -> None:
    lines = {line.split()[0]: line for line in catalogue.table(SOURCES).splitlines() if line}
    assert "15,800 ?" in lines["bdpm"] and "?" not in lines["morfitt"]


def test_details_say_that_a_hash_is_not_known_and_where_it_is() -> None:
    assert "the first download records it" in catalogue.details(catalogue.find("e3c"))
    assert "2cf8b5715d938fdc" in catalogue.details(catalogue.find("quaero"))


def test_a_name_that_is_not_listed_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="'morfit'; did you mean 'morfitt'"):
        catalogue.find("morfit")


def test_the_verb_lists_all_and_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = run(capsys)
    assert code == 0 and all(source.name in told for source in SOURCES)
    assert [entry["name"] for entry in json.loads(run(capsys, "--json")[1])] == [source.name for source in SOURCES]
    assert json.loads(run(capsys, "cas", "--json")[1])["licence"] == "signed agreement"
    assert "text_field: abstract" in run(capsys, "morfitt")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no public source is named 'nowhere'"),
        (["--download", "x"], "need the NAME of a source"),
        (["quaero", "--sha256", "0" * 64], "give --download FOLDER too"),
        (["cas", "--download", "x"], "cas has no direct address (on request)"),
    ],
)
def test_a_mistake_is_told_in_one_message(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, told = run(capsys, *arguments)
    assert code == 2 and message in told
    assert not list(tmp_path.iterdir())


def test_morfitt_is_as_pinned_and_read_as_told() -> None:
    if not MORFITT.is_dir():
        pytest.skip("../shared/data/tasks/morfitt is not here")
    source = catalogue.find("morfitt")
    assert all(sha256_file(MORFITT / address.file) == address.sha256 for address in source.addresses)
    entry = Source("morfitt", MORFITT, source.licence, "tsv", **source.options)  # type: ignore[arg-type]
    texts = [document.text for document in documents.read(entry)]
    assert (len(texts), sum(len(text.split()) for text in texts)) == (source.documents, source.words)
