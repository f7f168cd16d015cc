"""The pytest plugin: there in every run, at no cost, and useful in those that ask for it.

Each run is a process of its own, with the plugin loaded by its entry point as it is for users.
"""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import inferd_engine.testing
from inferd_engine.testing import Upstream, text_reply

MILLISECONDS = 5.0  # that a run without its fixtures may be longer

LEFT_OVER = """
    import inferd_engine as ie
    from inferd_engine.testing import text_reply

    def test_asks_once(inferd_upstream):
        inferd_upstream.enqueue(text_reply("one"), text_reply("two"))
        backend = ie.OpenAiCompat(inferd_upstream.url, api_key="")
        assert backend.complete("Hi").text == "one"

    def test_fails_by_itself(inferd_upstream):
        inferd_upstream.enqueue(text_reply("never asked for"))
        assert False, "by itself"
"""

ASKS = """
    import inferd_engine as ie

    UPSTREAM = {url!r}

    def test_asks(inferd_cassette):
        cassette = inferd_cassette({name}upstream=UPSTREAM)
        backend = ie.OpenAiCompat(cassette.url, api_key="my-secret-key")
        assert backend.complete({prompt!r}).text == "Hello"
"""


# --- cost ----------------------------------------------------------------------------------------


def test_it_imports_nothing():
    """Loading the plugin loads the plugin, and no other module that pytest had not loaded."""
    program = (
        "import sys, time, pytest, _pytest.config\n"
        "before, began = set(sys.modules), time.process_time()\n"
        "import inferd_engine.testing.pytest_plugin\n"
        "print((time.process_time() - began) * 1000, *set(sys.modules) - before)"
    )
    took = []
    for _ in range(5):
        command = [sys.executable, "-c", program]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        milliseconds, *modules = ran.stdout.split()
        took.append(float(milliseconds))
        assert set(modules) == {
            "inferd_engine",
            "inferd_engine._version",
            "inferd_engine.frames",
            "inferd_engine.testing",
            "inferd_engine.testing.pytest_plugin",
        }
    assert min(took) < MILLISECONDS


def test_it_loads_nothing_for_tests_that_do_not_use_it(run_tests):
    """A run without its fixtures ends with none of its modules but the plugin."""
    run = run_tests("""
        import sys

        def test_it():
            loaded = [name for name in sys.modules if name.startswith("inferd_engine.testing.")]
            assert loaded == ["inferd_engine.testing.pytest_plugin"]
            assert "requests" not in sys.modules
    """)
    assert run.outcomes == {"passed": 1}, run.text


# --- how it is found -----------------------------------------------------------------------------


def test_it_is_an_entry_point(run_tests):
    """Pytest finds the plugin by itself, and tells of its fixtures and its option."""
    points = importlib.metadata.entry_points(group="pytest11")
    assert "inferd_engine" in points.names
    listed = run_tests("", "--fixtures").text
    for name in ("inferd_upstream", "inferd_mock", "inferd_cassette", "inferd_fast_forward"):
        assert name in listed
    assert "--inferd-record" in run_tests("", "--help").text


def test_without_it(run_tests):
    """``-p no:inferd_engine`` leaves it out, and nothing else."""
    text = "def test_one(): pass\ndef test_two(inferd_mock): pass"
    run = run_tests(text, "-p", "no:inferd_engine")
    assert run.outcomes == {"passed": 1, "error": 1}
    assert "fixture 'inferd_mock' not found" in run.text


@pytest.mark.parametrize(
    "arguments",
    [
        ("-n", "2"),
        ("-W", "error"),
        ("--strict-markers", "--strict-config"),
        ("-p", "no:xdist", "-p", "no:timeout"),
        ("--allow-hosts=127.0.0.1",),
        ("--disable-socket", "--allow-hosts=127.0.0.1"),
    ],
    ids=" ".join,
)
def test_beside_others(run_tests, arguments):
    """It works in several processes, with warnings as errors, and where sockets are watched."""
    run = run_tests(
        """
        import pytest
        import inferd_engine as ie
        from inferd_engine.testing import text_reply

        @pytest.mark.parametrize("number", range(4))
        def test_it(inferd_upstream, inferd_mock, number):
            inferd_upstream.enqueue(text_reply(f"Number {number}"))
            with ie.OpenAiCompat(inferd_upstream.url, api_key="") as backend:
                assert backend.complete("Hi").text == f"Number {number}"
            assert inferd_mock.complete("Hi").text
        """,
        *arguments,
        beside_all="error" in arguments,
    )
    assert run.outcomes == {"passed": 4}, run.text


