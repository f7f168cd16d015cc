"""What a ``Bedrock`` sends and gives, over real sockets; signatures are computed anew here."""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
import re
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import attrs
import pytest
from event_streams import event, exception

import inferd_engine as ie
from inferd_engine.backends.bedrock.fields import BedrockFields
from inferd_engine.backends.over_http.upstream import UpstreamFields
from inferd_engine.testing import Cut, Reply, Stall, json_reply

TOKEN = "bedrock-0123456789abcdef"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # AWS's own example
SIGNED = {"api_key": "", "access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}
SOON = 10.0  # seconds: an upper bound, on a loaded machine, of what takes milliseconds
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}
STREAM = {"Content-Type": "application/vnd.amazon.eventstream", "x-amzn-RequestId": "req-5"}


def said(*words):
    return [
        event("messageStart", role="assistant"),
        *[event("contentBlockDelta", contentBlockIndex=0, delta={"text": word}) for word in words],
    ]


def text_reply(*words):
    end = [
        event("contentBlockStop", contentBlockIndex=0),
        event("messageStop", stopReason="end_turn"),
        event("metadata", usage={"inputTokens": 3, "outputTokens": 5}),
    ]
    return Reply([*said(*words), *end], headers=STREAM)


def error_reply(status, kind, message):
    headers = {"x-amzn-ErrorType": f"{kind}:http://internal.amazon.com/", "x-amzn-RequestId": "r"}
    return json_reply({"message": message}, status, headers=headers)


# --- what is sent --------------------------------------------------------------------------------


def test_a_call(ask):
    """The model is in the address, a token is a bearer's, text comes as it is said."""
    backend = ask(text_reply("Hel", "lo"), guardrail_id="g")
    with backend.stream("Hi") as stream:
        assert [*stream.text()] == ["Hel", "lo"]
    assert stream.done.usage.output_tokens == 5
    assert stream.request_id == "req-5"
    received = backend.upstream.requests[0]
    assert (received.method, received.path) == ("POST", "/model/m/converse-stream")
    assert received.headers["authorization"] == f"Bearer {TOKEN}"
    assert received.headers["accept"].startswith("application/vnd.amazon.eventstream")
    assert received.json == {
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "DRAFT"},
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {"maxTokens": 1024},
    }


