"""The door to the mapper of requests, under the name that the contract gives it."""

from inferd_engine.wire.openai.request import request_from_resolved

__all__ = ["request_from_resolved"]
