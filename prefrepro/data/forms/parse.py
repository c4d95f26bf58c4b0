"""One record of any form as a canonical row.

The rules of pairs and groups are those of rows.py, hh.py and ultrafeedback.py: here their columns are found and brought
into the notation that these read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefrepro.data.forms.messages import WORDS, history_of, is_messages, messages_of, unpacked
from prefrepro.data.forms.recognise import BESIDE, FORMS, READ_TOO, TRANSCRIPT, beside_of, label_of
from prefrepro.data.hh import ASSISTANT, parse_hh
from prefrepro.data.rows import BadRow, Note, PreferenceRow, RankedRow, column, parse_preference, parse_ranked, text
from prefrepro.data.template import Message, prompt_id
from prefrepro.data.ultrafeedback import ScoreField, parse_ultrafeedback


@dataclass(frozen=True, slots=True)
class UnpairedRow:
    """One completion of a prompt, and whether it is a good one."""

    prompt: list[Message]
    completion: str
    label: bool

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.prompt)


CanonicalRow = PreferenceRow | RankedRow | UnpairedRow
Columns = Mapping[str, str] | None


def parse_form(
    record: dict[str, Any],
    note: Note,
    *,
    form: str,
    columns: Columns = None,
    score_field: ScoreField = "overall_score_corrected",
) -> CanonicalRow | None:
    """The row of a record of `form`; None where it is left out, which is counted by its cause and as `left_out`.

    `columns`: role -> column, where they differ from forms.yaml. Raises BadRow.
    """
    given = roles_of(record, form, columns or {})
    if form.startswith("ultrafeedback"):
        row = parse_scored(record | given, note, score_field=score_field)
    elif form in ("hh", "hh_prompt"):
        row = parse_hh(_transcripts(given, note), note)
    else:
        row = READERS[FORMS[form]["shape"]](record, given, note)
    if row is None:
        note("left_out")
    return row


def roles_of(record: Mapping[str, Any], form: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """Role -> value of a record: the form's own columns, those that `columns` names, and system, history and input.

    Raises BadRow where one is missing, or where a column holds what no text can stand for.
    """
    named = FORMS[form]["columns"] | dict(columns)
    given = {role: column(dict(record), name) for role, name in named.items() if name in record or role not in BESIDE}
    given = {role: record[name] for role, name in beside_of(form, [record]).items()} | given
    for name in WORDS["no_text"]:
        if unpacked(record.get(name)):
            raise BadRow(f'"{name}" holds {record[name]!r:.40}; only text can be used')
    return given


def _before(given: Mapping[str, Any], note: Note) -> list[Message]:
    """What stands before the prompt: the system message and earlier turns."""
    found: list[Message] = []
    if given.get("system"):
        note("system_column_read")
        found.append({"role": "system", "content": text(given["system"], "system")})
    if given.get("history"):
        note("history_column_read")
        found += history_of(given["history"], note)
    return found


def _prompt(given: Mapping[str, Any], note: Note) -> list[Message]:
    """The prompt's own messages; what `input` holds stands after a line break, as LLaMA-Factory has it."""
    asked = messages_of(given["prompt"], "prompt", note)
    if given.get("input"):
        note("input_column_read")
        last = asked[-1]
        asked = [*asked[:-1], last | {"content": f"{last['content']}\n{text(given['input'], 'input')}".lstrip("\n")}]
    return asked


def _answer(value: Any, name: str, asked: list[Message], note: Note) -> tuple[list[Message], str]:
    """(the conversation before it, if it repeats one, the answer)"""
    if isinstance(value, str) and not is_messages(value):
        return [], text(value, name)
    messages = messages_of(value, name, note)
    if messages[-1]["role"] != "assistant":
        raise BadRow(f'"{name}" does not end with an assistant message; expected text or one assistant message')
    before = messages[:-1]
    if before and asked and before[-len(asked) :] != asked:
        raise BadRow(f'"{name}" holds {len(messages)} messages whose beginning is not the prompt')
    return before, messages[-1]["content"]


def _pair(record: Mapping[str, Any], given: dict[str, Any], note: Note) -> PreferenceRow | None:
    """The prompt is what both sides have before the last turn, where none is given or the answers repeat more of it."""
    if "outputs" in given:
        outputs = unpacked(given["outputs"])
        if not isinstance(outputs, list) or len(outputs) != 2:
            raise BadRow(f'"output" holds {outputs!r:.40}; expected two answers, the better one first')
        given = given | dict(zip(("chosen", "rejected"), outputs, strict=True))
    asked = _prompt(given, note) if "prompt" in given else []
    if asked and TRANSCRIPT.search(asked[-1]["content"]):
        note("transcript_as_prompt")
    if not asked and not any(is_messages(given[side]) for side in ("chosen", "rejected")):
        return _common_text(record, given, note)
    sides = [_answer(given[side], side, asked, note) for side in ("chosen", "rejected")]
    starts = [before for before, _ in sides if before]
    if (starts and any(start != starts[0] for start in starts)) or (not asked and len(starts) < 2):
        note("rejected_prompt_mismatch")
        return None
    prompt = max(asked, starts[0] if starts else [], key=len)
    return _checked(record, [*_before(given, note), *prompt], [answer for _, answer in sides], note)


