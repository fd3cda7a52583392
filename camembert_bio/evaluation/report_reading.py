"""How to read a report: what each column means, of the types of task that it shows."""

from __future__ import annotations

from collections.abc import Iterable

from camembert_bio.evaluation.comparison import Section
from camembert_bio.evaluation.wording import CEILING

_READING = {
    "±": "the standard deviation over seeds, with n - 1.",
    "[low, high]": "the 95 % interval over documents and seeds; by bootstrap, for labels by analysis of variance. A "
    "dash where documents or seeds that are all alike say nothing of others.",
    "p": "of a paired bootstrap over documents and seeds, two-sided, and no less than the share of swaps of the models "
    "on documents that give as large a difference; then adjusted over the tasks of its table (Holm). `permutation` is "
    "the p-value when documents and seeds swap the models: with five seeds or fewer it may never be small.",
    "effect": "the mean difference over its standard deviation over seeds.",
    "told": "the smallest difference that this comparison tells in four of five cases; and the seeds with which it "
    "would tell one point, on these documents.",
}
_READING_ENTITIES = {
    "F1": "strict and micro, on character spans: every fragment and the label must be equal. Gold is every annotated "
    "entity, nested and discontinuous ones too, and no document is cut.",
    "strict IOB2 F1": 'against the entities that flat tags can hold, as seqeval\'s `mode="strict", scheme=IOB2` counts '
    "them: the measure of the published figures.",
    "exact, partial, type-only": "forgive the label; the label, an overlap counting half; the boundaries. Entities are "
    "paired one to one.",
    "macro F1": "strict, the mean over labels.",
    CEILING: "the F1 of a perfect tagger with this tokenizer and policy; the ledger says what it loses. "
    "Strict IOB2 F1 is counted against what tags can hold: it is not bounded by it, and can be 100.",
    "tags": "in every table labels are learnt and read on every sub-word (the author's later configuration labels the "
    "first of a word), and documents over the length go through overlapping windows (how the paper cut them is not "
    "stated): next to published figures these scores are indicative.",
}
_READING_ANSWERS = {
    "accuracy": "the share of documents (of words, where each has a tag) whose class is right.",
    "micro F1, macro F1, weighted F1": "of labels summed over documents; the mean over labels; that mean weighted "
    "by how often each label is gold.",
    "exact match, Hamming score": "the share of documents whose whole set of labels is right; the mean over documents "
    "of the labels in both sets over those in either.",
    "EDRM": "one minus the mean share of the largest possible error of a similarity, as DEFT 2020 counts it.",
    "nats a sub-word": "the mean of minus the logarithm of the probability of each scored sub-word; perplexity is e to "
    "its power. Vocabularies that differ are not comparable by it.",
    "pseudo-perplexity a word, share of unscored words": "e to the power of the nats of the scored sub-words over "
    "their words. Of a word with an unknown sub-word none is scored: other vocabularies are comparable by it where "
    "both leave next to no word out.",
}


def reading(sections: Iterable[Section]) -> dict[str, str]:
    """How to read what the sections show."""
    tasks = [task for section in sections for task in section.tasks]
    entities = _READING_ENTITIES if any(task.is_of_entities for task in tasks) else {}
    titles = {title for task in tasks for title in task.titles.values()}
    others = {
        name: text
        for name, text in _READING_ANSWERS.items()
        if titles & set(name.split(", ")) and not all(task.is_of_entities for task in tasks)
    }
    return {**entities, **others, **_READING}
