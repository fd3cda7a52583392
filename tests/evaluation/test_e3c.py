from pathlib import Path

import pytest

from camembert_bio.errors import UserError
from camembert_bio.evaluation.corpora.e3c import read_e3c
from camembert_bio.evaluation.documents import Span

E3C = Path(__file__).parents[3] / "shared/data/e3c-fr/data_annotation/French"

HEADER = (
    '<xmi:XMI xmlns:xmi="http://www.omg.org/XMI" xmlns:cas="http:///uima/cas.ecore" '
    'xmlns:custom="http:///webanno/custom.ecore">\n'
)
SOFA = '<cas:Sofa xmi:id="12" sofaString="Fièvre 😀&#13;&#10;toux &amp; rhume"/>\n'


def write(folder, body, name="FR1.xml"):
    (folder / name).write_text(f'<?xml version="1.0" encoding="UTF-8"?>{HEADER}{body}</xmi:XMI>', encoding="utf-8")


def test_entities_and_text(tmp_path):
    write(
        tmp_path,
        '<custom:CLINENTITY begin="10" end="14"/><custom:CLINENTITY sofa="12" begin="0" end="6" entityID="C1"/>'
        f'<custom:EVENT begin="0" end="2"/>{SOFA}'
        '<custom:CLINENTITY begin="10" end="22" discontinuous="DISCONTINUOUS"/>',
    )
    (document,) = read_e3c(tmp_path)
    assert (document.id, document.text) == ("FR1", "Fièvre 😀\r\ntoux & rhume")
    spans = [Span(((start, end),), "CLINENTITY") for start, end in ((0, 6), (10, 14), (10, 22))]
    assert list(document.spans) == spans


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (SOFA + '<custom:CLINENTITY begin="3" end="99"/>', r"FR1\.xml, line 3: CLINENTITY begin='3' end='99' is not"),
        (SOFA + '<custom:CLINENTITY begin="x" end="4"/>', r"line 3: CLINENTITY begin='x'"),
        (SOFA + '<custom:CLINENTITY end="4"/>', r"line 3: CLINENTITY begin=''"),
        (
            SOFA + f'<custom:CLINENTITY begin="3" end="{"9" * 5000}"/>',
            r"line 3: CLINENTITY begin='3' end='9{19}' is not",
        ),
        (
            SOFA + '<custom:CLINENTITY sofa="13" begin="0" end="4"/>',
            r"line 3: CLINENTITY is of another text \(sofa\) than",
        ),
        ('<custom:CLINENTITY sofa="13" begin="0" end="4"/>' + SOFA, r"line 2: CLINENTITY is of another text"),
        ("", r"FR1\.xml holds 0 texts \(cas:Sofa\)"),
        (SOFA + "<open>", r"FR1\.xml, line 3 is not valid XML: mismatched tag"),
    ],
)
def test_bad_files_are_named(tmp_path, body, message):
    write(tmp_path, body)
    with pytest.raises(UserError, match=message):
        read_e3c(tmp_path)


def test_a_document_type_is_refused_before_it_expands(tmp_path):
    (tmp_path / "a.xml").write_text('<!DOCTYPE x [<!ENTITY e "eeee">]><x>&e;</x>')
    with pytest.raises(UserError, match=r"a\.xml declares a document type"):
        read_e3c(tmp_path)


@pytest.mark.parametrize("encoding", ["klingon", "utf-7", "big5", "idna", "base64"])
def test_an_encoding_that_cannot_be_read(tmp_path, encoding):
    (tmp_path / "a.xml").write_text(f'<?xml version="1.0" encoding="{encoding}"?>{HEADER}{SOFA}</xmi:XMI>')
    with pytest.raises(UserError, match=r"a\.xml declares an encoding that cannot be read; convert it to UTF-8"):
        read_e3c(tmp_path)


def test_folders_below_are_read_and_ids_are_their_paths(tmp_path):
    for layer in ("layer2", "layer1"):
        (tmp_path / layer).mkdir()
        write(tmp_path / layer, SOFA)
    assert [document.id for document in read_e3c(tmp_path)] == ["layer1/FR1", "layer2/FR1"]
    assert [document.id for document in read_e3c(tmp_path, wanted=["layer2/FR1", "other"])] == ["layer2/FR1"]


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "a.xml").symlink_to("gone")
    with pytest.raises(UserError, match=r"a\.xml cannot be read \(No such file or directory\)"):
        read_e3c(tmp_path)


def test_a_folder_that_cannot_be_read(open_folder, nobody):
    write(open_folder, SOFA)
    open_folder.chmod(0o311)
    with nobody(), pytest.raises(UserError, match=rf"folder {open_folder} cannot be read \(Permission denied\)"):
        read_e3c(open_folder)


def test_a_suffix_in_capitals(tmp_path):
    write(tmp_path, SOFA, "FR1.XML")
    with pytest.raises(UserError, match=r"FR1\.XML ends in \.XML; rename it to \.xml, or move it away"):
        read_e3c(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.xml file"):
        read_e3c(tmp_path)


@pytest.mark.skipif(not E3C.is_dir(), reason="../shared/data/e3c-fr is absent")
@pytest.mark.parametrize(("layer", "documents", "entities"), [("layer1", 81, 1327), ("layer2", 168, 2033)])
def test_e3c_is_read_whole(layer, documents, entities):
    found = read_e3c(E3C / layer)
    assert (len(found), sum(len(document.spans) for document in found)) == (documents, entities)
