"""Serve a model with llama.cpp's own server: ``python serve.py MODEL PORT [embedding]``."""

from __future__ import annotations

import sys
import threading

import xllamacpp

model, port, *more = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = model
params.model_alias = {"tiny"}
params.port = int(port)
params.n_ctx = 512
params.n_parallel = 1
params.cpuparams.n_threads = 1  # two wait for each other by spinning: ten times slower under load
if "embedding" in more:
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
server = xllamacpp.Server(params)
threading.Event().wait()