MODELS = {
    "anthropic.claude-x-v2:0": "anthropic.claude-x-v2:0",
    "us.meta.llama": "us.meta.llama",
    "a model/of ours:1": "a%20model%2Fof%20ours:1",
    "arn:aws:bedrock:us-east-1:1:inference-profile/us.x": (
        "arn:aws:bedrock:us-east-1:1:inference-profile%2Fus.x"
    ),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("session_token", ["", "the-session/token+5=="])
def test_a_signature(ask, model, session_token):
    """What is signed is what is sent: path, headers and bytes, by AWS's own algorithm."""
    pytest.importorskip("botocore")
    backend = ask(text_reply("x"), **SIGNED, session_token=session_token)
    assert backend.complete("grüß", model=model).text == "x"
    received = backend.upstream.requests[0]
    assert received.path == f"/model/{MODELS[model]}/converse-stream"
    assert received.headers.get("x-amz-security-token", "") == session_token
    assert received.headers["authorization"] == signature_of(received, "eu-central-1")


def test_a_signature_with_a_query(ask):
    """A query of base_url is signed as it is sent, though nobody is shown it."""
    pytest.importorskip("botocore")
    backend = ask(text_reply("x"), **SIGNED)
    address = f"{backend.upstream.url}/gateway?tenant=a%2Fb&key=gr\u00fcn"
    with backend.with_options(base_url=address) as behind:
        assert behind.complete("x").text == "x"
    received = backend.upstream.requests[0]
    assert received.path == "/gateway/model/m/converse-stream?tenant=a%2Fb&key=gr%C3%BCn"
    assert received.headers["authorization"] == signature_of(received, "eu-central-1")


def signature_of(received, region):
    """Compute a signature from a request as it came (AWS, "Create a signed request")."""
    path, _, query = received.path.partition("?")
    names = re.search("SignedHeaders=([^,]+)", received.headers["authorization"])[1].split(";")
    assert {"host", "x-amz-date"} <= set(names)
    canonical = "\n".join(
        [
            received.method,
            quote(path, safe="/~"),
            "&".join(sorted(query.split("&"))),
            *(f"{name}:{received.headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(received.body).hexdigest(),
        ]
    )
    date = received.headers["x-amz-date"]
    scope = f"{date[:8]}/{region}/bedrock/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}"
    key = b"AWS4" + SECRET.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    found = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={found}"
    )


def test_credentials_of_the_chain(ask, monkeypatch):
    """Botocore looks where it always does; where it finds nothing, that is said."""
    pytest.importorskip("botocore")
    from inferd_engine.backends.bedrock import signing

    signing._chain.cache_clear()
    backend = ask(text_reply("x"), text_reply("x"), api_key="")
    with pytest.raises(ie.InvalidRequestError, match="no credentials to sign with"):
        backend.complete("x")
    assert backend.upstream.requests == []
    signing._chain.cache_clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert backend.complete("x").text == "x"
    received = backend.upstream.requests[0]
    assert received.headers["authorization"] == signature_of(received, "eu-central-1")
    signing._chain.cache_clear()
    with pytest.raises(ie.InvalidRequestError, match="ProfileNotFound"):
        backend.with_options(profile="nobody").complete("x")


RENEWING = """
import datetime, json, pathlib, sys
count = pathlib.Path(sys.argv[1])
count.write_text(count.read_text() + "I")
soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=2)
print(json.dumps({"Version": 1, "AccessKeyId": "AKID" + count.read_text(), "SecretAccessKey": "s",
                  "SessionToken": "t", "Expiration": soon.isoformat()}))
"""


def test_credentials_that_run_out_are_renewed(ask, tmp_path):
    """Each request is signed for itself: those that end in the middle of a batch are got anew."""
    pytest.importorskip("botocore")
    from inferd_engine.backends.bedrock import signing

    signing._chain.cache_clear()
    program, count = tmp_path / "renew.py", tmp_path / "count"
    program.write_text(RENEWING)
    count.write_text("")
    command = f'"{sys.executable}" "{program}" "{count}"'
    (tmp_path / "config").write_text(f"[profile short]\ncredential_process = {command}\n")
    backend = ask(text_reply("a"), text_reply("b"), api_key="", profile="short")
    assert [backend.complete("x").text for _ in range(2)] == ["a", "b"]
    signing._chain.cache_clear()
    signed = [request.headers["authorization"] for request in backend.upstream.requests]
    keys = [re.search("Credential=(AKIDI+)/", one)[1] for one in signed]
    assert keys[0] != keys[1]


def test_credentials_of_a_file_that_ran_out(ask, tmp_path):
    """Once the upstream says that they expired the file is read again, by the next call."""
    pytest.importorskip("botocore")
    from inferd_engine.backends.bedrock import signing

    signing._chain.cache_clear()
    expired = error_reply(403, "ExpiredTokenException", "The security token has expired")
    backend = ask(text_reply("a"), expired, text_reply("b"), api_key="", profile="mine")

    def write(key):
        lines = f"[mine]\naws_access_key_id = {key}\naws_secret_access_key = s\n"
        (tmp_path / "credentials").write_text(lines)

    write("AKIDOLD")
    assert backend.complete("x").text == "a"
    with pytest.raises(ie.HttpStatusError, match="get new ones") as caught:
        backend.complete("x")
    assert not caught.value.retryable
    write("AKIDNEW")
    assert backend.complete("x").text == "b"
    signing._chain.cache_clear()
    signed = [request.headers["authorization"] for request in backend.upstream.requests]
    assert [re.search("Credential=(AKID[A-Z]+)/", one)[1] for one in signed] == [
        *("AKIDOLD", "AKIDOLD", "AKIDNEW"),
    ]


def test_without_botocore(ask, monkeypatch):
    """What is missing is named, with the way to do without."""
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(ie.UnsupportedError, match=r"inferd-engine\[bedrock\]"):
        ask(text_reply("x"), **SIGNED).complete("x")


def test_not_streamed(ask):
    """An answer that is not streamed is asked for elsewhere."""
    whole = {
        "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 2},
    }
    backend = ask(json_reply(whole))
    assert backend.complete("x", stream=False).text == "hi"
    assert backend.upstream.requests[0].path == "/model/m/converse"


# --- the configuration ---------------------------------------------------------------------------


def test_the_fields_are_typed():
    """What editors complete is what the configuration has."""
    names = {field.name for field in attrs.fields(ie.BedrockConfig)}
    assert set(UpstreamFields.__annotations__ | BedrockFields.__annotations__) == names


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "https://bedrock-runtime.us-gov-west-1.amazonaws.com"),
    ],
)
def test_where_it_asks(monkeypatch, region, address):
    """The address is the region's, the environment's, or one that is given."""
    with pytest.raises(ie.InvalidRequestError, match="AWS_REGION"):
        ie.BedrockConfig()
    assert ie.BedrockConfig(region=region).base_url == address
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    assert ie.BedrockConfig().base_url == address
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "https://vpce.example")
    assert ie.BedrockConfig().base_url == "https://vpce.example"
    assert ie.BedrockConfig(base_url="https://x.example").base_url == "https://x.example"
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "t")
    assert ie.BedrockConfig().api_key == "t"