@pytest.mark.parametrize("fixture", ["inferd_upstream", "inferd_cassette"])
def test_where_sockets_are_forbidden(run_tests, tmp_path, fixture):
    """Under ``--disable-socket`` the error says what to allow; the mock needs no socket."""
    (tmp_path / "cassettes").mkdir()
    (tmp_path / "cassettes" / "one.jsonl").write_text('{"cassette": 1, "base": ""}\n', "utf-8")
    text = (
        f"def test_it({fixture}): {fixture} == {fixture}('one')\ndef test_mock(inferd_mock): pass"
    )
    run = run_tests(text, "--disable-socket")
    assert run.outcomes["passed"] == 1
    assert "--allow-hosts=127.0.0.1" in run.text


# --- inferd_upstream -----------------------------------------------------------------------------


def test_a_reply_that_was_left_over(run_tests):
    """It fails the test that scripted it, once; a test that fails by itself fails by that alone."""
    run = run_tests(LEFT_OVER)
    assert run.outcomes == {"failed": 2}, run.text
    assert "nobody asked for 1 of the replies" in run.text
    assert "POST /v1/chat/completions" in run.text
    assert run.text.count("nobody asked for") == 2  # in its section, and in the summary
    assert "two" in run.text


def test_what_it_saw(run_tests):
    """Requests, and when the client left."""
    run = run_tests("""
        import inferd_engine as ie
        from inferd_engine.testing import Reply, Stall, chunk, error_reply, quirk_reply

        def test_it(inferd_upstream):
            stalled = Reply([chunk("one"), Stall()])
            inferd_upstream.enqueue(error_reply(429, "slow", headers={"Retry-After": "7"}), stalled)
            inferd_upstream.enqueue(quirk_reply("F03"))
            backend = ie.OpenAiCompat(inferd_upstream.url, api_key="")
            try:
                backend.complete("Hi")
            except ie.HttpStatusError as error:
                assert error.retry_after == 7.0
            with backend.stream("Hi") as stream:
                assert next(stream).delta == "one"
            assert inferd_upstream.requests[1].gone.wait(10)
            assert backend.complete("Hi").text
            assert len(inferd_upstream.requests) == 3
    """)
    assert run.outcomes == {"passed": 1}, run.text


def test_fixtures_of_fixtures(run_tests):
    """A reply that is left over is found where the fixture is used by a fixture, or by name."""
    run = run_tests("""
        import pytest
        from inferd_engine.testing import text_reply

        @pytest.fixture
        def scripted(inferd_upstream):
            inferd_upstream.enqueue(text_reply("one"))

        def test_through_a_fixture(scripted):
            pass

        def test_by_name(request):
            request.getfixturevalue("inferd_upstream").enqueue(text_reply("one"))

        class TestOfAClass:
            def test_it(self, scripted):
                pass

        def test_that_skips(scripted):
            pytest.skip("whatever was scripted")
    """)
    assert run.outcomes == {"failed": 3, "skipped": 1}, run.text


def test_a_test_that_is_run_again(run_tests, tmp_path):
    """What was left over in the first attempt does not fail the second, as plugins make it."""
    (tmp_path / "again.py").write_text(
        "from _pytest.runner import runtestprotocol\n"
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    reports = runtestprotocol(item, nextitem=None, log=False)\n"
        "    assert [report.outcome for report in reports] == ['passed', 'failed', 'passed']\n"
        "    item._initrequest()\n"
        "    runtestprotocol(item, nextitem=nextitem)\n"
        "    return True\n",
        "utf-8",
    )
    run = run_tests(
        """
        from inferd_engine.testing import text_reply
        attempts = []

        def test_it(inferd_upstream):
            attempts.append(1)
            if len(attempts) == 1:
                inferd_upstream.enqueue(text_reply("left over"))
        """,
        *("-p", "again"),
    )
    assert run.outcomes == {"passed": 1}, run.text


