"""The judge's own reading of the rules: what a record breaks, and where it stands beside the chain.

Every function answers for one record, or one subject of it, on the state before the record.
"""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass, field
from typing import Any

import wire
from judge_state import (
    COURIER,
    DISTRIBUTOR,
    INSPECTOR,
    MAKER,
    REGULATOR,
    REMOTE,
    SELLER,
    TRADE,
    Sighting,
    Statement,
    Unit,
    World,
)

EARTH_RADIUS_M = 6_371_008.0
DAY_MS = 86_400_000
# Distances and speeds this close to a limit are not decided here: the ledger counts in integers,
# the judge in floating point.
UNDECIDED = 0.001

ROLES: dict[str, frozenset[int]] = {
    "inspect": frozenset({INSPECTOR, REGULATOR}),
    "transform": frozenset({MAKER, DISTRIBUTOR}),
    "deliver": frozenset({COURIER, SELLER}),
    "hold": frozenset({MAKER, REGULATOR}),
    "release": frozenset({MAKER, REGULATOR}),
    "recall": frozenset({MAKER, REGULATOR}),
}
CREATION_ROLES = {
    "01": frozenset({MAKER}),
    "drug": frozenset({MAKER}),
    "00": TRADE,
    "waybill": frozenset({COURIER}),
}
CONTROL = frozenset({"hold", "release", "recall"})
BUYERS = frozenset({"confirm", "reject"})
AFTER_DESTRUCTION = CONTROL | BUYERS | {"correct"}
AFTER_DELIVERY = AFTER_DESTRUCTION | {"return", "inspect"}
NOT_WHILE_PACKED = frozenset(
    {"handover", "void", "accept", "refuse", "deliver", "transform", "destroy"}
)
HOLDERS = frozenset(
    {"pack", "unpack", "handover", "void", "scan", "deliver", "transform", "destroy"}
)


@dataclass
class Ruling:
    """What a record comes to. Findings are (kind's name, subject number)."""

    beside: set[int] = field(default_factory=set)
    findings: set[tuple[str, int]] = field(default_factory=set)
    # Too close to a limit to say.
    undecided: set[tuple[str, int]] = field(default_factory=set)


def judge(world: World, said: Statement) -> Ruling:
    """Judges one record."""
    ruling = Ruling()
    if said.kind == "report_equivocation":
        ruling.findings = {("EQUIVOCATION", n) for n in equivocation(world, said)}
        return ruling
    for number in range(len(said.subjects)):
        if stands_aside(world, said, number):
            ruling.beside.add(number)
            continue
        broken = custody_rule(world, said, number)
        if broken is not None:
            ruling.beside.add(number)
            # One beside-record a signer, unit and kind of finding in a ledger day.
            day = said.entry_time // DAY_MS
            once = (day, said.party or said.key_id.hex(), said.subjects[number], broken)
            if once not in world.reported:
                world.reported.add(once)
                ruling.findings.add((broken, number))
    everything = set(range(len(said.subjects)))
    if said.kind == "transform" and ruling.beside:
        ruling.beside = everything
    if said.kind in ("pack", "unpack"):
        units = set(range(said.units))
        if said.units in ruling.beside or units <= ruling.beside:
            ruling.beside = everything
    joined = sorted(everything - ruling.beside)
    for number in joined:
        plausibility(world, said, number, ruling)
    quantity(world, said, joined, ruling)
    return ruling


# -------------------------------------------------------------------------------------------------
# Custody rules
# -------------------------------------------------------------------------------------------------


def stands_aside(world: World, said: Statement, number: int) -> bool:
    """A Correct that can't join, or a former holder's late Scan: beside without a finding."""
    unit = world.units.get(said.subjects[number])
    if said.kind == "correct":
        prev = said.record.units[number].prev
        return not (
            unit is not None
            and said.party is not None
            and unit.holder == said.party
            and unit.container is None
            and not unit.ended
            and not unit.delivered
            and unit.head == prev
        )
    if said.kind == "scan" and unit is not None and said.party is not None:
        if unit.outermost.holder == said.party:
            return False
        slack = world.registry.thresholds.reversal_tolerance_ms
        return any(
            tenure.party == said.party
            and tenure.start - slack <= said.time
            and (tenure.until is None or said.time <= tenure.until + slack)
            for thing in unit.self_and_around()
            for tenure in thing.tenures
        )
    return False


