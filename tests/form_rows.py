"""One row of every form of preference data that people have, and the canonical row that it is."""

from __future__ import annotations

import json
from typing import Any

from prefrepro.data.forms.parse import UnpairedRow
from prefrepro.data.rows import PreferenceRow, RankedRow

USER, GOOD, BAD = "Which fern likes shade?", "The holly fern does.", "None."
ASKED = [{"role": "user", "content": USER}]
PAIR = PreferenceRow(ASKED, GOOD, BAD)


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def heard(who: str, value: str) -> dict[str, str]:
    return {"from": who, "value": value}


PARTS = [{"type": "text", "text": "Which fern "}, {"type": "text", "text": "likes shade?"}]
SHORT = said("system", "Be short.")
TALK, OTHER = ([*ASKED, said("assistant", answer)] for answer in (GOOD, BAD))
READ: list[tuple[str, str, dict[str, Any], Any]] = [
    ("TRL's standard form", "pairs", {"prompt": USER, "chosen": GOOD, "rejected": BAD}, PAIR),
    ("TRL's conversational form", "pairs",
     {"prompt": ASKED, "chosen": [said("assistant", GOOD)], "rejected": [said("assistant", BAD)]}, PAIR),
    ("a prompt that both conversations repeat", "pairs", {"prompt": USER, "chosen": TALK, "rejected": OTHER}, PAIR),
    ("a prompt that is the last turn of both conversations", "pairs",
     {"prompt": USER, "chosen": [SHORT, *TALK], "rejected": [SHORT, *OTHER]},
     PreferenceRow([SHORT, *ASKED], GOOD, BAD)),
    ("answers as one message each", "pairs",
     {"prompt": ASKED, "chosen": said("assistant", GOOD), "rejected": said("assistant", BAD)}, PAIR),
    ("an implicit prompt", "implicit", {"chosen": TALK, "rejected": OTHER}, PAIR),
    ("an implicit prompt in ShareGPT's words", "implicit",
     {"chosen": [heard("human", USER), heard("gpt", GOOD)], "rejected": [heard("human", USER), heard("gpt", BAD)]},
     PAIR),
    ("ShareGPT", "sharegpt",
     {"conversations": [heard("human", USER)], "chosen": heard("gpt", GOOD), "rejected": heard("gpt", BAD)}, PAIR),
    ("LLaMA-Factory with a system column", "sharegpt",
     {"conversations": [heard("human", USER)], "chosen": heard("gpt", GOOD), "rejected": heard("gpt", BAD),
      "system": "Be short."}, PreferenceRow([SHORT, *ASKED], GOOD, BAD)),
    ("Alpaca", "alpaca", {"instruction": USER, "input": "", "chosen": GOOD, "rejected": BAD}, PAIR),
    ("Alpaca with an input and a history", "alpaca",
     {"instruction": "Translate.", "input": "Moos", "chosen": "moss", "rejected": "oak", "history": [["Hi", "Hello."]]},
     PreferenceRow([said("user", "Hi"), said("assistant", "Hello."), said("user", "Translate.\nMoos")], "moss", "oak")),
    ("OpenAI", "openai",
     {"input": {"messages": ASKED, "tools": [], "parallel_tool_calls": True},
      "preferred_output": [said("assistant", GOOD)], "non_preferred_output": [said("assistant", BAD)]}, PAIR),
    ("content in parts", "pairs",
     {"prompt": [said("user", PARTS)], "chosen": [said("assistant", [{"type": "text", "text": GOOD}])],
      "rejected": [said("assistant", BAD)]}, PAIR),
    ("messages as JSON in a text", "pairs",
     {"prompt": json.dumps(ASKED), "chosen": str([said("assistant", GOOD)]), "rejected": BAD}, PAIR),
    ("unpaired", "unpaired", {"prompt": USER, "completion": GOOD, "label": True}, UnpairedRow(ASKED, GOOD, True)),
    ("unpaired, 0 and 1, as a conversation", "unpaired",
     {"prompt": ASKED, "completion": [said("assistant", BAD)], "label": 0}, UnpairedRow(ASKED, BAD, False)),
    ("unpaired with an implicit prompt", "implicit_unpaired", {"completion": TALK, "label": "True"},
     UnpairedRow(ASKED, GOOD, True)),
    ("LLaMA-Factory's KTO, ShareGPT", "sharegpt_unpaired",
     {"conversations": [heard("human", USER), heard("gpt", BAD)], "kto_tag": False}, UnpairedRow(ASKED, BAD, False)),
    ("LLaMA-Factory's KTO, Alpaca", "alpaca_unpaired",
     {"instruction": USER, "input": None, "output": GOOD, "kto_tag": True}, UnpairedRow(ASKED, GOOD, True)),
    ("ranked", "ranked", {"prompt": USER, "completions": [GOOD, BAD], "scores": [2, 1]},
     RankedRow(ASKED, [GOOD, BAD], [2.0, 1.0])),
    ("UltraFeedback as released", "ultrafeedback",
     {"instruction": USER, "completions": [{"response": GOOD, "overall_score": 8, "annotations": {}},
                                           {"response": BAD, "overall_score": 2, "annotations": {}}]},
     RankedRow(ASKED, [GOOD, BAD], [8.0, 2.0])),
    ("UltraFeedback as NCA's authors have it", "ultrafeedback_lettered",
     {"prompt": USER, "A0": GOOD, "A1": BAD, "score_A0": 8.0, "score_A1": 2.0},
     RankedRow(ASKED, [GOOD, BAD], [8.0, 2.0])),
    ("HH", "hh",
     {side: f"\n\nHuman: {USER}\n\nAssistant: {a}" for side, a in (("chosen", GOOD), ("rejected", BAD))}, PAIR),
    ("HH with Windows line ends", "hh",
     {side: f"\r\n\r\nHuman: {USER}\r\n\r\nAssistant: {a}" for side, a in (("chosen", GOOD), ("rejected", BAD))}, PAIR),
    ("HH with single line breaks, no blanks", "hh",
     {side: f"Human:{USER}\nAssistant:{a}" for side, a in (("chosen", GOOD), ("rejected", BAD))}, PAIR),
    ("HH whose prompt stands apart", "hh_prompt",
     {"prompt": f"\n\nHuman: {USER}\n\nAssistant:", "chosen": f" {GOOD}", "rejected": f" {BAD}"}, PAIR),
]  # fmt: skip
