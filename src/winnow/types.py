"""What passes between the stages, under its short name; it lives in winnow.core.types."""

from winnow.core.types import *  # noqa: F403
