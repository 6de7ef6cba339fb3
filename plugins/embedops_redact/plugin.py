"""The plugin: gate, rewriting and counterfactual rows together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from embedops.edits import Edit, TokenTrace, Trace, Window
from embedops.encoders import Encoder
from embedops.errors import GuardError
from embedops.extension import Plugin
from embedops.streams import Conditioning
from embedops_redact.config import RedactConfig
from embedops_redact.counterfactual import read_instead
from embedops_redact.gate import Finding, Gate
from embedops_redact.positions import Alignment
from embedops_redact.presence import PresenceMeter
from embedops_redact.rewriting import rewritten


@dataclass(frozen=True)
class _Redaction:
    """One prompt's way from what was written to what is read."""

    text: str
    findings: tuple[Finding, ...]
    later: tuple[Finding, ...] = ()
    rounds: int = 0

    @property
    def flagged(self) -> bool:
        return any(finding.triggered for finding in self.findings)


class Redact(Plugin[RedactConfig]):
    """Counterfactual redaction: let the denoiser read the prompt without the words it must not.

    Ours. (1) A gate measures how much of the concepts the encoder hears in each word and short
    span of the prompt, against a threshold that the encoder's own vocabulary calibrates. (2) Words
    that exceed it are replaced by a neutral one and the prompt is encoded again, so that every row
    which the denoiser reads, pooled vectors included, is what the encoders would have said had
    the words not been there. Prompts in which nothing triggers are left bit for bit.

    Put it first in a stack: a plugin after it edits the rewritten prompt's encoding, while the
    edits of one before it are lost in the rows that are encoded anew. What is only implied and
    named by no word or short span passes the gate.

    Scores in the trace are presences (see `presence.PresenceMeter`): cosines in −1..1.
    """

    name: ClassVar[str] = "redact"
    Config: ClassVar[type[RedactConfig]] = RedactConfig

    def edit(self, conditioning: Conditioning, encoder: Encoder) -> Edit:
        """The batch with each flagged prompt's rows encoded from its rewritten text.

        Raises:
            GuardError: the gate cannot be calibrated or cannot look, or what stands in for
                redacted words triggers it as well.
            UnknownNameError: a concept is no preset.
        """
        config = self.config
        phrases = config.wanted(encoder.presets)
        if not phrases:
            note = "no concepts were given: nothing was looked for."
            trace = Trace(plugin=self.name, flagged=False, window=None, notes=(note,))
            return Edit(conditioning, (None,) * len(conditioning), (trace,) * len(conditioning))
        meter = PresenceMeter(encoder, phrases, quantile=config.quantile, margin=config.margin)
        gate = Gate(meter, phrases, spans=config.spans, spelling=config.spelling)
        redactions = self._redact(conditioning.prompts, meter, gate)
        windows = tuple(
            config.window if one.flagged and config.strength > 0 else None for one in redactions
        )
        touched = {row: redactions[row].text for row, window in enumerate(windows) if window}
        edited = (
            read_instead(conditioning, touched, encoder, config.strength)
            if touched
            else conditioning
        )
        traces = tuple(
            self._trace(conditioning, row, one, windows[row]) for row, one in enumerate(redactions)
        )
        return Edit(edited, windows, traces)

    def _redact(self, prompts: Sequence[str], meter: PresenceMeter, gate: Gate) -> list[_Redaction]:
        """Rewrite until nothing triggers: a replacement may make new spans with its neighbours."""
        done = [
            _Redaction(prompt, found) for prompt, found in zip(prompts, gate(prompts), strict=True)
        ]
        pending = {row: one.findings for row, one in enumerate(done) if one.flagged}
        if pending:
            self._check_neutral(meter)
        while pending:
            for row, findings in pending.items():
                done[row] = self._rewrite(done[row], findings)
            looked = gate([done[row].text for row in pending])
            pending = {
                row: found
                for row, found in zip(pending, looked, strict=True)
                if any(f.triggered for f in found)
            }
        return done

    def _rewrite(self, one: _Redaction, findings: Sequence[Finding]) -> _Redaction:
        triggered = tuple(f for f in findings if f.triggered)
        # Each round leaves fewer words, or fewer that are not neutral, so rounds end; a neutral
        # word that triggers beside its neighbours goes for good.
        neutral = self.config.neutral if one.rounds == 0 else ""
        text = rewritten(one.text, [f.stretch for f in triggered], neutral)
        later = one.later if one.rounds == 0 else (*one.later, *triggered)
        return _Redaction(text, one.findings, later, one.rounds + 1)

    def _check_neutral(self, meter: PresenceMeter) -> None:
        neutral = self.config.neutral
        if not neutral.strip():
            return
        heard = meter([neutral])[neutral]
        if heard.triggered:
            raise GuardError(
                f"the neutral word {neutral!r} is itself heard as what is to be redacted "
                f"(presence {heard.score:.2f}, threshold {heard.threshold:.2f}). Set `neutral` to "
                f"another word, or to '' to leave redacted words out."
            )

    def _trace(
        self, conditioning: Conditioning, row: int, one: _Redaction, window: Window | None
    ) -> Trace:
        strongest = max(
            (f.presence for f in (*one.findings, *one.later)),
            key=lambda presence: presence.score - presence.threshold,
            default=None,
        )
        values = {"rounds": float(one.rounds)}
        if strongest is not None:
            values |= {"presence": strongest.score, "threshold": strongest.threshold}
        return Trace(
            plugin=self.name,
            flagged=one.flagged,
            window=window,
            tokens=tuple(_token_traces(conditioning, row, one.findings)),
            values=values,
            notes=tuple(_notes(one, window)),
            text=one.text if one.flagged else None,
        )


def _token_traces(
    conditioning: Conditioning, row: int, findings: Sequence[Finding]
) -> Iterator[TokenTrace]:
    prompt = conditioning.prompts[row]
    aligned = {s.name: Alignment(s, row, prompt) for s in conditioning.streams}
    for finding in findings:
        presence = finding.presence
        alignment = aligned.get(presence.stream)
        yield TokenTrace(
            text=finding.stretch.text,
            stream=presence.stream,
            position=None if alignment is None else alignment.position_of(finding.stretch),
            score=presence.score,
            threshold=presence.threshold,
            triggered=finding.triggered,
        )


def _notes(one: _Redaction, window: Window | None) -> Iterator[str]:
    for finding in (*one.findings, *one.later):
        if finding.triggered and finding.disguised:
            yield f"{finding.stretch.text!r} was examined as {finding.asked!r}."
    for finding in one.later:
        yield f"after the first rewriting {finding.stretch.text!r} triggered too and was left out."
    if one.flagged and window is None:
        yield "strength is 0: examined only, the prompt is read as it was written."
