"""Settings of ingestion: windows, and the limits of what is taken in."""

from pydantic import BaseModel, Field


class IngestSettings(BaseModel):
    """Whichever limit of a window comes first closes it."""

    window_max_records: int = Field(
        default=5_000, ge=1, description="records of a window; whichever limit comes first closes it"
    )
    window_max_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1, description="values of a window's records together"
    )
    window_max_rows: int = Field(
        default=20_000,
        ge=1,
        description="a window with more rows is several transactions; each ends with the record that reaches this",
    )
    window_linger_s: float = Field(default=0.1, gt=0, description="since the window's first record")
    flush_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="of one attempt, which takes half of what its window has left (45 s in all) at most",
    )
    flushes_in_flight: int = Field(
        default=2, ge=1, description="windows of one agent that are written while the next one is read"
    )
    flush_max_attempts: int = Field(
        default=20,
        ge=1,
        description="at one window, with growing pauses and within 45 s: a failover, not more",
    )
    fetch_max_records: int = Field(
        default=2_000, ge=1, description="unpacked of one answer of a broker at a time"
    )
    fetch_max_unpacked_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=1024 * 1024,
        description="of one compressed batch of records; one that is larger is a dead letter which names its offsets",
    )
    commit_interval_s: float = Field(
        default=1.0, gt=0, description="between commits of offsets; what a crash repeats at most"
    )
    progress_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="/readyz is red when records wait for so long; longer than a window's linger and flush",
    )
    # A change goes to Kafka with the row before and after it, each value as a JSON string: all of that stays below the
    # 16 MiB of a request.
    max_value_bytes: int = Field(
        default=1024 * 1024,
        ge=1,
        le=7 * 512 * 1024,
        description="of one property, temporal value or metadata, its numbers written out",
    )
    max_edges_per_record: int = Field(default=10_000, ge=1, description="a record with more is a dead letter")
    max_properties_per_entity: int = Field(default=1_000, ge=1, description="that are stored of one entity")
    property_max_ahead_s: float = Field(
        default=86_400.0,
        ge=0,
        le=1e12,
        description="how much later the date of a property may be than the record's timestamp, or the request: local "
        "times without an offset are up to 14 h ahead of UTC, and clocks differ",
    )
    provenance: bool = Field(
        default=True,
        description="keep of each property where it came from, for GET /v1/graph/{id}/provenance",
    )
    max_entity_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=7 * 1024 * 1024,
        description="of all properties of one entity: stored, before compression, and as the JSON string of a change",
    )
    dead_letter_max_ratio: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="a worker that dead-letters a larger part stops: the fault is elsewhere",
    )
    dead_letter_min_records: int = Field(
        default=1_000, ge=1, description="the ratio is judged over this many of the latest records"
    )
    dead_letter_max_run: int = Field(
        default=1_000, ge=1, description="dead letters in a row that stop a worker"
    )