def test_every_region_that_botocore_knows():
    """China, Europe's own and the secret regions end in other names."""
    session = pytest.importorskip("botocore.session").Session()
    partitions = session.get_data("endpoints")["partitions"]
    assert len(partitions) > 5
    for partition in partitions:
        for region in partition["regions"]:
            wanted = f"https://bedrock-runtime.{region}.{partition['dnsSuffix']}"
            assert ie.BedrockConfig(region=region).base_url == wanted


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"region": "evil.example/"}, "is not a region"),
        ({"access_key_id": "A"}, "belong together"),
        ({"secret_access_key": "A"}, "belong together"),
        ({"secret_access_key": 5}, "secret_access_key is 5"),
        ({"cache": "2h"}, "cache is '2h'"),
        ({"region": 5}, "region is 5"),
        ({"session_token": "t"}, "session_token goes with access_key_id"),
        ({**KEYS, "profile": "p"}, "profile and access_key_id both say what to sign with"),
        ({**KEYS, "api_key": "t"}, "api_key is sent, and nothing is signed with access_key_id"),
        ({"profile": "p", "api_key": str}, "api_key is sent, and nothing is signed with profile"),
        ({"guardrail_version": "1"}, "guardrail_version goes with guardrail_id"),
        ({"base_url": "https://bedrock-runtime.eu-west-3.amazonaws.com"}, "is that of eu-west-3"),
        (
            {"base_url": "https://vpce-1.bedrock-runtime.eu-west-3.vpce.amazonaws.com/"},
            "region is 'us-east-1', but the address in base_url is that of eu-west-3",
        ),
    ],
)
def test_what_is_refused(fields, words):
    """A field that cannot be used is named."""
    with pytest.raises(ie.InvalidRequestError, match=words):
        ie.BedrockConfig(**{"region": "us-east-1", **fields})


@pytest.mark.parametrize("fields", [KEYS, {"profile": "p"}])
def test_what_is_given_wins_over_the_environment(ask, monkeypatch, fields):
    """A token of the environment is not sent where it is said what to sign with."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", TOKEN)
    assert ie.BedrockConfig(region="us-east-1").api_key == TOKEN
    assert ie.BedrockConfig(region="us-east-1", **fields).api_key == ""
    backend = ask(api_key=None, base_url="https://h.example")
    assert backend.config.api_key == TOKEN
    with backend.with_options(**fields) as signing, signing.with_options(model="x") as again:
        assert (signing.config.api_key, again.config.api_key) == ("", "")
    mine = {"api_key_variable": "MY_TOKEN", "region": "us-east-1", **fields}
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    with pytest.raises(ie.InvalidRequestError, match="MY_TOKEN is sent, and nothing is signed"):
        ie.BedrockConfig(**mine)


def test_an_address_of_its_region():
    """An address of AWS's that names the region, or none, is as good as no address."""
    for address in (
        "https://bedrock-runtime-fips.us-east-1.amazonaws.com",
        "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
        "https://bedrock-runtime.example/eu-west-3",
        "http://localhost:4010",
    ):
        assert ie.BedrockConfig(region="us-east-1", base_url=address).base_url == address


def test_credentials_in_headers(ask):
    """A header of the caller's wins: where it authorizes the request, nothing is signed."""
    for name in ("Authorization", "authorization"):
        backend = ask(text_reply("x"), api_key="", headers={name: "Basic abc"})
        assert backend.complete("x").text == "x"
        received = backend.upstream.requests[0]
        assert received.headers["authorization"] == "Basic abc"
        assert "x-amz-date" not in received.headers


def test_a_repr_of_what_is_not_set():
    """Credentials that are empty are not shown as if there were some."""
    config = ie.BedrockConfig(region="us-east-1", base_url="https://h.example")
    assert repr(config) == "BedrockConfig(region='us-east-1', base_url='https://h.example')"


def test_there_are_no_presets():
    """A region is all that differs."""
    with pytest.raises(ie.InvalidRequestError, match="give region and model"):
        ie.BedrockConfig.preset("bedrock", secret_access_key=SECRET)


