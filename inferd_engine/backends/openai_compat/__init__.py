"""The backend for every upstream that speaks OpenAI's Chat Completions."""
