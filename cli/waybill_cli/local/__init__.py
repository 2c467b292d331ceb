"""The stack on one machine without Docker: broker, database, mail sink, services, gateway."""
