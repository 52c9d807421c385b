"""What the judge knows: the registry, the units, and how a joined record changes them.

A state machine of its own, written from the meaning of the records and sharing no code with the
ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator

import wire

MAKER = wire.common_pb.ROLE_MAKER
DISTRIBUTOR = wire.common_pb.ROLE_DISTRIBUTOR
SELLER = wire.common_pb.ROLE_SELLER
COURIER = wire.common_pb.ROLE_COURIER
INSPECTOR = wire.common_pb.ROLE_INSPECTOR
REGULATOR = wire.common_pb.ROLE_REGULATOR
TRADE = frozenset({MAKER, DISTRIBUTOR, SELLER, COURIER})

STOPS = ("hold", "recall")


# -------------------------------------------------------------------------------------------------
# Registry
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A key and the party it counts as; a buyer's key has none."""

    suite: int
    public_key: bytes
    party: str | None


@dataclass
class Registry:
    """Parties, keys, products and thresholds, as governance records set them."""

    keys: dict[bytes, Key] = field(default_factory=dict)
    roles: dict[str, frozenset[int]] = field(default_factory=dict)
    products: dict[tuple[str, str], str] = field(default_factory=dict)
    thresholds: Any = None

    def party_of(self, key_id: bytes) -> str | None:
        """Party of a key; none for a buyer's."""
        key = self.keys.get(key_id)
        return key.party if key else None

    def roles_of(self, party: str | None) -> frozenset[int]:
        """Approved roles."""
        return self.roles.get(party, frozenset()) if party else frozenset()

    def owner(self, unit: str) -> str | None:
        """Party that may give out the identifier."""
        kind, _, rest = unit.partition("/")
        if kind == "waybill":
            return self.products.get(("carrier", rest.partition(":")[0]))
        if kind == "drug":
            return self.products.get(("drug", rest[:7]))
        if kind == "01":
            exact = self.products.get(("gtin", rest[:14]))
            if exact is not None:
                return exact
            digits = rest[1:13]
        else:
            digits = rest[1:17]
        for length in range(12, 3, -1):
            owner = self.products.get(("company_prefix", digits[:length]))
            if owner is not None:
                return owner
        return None

    def introduce(self, record: Any, signer: str | None) -> None:
        """Takes up the keys that a record makes known."""
        body = record.WhichOneof("body")
        if body == "genesis":
            party: str | None = record.genesis.regulator
        elif body == "register_party":
            party = record.register_party.party
        elif body == "handover":
            party = None
        else:
            party = signer
        for suite, public_key in wire.keys_introduced(record):
            key_id = wire.key_id(public_key, suite)
            self.keys.setdefault(key_id, Key(suite, public_key, party))

    def govern(self, record: Any) -> None:
        """Applies a governance record, its keys aside."""
        body = record.WhichOneof("body")
        if body == "genesis":
            self.roles[record.genesis.regulator] = frozenset({REGULATOR})
            self.thresholds = record.genesis.thresholds
        elif body == "approve_party":
            self.roles[record.approve_party.party] = frozenset(record.approve_party.roles)
        elif body == "approve_product":
            scope = record.approve_product.scope
            kind = scope.WhichOneof("scope")
            self.products[(kind, getattr(scope, kind))] = record.approve_product.party
        elif body == "set_thresholds":
            self.thresholds = record.set_thresholds.thresholds


# -------------------------------------------------------------------------------------------------
# Units
# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sighting:
    """Where something was, and when by event time."""

    time: int
    latitude_e7: int
    longitude_e7: int


@dataclass
class Tenure:
    """A party's custody in event time; without `until` it lasts."""

    party: str
    start: int
    until: int | None = None


@dataclass(frozen=True)
class Offer:
    """An open handover."""

    to: str
    index: int


@dataclass
class Journey:
    """The way to a buyer, begun by the handover that named the buyer."""

    index: int
    start: int
    means: int
    weight: int
    seller: str | None = None
    scans: int = 0


