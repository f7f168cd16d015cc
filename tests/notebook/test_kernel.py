"""Answers shown in a real kernel: what is on the page, while it comes and afterwards."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from inferd_engine.testing import (
    DONE,
    Cut,
    Gate,
    Pause,
    Reply,
    Stall,
    chunk,
    error_reply,
    stream_reply,
    text_reply,
    tool_call_reply,
)

SOON = 10.0  # seconds
WAYS = ["backend.display('x')", "backend.stream('x').display()"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("buffer", [512, 0])
def test_alone_in_a_cell_it_is_shown_once(ask, way, buffer):
    """The last expression of a cell is not shown a second time, as its value."""
    way = way.replace("backend", f"backend.with_options(buffer={buffer})")
    cell = ask(way, text_reply("# Sky\n\nBlue is **short**.", usage=(7, 5))).wait()
    assert cell.kinds == ["display_data"]
    assert cell.shown.startswith("# Sky\n\nBlue is **short**.\n\n*5 tokens (prompt: 7) · first")
    assert re.search(r"first token after \d\.\d\d s · [\d,.]+ tokens/s · end_turn\*$", cell.shown)


def test_assigned_it_is_shown_once_too(ask, kernel):
    """A cell that keeps the answer, and names it at its end, shows it once; later cells again."""
    assert ask("answer = backend.display('x')", text_reply("**a**")).wait().kinds == [
        "display_data"
    ]
    cell = ask("answer = backend.display('x')\nanswer", text_reply("**b**")).wait()
    assert cell.kinds == ["display_data"]
    later = kernel.run("answer")
    assert later.kinds == ["execute_result"]
    assert later.shown == cell.shown
    assert kernel.run("answer").shown == cell.shown
    assert kernel.run("print(type(answer).__name__, answer)").printed == "Completion **b**\n"


def test_another_answer_is_shown(ask):
    """What the cell has not shown yet is: an answer that was waited for, and one of two."""
    replies = text_reply("a"), text_reply("b")
    cell = ask("backend.display('x')\nbackend.complete('x')", *replies).wait()
    assert cell.kinds == ["display_data", "execute_result"]
    assert cell.shown.startswith("a\n")
    assert "\n\nb\n" in cell.shown
    cell = ask("a = backend.display('x')\nbackend.display('x')\na", *replies).wait()
    assert cell.kinds == ["display_data"] * 2


def test_an_answer_as_a_value(ask):
    """An answer that was waited for is shown as Markdown, with what it took."""
    cell = ask("backend.complete('x')", text_reply("**a**", usage=(1, 2))).wait()
    assert cell.kinds == ["execute_result"]
    assert cell.shown.startswith("**a**\n\n*2 tokens (prompt: 1) · ")
    assert cell.outputs[0][1]["text/plain"] == "<Completion '**a**' end_turn>"


def test_thoughts_are_folded(ask):
    """Thoughts are there behind a click, or open, or not at all; they are text, not Markdown."""
    chunks = [chunk(reasoning_content="<b>why</b>\n\n**?**"), chunk("Because.")]
    cell = ask("backend.display('x', thinking='high')", stream_reply(chunks)).wait()
    assert cell.shown.startswith("<details><summary>Thinking (17 characters)</summary><pre")
    assert "&lt;b&gt;why&lt;/b&gt;&#10;&#10;&#42;&#42;?" in cell.shown
    assert "</pre></details>\n\nBecause.\n\n" in cell.shown
    way = "backend.stream('x').display(thinking={!r})"
    assert "<details open>" in ask(way.format("open"), stream_reply(chunks)).wait().shown
    assert ask(way.format("hidden"), stream_reply(chunks)).wait().shown.startswith("Because.")
    assert ask(way.format("no"), stream_reply(chunks)).wait().error == "ValueError"


def test_tool_calls_are_readable(ask):
    """A call is shown as Python would write it, one argument a line if it is long."""
    cell = ask(
        "backend.display('x')", tool_call_reply("weather", {"city": "Rome", "days": 3})
    ).wait()
    assert cell.shown.startswith("`weather(city='Rome', days=3)`\n\n*")
    assert cell.shown.endswith("tool_use*")
    cell = ask("backend.display('x')", tool_call_reply("note", {"a": "x" * 70, "b": [1]})).wait()
    assert cell.shown.startswith(f"```python\nnote(\n    a='{'x' * 70}',\n    b=[1],\n)\n```\n\n*")


@pytest.mark.parametrize("buffer", [512, 0])
def test_an_interrupt_while_nothing_comes(ask, kernel, upstream, buffer):
    """Stop, while the upstream is silent: it is left at once, and what had come stays."""
    code = (
        f"try:\n  backend.with_options(buffer={buffer}).display('x')\n"
        "except KeyboardInterrupt as error:\n  print(error.partial.text)\n  raise"
    )
    cell = ask(code, Reply([chunk("half an "), chunk("ans"), Stall()]))
    received = upstream.wait_for_request()
    cell.wait(lambda cell: "half an" in cell.shown)
    kernel.interrupt()
    assert received.gone.wait(SOON)
    cell.wait()
    assert cell.error == "KeyboardInterrupt"
    assert cell.printed == "half an ans\n"
    assert re.match(r"half an ans\n\n\*first token after [\d.]+ s · interrupted\*$", cell.shown)
    assert "interrupted" in cell.outputs[0][1]["text/plain"]
    assert ask("backend.display('x')", text_reply("well")).wait().shown.startswith("well")


def test_an_interrupt_while_it_is_drawn(ask, upstream):
    """Stop, while the page is drawn: the upstream is left then, too."""
    code = (
        "publisher, publish = get_ipython().display_pub, get_ipython().display_pub.publish\n"
        "def struck(*, data, **where):\n"
        "  publish(data=data, **where)\n"
        "  if 'streaming' in data['text/plain']:\n    raise KeyboardInterrupt\n"
        "publisher.publish, stream = struck, backend.stream('x')\n"
        "try:\n  stream.display()\n"
        "finally:\n  publisher.publish = publish\n  print(stream)"
    )
    cell = ask(code, Reply([chunk("half"), Stall()])).wait()
    assert upstream.requests[0].gone.wait(SOON)
    assert cell.error == "KeyboardInterrupt"
    assert cell.shown.endswith("interrupted*")
    assert cell.printed.endswith(" closed>\n")


@pytest.mark.parametrize("before", [True, False], ids=["before the headers", "after them"])
def test_an_interrupt_before_the_first_token(ask, kernel, upstream, before):
    """Stop, while nothing has come at all: the upstream is left at once."""
    reply = Reply(before=[Stall()]) if before else Reply([b": wait\n\n", Stall()])
    cell = ask("backend.display('x')", reply)
    received = upstream.wait_for_request()
    if not before:
        cell.wait(lambda cell: cell.drawn)
    kernel.interrupt()
    assert received.gone.wait(SOON)
    assert cell.wait().error == "KeyboardInterrupt"
    assert before or cell.shown == "*interrupted*"


def test_run_all_stops(ask, kernel, upstream):
    """An interrupt goes on up: the cells that wait for their turn are not run."""
    cell = ask("backend.display('x')", Reply([chunk("a"), Stall()]), stop_on_error=True)
    following = kernel.start("print('it was run')")
    cell.wait(lambda cell: "a\n" in cell.shown)
    kernel.interrupt()
    assert cell.wait().kinds == ["display_data", "error"]
    assert following.wait().outputs == []


def test_a_stalled_stream_shows_what_has_come(ask):
    """All that has come is on the page while nothing else comes."""
    gate = Gate()
    pieces = [chunk(f"{number} ") for number in range(100)]
    cell = ask("backend.display('x')", Reply([*pieces, gate, chunk("end", finish_reason="stop")]))
    cell.wait(lambda cell: "98 99" in cell.shown)
    assert cell.shown.endswith("*streaming …*")
    gate.open()
    assert "99 end\n" in cell.wait().shown


def test_a_deadline_while_stalled(ask):
    """A stream that is silent for too long ends with what has come, and the error's sentence."""
    code = "backend.with_options(idle_timeout=0.3).display('x')"
    cell = ask(code, Reply([chunk("half"), Stall()])).wait()
    assert cell.error == "DeadlineError"
    assert cell.shown.startswith("half\n\n*first token after ")
    assert "· failed*\n\n*DeadlineError: " in cell.shown


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([Cut()], "StreamInterruptedError"),
        ([b'data: {"error": {"message": "out of <b>memory</b>"}}\n\n'], "UpstreamError"),
        ([chunk(finish_reason="error")], "StreamInterruptedError"),
    ],
    ids=["cut", "an error inside", "given up"],
)
def test_an_error_leaves_what_has_come(ask, kernel, steps, name):
    """An error is told below what has come, goes on up, and holds that too."""
    code = "try:\n  backend.display('x')\nexcept ie.GenerateError as e:\n  error = e\n  raise"
    cell = ask(code, Reply([chunk("half "), chunk("a"), *steps])).wait()
    assert cell.error == name
    assert cell.kinds == ["display_data", "error"]
    said = kernel.run("print(error.partial.text, error, sep='|', end='')").printed
    assert said.startswith("half a|")
    sentence = said.partition("|")[2].replace("<", "&lt;")
    assert cell.shown.startswith("half a\n\n*first token after")
    assert cell.shown.endswith(f"· failed*\n\n*{name}: {sentence}*")