def _common_text(record: Mapping[str, Any], given: Mapping[str, Any], note: Note) -> PreferenceRow | None:
    """Two texts: their common beginning, up to a blank, is the prompt (TRL's `extract_prompt`)."""
    chosen, rejected = (text(given[side], side) for side in ("chosen", "rejected"))
    both = zip(chosen, rejected, strict=False)
    end = next((at for at, (one, other) in enumerate(both) if one != other), min(len(chosen), len(rejected)))
    end -= end > 0 and chosen[end - 1] == " "
    prompt = [*_before(given, note), {"role": "user", "content": chosen[:end]}]
    return _checked(record, prompt, [chosen[end:], rejected[end:]], note)


def _checked(record: Mapping[str, Any], prompt: list[Message], answers: list[str], note: Note) -> PreferenceRow | None:
    scores = {name: record[name] for name in READ_TOO[:3] if name in record}
    return parse_preference({**scores, "prompt": prompt, "chosen": answers[0], "rejected": answers[1]}, note)


def _ranked(_record: Mapping[str, Any], given: dict[str, Any], note: Note) -> RankedRow:
    asked = _prompt(given, note)
    completions = unpacked(given["completions"])
    if not isinstance(completions, list):
        raise BadRow(f'"completions" holds {completions!r:.40}; expected a list')
    prompt = [*_before(given, note), *asked]
    texts = [_answer(one, "completions", asked, note)[1] for one in completions]
    more = {"preferences": _record["preferences"]} if "preferences" in _record else {}
    scores = unpacked(given["scores"])
    return parse_ranked({"prompt": prompt, "completions": texts, "scores": scores, **more}, note)


def _unpaired(_record: Mapping[str, Any], given: dict[str, Any], note: Note) -> UnpairedRow | None:
    label = label_of(given["label"])
    if label is None:
        raise BadRow(f'"label" holds {given["label"]!r:.40}; expected true or false')
    asked = _prompt(given, note) if "prompt" in given else []
    before, answer = _answer(given["completion"], "completion", asked, note)
    prompt = max(asked, before, key=len)
    if not prompt:
        raise BadRow('"completion" is one answer without a question; expected a "prompt", or a conversation before it')
    if not answer.strip():
        note("empty_completion")
    return UnpairedRow([*_before(given, note), *prompt], answer, label)


READERS = {"pairs": _pair, "ranked": _ranked, "unpaired": _unpaired}

TAG = re.compile(r"(?:^|\n+)[ \t]*(Human|Assistant):[ \t\xa0]?")
ODD_TAG = re.compile(
    r"^[ \t]*(?:Human|Assistant):|(?<!\n)\n[ \t]*(?:Human|Assistant):|\n(?:Human|Assistant):(?:\xa0|\S)"
)
"""A tag without an empty line before it, or without a blank after it"""


def _transcripts(given: Mapping[str, Any], note: Note) -> dict[str, Any]:
    """HH's two transcripts as released: a prompt that stands apart is put before its answers, Windows line ends and odd
    tags are mended; each is counted."""
    found = {side: text(given[side], side) for side in ("chosen", "rejected")}
    if "prompt" in given:
        note("transcript_as_prompt")
        prompt = text(given["prompt"], "prompt")
        start = prompt if prompt.rstrip().endswith("Assistant:") else f"{prompt.rstrip()}{ASSISTANT} "
        found = {side: f"{start}{said}" for side, said in found.items()}
    if any("\r\n" in said for said in found.values()):
        note("windows_line_ends_mended")
        found = {side: said.replace("\r\n", "\n") for side, said in found.items()}
    if any(ODD_TAG.search(said[: said.rfind(ASSISTANT) + len(ASSISTANT) + 1]) for said in found.values()):
        note("tags_mended")
        found = {side: TAG.sub(r"\n\n\1: ", said) for side, said in found.items()}
    return found


def parse_scored(
    record: dict[str, Any], note: Note, *, score_field: ScoreField = "overall_score_corrected"
) -> RankedRow:
    """A group of UltraFeedback in any of its forms. A response without text or without a finite score is left out of
    its group and counted, whatever stands in the place: null, NaN, nothing. Where no response has an overall score,
    its `score` is taken as it stands."""
    if isinstance(record.get("completions"), list):
        kept, key = [], "overall_score"
        if not any(isinstance(one, dict) and key in one for one in record["completions"]):
            key, score_field = "score", "overall_score"
        for one in record["completions"]:
            if not isinstance(one, dict):
                raise BadRow(f'"completions" holds {one!r:.40}; expected objects with "response"')
            if not isinstance(one.get("response"), str):
                note("response_missing")
            else:
                kept.append(one | {"overall_score": _score(one.get(key))})
        record = record | {"completions": kept}
    return parse_ultrafeedback(record, note, score_field=score_field)


def _score(value: Any) -> Any:
    """A score as a number, also out of a text; None where there is none. Anything else as it is."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    return None if isinstance(value, float) and not math.isfinite(value) else value
