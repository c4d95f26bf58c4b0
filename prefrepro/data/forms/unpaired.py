"""Single completions with a label, each given to the prompt of another: what KTO estimates its KL on."""

from __future__ import annotations

from prefrepro.data.jsonl import Line, Spool
from prefrepro.errors import UserError


def of_another_prompt(lines: Spool) -> Spool:
    """Each line with the completion of the next line of another prompt, the last ones with that of an earlier one.

    Raises UserError where all lines have one prompt.
    """
    made, waiting, heads = Spool(), list[Line](), list[Line]()

    def answer(other: Line) -> None:
        for line in waiting:
            made.append(line | {"completions": other["completions"]})
        waiting.clear()

    for line in lines:
        if waiting and line["prompt_id"] != waiting[0]["prompt_id"]:
            answer(line)
        if not waiting and len(heads) < 2:
            heads.append(line)
        waiting.append(line)
    others = [head for head in heads if waiting and head["prompt_id"] != waiting[0]["prompt_id"]]
    if others:
        answer(others[0])
    elif waiting:
        raise UserError(
            f"all {len(waiting)} training rows have one prompt; expected two at least, since the method wants a "
            "response to another prompt for each row. Give more data."
        )
    return made
