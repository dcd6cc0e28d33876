"""A real S3 server on this machine, that checks who may do what."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.support.ports import HOST, free_port

_SERVER = "from moto.server import main; main()"
_CHECKED_FROM = 4
"""Calls before this one are not checked: they make the bucket, the user, the policy and the key."""


@dataclass(frozen=True)
class ObjectStore:
    """A running server with one bucket; its user may do with it what the server was started with."""

    url: str
    bucket: str
    key: str
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        """What the tools of S3 read."""
        return _environment(self.url, self.key, self.secret)

    def client(self, service: str) -> Any:
        """A client with these keys; it waits until the server listens."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
            config=Config(retries={"mode": "standard", "max_attempts": 10}),
        )


def _environment(url: str, key: str, secret: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        # Nothing of this computer is seen.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@contextmanager
def object_store(log: Path, *actions: str) -> Iterator[ObjectStore]:
    """A server, whose user may do this and nothing else.

    Args:
        log: where the server writes.
        actions: such as `s3:PutObject`.
    """
    port = free_port()
    url = f"http://{HOST}:{port}"
    environment = {**os.environ, **_environment(url, "x", "x"), "INITIAL_NO_AUTH_ACTION_COUNT": str(_CHECKED_FROM)}
    with log.open("wb") as out:
        command = [sys.executable, "-P", "-c", _SERVER, "-H", HOST, "-p", str(port)]
        server = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            yield _prepared(url, actions)
        finally:
            server.terminate()
            server.wait(10)


def _prepared(url: str, actions: tuple[str, ...]) -> ObjectStore:
    owner = ObjectStore(url, "pictures", "x", "x")
    owner.client("s3").create_bucket(Bucket=owner.bucket)
    iam, user = owner.client("iam"), "taker"
    iam.create_user(UserName=user)
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=user)["AccessKey"]
    return ObjectStore(url, owner.bucket, made["AccessKeyId"], made["SecretAccessKey"])
