from pathlib import Path

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.brat import read_brat
from camembert_bio.evaluation.documents import Span

NO_ANNOTATIONS = [
    "AND secret",
    "R1 secret Arg1:T1 Arg2:T2",
    "M\tNegated T1",
    "E1",
    "Rx1\tsecret",
    "t1\tCHEM 0 3\tabc",
    "A1\tNegated T1\rT2\tCHEM 0 3\tabc",
    "#1\tAnnotatorNotes T1\tsecret\rT2\tCHEM 0 3\tabc",
]
QUAERO = Path(__file__).parents[3] / "shared/data/quaero-brat/corpus"


def write(folder, text, annotations, name="a"):
    (folder / f"{name}.txt").write_bytes(text.encode())
    (folder / f"{name}.ann").write_bytes(annotations.encode())


def test_spans_of_every_kind(tmp_path):
    text = "Douleurs 😀 chroniques\r\nou e\u0301pilepsie de l'aspirine"
    start, drug = text.index("e\u0301"), text.index("aspirine")
    write(
        tmp_path,
        text,
        f"T1\tDISO 0 8;11 21\tDouleurs chroniques\r\nT2\tDISO {start} {start + 10}\te\u0301pilepsie\n"
        "#1\tAnnotatorNotes T1\tC0001\nR1\tx Arg1:T1 Arg2:T2\nE1\tDISO:T1\nA1\tNegated T1\nM1\tNegated T1\n"
        "N1\tReference T1 UMLS:C1\tdouleurs\n*\tEquiv T1 T2\n\n"
        f"T3\tCHEM {drug} {drug + 8}\taspirine\nT4\tCHEM {drug} {drug + 8}\taspirine",
    )
    (document,) = read_brat(tmp_path)
    assert document.id == "a"
    assert document.text == text
    assert document.spans == (
        Span(((0, 8), (11, 21)), "DISO"),
        Span(((start, start + 10),), "DISO"),
        Span(((drug, drug + 8),), "CHEM"),
    )


BREAKS = [
    ("a\r\nb", ["a b", "a  b", "a\r b"]),
    ("a\n\nb", ["a b", "a  b"]),
    ("a \n b", ["a b", "a   b"]),
    ("a\tb", ["a b", "a\tb"]),
    ("a\n", ["a "]),
    ("a (b\nc) *", ["a (b c) *"]),
]


@pytest.mark.parametrize(("text", "written"), [(text, form) for text, forms in BREAKS for form in forms])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_span_across_line_breaks_is_written_with_spaces(tmp_path, text, written, end):
    write(tmp_path, f"x {text} z", f"T1\tDISO 2 {2 + len(text)}\t{written}{end}")
    assert read_brat(tmp_path)[0].spans == (Span(((2, 2 + len(text)),), "DISO"),)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a  b", "a b"),
        ("a b", "a  b"),
        ("a\nb", "ab"),
        ("a\nb", "a b "),
        (" ab", "ab"),
        ("a\n b c", "a b  c"),
        ("a\nb", "a_b"),
    ],
)
def test_other_white_space_is_another_text(tmp_path, text, written):
    write(tmp_path, text, f"T1\tDISO 0 {len(text)}\t{written}\n")
    with pytest.raises(UserError, match=r"a\.ann, line 1: the text at offsets 0 \d is not the annotation's; was the"):
        read_brat(tmp_path)


def test_a_byte_order_mark(tmp_path):
    write(tmp_path, "\ufeffabc", "\ufeffT1\tDISO 1 4\tabc\n")
    assert read_brat(tmp_path)[0].spans == (Span(((1, 4),), "DISO"),)
    write(tmp_path, "\ufeffabc", "T1\tDISO 0 3\tabc\n")
    with pytest.raises(
        UserError, match="is not the annotation's; does its byte order mark, which counts, shift the offs"
    ):
        read_brat(tmp_path)


@pytest.mark.parametrize("name", ["b.TXT", "b.Ann"])
def test_a_suffix_in_capitals(tmp_path, name):
    write(tmp_path, "abc", "")
    (tmp_path / "README.TXT").write_text("abc")
    assert len(read_brat(tmp_path)) == 1
    (tmp_path / name).write_text("")
    with pytest.raises(
        UserError, match=rf"{name} ends in {name[1:]}; rename it to {name[1:].lower()}, or move it away"
    ):
        read_brat(tmp_path)


def test_fragments_in_another_order_are_sorted(tmp_path):
    write(tmp_path, "cœur ou foie gras", "T1\tANAT 13 17;0 4\tgras cœur\n")
    assert read_brat(tmp_path)[0].spans == (Span(((0, 4), (13, 17)), "ANAT"),)


