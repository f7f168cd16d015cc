"""OpenAI's Chat Completions, on the wire: requests out, answers in."""
