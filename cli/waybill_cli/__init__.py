"""The `waybill` command: local stack, tokens, traces, dead letters."""
