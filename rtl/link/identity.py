"""What a board says it is: 64 bytes that host and bitstream both derive from the artifact."""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, fields

from amaranth.hdl import Shape

from quant.integer import artifact
from quant.integer.artifact import Artifact
from quant.integer.operation import Tensor
from rtl.cut import two_sided
from rtl.link import protocol as protocol
from rtl.parts.config import Geometry, HardwareConfig, HardwareError
from rtl.link.protocol import LABEL_BYTES, LOGIT_BYTES, SATURATION_BYTES
from rtl.plan import Plan
from rtl.parts.streams import sample_word

MAGIC = b"SSM\x1a"
SIZE = 64
AGAIN = "build its bitstream again with this version (make bitstream) and program it (make prog)"
SPREAD, FOLDED, TABLES = 1, 2, 4       # of HardwareConfig
# What a core's numbers can be, in the units of Identity. The digests say nothing of themselves.
LIMITS = {"layers": (1, 255), "H": (1, 65535), "n": (0, 65535), "lanes": (1, 65535),
          "outputs": (1, 65535), "length": (1, protocol.LONGEST_SEQUENCE), "sample_bytes": (1, 4),
          "clock_khz": (100, 10_000_000), "options": (0, SPREAD | FOLDED | TABLES)}
# magic, version, layers, H, n, lanes, outputs, length, vocab, bytes per sample, clock in kHz,
# spread, folded and tables, built-in model, shape, task
PACKED = struct.Struct("<4sBBHHHHHHBIB8s8s16s")


class IdentityError(ValueError):
    """Bytes that no board of this project says."""


def shape_digest(planned: Plan) -> bytes:
    """Eight bytes that two cores share if one's coefficients can be written into the other.

    They depend on everything of artifact and hardware but the coefficients, the seed and the name.
    """
    art = planned.art
    formats = [str(fmt) for fmt in (art.sample, art.decoder_w.fmt, art.decoder_b.fmt)]
    facts = [art.outputs, planned.longest, art.vocab, art.random.to_dict(), formats,
             [(str(op), {f.name: _shape(getattr(op, f.name)) for f in fields(op)
                         if not f.metadata.get("training")}) for _, op, _ in art.operations()],
             [(r.name, r.base, r.depth, r.width, r.fields) for r in planned.regions]]
    tables = [spec.number for spec in planned.layers if spec.tables]
    if tables:      # they hold no weights that are too large for them
        facts.append(tables)
    facts += [planned.geo.P] if planned.geo.P > 1 else []
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()[:8]


def _shape(value) -> str:
    """What a field of an operation says of its shape: a tensor's format, or the field itself."""
    return str(value.fmt if isinstance(value, Tensor) else value)


def model_digest(art: Artifact) -> bytes:
    """:func:`quant.integer.artifact.digest` as eight bytes."""
    return bytes.fromhex(artifact.digest(art))


def sample_bytes(art: Artifact) -> int:
    """Bytes of a sample in a SAMPLES frame."""
    return -(-Shape.cast(sample_word(art)["value"].shape).width // 8)


def result_bytes(layers: int, outputs: int) -> int:
    """Bytes of the result region: label, logits, saturations of the layers and the stream."""
    return LABEL_BYTES + LOGIT_BYTES * outputs + SATURATION_BYTES * (layers + 1)


@dataclass(frozen=True)
class Identity:
    """A board's bitstream: protocol, shape, clock and the model it was built with."""

    version: int
    layers: int
    H: int
    n: int
    lanes: int
    outputs: int        # of the core: classes, or features of a network with two inputs
    length: int
    vocab: int
    sample_bytes: int
    clock_khz: int
    options: int        # SPREAD, FOLDED, TABLES
    model: bytes        # the built-in one; REGISTERS has the present one
    shape: bytes
    task: str

    @classmethod
    def of(cls, planned: Plan, clock: float) -> "Identity":
        """Of a core that runs at ``clock`` Hz."""
        art = planned.art
        return cls(protocol.VERSION, len(art.blocks), art.H, art.n, planned.hw.lanes, art.outputs,
                   planned.longest, art.vocab, sample_bytes(art), round(clock / 1000),
                   SPREAD * planned.hw.spread + FOLDED * planned.hw.folded
                   + TABLES * (planned.hw.mixer != "columns"),
                   model_digest(art) if planned.built_in else bytes(8), shape_digest(planned),
                   art.task)

    def pack(self) -> bytes:
        """The identity region."""
        name = self.task.encode()[:16]
        return PACKED.pack(MAGIC, self.version, self.layers, self.H, self.n, self.lanes,
                           self.outputs, self.length, self.vocab, self.sample_bytes,
                           self.clock_khz, self.options, self.model, self.shape,
                           name).ljust(SIZE, b"\0")

    @classmethod
    def unpack(cls, raw: bytes) -> "Identity":
        """Inverse of :meth:`pack`; raises :class:`IdentityError`."""
        magic, *fields, name = PACKED.unpack_from(raw)
        if magic != MAGIC:
            raise IdentityError(f"it answers, but says {magic!r} in place of {MAGIC!r}")
        if fields[0] != protocol.VERSION:
            raise IdentityError(f"it speaks version {fields[0]} of the link, this program version "
                                f"{protocol.VERSION}; {AGAIN}")
        return cls(*fields, name.rstrip(b"\0").decode(errors="replace")).checked()

    def checked(self) -> "Identity":
        """Itself; raises :class:`IdentityError` if no core can be so."""
        for field, (least, most) in LIMITS.items():
            if not least <= getattr(self, field) <= most:
                raise IdentityError(f"it says {field} {getattr(self, field)}, which must be in "
                                    f"{least}..{most}; {AGAIN}")
        try:
            Geometry(self.H, max(1, self.n), self.lanes)
        except HardwareError as error:
            raise IdentityError(f"it says {error}; {AGAIN}") from None
        if not self.task.isprintable():
            raise IdentityError(f"it says its task is {self.task!r}; {AGAIN}")
        return self

    def contradiction(self, planned: Plan) -> str:
        """What it says otherwise than a core of the same shape digest must; "": nothing."""
        wanted = asdict(Identity.of(planned, 1e3 * self.clock_khz))
        return ", ".join(f"{field} {have} in place of {wanted[field]}"
                         for field, have in asdict(self).items()
                         if field not in ("model", "task") and have != wanted[field])

    def hardware(self, art: Artifact) -> HardwareConfig:
        """What decides the map of the core's memories, and its cycles, were it built for ``art``.
        """
        shorter = two_sided(art) and self.length < art.length
        return HardwareConfig(self.lanes, spread=bool(self.options & SPREAD),
                              folded=bool(self.options & FOLDED),
                              longest=self.length if shorter else 0,
                              mixer="fitting" if self.options & TABLES else "columns")

    def __str__(self) -> str:
        return (f"{self.layers} layers of {self.H} neurons of {self.n} modes, {self.outputs} "
                f"outputs, up to {self.length} steps, {self.lanes} lanes, "
                f"{self.clock_khz / 1000:g} MHz")
