"""Activities put together from the parts of this process."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

from activities.calls import ProviderCalls
from activities.held_calls import HeldCalls
from activities.images import ImageActivities
from activities.jobs import JobActivities, Pace
from activities.provider_health import ProviderHealth
from activities.refreshing import RowRefresher
from activities.staging import Staging
from activities.webhooks import WebhookActivities
from darkroom.bootstrap import Parts
from darkroom.domain import continuing
from darkroom.domain.money import Terms
from darkroom.signing import deployment_secret, webhook_key
from darkroom.workers import LocalWorkers

CALL_GRACE = timedelta(seconds=30)
"""Above the limit that a provider keeps itself."""

WORKERS_FOLDER = "workers"


def local_workers(parts: Parts) -> LocalWorkers:
    """The workers that share this one's folder."""
    return LocalWorkers(parts.settings.darkroom_home / WORKERS_FOLDER)


def image_activities(
    parts: Parts,
    refresher: RowRefresher,
    staging: Staging | None = None,
    *,
    last_attempt: int,
    settles_here: bool = True,
    worker: str | None = None,
    cancel_by_row: Callable[[UUID], Awaitable[object]] | None = None,
) -> ImageActivities:
    """The activities of an image.

    Args:
        parts: what they work with.
        refresher: of the jobs' rows.
        staging: that of the worker, where it has one.
        last_attempt: of a provider call; Temporal does not try again after it.
        settles_here: whether this process also uploads and settles what it generates.
        worker: who makes the calls.
        cancel_by_row: cancels a job whose row somebody else has set to cancelled.
    """
    if staging is None:
        staging = Staging(parts.storage, parts.beside)
    calls = ProviderCalls(
        parts.records,
        parts.storage,
        staging,
        parts.providers,
        parts.pictures,
        ProviderHealth(),
        last_attempt=last_attempt,
        longest=parts.settings.provider_timeout + CALL_GRACE,
        worker=worker,
        ceilings=parts.settings.ceilings,
    )
    return ImageActivities(
        parts.records,
        parts.storage,
        staging,
        calls,
        parts.pictures,
        refresher,
        local_workers(parts),
        HeldCalls(cancel_by_row),
        settles_here=settles_here,
    )


def job_activities(parts: Parts) -> JobActivities:
    """What a job's workflow asks for, on the terms and at the pace of the settings."""
    settings = parts.settings
    terms = Terms(
        unit_price=settings.image_credit_price,
        unit_price_2k=settings.image_credit_price_2k,
        unit_price_4k=settings.image_credit_price_4k,
        max_top_ups=settings.max_top_ups,
        storybook_max_top_ups=settings.storybook_max_top_ups,
        providers=settings.providers,
    )
    pace = Pace(
        top_up_delay_seconds=settings.top_up_delay,
        stage_concurrency=settings.stage_concurrency,
        provider_timeout_seconds=settings.provider_timeout.total_seconds(),
        long_history=continuing.LONG_HISTORY,
        stages_at_once=settings.job_stages_at_once,
    )
    stalled_after = timedelta(seconds=settings.stalled_after)
    return JobActivities(parts.records, parts.storage, parts.intake, terms, pace, stalled_after)


def webhook_activities(parts: Parts) -> WebhookActivities:
    """The sending of events, each signed with its user's key."""
    # The client costs a tenth of a second; processes that send nothing do not import it.
    from darkroom.webhooks.sending import HttpSender  # noqa: PLC0415

    secret = deployment_secret(parts.settings)
    return WebhookActivities(
        parts.records, parts.egress_policy, HttpSender(), lambda user_id: webhook_key(secret, user_id)
    )