def test_an_error_before_the_first_token(ask):
    """Nothing is on the page but the error, which the kernel shows."""
    cell = ask("backend.display('x')", error_reply(401, "who are you?")).wait()
    assert cell.kinds == ["error"]
    assert cell.error == "HttpStatusError"


def test_closed_by_another_thread(ask):
    """A stream that somebody closes leaves what has come, and raises: it was not whole."""
    code = (
        "import threading\nstream = backend.stream('x')\n"
        "threading.Timer(0.5, stream.close).start()\nstream.display()"
    )
    cell = ask(code, Reply([chunk("half"), Stall()])).wait()
    assert cell.error == "RequestCancelledError"
    assert re.match(r"half\n\n\*first token after [\d.]+ s · closed\*\n\n\*Request", cell.shown)


def most_in_a_second(drawn):
    times = [moment for moment, _ in drawn]
    return max(sum(1 for other in times if 0 <= other - moment < 1) for moment in times)


def test_at_most_ten_redraws_a_second(ask):
    """A quick answer is drawn ten times in any second at the most, a slow one while it comes."""
    pieces = [step for n in range(600) for step in (chunk(f"{n} "), Pause(0.004))]
    cell = ask("backend.display('x')", Reply([*pieces, chunk(finish_reason="stop")])).wait()
    assert len(cell.drawn) > 5
    assert most_in_a_second(cell.drawn) <= 10
    sizes = [len(data["text/markdown"]) for _, data in cell.drawn[:-1]]
    assert sizes == sorted(sizes)


