"""Notify's own metrics."""

from waybill_chassis.metrics import SIZES, SLOW, counter, gauge, histogram

attempts = counter(
    "waybill_notify_attempts_total", "Attempts to deliver. Labels: template, outcome."
)
delivery_seconds = histogram(
    "waybill_notify_delivery_seconds",
    "From the creation of a delivery to its acceptance by the other side. Labels: template.",
    bounds=SLOW,
)
batch = histogram(
    "waybill_notify_batch_deliveries", "Deliveries claimed together.", unit="", bounds=SIZES
)
server_away = gauge("waybill_notify_mail_server_away", "1 while the mail server takes nothing in.")
