"""A note, and a mail with two files."""

from crm_plugin_sdk import action, attach, email, notify


def run(event, config):
    mail = email(["ada@example.com"], "Hello", "plain")
    mail = attach(mail, "name.txt", config["type"], f"{event.after['name']}\n")
    mail = attach(mail, "bytes", "application/octet-stream", b"\x00\xff")
    return [notify(["ada"], "Hello"), mail]


WitWorld = action(run)
