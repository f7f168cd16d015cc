"""A model that is run in this process: ``--llamacpp FILE``, and settings of it as ``-o``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

import inferd_engine as ie

if TYPE_CHECKING:
    import argparse

    from inferd_engine.cli.asked import Asked

_OF_UPSTREAMS = ("base_url", "preset", "model", "key_from", "header")


def llamacpp_from(options: argparse.Namespace, asked: Asked) -> ie.LlamaCpp:
    """Make the backend for a model in this process.

    Args:
        options: The command line.
        asked: What is asked; ``-o n_ctx=4096`` and the like are settings of the model.

    Raises:
        InvalidRequestError: An option is for upstreams, or no model has such a setting.
    """
    for name in _OF_UPSTREAMS:
        if getattr(options, name) not in (None, []):
            raise ie.InvalidRequestError(
                f"--{name.replace('_', '-')} is for an upstream, and --llamacpp needs none"
            )
    settings: dict[str, Any] = {**asked.settings}
    settings |= settings.pop("extra_body", {})
    known = {field.name for field in attrs.fields(ie.LlamaCppConfig)}
    unknown = sorted(settings.keys() - known)
    if unknown:
        names = ", ".join(sorted(known))
        raise ie.InvalidRequestError(
            f"-o {unknown[0]}=… is nothing that --llamacpp knows: it takes {names}"
        )
    if options.timeout is not None:
        settings["timeout"] = options.timeout
    return ie.LlamaCpp(**{**settings, "model_path": options.llamacpp})