@dataclass
class Unit:
    """One commissioned unit."""

    id: str
    maker: str
    attributes: Any
    head: bytes = b""
    holder: str | None = None
    offer: Offer | None = None
    voided_to: str | None = None
    container: "Unit | None" = None
    contents: dict[str, "Unit"] = field(default_factory=dict)
    ended: bool = False
    delivered: bool = False
    buyer: bytes = b""
    journey: Journey | None = None
    stopped: bool = False
    latest: int = 0
    # Sightings with the latest event time: more than one only where they share it.
    sightings: list[Sighting] = field(default_factory=list)
    tenures: list[Tenure] = field(default_factory=list)
    # Who was entitled to act while a record was the head: parties, and buyer key ids.
    entitled: dict[bytes, set[str | bytes]] = field(default_factory=dict)

    @property
    def product(self) -> str:
        """GTIN or drug code; empty for logistic units."""
        kind, _, rest = self.id.partition("/")
        return {"01": rest[:14], "drug": rest[:7]}.get(kind, "")

    def around(self) -> Iterator["Unit"]:
        """The containers around, innermost first."""
        outer = self.container
        while outer is not None:
            yield outer
            outer = outer.container

    def self_and_around(self) -> Iterator["Unit"]:
        """The unit, then the containers around it."""
        yield self
        yield from self.around()

    @property
    def outermost(self) -> "Unit":
        """The outermost container, or the unit itself."""
        unit = self
        while unit.container is not None:
            unit = unit.container
        return unit

    def within(self) -> Iterator["Unit"]:
        """The unit and everything inside it, to any depth."""
        yield self
        for inner in self.contents.values():
            yield from inner.within()

    def sight(self, sightings: list[Sighting]) -> None:
        """Keeps the latest of its sightings and the given ones."""
        known = self.sightings + sightings
        last = max((s.time for s in known), default=0)
        self.sightings = [s for s in dict.fromkeys(known) if s.time == last]

    def change_tenure(self, time: int) -> None:
        """After the custody of the outermost container changed: for the unit and its contents."""
        holder = self.outermost.holder
        for unit in self.within():
            current = unit.tenures[-1] if unit.tenures else None
            open_now = current is not None and current.until is None
            if current is not None and open_now:
                if current.party == holder:
                    continue
                current.until = time
            if holder is not None:
                unit.tenures.append(Tenure(holder, time))


@dataclass
class World:
    """Everything, as of an entry."""

    registry: Registry = field(default_factory=Registry)
    units: dict[str, Unit] = field(default_factory=dict)
    # Lots and products under a hold or recall: ("lot", product, lot) or ("product", product).
    stopped: set[tuple[str, ...]] = field(default_factory=set)
    # Beside-records with a finding: (day, signer, unit, kind).
    reported: set[tuple[int, str, str, str]] = field(default_factory=set)
    # Commissioned units and declared size of (product, lot).
    lot_counts: dict[tuple[str, str], int] = field(default_factory=dict)
    lot_sizes: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """A record at its place in the log, read once."""

    index: int
    entry_time: int
    time: int
    kind: str
    body: Any
    record: Any
    record_id: bytes
    key_id: bytes
    party: str | None
    roles: frozenset[int]
    # Subjects in the order of their numbers, and how many of them are the record's units.
    subjects: tuple[str, ...]
    units: int

    @property
    def container(self) -> str:
        """The container of a Pack or Unpack, else empty."""
        return self.body.container.id if self.kind in ("pack", "unpack") else ""

    def creates(self, number: int) -> bool:
        """Whether the record begins the subject's life."""
        return self.kind == "commission" or (self.kind == "transform" and number >= self.units)


def read_statement(index: int, entry: Any, registry: Registry) -> Statement:
    """Decodes an entry's record."""
    record = wire.record_pb.Record.FromString(entry.envelope.payload)
    kind = record.WhichOneof("body") or ""
    body: Any = getattr(record, kind) if kind else None
    subjects = [unit.id for unit in record.units]
    count = len(subjects)
    if kind in ("pack", "unpack"):
        subjects.append(body.container.id)
    elif kind == "transform":
        subjects.extend(body.outputs)
    party = registry.party_of(record.key_id)
    return Statement(
        index=index,
        entry_time=entry.time_ms,
        time=record.claimed_time_ms + record.clock_offset_ms,
        kind=kind,
        body=body,
        record=record,
        record_id=wire.record_id(entry.envelope.payload),
        key_id=record.key_id,
        party=party,
        roles=registry.roles_of(party),
        subjects=tuple(subjects),
        units=count,
    )


def scope_key(body: Any) -> tuple[str, ...] | None:
    """The lot or product that a Hold, Release or Recall is about; none for its units."""
    kind = body.scope.WhichOneof("scope")
    if kind == "lot":
        return ("lot", body.scope.lot.product, body.scope.lot.lot)
    if kind == "product":
        return ("product", body.scope.product)
    return None


# -------------------------------------------------------------------------------------------------
# Effects
# -------------------------------------------------------------------------------------------------


# What may be said from afar: its place is not where the goods are.
REMOTE = STOPS + ("release", "correct", "confirm", "reject", "void")


