"""Marks customers who buy as collectors, and asks how many there are."""

from crm_plugin_sdk import action, activity, log, records, skip, update


def run(event, config):
    customer = event.after or {}
    if customer.get("segment") != "collector":
        raise skip("not a collector")
    where = {"field": "segment", "op": "eq", "value": "collector"}
    others = records.query(event.module, {"filter": where}).records
    log.info(f"{len(others)} collectors")
    return [
        update(event, {"notes": f"{config['note']} (one of {len(others)})"}),
        activity(event, "task", f"Greet {customer.get('name')}", due_at=event.occurred_at),
    ]


WitWorld = action(run)
