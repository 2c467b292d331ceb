"""The demonstration: the help pages of a fictional payment card, and a few quick replies.

All of it is written by us and belongs to the product `demo`. Ids come from names, so that seeding
again finds what is there and leaves it as people have made it.
"""

from pathlib import Path
from uuid import UUID, uuid5

from waybill_chassis.auth import ALL_PRODUCTS, Principal
from waybill_chassis.causes import request_cause
from waybill_chassis.database import UnitOfWork

from waybill_kb.domain.articles import Content, Visibility
from waybill_kb.domain.quick_replies import Body
from waybill_kb.store import quick_replies as replies
from waybill_kb.usecases import articles, quick_replies

PRODUCT = "demo"
EDITOR = Principal(
    subject="demo",
    name="Waybill demo",
    roles=frozenset({"admin"}),
    products=frozenset({ALL_PRODUCTS}),
)
_NAMES = UUID("6f1d0c5e-5d3b-5c0e-9a43-0d6f0a1c7b11")

QUICK_REPLIES = {
    "greeting": (
        "We are looking into it",
        {
            "en": "Hello {{ submitter_name }},\n\nthank you for writing to us. I am looking into "
            "{{ number }} and will come back to you today.\n\n{{ agent_name }}",
            "de": "Guten Tag {{ submitter_name }},\n\nvielen Dank für Ihre Nachricht. Ich kümmere "
            "mich um {{ number }} und melde mich heute noch.\n\n{{ agent_name }}",
        },
    ),
    "need-details": (
        "Ask for date, amount and shop",
        {
            "en": "Hello {{ submitter_name }},\n\nso that I can find the payment, please tell me "
            "the day, the amount and the name of the shop as they stand in the app."
            "\n\n{{ agent_name }}",
        },
    ),
    "card-on-its-way": (
        "A new card is on its way",
        {
            "en": "Hello {{ submitter_name }},\n\na new card has been ordered for you, free of "
            "charge. It arrives within 7 working days; until then you can pay with the virtual "
            "card in the app.\n\n{{ agent_name }}",
        },
    ),
    "solved": (
        "Ask whether it is solved",
        {
            "en": "Hello {{ submitter_name }},\n\nthis should be solved now. Please try it once "
            "more and tell us if anything is left to do about {{ number }}.\n\n{{ agent_name }}",
        },
    ),
}


def written() -> dict[str, Content]:
    """The articles by the names of their files."""
    folder = Path(__file__).parent / "articles"
    return {path.stem: _parsed(path.read_text("utf-8")) for path in sorted(folder.glob("*.md"))}


def _parsed(text: str) -> Content:
    head, _, body = text.partition("\n\n")
    facts = dict(line.split(": ", 1) for line in head.splitlines())
    return Content(
        title=facts["title"],
        summary=facts["summary"],
        body=body.strip(),
        language="en",
        products=(PRODUCT,),
        tags=tuple(facts["tags"].split(", ")),
        visibility=Visibility(facts.get("visibility", "public")),
    )


async def seed(uow: UnitOfWork) -> None:
    """Write and publish the articles and quick replies that are not there yet."""
    cause = request_cause("python -m waybill_kb migrate")
    for name, content in written().items():
        article = await articles.draft(uow, content, EDITOR, uuid5(_NAMES, f"article/{name}"))
        if article is not None:
            await articles.publish(uow, article.id, EDITOR, None, cause)
    for name, (title, bodies) in QUICK_REPLIES.items():
        if await replies.find(uow.connection, name) is None:
            await quick_replies.create(
                uow,
                name=name,
                title=title,
                bodies=[Body(language, text) for language, text in bodies.items()],
                products=(PRODUCT,),
                author=EDITOR,
                id=uuid5(_NAMES, f"quick-reply/{name}"),
            )