def allowed(said: Statement, number: int) -> bool:
    """Whether the signer's roles allow the kind."""
    if said.kind in BUYERS:
        return said.party is None
    if said.kind == "deliver" and SELLER not in said.roles:
        return COURIER in said.roles and bool(said.body.buyer_key_id)
    if said.kind == "commission":
        form = said.subjects[number].partition("/")[0]
        return bool(CREATION_ROLES.get(form, frozenset()) & said.roles)
    return bool(ROLES.get(said.kind, TRADE) & said.roles)


def custody_rule(world: World, said: Statement, number: int) -> str | None:
    """The first custody rule that the record breaks at a subject."""
    if said.kind == "correct":
        return None
    name = said.subjects[number]
    unit = world.units.get(name)
    owner = world.registry.owner(name)
    owns = owner is not None and owner == said.party
    if not allowed(said, number):
        return "OUT_OF_ROLE"
    if said.creates(number):
        if not owns:
            return "NOT_GTIN_OWNER"
        return "DUPLICATE_COMMISSION" if unit is not None else None
    if said.kind in CONTROL and REGULATOR not in said.roles:
        if not owns and (unit is None or unit.maker != said.party):
            return "NOT_GTIN_OWNER"
    if unit is None:
        return "NEVER_COMMISSIONED"
    return life_rule(said, number, unit, world) or custody_of(said, unit)


def life_rule(said: Statement, number: int, unit: Unit, world: World) -> str | None:
    """Rules about what the unit has been through and what it is inside of."""
    outer, kind = unit.outermost, said.kind
    if (unit.ended or outer.ended) and kind not in AFTER_DESTRUCTION:
        return "SEEN_AFTER_DESTRUCTION"
    if (unit.delivered or outer.delivered) and kind not in AFTER_DELIVERY:
        return "SEEN_AFTER_DELIVERY"
    if kind == "pack" and number < said.units and unit.container is not None:
        return "PACKED_TWICE"
    if kind in NOT_WHILE_PACKED and unit.container is not None:
        return "MOVED_WHILE_PACKED"
    if kind == "unpack" and number < said.units:
        if unit.container is None or unit.container.id != said.container:
            return "CONTENT_MISMATCH"
    if kind == "confirm" and said.body.contents:
        inside = {
            inner
            for name in said.subjects
            if name in world.units
            for inner in world.units[name].contents
        }
        if set(said.body.contents) != inside:
            return "CONTENT_MISMATCH"
    return None


def nearest_buyer(unit: Unit) -> bytes:
    """The buyer key a unit is for: its own, or that of the nearest container that has one."""
    at: Unit | None = unit
    while at is not None:
        if at.buyer:
            return at.buyer
        at = at.container
    return b""


def custody_of(said: Statement, unit: Unit) -> str | None:
    """Rules about who may act now."""
    outer, kind = unit.outermost, said.kind
    holds = said.party is not None and outer.holder == said.party
    if kind == "accept" and unit.offer is None and not holds:
        if unit.voided_to is not None and unit.voided_to == said.party:
            return "MOVED_AFTER_VOID"
    if kind in ("accept", "refuse"):
        if unit.offer is None:
            return "ACCEPT_WITHOUT_HANDOVER"
        return "WRONG_RECEIVER" if unit.offer.to != said.party else None
    if kind == "deliver" and holds and said.body.buyer_key_id != unit.buyer:
        return "WRONG_RECEIVER"
    if kind == "handover" and holds and unit.buyer and said.body.HasField("buyer"):
        if wire.key_id(said.body.buyer.public_key, said.body.buyer.suite) != unit.buyer:
            return "WRONG_RECEIVER"
    if kind in BUYERS and said.key_id != nearest_buyer(unit):
        return "WRONG_RECEIVER"
    if kind in HOLDERS and not holds:
        return "NOT_HOLDER"
    if kind == "return" and (unit.delivered or outer.delivered):
        sold_by = outer.tenures[-1].party if outer.tenures else None
        if nearest_buyer(unit):
            return None if said.body.consent else "NOT_HOLDER"
        return None if sold_by is not None and sold_by == said.party else "NOT_HOLDER"
    return None


