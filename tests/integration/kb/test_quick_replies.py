"""Quick replies over HTTP."""

from waybill_chassis.testing.services import TestedService
from waybill_chassis.testing.tokens import Mint
from waybill_kb.settings import Settings

REPLY = {
    "name": "sorry",
    "title": "Say sorry",
    "bodies": [{"language": "en", "text": "Sorry, {{ submitter_name }}."}],
    "products": ["demo"],
}


async def test_leads_write_quick_replies_and_agents_find_them(
    kb: TestedService[Settings], mint: Mint
) -> None:
    """By name and by product; a name is taken once; broken gaps are refused."""
    lead, agent = mint.headers("lead"), mint.headers("agent", products=("demo",))
    path = "/v1/quick-replies"
    assert (await kb.client.post(path, json=REPLY, headers=agent)).status_code == 403
    created = await kb.client.post(path, json=REPLY, headers=lead)
    assert created.status_code == 201
    assert created.json()["bodies"][0]["needs"] == ["submitter_name"]
    assert (await kb.client.post(path, json=REPLY, headers=lead)).status_code == 409
    broken = REPLY | {"name": "b", "bodies": [{"language": "en", "text": "{{ Broken }}"}]}
    refused = await kb.client.post(path, json=broken, headers=lead)
    assert refused.json()["errors"][0]["field"] == "bodies.0.text"
    listed = (await kb.client.get(path, params={"product": "demo"}, headers=agent)).json()
    assert [item["name"] for item in listed["items"]] == ["sorry"]
    assert (await kb.client.get(f"{path}/sorry", headers=agent)).json() == listed["items"][0]
    elsewhere = mint.headers("agent", products=("other",))
    assert (await kb.client.get(path, headers=elsewhere)).json()["items"] == []
    assert (await kb.client.get(f"{path}/sorry", headers=elsewhere)).status_code == 404
