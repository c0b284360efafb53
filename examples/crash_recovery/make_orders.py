"""Writes orders.jsonl, always the same: python make_orders.py."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

CATALOGUE = [
    ("LAMP-07", "Desk lamp, oak", 4_990),
    ("CHAIR-21", "Office chair, mesh back", 28_900),
    ("DESK-160", "Standing desk, 160 cm", 64_900),
    ("CABLE-C2", "USB-C cable, 2 m", 1_290),
    ("MON-27", "Monitor, 27 inch", 31_900),
    ("KEY-ISO", "Mechanical keyboard, ISO", 12_900),
    ("MOUSE-3", "Mouse, wireless", 3_490),
    ("MAT-90", "Desk mat, felt", 2_490),
    ("ARM-1", "Monitor arm", 8_900),
    ("HEAD-NC", "Headphones, noise cancelling", 24_900),
    ("NOTE-A5", "Notebook, dotted, A5", 1_150),
    ("PLANT-ZZ", "Zamioculcas, medium", 2_290),
    ("CABINET-3", "Filing cabinet, three drawers", 18_900),
    ("BOOTH-S", "Phone booth, single", 489_000),
    ("SOFA-2", "Lounge sofa, two seats", 119_000),
]
FIRST = [
    "Amara",
    "Bilal",
    "Chiara",
    "Dmitri",
    "Elif",
    "Fatou",
    "Goran",
    "Hana",
    "Ines",
    "Jonas",
    "Kaveh",
    "Linh",
    "Mateo",
    "Noor",
    "Olu",
    "Priya",
    "Quentin",
    "Rosa",
    "Sven",
    "Tomoko",
    "Uma",
    "Vera",
    "Wanjiru",
    "Xavier",
    "Yara",
    "Zofia",
]
LAST = [
    "Adeyemi",
    "Bauer",
    "Costa",
    "Dubois",
    "Eriksen",
    "Ferrari",
    "Garcia",
    "Horvath",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Larsen",
    "Moreau",
    "Nguyen",
    "Okafor",
    "Petrov",
    "Quist",
    "Rossi",
    "Schneider",
    "Tanaka",
]
CITIES = [
    ("Lyon", "FR"),
    ("Gent", "BE"),
    ("Leipzig", "DE"),
    ("Porto", "PT"),
    ("Turku", "FI"),
    ("Graz", "AT"),
    ("Utrecht", "NL"),
    ("Torino", "IT"),
    ("Gdynia", "PL"),
    ("Bilbao", "ES"),
]
NOTES = [
    "",
    "",
    "",
    "",
    "Leave at the reception.",
    "Call before delivery.",
    "Invoice to the Zürich office",
    "Geschenk, bitte ohne Rechnung",
    "2nd floor, no lift",
]
ORDERS = 240


def order(number: int, chance: Random, placed_at: datetime) -> dict[str, object]:
    first, last = chance.choice(FIRST), chance.choice(LAST)
    city, country = chance.choice(CITIES)
    weights = [3 if cents < 50_000 else 1 for _, _, cents in CATALOGUE]
    picked = dict.fromkeys(
        chance.choices(range(len(CATALOGUE)), weights, k=chance.choice([1, 1, 2, 2, 3, 4]))
    )
    items = [
        {
            "sku": CATALOGUE[index][0],
            "title": CATALOGUE[index][1],
            "quantity": chance.choice([1, 1, 1, 2, 3]),
            "unit_cents": CATALOGUE[index][2],
        }
        for index in picked
    ]
    return {
        "order_id": f"order-{number}",
        "placed_at": placed_at.isoformat(),
        "customer": {
            "name": f"{first} {last}",
            "email": f"{first}.{last}@example.com".lower(),
            "city": city,
            "country": country,
        },
        "items": items,
        "currency": "EUR",
        "total_cents": sum(item["quantity"] * item["unit_cents"] for item in items),
        "shipping": chance.choice(["standard", "standard", "standard", "express"]),
        "note": chance.choice(NOTES),
    }


def main() -> None:
    chance = Random(1001)
    placed_at = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
    with Path(__file__).with_name("orders.jsonl").open("w", encoding="utf-8") as file:
        for number in range(1001, 1001 + ORDERS):
            placed_at += timedelta(seconds=chance.randrange(20, 400))
            file.write(json.dumps(order(number, chance, placed_at), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
