"""The doors of intake: for people and products, and for the links in mails."""
