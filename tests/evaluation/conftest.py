"""A tiny CamemBERT with a tokenizer of its own, and a small annotated corpus in brat."""

import json
import random

import pytest

DRUGS = ["aspirine", "ibuprofène", "lépirudine", "morphine", "amoxicilline", "insuline", "héparine", "cortisone"]
DISEASES = ["asthme", "migraine", "grippe", "angine", "hypertension artérielle", "eczéma", "insuffisance rénale"]
FRAMES = [
    "L'{drug} soulage la {disease} du patient.",
    "Le patient atteint de {disease} prend de l’{drug} chaque matin.",
    "Après trois jours d'{drug}, la {disease} recule nettement.",
    "On arrête l'{drug} 😀 en cas de {disease} sévère.",
    "Aucune {disease} ne fut notée sous {drug} seule.",
]


def make_documents(count, seed, seen=()):
    """(text, [(start, end, label)]) drawn from the frames; none has a text of those seen."""
    rng = random.Random(seed)
    documents = []
    while len(documents) < count:
        text, spans = "", []
        for piece in rng.choice(FRAMES).replace("}", "{").split("{"):
            word = {"drug": rng.choice(DRUGS), "disease": rng.choice(DISEASES)}.get(piece, piece)
            if word != piece:
                spans.append((len(text), len(text) + len(word), {"drug": "CHEM", "disease": "DISO"}[piece]))
            text += word
        if text not in seen:
            documents.append((text, spans))
    return documents


def write_brat(folder, documents):
    folder.mkdir(parents=True)
    for number, (text, spans) in enumerate(documents):
        (folder / f"doc{number:03d}.txt").write_text(text, encoding="utf-8", newline="")
        lines = [f"T{k}\t{label} {a} {b}\t{text[a:b]}\n" for k, (a, b, label) in enumerate(spans, start=1)]
        (folder / f"doc{number:03d}.ann").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    """A unigram SentencePiece model in CamemBERT's layout, without a model."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("tokenizer")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for text, _ in make_documents(400, seed=0)]),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=90,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    config = {"tokenizer_class": "CamembertTokenizer", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def model_folder(tokenizer_folder):
    """The tokenizer's folder with a two-layer masked-LM CamemBERT in it."""
    import torch
    from transformers import CamembertConfig, CamembertForMaskedLM

    config = CamembertConfig(
        vocab_size=95,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
        bos_token_id=5,
        eos_token_id=6,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CamembertForMaskedLM(config).save_pretrained(tokenizer_folder)
    return tokenizer_folder


@pytest.fixture(scope="session")
def tokenizer(model_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_folder, local_files_only=True)


@pytest.fixture(scope="session")
def brat_folder(tmp_path_factory):
    """`train`, `dev` and `test` folders of brat documents."""
    folder = tmp_path_factory.mktemp("brat")
    seen = set()
    for seed, (part, count) in enumerate({"train": 48, "dev": 12, "test": 16}.items()):
        documents = make_documents(count, seed, seen)
        write_brat(folder / part, documents)
        seen |= {text for text, _ in documents}
    return folder


@pytest.fixture
def recipe_values(brat_folder, model_folder, tmp_path):
    """The values of a recipe that is done in seconds."""
    return {
        "output": tmp_path / "out",
        "models": {"tiny": str(model_folder)},
        "tasks": [
            {"name": "drugs", "format": "brat"}
            | {"train": brat_folder / "train", "validation": brat_folder / "dev", "test": brat_folder / "test"}
        ],
        "seeds": [0],
        "max_steps": 4,
        "evaluate_every": 2,
        "seq_length": 64,
        "window_overlap": 16,
    }


CAS_TEXT = (
    "Cas {number}. Fièvre et toux sous aspirine 500 mg par voie orale le matin depuis 3 jours ; foie et rate palpés."
)
CAS_MARKS = {
    "sosy": "Fièvre",
    "pathologie": "toux",
    "substance": "aspirine",
    "dose": "500 mg",
    "mode": "par voie orale",
    "moment": "le matin",
    "duree": "depuis 3 jours",
    "valeur": "3 jours",
    "examen": "palpés",
    "traitement": "aspirine 500 mg",
}


def write_cas_documents(folder, names, label="pathologie"):
    """brat documents with every label of CAS, an attribute, and a discontinuous entity."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        text = CAS_TEXT.format(number=name)
        found = [(text.index(part), text.index(part) + len(part), mark, part) for mark, part in CAS_MARKS.items()]
        lines = [
            f"T{n}\t{label if mark == 'sosy' else mark} {a} {b}\t{part}\n"
            for n, (a, b, mark, part) in enumerate(found, 1)
        ]
        liver, seen = text.index("foie"), text.index("palpés")
        lines.append(f"T20\tanatomie {liver} {liver + 4};{seen} {seen + 6}\tfoie palpés\nA1\tnegation T20\n")
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        (folder / f"{name}.ann").write_text("".join(lines), encoding="utf-8")
    return folder


def write_cas_2020(folder, label="sosy"):
    """The layout of task 3 of DEFT 2020: a folder for each part."""
    write_cas_documents(folder / "t3-appr", [f"filepdf-{number}" for number in range(6)], label)
    write_cas_documents(folder / "t3-test", [f"filepdf-{number}" for number in range(6, 10)], label)
    return folder


def write_cas_2021(folder):
    """The layout of DEFT 2021: one folder, and a file that says which campaign used which document."""
    write_cas_documents(folder / "DEFT-cas-cliniques", [f"filepdf-{number}" for number in range(10)], "sosy")
    for number in range(2):
        (folder / f"DEFT-cas-cliniques/old-{number}-2019.txt").write_text("Sans annotation.")
    rows = [
        ("old-0-2019.txt", "train 2019", "", ""),
        ("old-1-2019.txt", "test 2019", "", ""),
        *((f"filepdf-{n}.txt", "train 2019", f"{'train' if n < 6 else 'test'} 2020", "train 2021") for n in range(7)),
        *((f"filepdf-{n}.txt", "test 2019", "test 2020", "test 2021") for n in range(7, 10)),
    ]
    lines = ["\t".join(row) for row in rows]
    (folder / "distribution-corpus.txt").write_text("\r\n".join(lines) + "\r\n")
    return folder
