"""Sla's own metrics."""

from waybill_chassis.metrics import SLOW, counter, histogram

detection_lag = histogram(
    "waybill_sla_detection_lag_seconds",
    "From the time a timer came due until its effect was committed. Labels: kind.",
    bounds=SLOW,
)
fired = counter("waybill_sla_timers_fired_total", "Timers that fired. Labels: kind.")
