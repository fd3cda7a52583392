import contextlib
import io
import random
import re
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from camembert_bio.corpus.documents import read
from camembert_bio.corpus.inputs import list_input
from camembert_bio.corpus.readers.parquet_pages import largest_page
from camembert_bio.errors import UserError

from .conftest import read_all, source, texts

COLUMNS = {"id": [1, 2], "text": ["été", "b"], "licence": ["MIT", None], "pixels": [b"x", b"y"]}


def write(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_with_ids_and_licences(tmp_path):
    path = write(tmp_path / "a.parquet", COLUMNS)
    found = [(d.id, d.text, d.licence) for d in read(source(path))]
    assert found == [("1", "été", "MIT"), ("2", "b", "CC0")]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_each_type_of_text(tmp_path, kind):
    write(tmp_path / "a.parquet", {"id": ["1", "2"], "text": pa.array(["x", "x"]).cast(kind)})
    assert texts(tmp_path) == {"1": "x", "2": "x"}


def test_row_numbers_as_ids_over_row_groups_and_files(tmp_path):
    table = pa.table({"text": [str(i) for i in range(200)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=70)
    assert texts(tmp_path / "a.parquet", id_field=None) == {str(i + 1): str(i) for i in range(200)}
    write(tmp_path / "b.parquet", {"text": ["x"]})
    assert list(texts(tmp_path, id_field=None))[-2:] == ["a:200", "b:1"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"id": ["1"], "body": ["x"]},
            r"no column 'text' of text \(its columns: id, body\); set text_field to the one",
        ),
        ({"id": ["1"], "text": [3]}, "no column 'text' of text"),
        ({"key": ["1"], "text": ["x"]}, "no column 'id' of ids .*; set id_field .*, or to null to use row numbers"),
        ({"id": [1.5], "text": ["x"]}, "no column 'id' of ids"),
        ({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())}, "holds no document"),
        ({"id": ["1", "1"], "text": ["x", "y"]}, r"a.parquet row 1 and \S*a.parquet row 2 have the same id"),
    ],
)
def test_parquet_that_cannot_be_read_at_all(tmp_path, columns, message):
    with pytest.raises(UserError, match=message):
        read_all(write(tmp_path / "a.parquet", columns))


def test_bad_rows_are_rejected_alone(tmp_path):
    broken = pa.array([b"x", None, b"caf\xe9", b"y" * 2000]).cast(pa.binary())
    broken = pa.StringArray.from_buffers(4, broken.buffers()[1], broken.buffers()[2], broken.buffers()[0])
    path = write(tmp_path / "a.parquet", {"id": ["1", "2", "3", "4"], "text": broken})
    documents, rejected = read_all(path, max_document_bytes=1000)
    assert [document.id for document in documents] == ["1"]
    assert [(bad.where, bad.kind) for bad in rejected] == [
        (f"{path} row 2", "no text"),
        (f"{path} row 3", "not UTF-8"),
        (f"{path} row 4", "too long"),
    ]


TEXT_18_MB = "texte " * 3_000_000
BOUNDED = """
import sys
from pathlib import Path
from pathlib import Path
from camembert_bio.corpus.documents import read
from camembert_bio.corpus.memory import peak_memory_mb
from camembert_bio.corpus.recipe import Source
from camembert_bio.corpus.readers.parquet_pages import largest_page
from camembert_bio.errors import UserError
import pyarrow.parquet
before = peak_memory_mb()
try:
    for document in read(Source("s", Path(sys.argv[1]), "CC0"), rejected=lambda bad: print(bad.kind)):
        print(document.id)
except UserError as error:
    print(error)
print(peak_memory_mb() - before)
"""


def read_in_a_process(path):
    """The lines that reading prints, and by how many MB its memory grew."""
    done = subprocess.run([sys.executable, "-c", BOUNDED, path], capture_output=True, text=True, check=True)
    *lines, grown = done.stdout.splitlines()
    return lines, int(grown)


def write_rows(path, texts, **options):
    """One row group, its pages as small as can be."""
    table = pa.table({"id": list(map(str, range(len(texts)))), "text": texts})
    pq.write_table(table, path, data_page_size=1, write_batch_size=1, dictionary_pagesize_limit=1 << 30, **options)


