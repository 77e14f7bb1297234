"""What the API answers, as JSON: ids and hashes lower-case hex, envelopes base64, energy Wh, power W, times in s."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Mapping
from typing import Any

from gateway.epochs.intervals import Interval
from gateway.intake.refusals import EXPLANATIONS, RefusalCode
from gateway.readings.overview import MeterView, Overview
from ledger.reading import Reason


async def describe_status(overview: Overview) -> dict[str, Any]:
    """Return the gateway's state in a few numbers."""
    counts = overview.store.counts
    refused = {code.name: counts[code.counter] for code in RefusalCode if counts[code.counter] and not code.is_note}
    noted = {code.name: counts[code.counter] for code in RefusalCode if counts[code.counter] and code.is_note}
    return {
        "readings": {
            "stored": counts["stored"], "refused": counts["refused"], "duplicates": counts["duplicates"],
            "refused_by_reason": refused, "noted_by_reason": noted,
        },
        "epoch": overview.calendar.epoch_now(),
        "epoch_s": overview.calendar.epoch_s,
        "epoch_remaining_s": int(overview.calendar.remaining_s()),
        "meters": len(overview.roster),
        "in_flight": overview.link.in_flight,
        "outbox": await overview.outbox.count_open(),
        "broker": {"connected": overview.link.is_connected},
        "ledger": {
            "height": overview.follower.height,
            "roots_agree": overview.follower.roots_agree,
            "nodes": [
                {"url": url, "name": status and status.name, "height": status and status.height}
                for url, status in ((node.url, node.status) for node in overview.follower.nodes)
            ],
        },
    }  # fmt: skip


def describe_epoch(overview: Overview, meters: int) -> dict[str, Any]:
    """Return what concerns one who sees *meters* meters alone: nothing that tells of the others."""
    return {
        "epoch": overview.calendar.epoch_now(),
        "epoch_s": overview.calendar.epoch_s,
        "epoch_remaining_s": int(overview.calendar.remaining_s()),
        "meters": meters,
    }


def describe_meter(view: MeterView) -> dict[str, Any]:
    """Return a meter and its newest reading."""
    return {
        "meter_id": view.meter.meter_id.hex(), "label": view.meter.label, "profile": view.meter.profile,
        "rated_power_w": view.meter.rated_power_w, "can_export": view.meter.can_export,
        "account": view.meter.account.hex(), "sequence": view.sequence, "receipted": view.receipted, "time": view.time,
        "age_s": view.age_s, "import_wh": view.import_wh, "export_wh": view.export_wh, "power_w": view.power_w,
        "hints": [
            {"kind": hint.kind, "text": hint.text, "heard_at": hint.heard_at, "signed": False} for hint in view.hints
        ],
        "watermark_epoch": view.watermark and view.watermark.epoch,
        "estimate": view.estimate and {
            "epoch": view.watermark and view.watermark.epoch, "import_wh": view.estimate[0],
            "export_wh": view.estimate[1], "display_only": True,
        },
    }  # fmt: skip


def describe_reading(row: sqlite3.Row) -> dict[str, Any]:
    """Return a stored reading, with the envelope that the meter signed."""
    return {
        "meter_id": row["meter_id"].hex(), "sequence": row["sequence"], "hash": row["hash"].hex(),
        "time": row["time"], "reason": Reason(row["reason"]).name.lower(), "epoch": row["epoch"],
        "import_wh": row["import_wh"], "export_wh": row["export_wh"], "power_w": row["power_w"],
        "status": row["status"], "refusal": _describe_code(row["refusal"]) if row["refusal"] else None,
        "notes": [_describe_code(int(code)) for code in row["notes"].split(",")] if row["notes"] else [],
        "received_at": row["received_at"], "envelope": base64.b64encode(row["raw"]).decode(),
    }  # fmt: skip


def describe_interval(interval: Interval, flags: Mapping[tuple[bytes, int, int], list[str]]) -> dict[str, Any]:
    """Return an interval; `gap` where it spans more than its one epoch, `flags` what a check found odd about it."""
    return {
        "meter_id": interval.meter_id.hex(), "epoch": interval.epoch, "epochs": interval.epochs,
        "import_wh": interval.import_wh, "export_wh": interval.export_wh, "gap": interval.is_gap,
        "flags": flags.get((interval.meter_id, interval.epoch, interval.epochs), []),
    }  # fmt: skip


def describe_quarantined(row: sqlite3.Row) -> dict[str, Any]:
    """Return a quarantined message: at most the first kilobyte of it, and its true size in bytes."""
    return {
        "id": row["id"], "received_at": row["received_at"], "topic": row["topic"], "size": row["size"],
        "refusal": _describe_code(row["refusal"]), "message": base64.b64encode(row["raw"]).decode(),
    }  # fmt: skip


def describe_evidence(row: sqlite3.Row) -> dict[str, Any]:
    """Return a signed reading that contradicts a stored one."""
    return {
        "id": row["id"], "meter_id": row["meter_id"].hex(), "sequence": row["sequence"],
        "received_at": row["received_at"], "hash": row["hash"].hex(), "refusal": _describe_code(row["refusal"]),
        "envelope": base64.b64encode(row["raw"]).decode(),
    }  # fmt: skip


def _describe_code(number: int) -> dict[str, Any]:
    code = RefusalCode(number)
    return {
        "code": number,
        "name": code.name,
        "text": EXPLANATIONS[code].text,
        "next_step": EXPLANATIONS[code].next_step,
    }
