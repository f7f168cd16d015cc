"""llama.cpp in this process: a model that stops in the middle of what it computes."""
