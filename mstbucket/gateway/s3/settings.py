"""Settings of buckets and objects: versioning, tags, lifecycle, object lock, retention, legal hold."""

from __future__ import annotations

from typing import Any

from mstbucket import DefaultRetention
from mstbucket.gateway.refusals import Refused
from mstbucket.gateway.s3 import xml_in
from mstbucket.gateway.s3.call import Call
from mstbucket.gateway.s3.object_headers import retention_of
from mstbucket.gateway.s3.xml_out import document, element, group, moment, tag_set
from mstbucket.gateway.wire.answer import Answer, Headers

# --- versioning ----------------------------------------------------------------------------------------------------------


def get_bucket_versioning(call: Call) -> Answer:
    """Enabled, Suspended, or nothing where it was never set."""
    status = call.bucket.get_bucket_versioning()
    return Answer(200, [], document("VersioningConfiguration", element("Status", status)))


def put_bucket_versioning(call: Call) -> Answer:
    """Enable or suspend versioning."""
    found = xml_in.texts(call.xml("VersioningConfiguration"), ("Status", "MfaDelete"))
    if found.get("MfaDelete", "Disabled") != "Disabled" or call.header("x-amz-mfa") is not None:
        raise Refused("NotImplemented", "MFA delete is not offered.")
    if found.get("Status") not in ("Enabled", "Suspended"):
        raise Refused("MalformedXML", "The Status of a VersioningConfiguration is Enabled or Suspended")
    call.bucket.put_bucket_versioning(found["Status"])
    return Answer()


# --- tags ----------------------------------------------------------------------------------------------------------------


def get_bucket_tagging(call: Call) -> Answer:
    """The tags of the bucket."""
    return Answer(200, [], document("Tagging", tag_set(call.bucket.get_bucket_tagging())))


def put_bucket_tagging(call: Call) -> Answer:
    """Replace the tags of the bucket."""
    call.bucket.put_bucket_tagging(xml_in.tags(call.xml("Tagging")))
    return Answer(204)


def delete_bucket_tagging(call: Call) -> Answer:
    """Remove the tags of the bucket."""
    call.bucket.delete_bucket_tagging()
    return Answer(204)


def _version(call: Call) -> Headers:
    return [] if call.version_id is None else [("x-amz-version-id", call.version_id)]


def get_object_tagging(call: Call) -> Answer:
    """The tags of the object, or of one version."""
    tags = call.reading.get_object_tagging(call.key, version_id=call.version_id)
    return Answer(200, _version(call), document("Tagging", tag_set(tags)))


def put_object_tagging(call: Call) -> Answer:
    """Replace the tags of the object, or of one version."""
    call.bucket.put_object_tagging(call.key, xml_in.tags(call.xml("Tagging")), version_id=call.version_id)
    return Answer(200, _version(call))


def delete_object_tagging(call: Call) -> Answer:
    """Remove the tags of the object, or of one version."""
    call.bucket.delete_object_tagging(call.key, version_id=call.version_id)
    return Answer(204, _version(call))


# --- object lock -----------------------------------------------------------------------------------------------------------


def get_object_lock_configuration(call: Call) -> Answer:
    """That object lock is enabled, and the default retention."""
    default = call.bucket.get_object_lock_configuration()
    rule = "" if default is None else group("Rule", group(
        "DefaultRetention", element("Mode", default.mode), element("Days", default.days), element("Years", default.years)
    ))  # fmt: skip
    return Answer(200, [], document("ObjectLockConfiguration", element("ObjectLockEnabled", "Enabled"), rule))


def put_object_lock_configuration(call: Call) -> Answer:
    """Enable object lock, or change the default retention."""
    found = xml_in.children(call.xml("ObjectLockConfiguration"), ("ObjectLockEnabled", "Rule"))
    enabled, rule = xml_in.only(found, "ObjectLockEnabled"), xml_in.only(found, "Rule")
    if enabled is None or enabled.text != "Enabled":
        raise Refused("MalformedXML", "ObjectLockEnabled is Enabled, and nothing else")
    retention = None if rule is None else xml_in.only(xml_in.children(rule, ("DefaultRetention",)), "DefaultRetention")
    if retention is None:
        call.bucket.put_object_lock_configuration(None)
        return Answer()
    said: dict[str, Any] = xml_in.texts(retention, ("Mode", "Days", "Years"))
    days, years = (xml_in.number(said[name]) if name in said else None for name in ("Days", "Years"))
    if (days is None) == (years is None):
        raise Refused("MalformedXML", "A DefaultRetention has Days or Years")
    call.bucket.put_object_lock_configuration(DefaultRetention(said.get("Mode", ""), days, years))
    return Answer()


def get_object_retention(call: Call) -> Answer:
    """The retention of the object, or of one version."""
    retention = call.bucket.get_object_retention(call.key, version_id=call.version_id)
    until = element("RetainUntilDate", moment(retention.retain_until))
    return Answer(200, [], document("Retention", element("Mode", retention.mode), until))


def put_object_retention(call: Call) -> Answer:
    """Retain the object, or one version. An empty document ends the retention."""
    said = xml_in.texts(call.xml("Retention"), ("Mode", "RetainUntilDate"))
    if len(said) == 1:
        raise Refused("MalformedXML", "A Retention has a Mode and a RetainUntilDate")
    retention = retention_of(said["Mode"], xml_in.when(said["RetainUntilDate"])) if said else None
    bypass = call.truth("x-amz-bypass-governance-retention")
    if bypass:
        call.require("s3:BypassGovernanceRetention", call.bucket_name, call.key)
    call.bucket.put_object_retention(
        call.key, retention, version_id=call.version_id, bypass_governance_retention=bypass
    )
    return Answer()


def get_object_legal_hold(call: Call) -> Answer:
    """Whether a legal hold protects the object, or one version."""
    on = call.bucket.get_object_legal_hold(call.key, version_id=call.version_id)
    return Answer(200, [], document("LegalHold", element("Status", "ON" if on else "OFF")))


def put_object_legal_hold(call: Call) -> Answer:
    """Put the object, or one version, under a legal hold, or lift the hold."""
    said = xml_in.texts(call.xml("LegalHold"), ("Status",))
    if said.get("Status") not in ("ON", "OFF"):
        raise Refused("MalformedXML", "The Status of a LegalHold is ON or OFF")
    call.bucket.put_object_legal_hold(call.key, said["Status"] == "ON", version_id=call.version_id)
    return Answer()
