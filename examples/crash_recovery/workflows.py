"""An order: approval when it is large, then charge, reserve, a pause, ship. Nothing here knows of crashes."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from perdure import activity, workflow
from perdure.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from outside_world import PaymentDownError, did, failed, tried

NEEDS_APPROVAL_CENTS = 150_000
COOLING_OFF = timedelta(seconds=1)
RETRIES = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=1))


@dataclass(frozen=True)
class Customer:
    name: str
    email: str
    city: str
    country: str


@dataclass(frozen=True)
class Item:
    sku: str
    title: str
    quantity: int
    unit_cents: int


@dataclass(frozen=True)
class Order:
    order_id: str
    placed_at: str
    customer: Customer
    items: list[Item]
    currency: str
    total_cents: int
    shipping: str
    note: str = ""


@dataclass(frozen=True)
class Receipt:
    order_id: str
    payment: str
    reservation: str
    parcel: str
    approved_by: str | None


@activity.defn(start_to_close_timeout=timedelta(seconds=20), retry_policy=RETRIES)
async def charge(order: Order) -> str:
    """Takes the money. The payment service is down now and then, so the first attempt of some orders fails."""
    key = tried("charge", order.order_id)
    await asyncio.sleep(0.06)
    if order.order_id.endswith("7") and activity.info().attempt == 1:
        failed("charge", order.order_id, key)
        raise PaymentDownError(f"the payment service did not answer for {order.order_id}")
    return did("charge", order.order_id, key)


@activity.defn(start_to_close_timeout=timedelta(seconds=20), retry_policy=RETRIES)
async def reserve(order: Order) -> str:
    """Sets the goods aside."""
    key = tried("reserve", order.order_id)
    await asyncio.sleep(0.04 + 0.01 * len(order.items))
    return did("reserve", order.order_id, key)


@activity.defn(start_to_close_timeout=timedelta(seconds=20), retry_policy=RETRIES)
async def ship(order: Order, reservation: str) -> str:
    """Hands the parcel over."""
    key = tried("ship", order.order_id)
    await asyncio.sleep(0.05 if order.shipping == "express" else 0.1)
    return did("ship", order.order_id, key)


@workflow.defn
class OrderWorkflow:
    def __init__(self) -> None:
        self._approved_by: str | None = None
        self._stage = "received"

    @workflow.run
    async def run(self, order: Order) -> Receipt:
        if order.total_cents >= NEEDS_APPROVAL_CENTS:
            self._stage = "waiting for approval"
            await workflow.wait_condition(lambda: self._approved_by is not None)
        self._stage = "charging"
        payment = await charge(order)
        self._stage = "reserving"
        reservation = await reserve(order)
        self._stage = "cooling off"
        await workflow.sleep(COOLING_OFF)
        self._stage = "shipping"
        parcel = await ship(order, reservation)
        self._stage = "shipped"
        return Receipt(order.order_id, payment, reservation, parcel, self._approved_by)

    @workflow.signal
    def approve(self, by: str) -> None:
        self._approved_by = by

    @workflow.query
    def stage(self) -> str:
        return self._stage