def test_fewer_redraws_as_the_text_grows(ask):
    """Each redraw carries the whole text: what is sent grows with the text, not with its square."""
    piece = "word " * 2000
    pieces = [step for _ in range(20) for step in (chunk(piece), Pause(0.1))]
    cell = ask("backend.display('x')", Reply([*pieces, chunk(finish_reason="stop")])).wait()
    whole = len(piece) * 20
    assert sum(len(data["text/markdown"]) for _, data in cell.drawn) < 5 * whole
    assert cell.shown.startswith(piece * 20)


def test_a_model_cannot_run_or_load(ask):
    """Tags and images of a model are text, unless they are trusted; plain shows text alone."""
    said = "<script>alert(1)</script> ![](http://x.example/?secret)"
    shown = ask("backend.display('x')", text_reply(said)).wait().shown
    assert shown.startswith(
        "&lt;script>alert(1)&lt;/script> &#33;&#91;](http://x.example/?secret)\n"
    )
    shown = ask("backend.display('x', trust=True)", text_reply(said)).wait().shown
    assert shown.startswith(said)
    cell = ask("backend.display('x', plain=True)", text_reply(said + "\x1b[31m")).wait()
    assert list(cell.outputs[0][1]) == ["text/plain"]
    assert cell.shown.startswith(said + "\ufffd[31m\n")
    assert "<script" not in ask("backend.complete('x')", text_reply(said)).wait().shown


