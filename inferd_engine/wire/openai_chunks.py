"""The door to the accumulator of chunks, under the name that the contract gives it."""

from inferd_engine.wire.openai.chunks import ChunkAccumulator

__all__ = ["ChunkAccumulator"]
