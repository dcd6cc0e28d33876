"""The deployment's secret, and what is derived from it: signatures of picture addresses and of webhooks."""

import base64
import hmac
import os
import secrets
import tempfile
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from darkroom.domain.errors import SettingRejected
from darkroom.domain.names import ANONYMOUS
from darkroom.settings import Settings, make_home

SECRET_FILE = "api-secret"  # noqa: S105 - the file's name
_LENGTH = 32


def deployment_secret(settings: Settings) -> bytes:
    """The secret that all processes of a deployment share.

    `API_SECRET`, else derived from the service role's key, else made once in `DARKROOM_HOME`.

    Raises:
        SettingRejected: the file in DARKROOM_HOME cannot be made or read.
    """
    if settings.api_secret is not None:
        return settings.api_secret.get_secret_value().encode()
    if settings.supabase_service_role_key is not None:
        return derived(settings.supabase_service_role_key.get_secret_value().encode(), "deployment")
    make_home(settings)
    return _kept_in(settings.darkroom_home / SECRET_FILE)


def derived(secret: bytes, purpose: str) -> bytes:
    """32 bytes that reveal nothing of the secret, different for each purpose."""
    return hmac.digest(secret, f"darkroom {purpose}".encode(), sha256)


def webhook_key(secret: bytes, user_id: UUID | None) -> bytes:
    """What a user's webhooks are signed with: another one for each user, so that nobody forges another's."""
    return derived(secret, f"webhook:{user_id or ANONYMOUS}")


def webhook_secret(secret: bytes, user_id: UUID | None) -> str:
    """The same as receivers are given it."""
    return f"whsec_{base64.b64encode(webhook_key(secret, user_id)).decode()}"


def _kept_in(file: Path) -> bytes:
    """The secret in the file; of several processes that make it at once, the first one's holds."""
    try:
        if not file.exists():
            handle, temporary = tempfile.mkstemp(prefix=".secret-", dir=file.parent)
            try:
                with os.fdopen(handle, "w") as made:
                    made.write(secrets.token_hex(_LENGTH))
                    made.flush()
                    os.fsync(made.fileno())
                os.link(temporary, file)
            except FileExistsError:
                pass  # another process was faster
            finally:
                Path(temporary).unlink()
        return bytes.fromhex(file.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not a valid secret; delete it to make a new one"
        raise SettingRejected(f"{file}: {reason or error}; or set API_SECRET") from None
