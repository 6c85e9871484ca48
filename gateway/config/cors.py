"""The section `cors`: front ends of other origins that may call the gateway's own endpoints."""

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.addresses import Origin
from gateway.config.model import ListOf, Model, distinct
from gateway.config.values import Duration


class CorsConfig(Model):
    """Whose pages may log people in, refresh and log out from another origin."""

    origins: Annotated[ListOf[Origin], Field(min_length=1), AfterValidator(distinct)]
    """Exact origins: https://app.example.com. Cookies work for those of the same site only."""
    max_age: Annotated[Duration, Field(le=86400.0)] = 600.0
    """How long a browser may remember that it may."""
