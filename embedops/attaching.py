"""Attaching plugins to a pipeline."""

from __future__ import annotations

from typing import Any

from embedops.errors import AttachError
from embedops.extension import AnyPlugin, as_plugins
from embedops.families import adapter_for
from embedops.session import Policy, Session


def attach(pipe: Any, *plugins: AnyPlugin, policy: Policy = "fail-closed") -> Session:
    """Hook `plugins` into `pipe`; they compose in the order given.

    Args:
        pipe: an unmodified diffusers pipeline of a supported family.
        plugins: from `embedops.plugin(...)`.
        policy: `"fail-closed"` raises where a plugin cannot look, such as at embeddings given
            without a prompt; `"allow-unchecked"` lets those pass, reported as not checked.

    Raises:
        UnsupportedPipelineError: no adapter knows the pipeline's class; it is left untouched.
        AttachError: the pipeline has a session already.
        ConfigError: something else than a plugin object was given, or an unknown policy.
    """
    if policy not in ("fail-closed", "allow-unchecked"):
        raise AttachError(
            f"unknown policy {policy!r}: expected 'fail-closed' or 'allow-unchecked'."
        )
    return Session(adapter_for(pipe), as_plugins(plugins), policy).attach()