def test_the_long_rows_of_one_group_are_not_held_together(tmp_path):
    path = tmp_path / "a.parquet"
    write_rows(path, [TEXT_18_MB] * 16, use_dictionary=False)
    assert pq.read_metadata(path).num_row_groups == 1
    lines, grown = read_in_a_process(path)
    assert lines == [str(number) for number in range(16)]
    assert grown < 330, "three rows twice, and as texts; all are 288 MB, and 450 once they are read together"


@pytest.mark.parametrize("store_schema", [False, True])
def test_a_text_that_a_dictionary_repeats_is_not_held_a_thousand_times(tmp_path, store_schema):
    path = tmp_path / "a.parquet"
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([TEXT_18_MB]))
    pq.write_table(pa.table({"text": repeated, "id": list(map(str, range(1000)))}), path, store_schema=store_schema)
    with pytest.raises(
        UserError,
        match=r"rows 1 to 250 of \S*a.parquet repeat texts, to over 128 MB where the file holds 17 MB for 1000",
    ):
        read_all(path)


def test_a_page_that_no_memory_should_hold_is_refused_unopened(tmp_path):
    path = tmp_path / "a.parquet"
    write_rows(path, ["x" * 140_000_000], use_dictionary=False, compression="zstd")
    assert path.stat().st_size < 50_000
    lines, grown = read_in_a_process(path)
    assert lines == [
        f"source 's': {path} has a page of 133 MB in column 'text', over 128 MB, and a page is held as a whole; write "
        "the file again with fewer rows a row group, or raise max_document_bytes"
    ]
    assert grown < 30


def test_a_dictionary_that_no_memory_should_hold_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    write_rows(path, [f"{number} {TEXT_18_MB}" for number in range(8)])
    with pytest.raises(UserError, match=r"a.parquet has a page of 13\d MB in column 'text'"):
        read_all(path)


@pytest.mark.parametrize("options", [{}, {"data_page_version": "2.0"}, {"use_dictionary": False, "data_page_size": 1}])
def test_the_largest_page_is_that_of_the_headers(tmp_path, options):
    long = "".join(map(str, range(60_000)))
    write_options = {"compression": "snappy", "write_statistics": True, "write_page_checksum": True, **options}
    pq.write_table(pa.table({"text": ["court", long, "un", long[::-1]] * 3}), tmp_path / "a", **write_options)
    chunk = pq.read_metadata(tmp_path / "a").row_group(0).column(0)
    with open(tmp_path / "a", "rb") as file:
        assert 2 * len(long) < largest_page(file, chunk) < chunk.total_uncompressed_size + 1
        assert file.tell() <= chunk.data_page_offset + chunk.total_compressed_size


def test_a_header_of_nonsense_is_no_page(tmp_path):
    write(tmp_path / "a.parquet", COLUMNS)
    chunk = pq.read_metadata(tmp_path / "a.parquet").row_group(0).column(1)
    data = (tmp_path / "a.parquet").read_bytes()
    draw = random.Random(0)
    for _ in range(300):
        with contextlib.suppress(pa.ArrowInvalid):
            largest_page(io.BytesIO(data[:4] + draw.randbytes(400)), chunk)
    with pytest.raises(pa.ArrowInvalid):
        largest_page(io.BytesIO(data[:4] + b"\xff" * 400), chunk)


@pytest.mark.parametrize("size", [0, 3, 300])
def test_parquet_cut_short(tmp_path, size):
    path = write(tmp_path / "a.parquet", COLUMNS)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"a.parquet is not readable parquet \(\w+\): it is damaged or cut short"):
        read_all(path)