# --- inferd_cassette -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("", "cassettes/test_it/test_asks.jsonl"),
        ("'sky', ", "cassettes/sky.jsonl"),
        ("'folder/sky.jsonl', ", "cassettes/folder/sky.jsonl"),
    ],
)
def test_a_cassette_is_recorded_once(run_tests, tmp_path, name, file):
    """The first run records below ``cassettes/``; later ones ask nobody."""
    with Upstream(text_reply("Hello")) as upstream:
        text = ASKS.format(url=upstream.url, name=name, prompt="Hi")
        assert run_tests(text).outcomes == {"passed": 1}
        assert [*tmp_path.rglob("*.jsonl")] == [tmp_path / file]
        assert "my-secret-key" not in (tmp_path / file).read_text("utf-8")
        assert run_tests(text).outcomes == {"passed": 1}
        assert run_tests(text, "--inferd-record=replay").outcomes == {"passed": 1}
        assert len(upstream.requests) == 1


def test_recording_anew(run_tests, tmp_path):
    """``--inferd-record`` records all anew; a cassette without an upstream is replayed."""
    (tmp_path / "cassettes").mkdir()
    kept = tmp_path / "cassettes" / "kept.jsonl"
    kept.write_text('{"cassette": 1, "base": ""}\n', "utf-8")
    more = "\n    def test_kept(inferd_cassette): assert inferd_cassette('kept').url\n"
    with Upstream(*[text_reply("Hello")] * 2) as upstream:
        text = ASKS.format(url=upstream.url, name="", prompt="Hi") + more
        for arguments in (["--inferd-record=record"], ["--inferd-record", "-q"]):
            assert run_tests(text, *arguments).outcomes == {"passed": 2}
        assert len(upstream.requests) == 2
    assert kept.read_text("utf-8").count("\n") == 1


def test_replaying_what_was_never_recorded(run_tests):
    """``--inferd-record=replay`` asks nobody: without a file the test fails and says how."""
    with Upstream() as upstream:
        text = ASKS.format(url=upstream.url, name="", prompt="Hi")
        run = run_tests(text, "--inferd-record=replay")
        assert run.outcomes == {"failed": 1}
        assert "there is no cassette" in run.text
        assert upstream.connections == 0


def test_a_miss_fails_the_test(run_tests):
    """Also where the test's own code has swallowed the error that the client was given."""
    with Upstream(text_reply("Hello")) as upstream:
        text = ASKS.format(url=upstream.url, name="'one', ", prompt="Hi")
        assert run_tests(text).outcomes == {"passed": 1}
    run = run_tests("""
        import inferd_engine as ie

        def test_swallows(inferd_cassette):
            with inferd_cassette("one") as cassette:
                try:
                    ie.OpenAiCompat(cassette.url, api_key="").complete("Something else")
                except ie.GenerateError:
                    pass

        def test_swallows_without_with(inferd_cassette):
            try:
                ie.OpenAiCompat(inferd_cassette("one").url, api_key="").complete("Other")
            except ie.GenerateError:
                pass
    """)
    assert run.outcomes == {"failed": 2}, run.text
    assert "it differs from what was in body.messages[0].content" in run.text


