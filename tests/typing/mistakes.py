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

backend.stream("x", temperature=0.1, stop="\n", system="Be brief.", model="n")
backend.stream([{"role": "user", "content": "x"}, *history], tools=[{"type": "function"}])
backend.complete(history, tool_choice="auto", response_format={"type": "json_object"})
ie.OpenAiCompatConfig.preset("ollama", model="m", api_key=None)
ie.MessageV2("user", "x")
