"""The keys' public face: one import for everyone who loads, keeps, rotates or publishes them.

`signing` has one key and what is asked of it, `ring` the set in force, `kept` the set between starts with all its
changes, `rotation` the plan by which it turns, `keystore` the directory it lives in.
"""

from gateway.tokens.algorithms import NAMES
from gateway.tokens.keystore import Keystore, exposure, kept_in, keyring_in
from gateway.tokens.ring import KeyRing, keyring_from
from gateway.tokens.rotation import Schedule
from gateway.tokens.sealing import Seal
from gateway.tokens.signing import SigningKey, State, VerifyingKey, generate_key, load_key

__all__ = [
    "NAMES",
    "KeyRing",
    "Keystore",
    "Schedule",
    "Seal",
    "SigningKey",
    "State",
    "VerifyingKey",
    "exposure",
    "generate_key",
    "keyring_from",
    "keyring_in",
    "kept_in",
    "load_key",
]
