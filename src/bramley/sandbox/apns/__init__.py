"""A stand-in for Apple Push Notification service, and how simulated devices hear of pushes."""

from __future__ import annotations

from bramley.sandbox.apns.courier import Courier, LocalCourier, NetworkCourier
from bramley.sandbox.apns.requests import STATUSES, Refusal
from bramley.sandbox.apns.server import APNs

__all__ = ["STATUSES", "APNs", "Courier", "LocalCourier", "NetworkCourier", "Refusal"]
