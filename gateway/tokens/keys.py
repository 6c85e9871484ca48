"""The keys' public face: one import for everyone who loads, keeps, rotates or publishes them.

`signing` has one key and what is asked of it, `ring` the set in force, `keystore` the directory it lives in.
"""

from gateway.tokens.algorithms import NAMES
from gateway.tokens.keystore import exposure, forget, keyring_in, promote, stage
from gateway.tokens.ring import KeyRing, keyring_from
from gateway.tokens.signing import SigningKey, State, VerifyingKey, generate_key, load_key

__all__ = [
    "NAMES",
    "KeyRing",
    "SigningKey",
    "State",
    "VerifyingKey",
    "exposure",
    "forget",
    "generate_key",
    "keyring_from",
    "keyring_in",
    "load_key",
    "promote",
    "stage",
]
