"""`report.html`: the report of a build as one page, which needs no network, script or font of its own.

Every number stands in a table; the bars beside them (inline SVG) repeat it. All that a recipe or a source names is
escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from camembert_bio.corpus.licences import Terms, conditions
from camembert_bio.page import bar, document, table, tiles
from camembert_bio.shards.manifest import VALIDATION
from camembert_bio.shards.packing import REFERENCE_LENGTH

_FREQUENCIES = ((1, 1), (2, 2), (3, 9), (10, 99), (100, None))
_FILL = f"Fill at {REFERENCE_LENGTH}"


def page(report: dict[str, Any]) -> str:
    """The page of what `report.json` holds; no text, and no ids of documents."""
    sources: dict[str, Any] = report["sources"]
    body = [
        "<h1>Corpus report</h1>",
        '<p class="muted">What a build read, left out and kept: counts only.</p>',
        *_tiles(sources),
        "<h2>Sources</h2>",
        *_overview(sources),
        "<h2>What each stage removed</h2>",
        "<p>Blue stays, orange goes. A document counts at the first stage that removes it.</p>",
        *(line for name, source in sources.items() for line in _source(name, source)),
        *_frequencies("documents", "Over all sources, as read and cleaned", report),
        *_frequencies(
            "sentences", "Over all sources, in the documents that stay; boilerplate and short ones aside", report
        ),
        *_evaluation(report.get("evaluation_sets")),
        *_licences(sources, report["licence"]),
        *_cost(report),
        *_tokenizer(report),
    ]
    return document("Corpus report", body)


def _kept(source: dict[str, Any]) -> int:
    return sum(source["documents"].values())


def _tiles(sources: dict[str, Any]) -> Iterator[str]:
    words, tokens = (sum(source[key] for source in sources.values()) for key in ("words", "tokens"))
    yield tiles(
        {
            "Documents read": f"{sum(source['documents_read'] for source in sources.values()):,}",
            "Documents kept": f"{sum(map(_kept, sources.values())):,}",
            "Words": f"{words:,}",
            "Tokens": f"{tokens:,}",
            "Tokens per word": f"{tokens / words:.3f}",
        }
    )


def _overview(sources: dict[str, Any]) -> Iterator[str]:
    head = ("Source", "Read", "Kept", "Held out", "Words", "Tokens", "Tokens/word", _FILL, "Unknown", "One character")
    rows = []
    for name, source in sources.items():
        counts = (source["documents_read"], _kept(source), source["documents"][VALIDATION])
        sizes = (source["words"], source["tokens"])
        shares = (source["unknown_share"], source["single_character_share"])
        numbers = [f"{number:,}" for number in (*counts, *sizes)]
        packed = f"{source['window_fill']:.1%}"
        rows.append([name, *numbers, f"{source['tokens_per_word']:.3f}", packed, *(f"{share:.3%}" for share in shares)])
    yield table("Documents, words and tokens; how well the tokenizer fits, as shares of the tokens", head, rows)


def _source(name: str, source: dict[str, Any]) -> Iterator[str]:
    """One source: its stages, its lengths, and what was done within documents."""
    yield f"<h3>{escape(name)}</h3>"
    yield f'<div class="pair">{_stages(source)}{_lengths(source)}</div>'
    if source["duplicates"] or source["near_duplicates"]:
        yield (
            f"<p>An earlier source holds what stays for {source['duplicates_of_earlier_sources']:,} of the "
            f"{source['duplicates']:,} duplicates and for {source['near_duplicates_of_earlier_sources']:,} of the "
            f"{source['near_duplicates']:,} near-duplicates.</p>"
        )
    yield _languages(source)
    if unreadable := source["unreadable"]:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in unreadable.items())
        yield f"<p>Documents that cannot be read, by what they are: {escape(kinds)}; quarantine.jsonl names them.</p>"
    words, left_out = source["words"], source["words_left_out"]
    if found := source["boilerplate"]:
        before = words + left_out + found["words"]
        yield (
            f"<p>Boilerplate of this source: {found['learnt']:,} sentences or lines; {found['sentences']:,} left out "
            f"of {found['documents']:,} documents, with {found['words']:,} of {before:,} words "
            f"({found['words'] / before:.1%}).</p>"
        )
    if source["sentences_left_out"]:
        yield (
            f"<p>Sentences seen before: {source['sentences_left_out']:,} left out; {left_out:,} of "
            f"{words + left_out:,} words ({left_out / (words + left_out):.1%}) went with them.</p>"
        )
    if source["languages_kept"]:
        other = [
            f"{stage.removeprefix('language ')} {count:,}" for stage, count in source["removed"] if "language" in stage
        ]
        yield (
            f"<p>Languages kept: {escape(', '.join(source['languages_kept']))}, and texts that cannot be told; "
            f"documents surely in another: {escape(', '.join(other)) or 'none'}.</p>"
        )
    if changed := source["changed_by_cleaning"]:
        steps = ", ".join(f"{step} {count:,}" for step, count in changed.items())
        yield f"<p>Documents read that a step of the cleaning changed: {escape(steps)}.</p>"


def _stages(source: dict[str, Any]) -> str:
    read = left = source["documents_read"]
    rows: list[list[str]] = [["read", "", f"{read:,}", bar(1)]]
    for stage, count in source["removed"]:
        left -= count
        rows.append([stage, f"{count:,}" if count else "0", f"{left:,}", bar(left / read, count / read)])
    rows.append(["kept", "", f"{_kept(source):,}", bar(_kept(source) / read)])
    return table("Documents by stage", ("Stage", "Removed", "Left", "Of those read"), rows)


def _lengths(source: dict[str, Any]) -> str:
    counts = {int(lower): count for lower, count in source["documents_by_tokens"].items()}
    kept, most = sum(counts.values()), max(counts.values())
    rows: list[list[str]] = []
    lower = min(counts)
    while lower <= max(counts):
        count = counts.get(lower, 0)
        label = _range(lower, max(lower, 2 * lower - 1))
        rows.append([label, f"{count:,}", f"{count / kept:.1%}", bar(count / most)])
        lower = 2 * lower or 1
    long = sum(count for lower, count in counts.items() if lower >= REFERENCE_LENGTH) / kept
    caption = f"Length of the documents kept, in tokens; {long:.1%} have {REFERENCE_LENGTH} or more"
    return table(caption, ("Tokens", "Documents", "Share", ""), rows)


def _languages(source: dict[str, Any]) -> str:
    counts, one_of = source["documents_by_language"], source["language_looked_at_in_one_of"]
    looked_at = sum(counts.values())
    which = "all" if one_of == 1 else f"a sample of one in {one_of}"
    if not looked_at:
        return f"<p>Language: not known; no document was looked at, of {which}.</p>"
    # Sorted here: report.json's keys are sorted by name.
    rows = [
        [language, f"{count:,}", f"{count / looked_at:.1%}", bar(count / looked_at)]
        for language, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    caption = f"Language of {looked_at:,} documents after cleaning: {which}"
    return table(caption, ("Language", "Documents", "Share", ""), rows)


def _frequencies(kind: str, about: str, report: dict[str, Any]) -> Iterator[str]:
    """How many distinct documents, or sentences, occur how often; none where the recipe does not ask for it."""
    key = f"distinct_{kind}_by_occurrences"
    if key not in report:
        return
    found = {int(times): count for times, count in report[key].items()}
    total = sum(times * count for times, count in found.items())
    rows: list[list[str]] = []
    for low, high in _FREQUENCIES:
        inside = {times: count for times, count in found.items() if low <= times and (high is None or times <= high)}
        number = sum(times * count for times, count in inside.items())
        share = number / max(1, total)
        rows.append([_range(low, high), f"{sum(inside.values()):,}", f"{number:,}", f"{share:.1%}", bar(share)])
    yield f"<h2>{kind.capitalize()} by how often they occur</h2>"
    yield table(about, ("Times", f"Distinct {kind}", "Occurrences", "Share of occurrences", ""), rows)


def _evaluation(sets: dict[str, Any] | None) -> Iterator[str]:
    if sets is None:
        return
    rows = [
        [
            name,
            f"{found['num_documents']:,}",
            f"{found['num_without_words']:,}",
            f"{found['mean_contained']:.2%}",
            f"{len(found['contained']):,}",
        ]
        for name, found in sets.items()
    ]
    yield "<h2>Evaluation sets in the corpus as it was read</h2>"
    head = ("Set", "Documents", "Without words", "Mean share found", "Found by more than half")
    yield table("Share of each evaluation document's word n-grams; report.json names those found", head, rows)


def _licences(sources: dict[str, Any], terms: Terms) -> Iterator[str]:
    rows = [
        [licence, name, f"{count:,}"]
        for name, source in sources.items()
        for licence, count in source["licences"].items()
    ]
    yield "<h2>Licences</h2>"
    yield table("Documents kept", ("Licence", "Source", "Documents"), rows)
    yield f"<p><strong>The whole: {escape(conditions(terms))}.</strong></p>"
    yield from (f"<p><strong>In conflict:</strong> {escape(conflict)}.</p>" for conflict in terms["conflicts"])
    yield (
        '<p class="muted">The rule: one non-commercial licence makes the whole non-commercial, one share-alike licence '
        "makes it share-alike, one without derivatives forbids to pass it on; told by their names. Ask a lawyer.</p>"
    )


def _cost(report: dict[str, Any]) -> Iterator[str]:
    seconds: dict[str, float] = report["seconds"]
    total = sum(seconds.values()) or 1.0
    rows: list[list[str]] = [
        [stage, f"{time:,.1f}", f"{time / total:.1%}", bar(time / total)]
        for stage, time in sorted(seconds.items(), key=lambda item: -item[1])
    ]
    peaks = [[stage, f"{megabytes:,}"] for stage, megabytes in report["peak_memory_mb_by_the_end_of"].items()]
    yield "<h2>Time and memory</h2>"
    yield (
        f"<p>{report['wall_s']:,.1f} s in all, and at most {report['peak_memory_mb']:,} MB in one process. "
        "A build that went on after a stop counts what was done before in the stages, not in the whole.</p>"
    )
    times = table("CPU-seconds over all processes", ("Stage", "Seconds", "Share", ""), rows)
    memory = table("Largest memory of one process so far", ("By the end of", "MB"), peaks)
    yield f'<div class="pair">{times}{memory}</div>'


def _tokenizer(report: dict[str, Any]) -> Iterator[str]:
    about = report["tokenizer"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items() if version)
    yield "<h2>Tokenizer and versions</h2>"
    yield (
        f"<p>{about['vocab_size']:,} ids ({about['kind']}, {escape(about['origin'])}); {about['equal']:,} of "
        f"{about['passages']:,} passages have the same ids in transformers.</p><p>{escape(versions)}</p>"
    )


def _range(low: int, high: int | None) -> str:
    if high is None:
        return f"{low:,} or more"
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
