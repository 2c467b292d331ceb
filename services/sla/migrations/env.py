from waybill_chassis.migrate import run_env

run_env()