def test_the_manual():
    """The snippets of docs/bedrock.md run: nothing is asked in them."""
    manual = (Path(__file__).parents[2] / "docs" / "bedrock.md").read_text("utf-8")
    names = {}
    for code in re.findall(r"^```python\n(.*?)^```", manual, re.MULTILINE | re.DOTALL):
        exec(code, names)
    assert names["guarded"].chat_url.endswith(
        "eu-central-1.amazonaws.com/model/eu.anthropic.claude-sonnet-4-5-20250929-v1:0/converse-stream"
    )
    for name in ("backend", "signing", "guarded"):
        names[name].close()


def test_a_guardrail_stays_beside_fields_of_a_call(ask):
    """What a call says of it is added, and takes nothing of it away."""
    backend = ask(text_reply("x"), text_reply("x"), guardrail_id="g")
    backend.complete("x", extra_body={"guardrailConfig": {"trace": "enabled"}})
    assert backend.upstream.requests[0].json["guardrailConfig"] == {
        "guardrailIdentifier": "g",
        "guardrailVersion": "DRAFT",
        "trace": "enabled",
    }
    backend.complete("x", extra_body={"guardrailConfig": {"guardrailVersion": "2"}})
    assert backend.upstream.requests[1].json["guardrailConfig"]["guardrailVersion"] == "2"


def test_a_model_is_needed(ask):
    """Without a model there is no address."""
    with pytest.raises(ie.InvalidRequestError, match="model is empty"):
        ask(model="").complete("x")


def test_secrets_are_shown_nowhere(ask):
    """Neither a repr, a pickle, nor an error holds a key."""
    token = "token-0123456789"
    refused = error_reply(403, "AccessDeniedException", f"no {SECRET} {token}")
    backend = ask(refused, **SIGNED, session_token=token)
    pickled = pickle.dumps(backend)
    for secret in (SECRET, token):
        assert secret not in repr(backend)
        assert secret.encode() not in pickled
    with pytest.raises(ie.InvalidRequestError, match="give it again"):
        pickle.loads(pickled).complete("x")
    pytest.importorskip("botocore")
    with pytest.raises(ie.HttpStatusError) as caught:
        backend.complete("x")
    assert SECRET not in f"{caught.value!r} {caught.value.to_dict()}"
    assert token not in f"{caught.value!r} {caught.value.to_dict()}"


def test_a_token_of_the_chain_is_shown_nowhere(ask, monkeypatch):
    """What botocore found is hidden as what was configured: upstreams say back what was signed."""
    pytest.importorskip("botocore")
    from inferd_engine.backends.bedrock import signing

    signing._chain.cache_clear()
    token = "chain/token+0123456789=="
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    said_back = f"The Canonical String should have been POST x-amz-security-token:{token}"
    failed = exception("validationException", message=said_back)
    backend = ask(
        error_reply(403, "InvalidSignatureException", said_back),
        Reply([*said("half"), failed], headers=STREAM),
        api_key="",
    )
    for _ in range(2):
        with pytest.raises(ie.GenerateError, match="Canonical String") as caught:
            backend.complete("x")
        assert token not in f"{caught.value!r} {caught.value.to_dict()}"
    signing._chain.cache_clear()
    assert backend.upstream.requests[0].headers["x-amz-security-token"] == token


# --- errors and promises -------------------------------------------------------------------------


STATUSES = [
    (400, "ValidationException", False),
    (403, "AccessDeniedException", False),
    (404, "ResourceNotFoundException", False),
    (408, "ModelTimeoutException", True),
    (424, "ModelErrorException", True),
    (424, "ModelStreamErrorException", True),
    (429, "ThrottlingException", True),
    (429, "ModelNotReadyException", True),
    (500, "InternalServerException", True),
    (503, "ServiceUnavailableException", True),
]
# How the type is told, and in which field the message is.
TOLD = {
    "with an address": ("{}:http://internal.amazon.com/coral/com.amazon.bedrock/", "message"),
    "with a comma": ("{},http://internal.amazon.com/", "Message"),
    "alone": ("{}", "message"),
    "with a namespace": ("com.amazon.bedrock#{}", "message"),
    "in the body": ("", "message"),
}


