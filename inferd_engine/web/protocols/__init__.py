"""The languages that pages speak, a file each: pure, so that a test needs bytes alone."""

from inferd_engine.web.protocols.ag_ui import AgUi
from inferd_engine.web.protocols.frames import json_line, sse_frame
from inferd_engine.web.protocols.inferd import Inferd
from inferd_engine.web.protocols.openai import OpenAI
from inferd_engine.web.protocols.protocol import Protocol
from inferd_engine.web.protocols.vercel import Vercel

__all__ = ["AgUi", "Inferd", "OpenAI", "Protocol", "Vercel", "json_line", "sse_frame"]
