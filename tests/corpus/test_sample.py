import random

from camembert_bio.corpus.sample import SentenceSample, TextSample

TEXTS = [f"Phrase {i} du document. Toujours la même phrase ! Et {i % 7}, encore ? Fin\nligne {i}" for i in range(300)]


def sample(texts, limit=2000, seed=0):
    taken = SentenceSample(limit, seed)
    for text in texts:
        taken.add(text)
    return taken.sentences()


def test_everything_distinct_when_it_fits():
    taken = sample(TEXTS, limit=1_000_000)
    assert len(taken) == len(set(taken)) == 300 + 1 + 7 + 300 + 1
    assert "Toujours la même phrase !" in taken


def test_bounded_and_independent_of_order():
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS))
    taken = sample(TEXTS)
    assert taken == sample(shuffled)
    assert 1900 < sum(len(sentence.encode()) for sentence in taken) <= 2000
    assert taken != sample(TEXTS, seed=1)


def test_a_long_sentence_is_cut():
    taken = sample(["mot " * 3000], limit=100_000)
    assert max(map(len, taken)) == 4000


def test_text_sample_is_bounded_and_independent_of_order():
    def texts(order):
        taken = TextSample(limit=5, num_characters=3)
        for i in order:
            taken.add(bytes([i * 37 % 256]), f"{i:05d}")
        return taken.texts()

    assert texts(range(100)) == texts(reversed(range(100)))
    assert len(texts(range(100))) == 5
    assert len(texts([1])[0]) == 3
