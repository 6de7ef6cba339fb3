"""Which words of a prompt say what is to be redacted. Ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from embedops_redact.disguises import folded, joined, readings
from embedops_redact.presence import Presence, PresenceMeter
from embedops_redact.words import Stretch, chunks_of, spans_of, spoken, words_of

_A_SPAN = 2
"""Words that a stretch counts as having at least where it is more than a single word."""


@dataclass(frozen=True)
class Finding:
    """One stretch of a prompt, as the gate judged it.

    Attributes:
        stretch: where it is.
        asked: the words that were examined for it.
        presence: what was heard.
        words: how many words it has.
        disguised: whether `asked` is what it may stand for instead of what it says.
    """

    stretch: Stretch
    asked: str
    presence: Presence
    words: int
    disguised: bool = False

    @property
    def triggered(self) -> bool:
        return self.presence.triggered


@dataclass(frozen=True)
class _Candidate:
    stretch: Stretch
    asked: str
    words: int
    disguised: bool = False


class Gate:
    """Examines whole prompts, however long, word by word and in short spans.

    A span counts only where nothing shorter inside it does, so that as little as possible is
    replaced. Words that the encoder does not know are examined as what they may be a disguise of
    as well, and there the longest stretch counts, so that no piece of the disguise stays behind.
    """

    def __init__(
        self, meter: PresenceMeter, phrases: Sequence[str], *, spans: int, spelling: bool
    ) -> None:
        self._meter = meter
        self._spans = spans
        self._known: Set[str] | None = None
        if spelling:
            listed = (word.text.casefold() for phrase in phrases for word in words_of(phrase))
            self._known = {*meter.vocabulary, *listed}

    def __call__(self, prompts: Sequence[str]) -> list[tuple[Finding, ...]]:
        """Per prompt a finding for each word, and for each longer stretch that counts.

        All prompts are examined together, as one batch of short texts.

        Raises:
            GuardError: the encoder gives NaN or infinity.
        """
        candidates = [list(self._candidates(prompt)) for prompt in prompts]
        heard = self._meter([c.asked for each in candidates for c in each])
        return [
            _chosen(
                [Finding(c.stretch, c.asked, heard[c.asked], c.words, c.disguised) for c in each]
            )
            for each in candidates
        ]

    def _candidates(self, prompt: str) -> Iterator[_Candidate]:
        words = words_of(prompt)
        for length in range(1, self._spans + 1):
            for stretch in spans_of(prompt, words, length):
                yield _Candidate(stretch, spoken(stretch), length)
        single = set(words)
        chunks = [chunk for chunk in chunks_of(prompt) if chunk not in single]
        for chunk in chunks:
            yield _Candidate(chunk, chunk.text, _A_SPAN)
        if self._known is None:
            return
        for word in words:
            for reading in readings(word.text, self._known):
                yield _Candidate(word, reading, 1, disguised=True)
        for chunk in chunks:
            parts = words_of(chunk.text)
            if any(folded(part.text) not in self._known for part in parts):
                for reading in readings(chunk.text, self._known):
                    yield _Candidate(chunk, reading, max(_A_SPAN, len(parts)), disguised=True)
        for first, last, made in joined(words, self._spans, self._known):
            start, end = words[first].start, words[last - 1].end
            stretch = Stretch(start, end, prompt[start:end])
            yield _Candidate(stretch, made, last - first, disguised=True)


def _chosen(findings: list[Finding]) -> tuple[Finding, ...]:
    """The strongest finding of each word, and the longer stretches that count."""
    best: dict[Stretch, Finding] = {}
    for finding in findings:
        rival = best.get(finding.stretch)
        if rival is None or _excess(finding) > _excess(rival):
            best[finding.stretch] = finding
    chosen = [f for f in best.values() if f.words == 1]
    longer = [f for f in best.values() if f.words > 1 and f.triggered]
    hidden: list[Finding] = []
    for finding in sorted((f for f in longer if f.disguised), key=_length, reverse=True):
        if not any(f.stretch.covers(finding.stretch) for f in hidden):
            hidden.append(finding)
    chosen += hidden
    taken = [f.stretch for f in chosen if f.triggered]
    for finding in sorted((f for f in longer if not f.disguised), key=_length):
        if not any(finding.stretch.covers(t) or t.covers(finding.stretch) for t in taken):
            chosen.append(finding)
            taken.append(finding.stretch)
    return tuple(sorted(chosen, key=lambda f: (f.stretch.start, f.stretch.end)))


def _length(finding: Finding) -> int:
    return finding.words


def _excess(finding: Finding) -> float:
    return finding.presence.score - finding.presence.threshold
