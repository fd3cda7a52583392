"""E3C, ISTEX, TEI, CLEAR, brat and HTML."""

import json
import traceback

import pytest

from camembert_bio.corpus.readers import html
from camembert_bio.errors import UserError

from .conftest import read_all, real, texts

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
XMI = '<xmi:XMI xmlns:xmi="http://www.omg.org/XMI" xmlns:cas="http:///uima/cas.ecore">%s</xmi:XMI>'
SOFA = '<cas:Sofa xmi:id="1" sofaString="Fi&#232;vre.&#10;Toux."/>'
TEI = """<?xml version="1.0" encoding="UTF-8"?>
<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc>
 <titleStmt><title level="a">Une <hi>toux</hi>
   rare</title><title>Other</title></titleStmt>
 <publicationStmt><availability status="free"><licence>CC BY</licence><p>x</p></availability>
 </publicationStmt><sourceDesc><biblStruct><analytic><title>Une toux</title></analytic></biblStruct></sourceDesc>
 </fileDesc><profileDesc><abstract xml:lang="fr"><head>Résumé</head><p>Un cas.</p></abstract></profileDesc></teiHeader>
 <text><front><p>Front</p></front><body><div><head>Cas</head><p>Il tousse<note>pied</note> <ref>[1]</ref><lb/>fort.</p>
 <figure><head>Figure</head><table><row><cell>12</cell></row></table></figure><p>Fin.</p>
 <listBibl><bibl>Livre</bibl></listBibl></div></body><back><div><p>Annexe</p></div></back></text></TEI>"""
TEI_TEXT = "Une toux rare\nRésumé\nUn cas.\nCas\nIl tousse [1] fort.\nFin."
HEADER_ONLY = TEI[: TEI.index("<text>")] + "</TEI>"


def test_e3c_in_both_forms(tmp_path):
    record = {"id": "FR2", "text": "Toux.", "licence": "CC BY 4.0"}
    (tmp_path / "FR2.json").write_text(json.dumps(record))
    (tmp_path / "FR1.xml").write_text(XMI % SOFA)
    documents, rejected = read_all(tmp_path, format="e3c")
    assert [(d.id, d.text, d.licence) for d in documents] == [
        ("FR1", "Fièvre.\nToux.", "CC0"),
        ("FR2", "Toux.", "CC BY 4.0"),
    ]
    assert not rejected


def test_e3c_layer_3_as_published():
    documents, rejected = read_all(real("e3c-fr/data_collection/French/layer3"), format="e3c")
    by_id = {document.id: document for document in documents}
    assert (len([i for i in by_id if i[:2] == "FR"]), len([i for i in by_id if i[:2] == "EN"])) == (800, 250)
    assert not rejected
    french = {document.text for document in documents if document.id.startswith("FR")}
    assert all(document.text in french for document in documents if document.id.startswith("EN"))
    assert {document.licence for document in documents} == {"CC-BY-NC", "CC BY 4.0", "CC BY"}


@pytest.mark.parametrize(("layer", "number", "num_equal"), [("layer1", 81, 45), ("layer2", 168, 166)])
def test_e3c_annotated_layers_hold_the_documents_of_the_collection(layer, number, num_equal):
    annotated = texts(real(f"e3c-fr/data_annotation/French/{layer}"), format="e3c")
    collected = texts(real(f"e3c-fr/data_collection/French/{layer}"), format="e3c")
    assert len(annotated) == number and annotated.keys() == collected.keys()
    # The others were corrected; white space was changed in most.
    letters = [{key: "".join(text.split()) for key, text in found.items()} for found in (annotated, collected)]
    assert sum(letters[0][key] == letters[1][key] for key in annotated) == num_equal


@pytest.mark.parametrize("name", ["plain", "tei.xml", "TEI"])
def test_tei_without_references_and_figures(tmp_path, name):
    (tmp_path / f"1.{name if name != 'plain' else 'xml'}").write_text(TEI)
    documents, _ = read_all(tmp_path, format="istex")
    assert [(d.id, d.text, d.licence) for d in documents] == [("1", TEI_TEXT, "CC BY")]