def test_folders_below_are_read_in_order(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "x", "")
    assert [document.id for document in read_brat(tmp_path)] == ["a/a", "b/a"]


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ("T1\tCHEM 0 3\tabc\nT2\tCHEM 5 99\tsecret\n", r"a\.ann, line 2: offsets 5 99 are not inside the text of 12"),
        ("T1\tCHEM 0 3\tabc\nT1\tCHEM 11 12\tx\n", r"a\.ann, line 2: T1 is given to another entity above; give each"),
        ("T1\tCHEM 0 3\tabc\nT1\tDISO 0 3\tabc\n", r"a\.ann, line 2: T1 is given to another entity above"),
        (f"T1\tCHEM 0 {'9' * 18}\tsecret\n", r"a\.ann, line 1: offsets 0 9{18} are not inside the text of 12"),
        (f"T1\tCHEM 0 {'9' * 5000}\tsecret\n", r"a\.ann, line 1 is not a brat annotation"),
        ("T1\tCHEM 3 3\t\n", r"a\.ann, line 1: offsets 3 3 are not inside"),
        ("T1\tCHEM 1 4\tabc\n", r"a\.ann, line 1: the text at offsets 1 4 is not the annotation's"),
        ("T1 CHEM 0 3 abc\n", r"a\.ann, line 1 is not a brat annotation"),
        ("T1\tCHEM zero 3\tabc\n", r"a\.ann, line 1 is not a brat annotation"),
        *((f"{line}\n", r"a\.ann, line 1 is not a brat annotation; write an entity as") for line in NO_ANNOTATIONS),
        ("\n\nsecret\n", r"a\.ann, line 3 is not a brat annotation"),
        ("T1\tCHEM 0 3;2 5\tabc cd\n", r"a\.ann, line 1: fragments 0 3;2 5 overlap"),
    ],
)
def test_bad_lines_are_named_without_their_text(tmp_path, annotations, message):
    write(tmp_path, "abc secret x", annotations)
    with pytest.raises(UserError, match=message) as caught:
        read_brat(tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("lacks", "has"), [(".ann", ".txt"), (".txt", ".ann")])
def test_a_file_without_its_other_half(tmp_path, lacks, has):
    write(tmp_path, "abc", "")
    (tmp_path / f"a{lacks}").unlink()
    with pytest.raises(UserError, match=rf"a\{has} has no \{lacks} beside it"):
        read_brat(tmp_path)


def test_a_readme_is_no_document(tmp_path):
    write(tmp_path, "abc", "")
    (tmp_path / "README.txt").write_text("Licence: MIT")
    assert [document.id for document in read_brat(tmp_path)] == ["a"]
    write(tmp_path, "abc", "", name="README")
    assert [document.id for document in read_brat(tmp_path)] == ["README", "a"]


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.txt and \.ann files"):
        read_brat(tmp_path)


@pytest.mark.parametrize("suffix", [".txt", ".ann"])
def test_a_file_that_is_not_utf8(tmp_path, suffix):
    write(tmp_path, "abc", "")
    (tmp_path / f"a{suffix}").write_bytes("é".encode("latin-1"))
    with pytest.raises(UserError, match=rf"a\{suffix} is not UTF-8 \(byte 0\)"):
        read_brat(tmp_path)


def test_one_line_given_twice_is_one_entity(tmp_path):
    write(tmp_path, "abc", "T1\tCHEM 0 3\tabc\n" * 2)
    assert len(read_brat(tmp_path)[0].spans) == 1


@pytest.mark.parametrize("suffix", [".txt", ".ann"])
def test_a_link_that_leads_nowhere(tmp_path, suffix):
    write(tmp_path, "abc", "")
    (tmp_path / f"a{suffix}").unlink()
    (tmp_path / f"a{suffix}").symlink_to("gone")
    with pytest.raises(UserError, match=rf"a\{suffix} cannot be read \(No such file or directory\)"):
        read_brat(tmp_path)


def test_a_folder_named_like_a_text(tmp_path):
    write(tmp_path, "abc", "")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match=r"a\.ann has no \.txt beside it"):
        read_brat(tmp_path)


def test_a_folder_that_cannot_be_read(open_folder, nobody):
    (open_folder / "part").mkdir()
    write(open_folder, "abc", "")
    write(open_folder / "part", "abc", "")
    (open_folder / "part").chmod(0)
    with nobody(), pytest.raises(UserError, match=rf"folder {open_folder}/part cannot be read \(Permission denied\)"):
        read_brat(open_folder)


@pytest.mark.skipif(not QUAERO.is_dir(), reason="../shared/data/quaero-brat is absent")
def test_quaero_is_read_whole():
    documents = read_brat(QUAERO)
    # 16,233 annotations, 141 of them discontinuous; nine repeat another, one of them discontinuous.
    assert (len(documents), sum(len(document.spans) for document in documents)) == (2536, 16224)
    assert sum(not span.is_continuous for document in documents for span in document.spans) == 140