def test_ipython_is_not_imported_by_us(ask):
    """Whatever is drawn, goes through the kernel's own shell."""
    cell = ask(
        "import sys\nhidden = sys.modules.pop('IPython.display', None)\n"
        "backend.display('x')\nprint('IPython.display' in sys.modules)",
        text_reply("a"),
    ).wait()
    assert cell.printed == "False\n"


def test_from_another_thread(ask):
    """An answer that another thread shows while the cell runs is on the cell's page."""
    code = (
        "import threading\n"
        "thread = threading.Thread(target=lambda: backend.display('x'))\n"
        "thread.start()\nthread.join()"
    )
    assert ask(code, text_reply("a")).wait().shown.startswith("a\n")


def test_a_thread_that_outlives_its_cell(ask, kernel):
    """What a thread has shown between two cells is shown by the second, when it is asked to."""
    code = (
        "import threading\n"
        "def show():\n  global late\n  late = backend.display('x')\n"
        "thread = threading.Thread(target=show)\nthread.start()"
    )
    gate = Gate()
    cell = ask(code, Reply([chunk("a"), gate, chunk("b", finish_reason="stop"), DONE])).wait()
    gate.open()
    cell.is_over = False
    cell.wait(lambda cell: "end_turn" in cell.shown)
    assert kernel.run("thread.join()\nlate").kinds == ["execute_result"]


def test_read_by_two(ask, kernel):
    """Who shows what another one reads is refused, and the other one goes on."""
    code = (
        "import threading\nstream = backend.stream('x')\nanswers = []\n"
        "reader = threading.Thread(target=lambda: answers.append(stream.collect()))\n"
        "reader.start()\n"
        "while not stream.stats.events: pass\n"
        "try:\n  stream.display()\nexcept RuntimeError:\n  print('refused')"
    )
    gate = Gate()
    reply = Reply([chunk("a"), chunk("b"), gate, chunk("c", finish_reason="stop"), DONE])
    assert ask(code, reply).wait().printed == "refused\n"
    gate.open()
    assert kernel.run("reader.join(); print(answers[0])").printed == "abc\n"


@pytest.mark.usefixtures("_jupyter")
def test_ipython_in_a_terminal_prints(upstream):
    """IPython without a kernel prints the answer, and its value in one line."""
    code = f"import inferd_engine as ie\nie.OpenAiCompat({upstream.url!r}, api_key='').display('x')"
    ran = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=nocolor", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    printed = ran.stdout.splitlines()
    assert printed[0] == "You said: x"
    assert re.fullmatch(r"\[3 tokens .* end_turn\]", printed[1])
    assert re.fullmatch(r"Out\[\d\]: <Completion 'You said: x' end_turn>", printed[2])


def test_a_mock_is_shown(kernel):
    """What needs no upstream is shown likewise."""
    cell = kernel.run("ie.Mock(tokens=('a ', 'b')).display('x')")
    assert cell.kinds == ["display_data"]
    assert cell.shown.startswith("a b\n\n*2 tokens")


def test_shown_again(ask):
    """A stream that was shown, or collected, is shown again as it was."""
    code = (
        "stream = backend.stream('x')\na = stream.display()\n"
        "assert stream.collect() is a\nb = stream.display()\nassert a == b"
    )
    cell = ask(code, text_reply("**a**")).wait()
    first, second = cell.outputs
    assert first == second