def test_istex_texts_with_their_metadata(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.txt").write_text("Texte.")
    (tmp_path / "a/1.json").write_text(
        json.dumps({"corpusName": "bmj", "host": {"title": "BMJ", "licence": "CC BY-NC"}})
    )
    (tmp_path / "2.cleaned").write_text("Propre.")
    (tmp_path / "3.tei").write_text(TEI)
    (tmp_path / "3.txt").write_text("OCR")
    (tmp_path / "4.tei").write_text(HEADER_ONLY)
    (tmp_path / "4.txt").write_text("OCR")
    (tmp_path / "5.tei").write_text(HEADER_ONLY)
    (tmp_path / "6.json").write_text("{}")
    documents, rejected = read_all(tmp_path, format="istex")
    assert [(d.id, d.text, d.licence) for d in documents] == [
        ("2", "Propre.", "CC0"),
        ("3", TEI_TEXT, "CC BY"),
        ("4", "OCR", "CC BY"),
        ("5", "Une toux rare\nRésumé\nUn cas.", "CC BY"),
        ("a/1", "Texte.", "CC BY-NC"),
    ]
    assert not rejected


def test_istex_metadata_alone(tmp_path):
    (tmp_path / "6.json").write_text("{}")
    with pytest.raises(UserError, match="holds metadata alone; download TEI or text beside it"):
        read_all(tmp_path, format="istex")


SECRET = "Dupont-Martin"
BAD_XML = {
    "entities": (f"{BOMB}<TEI><text>&b;</text></TEI>", "not XML", r"declares a document type \(DTD\), whose entities"),
    "outside": ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><TEI/>', "not XML", "declares a document type"),
    "cut": (f"<TEI>\n<text>{SECRET}", "not XML", r"x.xml line 2 is not valid XML: \w+"),
    "undeclared entity": (
        f"<TEI><text>{SECRET} &eacute;</text></TEI>",
        "not XML",
        "is not valid XML: undefined entity",
    ),
    "encoding": ('<?xml version="1.0" encoding="klingon"?><TEI/>', "not XML", "unknown encoding|encoding that cannot"),
    "deep": (f"<TEI>{'<a>' * 2000}{SECRET}", "not XML", "line 1 nests over 1000 elements in one another; check"),
    "empty": ("", "not XML", "is not valid XML: no element found"),
    "NUL": (f"<TEI>{SECRET}\0</TEI>", "not XML", "is not valid XML: not well-formed"),
}


@pytest.mark.parametrize("case", BAD_XML)
@pytest.mark.parametrize("form", ["istex", "e3c"])
def test_xml_that_is_malformed_or_expands_entities(tmp_path, case, form):
    content, kind, message = BAD_XML[case]
    if form == "e3c":
        content = content or " <"
        message = message.replace("no element found", "(no element|not well|unclosed)")
    (tmp_path / "x.xml").write_text(content)
    _, rejected = read_all(tmp_path, format=form)
    assert [bad.kind for bad in rejected] == [kind]
    with pytest.raises(UserError, match=message) as raised:
        texts_or_error(tmp_path, form)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def texts_or_error(path, form):
    from camembert_bio.corpus.documents import read

    from .conftest import source

    return list(read(source(path, format=form)))


@pytest.mark.parametrize(
    ("form", "name", "content", "kind", "message"),
    [
        ("istex", "a.xml", "<html/>", "not TEI", "is XML of another kind than TEI"),
        ("istex", "a.xml", "<TEI/>", "no text", "has no title, abstract or body"),
        ("e3c", "a.xml", XMI % "", "not XML", r"holds 0 texts \(cas:Sofa\) instead of 1"),
        ("e3c", "a.xml", XMI % SOFA * 1 + "<x/>", "not XML", "is not valid XML: junk after document element"),
        ("e3c", "a.json", '{"id": "1"}', "no text", "has no text in field 'text'; is it a file of E3C's data_coll"),
        ("e3c", "a.json", '{\n"id": ', "not JSON", "a.json line 2 is not valid JSON at column 7; fetch the file again"),
        ("clear", "a.tsv", "a\tb\nc\n", "broken row", "has 1 fields in pair 2 instead of 2"),
        ("html", "a.html", "", "no text", "holds no text; is it an HTML page"),
        ("html", "a.html", "<p>a\0b", "NUL bytes", "holds 1 NUL bytes"),
        ("text", "a.txt", "L\0e\0 \0c\0", "NUL bytes", "holds 4 NUL bytes, as UTF-16 or no text does"),
    ],
)
def test_a_bad_file_is_rejected_alone(tmp_path, form, name, content, kind, message):
    (tmp_path / name).write_text(content)
    documents, rejected = read_all(tmp_path, format=form)
    assert not documents and [bad.kind for bad in rejected] == [kind]
    with pytest.raises(UserError, match=message):
        texts_or_error(tmp_path, form)


def test_clear_in_files_and_in_pairs(tmp_path):
    for side in ("simple", "technical"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "toux.txt").write_text(side)
    (tmp_path / "pairs.tsv").write_text("Dyspnée.\tManque d'air.\n\nAnurie.\tPlus d'urine.\n")
    assert texts(tmp_path, format="clear") == {
        "pairs/technical": "Dyspnée.\nAnurie.",
        "pairs/simplified": "Manque d'air.\nPlus d'urine.",
        "simple/toux": "simple",
        "technical/toux": "technical",
    }


def test_the_texts_of_brat(tmp_path):
    (tmp_path / "1.txt").write_text("Fièvre.\n")
    (tmp_path / "1.ann").write_text("T1\tDISO 0 6\tFièvre\n")
    (tmp_path / "annotation.conf").write_text("[entities]\n")
    assert texts(tmp_path) == {"1": "Fièvre.\n"}


def test_the_texts_of_quaero():
    found = texts(real("quaero-brat/corpus/train"))
    assert len(found) == 11 + 833 and sum(name.startswith("EMEA/") for name in found) == 11


PAGE = """<!DOCTYPE html><html><head><meta charset="%s"><title>BDPM</title><style>p{}</style></head>
<body><nav><a>Accueil</a></nav><h2>1.&nbsp;QU'EST-CE  QUE
 X ?</h2><p>Un <b>antibiotique</b> à 5&nbsp;mg<br>par jour.<script>alert("x<p>")</script><ul><li>un<li>deux</ul>
<table><tr><td>Dose</td><td>1 &lt; 2</td></tr></table><div>Fin<p>Suite</div></body></html>"""
PAGE_TEXT = "1. QU'EST-CE QUE X ?\nUn antibiotique à 5 mg\npar jour.\nun\ndeux\nDose 1 < 2\nFin\nSuite"


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1252"])
def test_a_leaflets_page_has_headings_on_their_own_lines(tmp_path, encoding):
    (tmp_path / "63797011.htm").write_bytes((PAGE % encoding).encode(encoding))
    assert texts(tmp_path) == {"63797011": PAGE_TEXT}


def test_a_page_whose_encoding_is_not_what_it_states(tmp_path):
    (tmp_path / "a.html").write_bytes((PAGE % "klingon").encode("iso-8859-1"))
    _, rejected = read_all(tmp_path)
    assert [(bad.kind, bad.reason.split("(")[0]) for bad in rejected] == [("not UTF-8", "is not UTF-8 ")]


@pytest.mark.parametrize("charset", ["unicode_escape", "Unicode-Escape", "raw_unicode_escape", "utf-7", "rot13"])
def test_an_encoding_that_is_none_of_a_page(tmp_path, charset):
    page = f"<meta charset={charset}><p>\\ud800 +2AA- été {SECRET}</p>"
    (tmp_path / "a.html").write_bytes(page.encode("iso-8859-1"))
    documents, rejected = read_all(tmp_path)
    assert not documents and [bad.kind for bad in rejected] == ["not UTF-8"]


def test_deep_tags_take_linear_time():
    assert html.text_of(b"<div>" * 100_000 + b"x") == "x"


def test_a_page_whose_body_stands_in_a_form_is_read_without_its_controls():
    page = """<body><form action="/"><input value="x"><label>Rechercher <b>ici</b></label><button>OK</button>
    <select><option>Comprimé</select><textarea>Votre avis</textarea><h1>Notice</h1><p>Un antibiotique.</p></form>"""
    assert html.text_of(page.encode()) == "Rechercher ici\nNotice\nUn antibiotique."
