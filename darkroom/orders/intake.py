"""Intake: an order document is checked against everything that is known, before anything is written."""

import asyncio
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from darkroom.domain.errors import OrderRejected, WebhookRefused
from darkroom.domain.formats import ImageFormat
from darkroom.domain.money import Account
from darkroom.domain.offers import Providers, offered
from darkroom.domain.orders import Capabilities, Limits, Order, ReferenceOwner, check_providers, check_references
from darkroom.domain.stored import InsertedBy
from darkroom.domain.wallets import OrganizationAccount, cannot_pay
from darkroom.orders import ReadOrder, read_order, webhook_of
from darkroom.records.books import BookRecords
from darkroom.records.images import ReferenceRecords
from darkroom.records.money import AccountRecords
from darkroom.records.offers import OfferRecords
from darkroom.webhooks.egress_policy import EgressPolicy


class IntakeRecords(ReferenceRecords, AccountRecords, BookRecords, Protocol):
    """What an order may name."""


class AdmittedOrder(ReadOrder):
    """An order that can be delivered, and the account that pays for it."""

    account: Account | OrganizationAccount | None
    """As it was read; None for an anonymous, free job."""
    opens_account: bool = False
    """Whether the account is one that the payer gets with the order."""


class Intake:
    """Checks orders; the command line, the API and `open_job` all ask it.

    Args:
        records: what an order may name.
        providers: those of this process.
        default_providers: those of orders that name none.
        limits: how large an order may be.
        egress_policy: of webhooks.
        image_format: of orders that name none.
        offers: what workers offer counts instead of those of this process, which knows none.
    """

    def __init__(
        self,
        records: IntakeRecords,
        providers: Mapping[str, Capabilities],
        default_providers: tuple[str, ...],
        limits: Limits,
        egress_policy: EgressPolicy,
        *,
        image_format: ImageFormat = ImageFormat.WEBP,
        offers: OfferRecords | None = None,
    ) -> None:
        self._records = records
        self._providers = Providers(capabilities=providers, default=default_providers)
        self._image_format = image_format
        self._offers = offers
        self._limits = limits
        self._egress_policy = egress_policy

    async def providers(self) -> Providers:
        """The providers that an order may name; those of this process until a worker has offered others."""
        if self._offers is None:
            return self._providers
        return offered(await self._offers.offered_providers()) or self._providers

    async def check(
        self,
        document: object,
        user_id: UUID | None,
        *,
        org_id: UUID | None = None,
        job_type: str | None = None,
        production_id: UUID | None = None,
        total_images: int | None = None,
        promised: Mapping[int, ReferenceOwner] | None = None,
        opening: Account | None = None,
        inserted_by: InsertedBy | None = None,
        own_only: bool = False,
    ) -> AdmittedOrder:
        """The order of a document, for the user who pays.

        Args:
            document: as it was sent.
            user_id: whose job it is, and who pays unless an organization does; None for an anonymous, free job.
            org_id: the organization that the row or the caller names; it wins over the document's.
            job_type: the row's column, when there is one.
            production_id: the row's column, when there is one; it wins over the document's.
            total_images: the row's column; it counts where the document names no quantity.
            promised: attachments that will be stored once the order is valid.
            inserted_by: the user who inserted the row by themselves; such an order uses only what is theirs.
            own_only: whether the user orders by themselves, and uses only what is theirs.
            opening: the account that a user without one gets with the order; without it such an order is rejected.

        Raises:
            OrderRejected: with the field and the reason.
        """
        # A large document takes a second to read, in which this process serves others.
        read = await asyncio.to_thread(
            read_order, document, job_type=job_type, total_images=total_images, limits=self._limits
        )
        if read.order.user_id is not None and read.order.user_id != user_id:
            raise OrderRejected(
                "user_id", f"{read.order.user_id} is not the user who pays for the job ({user_id or 'none'})"
            )
        if inserted_by is not None and (user_id is None or inserted_by.user_id != user_id):
            raise OrderRejected(
                "user_id",
                f"the row was inserted by {inserted_by.user_id or 'nobody signed in'}, but names"
                f" {user_id or 'no user'}; sign in as the user who pays, or insert it with the service role's key",
            )
        if org_id is not None and read.order.org_id not in (None, org_id):
            raise OrderRejected(
                "org_id", f"{read.order.org_id} is not the organization that pays for the job ({org_id})"
            )
        known = {
            "user_id": user_id,
            "org_id": org_id or read.order.org_id,
            "production_id": production_id or read.order.production_id,
        }
        order = read.order.model_copy(update=known).with_format(self._image_format)
        there = await self.providers()
        check_providers(order, there.capabilities, there.default)
        own_only = own_only or inserted_by is not None
        await self._check_references(order, promised or {}, own_only=own_only)
        await self._check_production(order, own_only=own_only)
        await self._check_book(order, own_only=own_only)
        if order.webhook_url is not None:
            await self._check_webhook(order.webhook_url)
        account = await self._account(order)
        opens_account = account is None and opening is not None and user_id is not None
        if account is None and user_id is not None and opening is None:
            raise OrderRejected(
                "user_id", f"{user_id} has no member row; `darkroom credits grant {user_id} N` creates one"
            )
        return AdmittedOrder(
            order=order,
            unknown_keys=read.unknown_keys,
            more_unknown_keys=read.more_unknown_keys,
            account=opening if opens_account else account,
            opens_account=opens_account,
        )

    async def _account(self, order: Order) -> Account | OrganizationAccount | None:
        """Who pays, as far as there is such a wallet."""
        if order.org_id is None:
            return None if order.user_id is None else await self._records.account(order.user_id)
        if order.user_id is None:
            raise OrderRejected("org_id", "an organization pays only for its members; set the user, or leave it out")
        organization = await self._records.organization(order.org_id)
        refusal = cannot_pay(
            order.org_id,
            order.user_id,
            None if organization is None else organization.status,
            await self._records.membership(order.org_id, order.user_id),
        )
        if refusal is not None:
            raise OrderRejected("org_id", refusal)
        return organization

    async def webhook_of(self, document: object) -> str | None:
        """The webhook URL of an order that was rejected; None when it has none, or one that is not allowed."""
        try:
            url = webhook_of(document)
            if url is not None:
                await self._check_webhook(url)
        except OrderRejected:
            return None
        return url

    async def _check_webhook(self, url: str) -> None:
        try:
            await self._egress_policy.admit(url)
        except WebhookRefused as error:
            raise OrderRejected("webhook_url", str(error)) from None

    async def _check_references(self, order: Order, promised: Mapping[int, ReferenceOwner], *, own_only: bool) -> None:
        unknown = order.reference_ids - promised.keys()
        stored = await self._records.reference_owners(unknown) if unknown else {}
        check_references(order, {**stored, **promised}, own_only=own_only)

    async def _check_production(self, order: Order, *, own_only: bool) -> None:
        """A production gets the ids of what is delivered, so it must not be somebody else's."""
        if order.production_id is None:
            return
        production = await self._records.production_owner(order.production_id)
        allowed = {order.user_id} if own_only else {None, order.user_id}
        if production is not None and production.user_id not in allowed:
            raise OrderRejected("production_id", f"{order.production_id} belongs to another user; use one of your own")

    async def _check_book(self, order: Order, *, own_only: bool) -> None:
        """A book's row gets the cover and the summary, so it must be there, and not somebody else's."""
        if order.book_id is None:
            return
        book = await self._records.book(order.book_id)
        if own_only and (book is None or book.user_id not in (None, order.user_id)):
            raise OrderRejected("book_id", f"there is no book {order.book_id}, or it is not yours")
        if book is None:
            raise OrderRejected("book_id", f"{order.book_id} does not exist; leave it out to order the pages alone")
        if book.user_id not in (None, order.user_id):
            raise OrderRejected("book_id", f"{order.book_id} belongs to another user; use one of your own")
