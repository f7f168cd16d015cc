"""The events of a script in numbered blocks, as Messages and Converse have them."""

from __future__ import annotations

from inferd_engine.testing.pacing import events_of


def in_blocks(script, begin, say, stop):
    """Give what each event is, in lists, and how the last block ends.

    Args:
        script: Events of one type in a row share a block; each call has its own.
        begin: Makes the beginning of a block from its number and its first event, in a list.
        say: Makes the deltas of an event, likewise.
        stop: Makes the end of a block from its number.
    """
    groups, open_now, index = [], None, -1
    for event in events_of(script):
        group = []
        if event.type != open_now or event.type == "tool_use":
            if index >= 0:
                group.append(stop(index))
            index, open_now = index + 1, event.type
            group += begin(index, event)
        groups.append([*group, *say(index, event)])
    return groups, [stop(index)] if index >= 0 else []
