"""Tokens as a Supabase project signs them for its users."""

import time
from typing import Any
from uuid import uuid4

import jwt

SECRET = "a secret that the project shares with us, long enough"


def token(secret: str = SECRET, *, algorithm: str = "HS256", **claims: Any) -> str:
    content = {"sub": str(uuid4()), "aud": "authenticated", "exp": time.time() + 60, **claims}
    return jwt.encode({key: value for key, value in content.items() if value is not None}, secret, algorithm)