# -------------------------------------------------------------------------------------------------
# Plausibility rules
# -------------------------------------------------------------------------------------------------


def plausibility(world: World, said: Statement, number: int, ruling: Ruling) -> None:
    """Adds the plausibility rules that a joining subject breaks."""
    limits = world.registry.thresholds
    unit = world.units.get(said.subjects[number])
    if said.creates(number):
        unit = Unit(said.subjects[number], said.party or "", said.body.attributes)
    assert unit is not None

    def add(kind: str, broken: bool) -> None:
        if broken:
            ruling.findings.add((kind, number))

    add("TIME_IN_FUTURE", said.time > said.entry_time + limits.future_tolerance_ms)
    add("MOVED_UNDER_RECALL", under_recall(world, said, unit))
    if said.creates(number):
        return
    last = max(thing.latest for thing in unit.self_and_around())
    add("TIME_REVERSED", said.time < last - limits.reversal_tolerance_ms)
    travel = impossible_travel(said, unit, limits)
    if travel is None:
        ruling.undecided.add(("IMPOSSIBLE_TRAVEL", number))
    add("IMPOSSIBLE_TRAVEL", travel is True)
    add("EXPIRED", expired(said, unit))
    add("DIVERTED_MARKET", diverted(said, unit))
    add("PHANTOM_DELIVERY", phantom(said, unit, limits))


def chord_m(a: Sighting, b: Sighting) -> float:
    """Distance straight through the globe."""

    def vector(s: Sighting) -> tuple[float, float, float]:
        lat, lon = math.radians(s.latitude_e7 / 1e7), math.radians(s.longitude_e7 / 1e7)
        return math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)

    return EARTH_RADIUS_M * math.dist(vector(a), vector(b))


def impossible_travel(said: Statement, unit: Unit, limits: Any) -> bool | None:
    """Whether the unit can't have come here in time; none where that is too close to say."""
    if not said.record.place.HasField("position") or said.kind in REMOTE:
        return False
    position = said.record.place.position
    here = Sighting(said.time, position.latitude_e7, position.longitude_e7)
    known = [s for thing in unit.self_and_around() for s in thing.sightings]
    latest = max((s.time for s in known), default=0)
    answers = {travel_between(s, here, limits) for s in known if s.time == latest}
    if len(answers) > 1:
        return None
    return answers.pop() if answers else False


def travel_between(before: Sighting, here: Sighting, limits: Any) -> bool | None:
    """The rule for one pair of sightings."""
    metres = chord_m(before, here)
    # km/h is m/ms * 3600, so metres * 3600 is compared with speed * milliseconds.
    far = above(metres, limits.min_travel_km * 1000.0, or_equal=True)
    possible = float(limits.max_speed_kmh) * max(0, here.time - before.time)
    fast = above(metres * 3600.0, possible, or_equal=False)
    if far is False or fast is False:
        return False
    return None if far is None or fast is None else True


def above(value: float, limit: float, or_equal: bool) -> bool | None:
    """Compares; none where the value is too close to the limit."""
    if limit > 0 and abs(value - limit) <= UNDECIDED * limit:
        return None
    return value >= limit if or_equal else value > limit


def back_to_maker(said: Statement, unit: Unit) -> bool:
    """A Handover to the unit's maker, or the maker's Accept."""
    if said.kind == "handover":
        return bool(said.body.to == unit.maker)
    return said.kind == "accept" and said.party == unit.maker


def expiry_limit_ms(expiry: int) -> int:
    """Noon UTC of the day after the last day of use. Day 00 is the month's last."""
    year, month, day = expiry // 10000, expiry // 100 % 100, expiry % 100
    if day == 0:
        day = calendar.monthrange(year, month)[1]
    return calendar.timegm((year, month, day, 0, 0, 0)) * 1000 + DAY_MS + DAY_MS // 2


