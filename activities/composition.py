"""Activities put together from the parts of this process."""

from activities.jobs import JobActivities, Pace
from activities.webhooks import WebhookActivities
from darkroom.bootstrap import Parts
from darkroom.domain.money import Terms
from darkroom.signing import deployment_secret, webhook_key


def job_activities(parts: Parts) -> JobActivities:
    """What a job's workflow asks for, on the terms and at the pace of the settings."""
    settings = parts.settings
    terms = Terms(
        unit_price=settings.image_credit_price,
        max_top_ups=settings.max_top_ups,
        storybook_max_top_ups=settings.storybook_max_top_ups,
        providers=settings.providers,
    )
    pace = Pace(
        top_up_delay_seconds=settings.top_up_delay,
        stage_concurrency=settings.stage_concurrency,
        provider_timeout_seconds=settings.provider_timeout.total_seconds(),
    )
    return JobActivities(parts.records, parts.storage, parts.intake, terms, pace)


def webhook_activities(parts: Parts) -> WebhookActivities:
    """The sending of events, each signed with its user's key."""
    # The client costs a tenth of a second; processes that send nothing do not import it.
    from darkroom.webhooks.sending import HttpSender  # noqa: PLC0415

    secret = deployment_secret(parts.settings)
    return WebhookActivities(
        parts.records, parts.egress_policy, HttpSender(), lambda user_id: webhook_key(secret, user_id)
    )
