"""Mistakes that type checkers have to find: each line that ends in ``# wrong``, and no other."""

from __future__ import annotations

import inferd_engine as ie

backend = ie.OpenAiCompat("http://localhost:8080", model="m")
history: list[ie.MessageV2] = [ie.user("x")]

backend.stream("x", temprature=0.1)  # wrong
backend.stream("x", max_tokens="10")  # wrong
backend.complete("x", thinking="very much")  # wrong
backend.complete("x", timeout=5.0)  # wrong
backend.complete(5)  # wrong
backend.complete("x", cancel=True)  # wrong
backend.complete("x", tools="weather")  # wrong
ie.OpenAiCompat(base_ulr="http://localhost:8080")  # wrong
ie.OpenAiCompat("http://localhost:8080", timeout="5")  # wrong
ie.OpenAiCompat(split_think_tags="outside")  # wrong
ie.OpenAiCompatConfig(base_ulr="http://localhost:8080")  # wrong
ie.OpenAiCompatConfig.preset("olama", model="m")  # wrong
ie.OpenAiCompatConfig.preset("ollama", modle="m")  # wrong
backend.with_options(first_token_timout=1.0)  # wrong
ie.MessageV2("usr", "x")  # wrong
ie.RequestV2(history, temperature="warm")  # wrong
ie.RequestV2(history, max_tokens="10")  # wrong
ie.OpenAICompat("http://localhost:8080")  # wrong
print(ie.TextDelta("x").text)  # wrong
print(backend.stream("x").done.usage)  # wrong
print(backend.complete("x").texts)  # wrong
ie.CancelToken().cancel_after("soon")  # wrong
ie.HttpStatusError("x", stat=404)  # wrong
ie.DeadlineError("x", phase="idel")  # wrong
ie.Done("end_turn")  # wrong
backend.generate_v2(ie.RequestV2(history))  # wrong
ie.Mock(tokenz=["a"])  # wrong
ie.Mock(7)  # wrong
ie.Mock(answers=[7])  # wrong
ie.Mock(answers=[lambda request: request.message])  # wrong
ie.MockConfig(token_delay="slowly")  # wrong
ie.Mock().with_options(delay=1.0)  # wrong
backend.open_stream("hello")  # wrong
backend.open_stream(iter(["hel", "lo"]))  # wrong
backend.open_stream([ie.TextDelta("a")])  # wrong

ie.Anthropic(thinking_style="reasoning")  # wrong
ie.AnthropicConfig.preset("groq", model="m")  # wrong
backend.embeddings("x", task="search")  # wrong

backend.map(5)  # wrong
backend.map([5])  # wrong
backend.map(["x"], concurrency="many")  # wrong
backend.map(["x"], concurrency=1.5)  # wrong
backend.map(["x"], retry=3)  # wrong
backend.map(["x"], ordered="yes")  # wrong
backend.map(["x"], cancel=True)  # wrong
backend.map(["x"], progress="bar")  # wrong
backend.map(["x"], journal=5)  # wrong
backend.map(["x"], journal=b"answers.jsonl")  # wrong
backend.map(["x"], executor=4)  # wrong
backend.map(["x"], system=ie.system("Be brief."))  # wrong
backend.map(["x"], max_token=5)  # wrong
backend.map(["x"], timeout=5.0)  # wrong
backend.map(["x"], 8)  # wrong
print(backend.map(["x"])[0])  # wrong
len(backend.map(["x"]))  # wrong
print(next(backend.map(["x"])).completion.text)  # wrong
print(next(backend.map(["x"])).text)  # wrong
print(next(backend.map(["x"])).error.retry_after)  # wrong
ie.MapResult(0)  # wrong
ie.Retry(attempts="3")  # wrong
ie.Retry(retries=3)  # wrong
ie.Retry(max_wait=None)  # wrong
ie.Retry().attempts = 4  # wrong
ie.Retry().pause(429, attempt=1, elapsed=0.0)  # wrong
ie.Retrying()  # wrong
ie.Retrying([backend])  # wrong
ie.Retrying(backend, 3)  # wrong
ie.Retrying(backend, attempts=3)  # wrong
ie.Router(backend)  # wrong
ie.Router(["http://localhost:8080"])  # wrong
ie.Router([backend], clock=5.0)  # wrong
ie.Router([backend], retry=ie.Retry())  # wrong
ie.merge(backend.stream("x"))  # wrong
ie.merge(["x"])  # wrong
ie.merge([backend])  # wrong
ie.merge().add("x")  # wrong
ie.merge().poll()  # wrong
ie.merge().poll("soon")  # wrong
for event in ie.merge([backend.stream("x")]):
    print(event.delta)  # wrong
for _, given in ie.merge([backend.stream("x")]):
    print(given.delta)  # wrong

backend.stream("x", temperature=0.1, stop="\n", system="Be brief.", model="n")
backend.stream([{"role": "user", "content": "x"}, *history], tools=[{"type": "function"}])
backend.complete(history, tool_choice="auto", response_format={"type": "json_object"})
ie.OpenAiCompatConfig.preset("ollama", model="m", api_key=None)
ie.MessageV2("user", "x")