def expired(said: Statement, unit: Unit) -> bool:
    """Moved after its last day of use."""
    if said.kind not in ("handover", "accept", "deliver") or not unit.attributes.expiry:
        return False
    return said.time >= expiry_limit_ms(unit.attributes.expiry) and not back_to_maker(said, unit)


def under_recall(world: World, said: Statement, unit: Unit) -> bool:
    """Moved while it, its lot, its product or a container around it is stopped."""
    if said.kind not in ("handover", "accept", "deliver", "pack", "transform"):
        return False
    if back_to_maker(said, unit):
        return False
    for thing in unit.self_and_around():
        product, lot = thing.product, thing.attributes.lot
        if thing.stopped or (product and ("product", product) in world.stopped):
            return True
        if product and lot and ("lot", product, lot) in world.stopped:
            return True
    return False


def diverted(said: Statement, unit: Unit) -> bool:
    """Goods in a market that they are not for."""
    if said.kind == "handover":
        region = said.body.destination
    elif said.kind == "deliver" or (said.kind == "accept" and SELLER in said.roles):
        region = said.record.place.region
    else:
        return False
    markets = unit.attributes.markets
    if not region or not markets:
        return False
    return not any(region == m or region.startswith(m + "-") for m in markets)


def phantom(said: Statement, unit: Unit, limits: Any) -> bool:
    """Delivered with no physical way in between."""
    journey = unit.journey
    if said.kind != "deliver" or journey is None or journey.scans:
        return False
    if journey.means == wire.record_pb.MEANS_IN_PERSON and journey.seller == said.party:
        return False
    return journey.weight == 0 or said.time - journey.start < limits.min_delivery_ms


def quantity(world: World, said: Statement, joined: list[int], ruling: Ruling) -> None:
    """QUANTITY_INFLATION: more units than the lot has, or more content out than in."""
    created = [n for n in joined if said.creates(n)]
    if not created:
        return
    attributes = said.body.attributes
    new: dict[tuple[str, str], int] = {}
    for number in created:
        product = Unit(said.subjects[number], "", attributes).product
        lot = (product, attributes.lot)
        if not all(lot):
            continue
        new[lot] = new.get(lot, 0) + 1
        size = world.lot_sizes.get(lot) or attributes.lot_size
        if size and world.lot_counts.get(lot, 0) + new[lot] > size:
            ruling.findings.add(("QUANTITY_INFLATION", number))
    if said.kind != "transform":
        return
    inputs = [world.units[said.subjects[n]] for n in joined if n < said.units]
    contents = [u.attributes.content for u in inputs] + [attributes.content]
    known = all(c.milli and c.unit_of_measure for c in contents)
    if not known or len({c.unit_of_measure for c in contents}) != 1:
        return
    total_in = sum(u.attributes.content.milli for u in inputs)
    total_out = attributes.content.milli * len(created)
    if total_out * 1000 > total_in * (1000 + world.registry.thresholds.inflation_per_mille):
        ruling.findings.update(("QUANTITY_INFLATION", number) for number in created)


# -------------------------------------------------------------------------------------------------
# Equivocation
# -------------------------------------------------------------------------------------------------


def references(record: Any) -> list[Any]:
    """The subjects that a record names with a `prev`, in the order of their numbers."""
    kind = record.WhichOneof("body")
    container = [getattr(record, kind).container] if kind in ("pack", "unpack") else []
    return list(record.units) + container


def reported(said: Statement) -> tuple[Any, Any]:
    """The two envelopes of a report."""
    envelope = wire.entry_pb.Envelope
    return envelope.FromString(said.body.first), envelope.FromString(said.body.second)


def equivocation(world: World, said: Statement) -> list[int]:
    """Subjects of the first record at which the two prove double-dealing by somebody entitled."""
    first, second = (wire.record_pb.Record.FromString(e.payload) for e in reported(said))
    if first.key_id != second.key_id or first.nonce == second.nonce:
        return []
    also = {(ref.id, ref.prev) for ref in references(second)}
    owner = world.registry.party_of(first.key_id)
    return [
        number
        for number, ref in enumerate(references(first))
        if (ref.id, ref.prev) in also
        and ref.id in world.units
        and {owner, first.key_id} & world.units[ref.id].entitled.get(ref.prev, set())
    ]