@pytest.mark.parametrize("way", TOLD)
@pytest.mark.parametrize(("status", "kind", "retryable"), STATUSES)
def test_statuses(ask, status, kind, retryable, way):
    """A refusal has its type, its words, its id, and whether it may pass."""
    shape, field = TOLD[way]
    named = {"x-amzn-ErrorType": shape.format(kind)} if shape else {}
    body = {field: "it said so", **({} if shape else {"__type": f"com.amazon.bedrock#{kind}"})}
    headers = {**named, "x-amzn-RequestId": "r", "Retry-After": "3"}
    with pytest.raises(ie.HttpStatusError) as caught:
        ask(json_reply(body, status, headers=headers)).complete("x")
    error = caught.value
    assert (error.status, error.code, error.message) == (status, kind, "it said so")
    assert (error.retryable, error.request_id, error.retry_after) == (retryable, "r", 3.0)


def test_hints(ask):
    """Who signed is told what to look at."""
    pytest.importorskip("botocore")
    for message, hint in (("The security token has expired", "get new ones"), ("no", "signed for")):
        with pytest.raises(ie.HttpStatusError, match=hint):
            ask(error_reply(403, "X", message), **SIGNED).complete("x")


def test_an_exception_in_the_middle(ask):
    """What had come is given first."""
    failed = exception("throttlingException", message="slow down")
    with pytest.raises(ie.UpstreamError) as caught:
        ask(Reply([*said("half"), failed], headers=STREAM)).complete("x")
    assert caught.value.partial.text == "half"
    assert (caught.value.code, caught.value.retryable) == ("throttlingException", True)


@pytest.mark.parametrize("tail", [[], [Cut()]])
def test_a_cut_answer(ask, tail):
    """It never looks whole."""
    with pytest.raises(ie.StreamInterruptedError) as caught:
        ask(Reply([*said("half"), *tail], headers=STREAM)).complete("x")
    assert caught.value.partial.text == "half"


@pytest.mark.parametrize("buffer", [512, 0])
@pytest.mark.parametrize("how", ["close", "token", "stop"])
def test_it_ends(ask, buffer, how):
    """From another thread, at once."""
    backend = ask(Reply([*said("a"), Stall()], headers=STREAM), text_reply("b"), buffer=buffer)
    token = ie.CancelToken()
    stream = backend.stream("x", cancel=token)
    assert next(stream).delta == "a"
    thread = threading.Thread(target=lambda: [*stream])
    thread.start()
    {"close": stream.close, "token": token.cancel, "stop": backend.stop}[how]()
    thread.join(SOON)
    assert not thread.is_alive()
    assert stream.cancelled
    assert backend.upstream.requests[0].gone.wait(SOON)


def test_a_deadline(ask):
    """Silence outlasts no clock."""
    backend = ask(Reply([*said("a"), Stall()], headers=STREAM), idle_timeout=0.2)
    with pytest.raises(ie.DeadlineError) as caught:
        backend.complete("x")
    assert (caught.value.phase, caught.value.partial.text) == ("idle", "a")


def test_connections_are_used_again(ask):
    """A whole answer leaves its connection to the next call."""
    backend = ask(text_reply("a"), text_reply("b"))
    assert [backend.complete("x").text for _ in range(2)] == ["a", "b"]
    assert backend.upstream.connections == 1


def test_a_conversation_comes_from_messages(ask):
    """A turn that Anthropic's own server signed goes on here."""
    turn = ie.MessageV2(
        "assistant",
        [ie.ThinkingBlock("hm", {"signature": "s"}), ie.ToolUseBlock("toolu_1", "f", {})],
    )
    backend = ask(text_reply("x"))
    backend.complete([ie.user("a"), turn, ie.tool_result("toolu_1", "b")], tools=[ie.Tool("f")])
    sent = backend.upstream.requests[0].json["messages"]
    assert sent[1]["content"][0]["reasoningContent"]["reasoningText"]["signature"] == "s"
    assert json.dumps(sent[2]).count("toolu_1") == 1


def test_models_are_listed_elsewhere(ask):
    """There is no such thing at the address of a model: it is said where there is."""
    backend = ask()
    with pytest.raises(ie.UnsupportedError, match="aws bedrock list-foundation-models"):
        backend.models()
    assert backend.upstream.requests == []


def test_it_is_served(ask):
    """An application in front of it lists the model that is configured."""
    from inferd_engine.web import OpenAIApp

    app = OpenAIApp(ask())
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v1/models", "wsgi.input": None}
    begun = []
    body = b"".join(app(environ, lambda *status: begun.append(status)))
    assert begun[0][0].startswith("200")
    assert [model["id"] for model in json.loads(body)["data"]] == ["m"]