def test_names_of_cassettes(run_tests, tmp_path):
    """Every test has a file of its own, whatever its name and parameters are."""
    with Upstream() as upstream:
        run = run_tests(f"""
            import pytest
            import inferd_engine as ie

            NAMES = ["a/b", "a_b", "a b", "ä", "x" * 300, "CON", "a", "../up"]

            @pytest.mark.parametrize("name", NAMES)
            def test_it(inferd_cassette, name):
                cassette = inferd_cassette(upstream={upstream.url!r})
                ie.OpenAiCompat(cassette.url, api_key="").complete(name)

            class TestOfAClass:
                def test_it(self, inferd_cassette):
                    cassette = inferd_cassette(upstream={upstream.url!r})
                    ie.OpenAiCompat(cassette.url, api_key="").models()
        """)
    assert run.outcomes == {"passed": 9}, run.text
    files = [path.relative_to(tmp_path / "cassettes") for path in tmp_path.rglob("*.jsonl")]
    assert len(files) == 9
    assert all(path.as_posix().startswith("test_it/") and len(path.parts) == 2 for path in files)
    assert all(len(path.name) < 130 and path.name.isascii() for path in files)


def test_wrong_names(run_tests):
    """A name that leads elsewhere, and a second cassette without one, are refused."""
    run = run_tests("""
        import pytest

        @pytest.mark.parametrize("name", ["../up", "/tmp/abs", "", "a/../../b"])
        def test_elsewhere(inferd_cassette, name):
            with pytest.raises(ValueError, match="a file below"):
                inferd_cassette(name, upstream="http://127.0.0.1:1")

        def test_twice(inferd_cassette):
            inferd_cassette(upstream="http://127.0.0.1:1")
            with pytest.raises(ValueError, match="give the second cassette a name"):
                inferd_cassette(upstream="http://127.0.0.1:1")
            inferd_cassette("two", upstream="http://127.0.0.1:1", speed=1.0)
    """)
    assert run.outcomes == {"passed": 5}, run.text


# --- the others ----------------------------------------------------------------------------------


def test_the_mock(run_tests):
    """``inferd_mock`` is a backend of its own for each test, and is stopped after it."""
    run = run_tests("""
        import inferd_engine as ie

        seen = []

        def test_one(inferd_mock):
            assert isinstance(inferd_mock, ie.Mock)
            seen.append(inferd_mock)

        def test_two(inferd_mock):
            assert inferd_mock is not seen[0]
            assert not seen[0].ready()
            assert inferd_mock.ready()
    """)
    assert run.outcomes == {"passed": 2}, run.text


def test_fast_forward(run_tests):
    """No test waits for a retry or a deadline."""
    run = run_tests("""
        import time
        import pytest
        import inferd_engine as ie
        from inferd_engine.testing import Reply, Stall, error_reply, text_reply

        def patient(backend, prompt):
            while True:
                try:
                    return backend.complete(prompt).text
                except ie.HttpStatusError as error:
                    time.sleep(error.retry_after)

        def test_it(inferd_upstream, inferd_fast_forward):
            refusal = error_reply(429, "slow", headers={"Retry-After": "30"})
            inferd_upstream.enqueue(refusal, text_reply("Hello"), Reply([Stall()]))
            backend = ie.OpenAiCompat(inferd_upstream.url, api_key="", idle_timeout=15.0)
            began = time.monotonic()
            assert patient(backend, "Hi") == "Hello"
            with pytest.raises(ie.DeadlineError):
                backend.with_options(first_token_timeout=20.0).complete("Hi")
            assert inferd_fast_forward.slept == [30.0]
            assert time.monotonic() - began < 5
    """)
    assert run.outcomes == {"passed": 1}, run.text


def test_the_names_that_are_public():
    """Each name of the testing package loads and has a docstring; type checkers see the same."""
    tree = ast.parse(Path(inferd_engine.testing.__file__).read_text("utf-8"))
    typed = next(
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {alias.asname: line.module for line in typed.body for alias in line.names}
    assert seen == inferd_engine.testing._HOME_OF
    for name in inferd_engine.testing.__all__:
        value = getattr(inferd_engine.testing, name)
        assert name == "Step" or value.__doc__  # which is a union of types
    with pytest.raises(AttributeError, match="nonsense"):
        inferd_engine.testing.nonsense  # noqa: B018
    assert dir(inferd_engine.testing) == sorted(inferd_engine.testing.__all__)
