"""An S3-style bucket store whose whole state is one content identifier, and which leaves as one file.

    store = mstbucket.open("somewhere")
    bucket = store.create_bucket("photos")
    bucket.put_object("2026/a.jpg", path)
    bucket.flush()
    bucket.export_car("photos.car")
    mstbucket.verify_car("photos.car")

What is imported here costs nothing until it is used: the database driver and the codecs are loaded by `open`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mstbucket import errors
    from mstbucket.api.bucket import Bucket
    from mstbucket.api.check_proof import check_proof
    from mstbucket.api.commit_log import check_log_proof, log_head, prove_log
    from mstbucket.api.file_remote import FileBucket, FileRemote
    from mstbucket.api.inspect_car import inspect_car
    from mstbucket.api.join_cars import join_cars
    from mstbucket.api.opening import open
    from mstbucket.api.signing import new_signing_key, public_key, sign_commit, sign_succession
    from mstbucket.api.store import Store
    from mstbucket.api.trust import Trust
    from mstbucket.api.verify_car import verify_car
    from mstbucket.api.view import BucketView
    from mstbucket.blobs.media.validate import BlobCheck, validate_blobs
    from mstbucket.model.access import AccessKey, NewAccessKey
    from mstbucket.model.access_policy import BucketLimits
    from mstbucket.model.buckets import BucketInfo, CheckReport, CommitInfo
    from mstbucket.model.collection import Amount, CollectReport, CycleInfo, SpaceInfo
    from mstbucket.model.cors import CorsRule
    from mstbucket.model.examined import Examined, ScrubCoverage
    from mstbucket.model.exports import ExportReport, FilesReport
    from mstbucket.model.findings import Finding, StoreReport
    from mstbucket.model.listings import MarkerPage, ObjectSummary, ObjectVersion, Page, VersionsPage
    from mstbucket.model.looks import PathNode, Proved, ProvedChange, ProvedChanges, ProvedObject, ProvedPart, TreePath
    from mstbucket.model.maintained import MaintainReport
    from mstbucket.model.objects import (
        DeleteFailure,
        DeleteReport,
        DeleteResult,
        ObjectAttributes,
        ObjectChange,
        ObjectInfo,
        PutRequest,
        PutResult,
    )
    from mstbucket.model.past import KeepPolicy, MergeConflict, MergeReport, RestoreChange, RestoreReport, SnapshotInfo
    from mstbucket.model.policies import DefaultRetention, LifecycleReport, LifecycleRule, Retention
    from mstbucket.model.rebuild import RebuildReport, RebuiltBucket
    from mstbucket.model.remotes import FetchedBucket, PullReport, Remote
    from mstbucket.model.repairs import Loss, RepairReport
    from mstbucket.model.settings import BucketUsage, StoreSettings, Unflushed, Usage
    from mstbucket.model.uploads import Part, PartsPage, Upload, UploadsPage
    from mstbucket.services.objects.reader import ObjectReader
    from mstbucket.verify.car import CarReport
    from mstbucket.verify.inspect import CarSummary

__all__ = [
    "AccessKey",
    "Amount",
    "BlobCheck",
    "Bucket",
    "BucketInfo",
    "BucketLimits",
    "BucketUsage",
    "BucketView",
    "CarReport",
    "CarSummary",
    "CheckReport",
    "CollectReport",
    "CommitInfo",
    "CorsRule",
    "CycleInfo",
    "DefaultRetention",
    "DeleteFailure",
    "DeleteReport",
    "DeleteResult",
    "Examined",
    "ExportReport",
    "FetchedBucket",
    "FileBucket",
    "FileRemote",
    "FilesReport",
    "Finding",
    "KeepPolicy",
    "LifecycleReport",
    "LifecycleRule",
    "Loss",
    "MaintainReport",
    "MarkerPage",
    "MergeConflict",
    "MergeReport",
    "NewAccessKey",
    "ObjectAttributes",
    "ObjectChange",
    "ObjectInfo",
    "ObjectReader",
    "ObjectSummary",
    "ObjectVersion",
    "Page",
    "Part",
    "PartsPage",
    "PathNode",
    "Proved",
    "ProvedChange",
    "ProvedChanges",
    "ProvedObject",
    "ProvedPart",
    "PullReport",
    "PutRequest",
    "PutResult",
    "RebuildReport",
    "RebuiltBucket",
    "Remote",
    "RepairReport",
    "RestoreChange",
    "RestoreReport",
    "Retention",
    "ScrubCoverage",
    "SnapshotInfo",
    "SpaceInfo",
    "Store",
    "StoreReport",
    "StoreSettings",
    "TreePath",
    "Trust",
    "Unflushed",
    "Upload",
    "UploadsPage",
    "Usage",
    "VersionsPage",
    "check_log_proof",
    "check_proof",
    "errors",
    "inspect_car",
    "join_cars",
    "log_head",
    "new_signing_key",
    "open",
    "prove_log",
    "public_key",
    "sign_commit",
    "sign_succession",
    "validate_blobs",
    "verify_car",
]

_HOME: Final = {
    "AccessKey": "mstbucket.model.access",
    "BlobCheck": "mstbucket.blobs.media.validate",
    "Bucket": "mstbucket.api.bucket",
    **dict.fromkeys(("BucketInfo", "CheckReport", "CommitInfo"), "mstbucket.model.buckets"),
    "BucketLimits": "mstbucket.model.access_policy",
    "BucketView": "mstbucket.api.view",
    **dict.fromkeys(("Examined", "ScrubCoverage"), "mstbucket.model.examined"),
    **dict.fromkeys(("Finding", "StoreReport"), "mstbucket.model.findings"),
    **dict.fromkeys(("Loss", "RepairReport"), "mstbucket.model.repairs"),
    "CarReport": "mstbucket.verify.car",
    **dict.fromkeys(("Amount", "CollectReport", "CycleInfo", "SpaceInfo"), "mstbucket.model.collection"),
    "CarSummary": "mstbucket.verify.inspect",
    "DefaultRetention": "mstbucket.model.policies",
    **dict.fromkeys(("MergeConflict", "MergeReport"), "mstbucket.model.past"),
    **dict.fromkeys(("KeepPolicy", "RestoreChange", "RestoreReport", "SnapshotInfo"), "mstbucket.model.past"),
    "CorsRule": "mstbucket.model.cors",
    **dict.fromkeys(("ExportReport", "FilesReport"), "mstbucket.model.exports"),
    **dict.fromkeys(("MarkerPage", "ObjectSummary", "ObjectVersion", "Page", "VersionsPage"), "mstbucket.model.listings"),
    "LifecycleReport": "mstbucket.model.policies",
    "LifecycleRule": "mstbucket.model.policies",
    "MaintainReport": "mstbucket.model.maintained",
    "NewAccessKey": "mstbucket.model.access",
    "ObjectReader": "mstbucket.services.objects.reader",
    "Retention": "mstbucket.model.policies",
    **dict.fromkeys(
        ("PathNode", "Proved", "ProvedChange", "ProvedChanges", "ProvedObject", "ProvedPart", "TreePath"),
        "mstbucket.model.looks",
    ),
    **dict.fromkeys(("Part", "PartsPage", "Upload", "UploadsPage"), "mstbucket.model.uploads"),
    **dict.fromkeys(("FetchedBucket", "PullReport", "Remote"), "mstbucket.model.remotes"),
    "RebuildReport": "mstbucket.model.rebuild",
    "RebuiltBucket": "mstbucket.model.rebuild",
    "Store": "mstbucket.api.store",
    "StoreSettings": "mstbucket.model.settings",
    "BucketUsage": "mstbucket.model.settings",
    "Unflushed": "mstbucket.model.settings",
    "Usage": "mstbucket.model.settings",
    "check_proof": "mstbucket.api.check_proof",
    **dict.fromkeys(("FileBucket", "FileRemote"), "mstbucket.api.file_remote"),
    "inspect_car": "mstbucket.api.inspect_car",
    "join_cars": "mstbucket.api.join_cars",
    "open": "mstbucket.api.opening",
    "Trust": "mstbucket.api.trust",
    **dict.fromkeys(("check_log_proof", "log_head", "prove_log"), "mstbucket.api.commit_log"),
    **dict.fromkeys(("new_signing_key", "public_key", "sign_commit", "sign_succession"), "mstbucket.api.signing"),
    "validate_blobs": "mstbucket.blobs.media.validate",
    "verify_car": "mstbucket.api.verify_car",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'mstbucket' has no attribute {name!r}")
    if name == "errors":
        return import_module("mstbucket.errors")
    value: object = getattr(import_module(_HOME.get(name, "mstbucket.model.objects")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
