"""The region of AWS that is meant, which is a part of Bedrock's addresses."""

from __future__ import annotations

import os
import re

from inferd_engine.errors import InvalidRequestError

VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+")


def aws_region(given: str = "", *, or_give: str = "base_url") -> str:
    """Return the region: the one given, else the environment's.

    Args:
        given: The one that was given; empty if none was.
        or_give: The field that says it too, for the error.

    Raises:
        InvalidRequestError: None is named, or it is none.
    """
    region = given or next(filter(None, map(os.environ.get, VARIABLES)), "")
    if not region:
        raise InvalidRequestError(
            f"no region is named: set {VARIABLES[0]} (us-east-1, …), or give {or_give}"
        )
    if not _REGION.fullmatch(region):
        raise InvalidRequestError(f"{region!r} is not a region of AWS: take one such as us-east-1")
    return region