def advance(world: World, said: Statement, joined: list[int]) -> None:
    """Applies a record to the subjects that it joins."""
    if said.kind in STOPS + ("release",):
        scope = scope_key(said.body)
        if scope is not None:
            (world.stopped.discard if said.kind == "release" else world.stopped.add)(scope)
    touched: list[Unit] = []
    for number in joined:
        name = said.subjects[number]
        if said.creates(number):
            begin(world, said, name)
        unit = world.units[name]
        if not said.creates(number):
            act(world, said, number, unit)
        unit.head = said.record_id
        # A clock that runs ahead counts up to the ledger's own.
        time = min(said.time, said.entry_time)
        unit.latest = max(unit.latest, time)
        if said.record.place.HasField("position") and said.kind not in REMOTE:
            position = said.record.place.position
            unit.sight([Sighting(time, position.latitude_e7, position.longitude_e7)])
        touched.append(unit)
    for unit in touched:
        note_entitled(unit)


def begin(world: World, said: Statement, name: str) -> None:
    """A unit's life begins with its commissioner."""
    assert said.party is not None
    unit = Unit(name, said.party, said.body.attributes, holder=said.party)
    unit.change_tenure(said.time)
    world.units[name] = unit
    lot = (unit.product, unit.attributes.lot)
    if all(lot):
        world.lot_counts[lot] = world.lot_counts.get(lot, 0) + 1
        if unit.attributes.lot_size:
            world.lot_sizes.setdefault(lot, unit.attributes.lot_size)


def act(world: World, said: Statement, number: int, unit: Unit) -> None:
    """The effect of any other kind on one subject."""
    kind, body = said.kind, said.body
    is_unit = number < said.units
    if kind == "pack" and is_unit:
        unit.container = world.units[said.container]
        unit.container.contents[unit.id] = unit
        unit.change_tenure(said.time)
    elif kind == "unpack" and is_unit:
        leave_container(unit)
        unit.change_tenure(said.time)
    elif kind == "handover":
        unit.offer, unit.voided_to = Offer(body.to, said.index), None
        if body.HasField("buyer") and not (unit.buyer and unit.journey is not None):
            unit.buyer = wire.key_id(body.buyer.public_key, body.buyer.suite)
            unit.journey = Journey(
                said.index, said.time, body.means, body.weight_grams, said.party
            )
    elif kind in ("void", "refuse") and unit.offer is not None:
        if unit.journey is not None and unit.journey.index == unit.offer.index:
            unit.journey, unit.buyer = None, b""
        if kind == "void":
            unit.voided_to = unit.offer.to
        unit.offer = None
    elif kind == "accept":
        assert unit.offer is not None
        if unit.journey is not None and unit.journey.seller == said.party:
            unit.journey, unit.buyer = None, b""
        observe(unit, unit.offer.index)
        unit.holder, unit.offer, unit.voided_to = said.party, None, None
        unit.change_tenure(said.time)
    elif kind == "scan":
        observe(unit, None)
    elif kind == "deliver":
        unit.holder, unit.delivered, unit.offer = None, True, None
        unit.change_tenure(said.time)
    elif kind == "return":
        if unit.container is not None:
            leave_container(unit)
        unit.holder, unit.delivered, unit.offer = said.party, False, None
        unit.buyer, unit.journey = b"", None
        unit.change_tenure(said.time)
    elif kind == "destroy" or (kind == "transform" and is_unit):
        unit.ended = True
    elif kind in STOPS and scope_key(body) is None:
        unit.stopped = True
    elif kind == "release" and scope_key(body) is None:
        unit.stopped = False


def leave_container(unit: Unit) -> None:
    """Out of the container, with what was its custody and its last sighting."""
    assert unit.container is not None
    unit.holder = unit.outermost.holder
    unit.sight([s for outer in unit.around() for s in outer.sightings])
    del unit.container.contents[unit.id]
    unit.container = None


def observe(unit: Unit, offered_at: int | None) -> None:
    """Counts a Scan, or an Accept of the handover at `offered_at`, for the journeys of the unit and
    of what is inside. The Accept of a journey's own handover is no evidence of a way."""
    for inner in unit.within():
        if inner.journey and (offered_at is None or offered_at > inner.journey.index):
            inner.journey.scans += 1


def note_entitled(unit: Unit) -> None:
    """Remembers who may act at the present head of the unit and of its contents."""
    for inner in unit.within():
        outer = inner.outermost
        entitled = inner.entitled.setdefault(inner.head, set())
        for owner in (outer.holder, outer.offer.to if outer.offer else None, outer.buyer):
            if owner:
                entitled.add(owner)
