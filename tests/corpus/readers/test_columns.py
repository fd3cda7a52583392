import re

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from camembert_bio.corpus.documents import read
from camembert_bio.corpus.inputs import list_input
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


def test_a_name_on_the_hub_that_is_not_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"datasets cannot load nobody/nothing \(\w+\); .* in the local cache"):
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
