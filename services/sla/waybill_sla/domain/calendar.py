"""Working hours, as the chassis counts them for all services."""

from waybill_chassis.working_time import (
    DAY,
    WEEKDAYS,
    Hours,
    Plan,
    WorkingCalendar,
    plan_of,
    seconds,
    shown,
)

__all__ = ["DAY", "WEEKDAYS", "Hours", "Plan", "WorkingCalendar", "plan_of", "seconds", "shown"]
