import pytest

from camembert_bio.corpus.ids_file import read_ids
from camembert_bio.errors import UserError


def written(path, text):
    path.write_bytes(text.encode())
    return path


def test_lines_as_they_stand(tmp_path):
    text = '\ufeffdoc-é \r\n\n\r\n a:doc-2\n\ufeffx\n \n"q"\na\u2028b\x0bc\x85\x1cd\re'
    expected = ["doc-é ", " a:doc-2", "\ufeffx", " ", '"q"', "a\u2028b\x0bc\x85\x1cd\re"]
    assert read_ids(written(tmp_path / "ids", text)) == expected


def test_json_strings(tmp_path):
    text = '\ufeff"two\\nlines"\r\n\n"a\u2028b"\n12\n"  "\n""\n'
    assert read_ids(written(tmp_path / "ids.jsonl", text)) == ["two\nlines", "a\u2028b", "12", "  ", ""]


@pytest.mark.parametrize("line", ["SECRET", '"SECRET', '{"id": "SECRET"}', "true", "null", "1.5", "[" * 100_000])
def test_what_is_no_json_string_is_not_shown(tmp_path, line):
    with pytest.raises(UserError, match=r"ids.jsonl:2 is no JSON string; write one a line") as refused:
        read_ids(written(tmp_path / "ids.jsonl", f'"a"\n{line}\n'))
    assert "SECRET" not in str(refused.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "ids").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not UTF-8; write one id a line"):
        read_ids(tmp_path / "ids")
    with pytest.raises(UserError, match=r"none cannot be read \(No such file or directory\); give --from a file"):
        read_ids(tmp_path / "none")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\); give --from a file"):
        read_ids(tmp_path)