def test_a_saved_dataset(tmp_path):
    datasets.Dataset.from_dict(COLUMNS).shuffle(seed=1).save_to_disk(tmp_path / "one")
    assert texts(tmp_path / "one") == {"1": "été", "2": "b"}
    split = {"train": datasets.Dataset.from_dict(COLUMNS), "dev": datasets.Dataset.from_dict(COLUMNS)}
    datasets.DatasetDict(split).save_to_disk(tmp_path / "two")
    assert list(texts(tmp_path / "two", id_field=None)) == ["dev:1", "dev:2", "train:1", "train:2"]
    with pytest.raises(UserError, match=r"two split dev row 1 and .*two split train row 1 have the same id"):
        read_all(tmp_path / "two")
    with pytest.raises(UserError, match="split dev has no column 'body' of text"):
        read_all(tmp_path / "two", text_field="body")


def test_a_saved_dataset_is_known_by_its_content(tmp_path):
    for name in ("a", "b"):
        datasets.Dataset.from_dict(COLUMNS).save_to_disk(tmp_path / name)
    datasets.Dataset.from_dict({"id": ["1"], "text": ["x"]}).save_to_disk(tmp_path / "c")
    a, b, c = (list_input(source(tmp_path / name)).fingerprint for name in "abc")
    assert re.fullmatch("[0-9a-f]{64}", a) and a == b != c
    assert list_input(source(tmp_path / "a")).num_bytes > 0


def test_a_saved_dataset_that_is_damaged(tmp_path):
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(tmp_path / "a")
    next((tmp_path / "a").glob("*.arrow")).unlink()
    with pytest.raises(UserError, match=r"source 's': datasets cannot load \S*a \(\w+\); give a folder written by"):
        read_all(tmp_path / "a")


def offline(cache, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_name_on_the_hub_is_read_from_the_local_cache(tmp_path, monkeypatch):
    offline(tmp_path, monkeypatch)
    folder = tmp_path / "owner___notes" / "default" / "0.0.0" / "0123abc"  # what a download leaves
    folder.mkdir(parents=True)
    rows = datasets.Dataset.from_dict(COLUMNS)
    for name, value in {"builder_name": "parquet", "dataset_name": "notes", "config_name": "default"}.items():
        setattr(rows.info, name, value)
    rows.info.version = "0.0.0"
    rows.info.splits = datasets.SplitDict({"train": datasets.SplitInfo("train", num_examples=2, dataset_name="notes")})
    rows.info.write_to_directory(str(folder))
    with pa.ipc.new_stream(folder / "notes-train.arrow", rows.data.table.schema) as writer:
        writer.write_table(rows.data.table)
    assert texts(Path("owner/notes"), format="datasets") == {"1": "été", "2": "b"}
    listed = list_input(source(Path("owner/notes"), format="datasets"))
    assert listed.files == (folder / "notes-train.arrow",) and re.fullmatch("[0-9a-f]{64}", listed.fingerprint)


def test_a_name_on_the_hub_that_is_not_in_the_cache(tmp_path, monkeypatch):
    offline(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"datasets cannot load nobody/nothing \(\w+\); .* in the local cache .HF_HUB_OFFLINE=0 lets it"
    ):
        read_all("nobody/nothing", format="datasets")
    with pytest.raises(UserError, match="does not exist; check the path"):
        read_all(tmp_path / "nothing", format="datasets")


def test_two_columns_of_one_name(tmp_path):
    columns = [pa.array(values) for values in (["1", "2"], ["a", "b"], ["c", "d"], ["MIT", "MIT"], ["CC0", "MIT"])]
    table = pa.Table.from_arrays(columns, names=["id", "text", "text", "licence", "licence"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a.parquet has 2 columns 'text'; write it again with one, or set text_field"):
        read_all(tmp_path / "a.parquet")
    pq.write_table(table.rename_columns(["id", "text", "x", "licence", "licence"]), tmp_path / "a.parquet")
    assert texts(tmp_path / "a.parquet") == {"1": "a", "2": "b"}


def test_a_footer_whose_names_are_not_utf_8(tmp_path):
    pq.write_table(pa.table({"id": ["1"], "text": ["a"], "NAME": ["x"]}), tmp_path / "a.parquet", store_schema=False)
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content.replace(b"NAME", b"N\xe9ME"))
    with pytest.raises(UserError, match=r"a.parquet is not readable parquet \(UnicodeDecodeError\): it is damaged"):
        read_all(tmp_path / "a.parquet")
