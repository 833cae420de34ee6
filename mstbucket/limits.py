"""Every limit of the formats and of the store, with its reason. Nothing else states a number twice.

Sizes are bytes unless the name says otherwise. `spec/10-limits.md` is the normative table; a test compares the two
[LIM-1], and that each has its unit, consequence and reason there [LIM-2].
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# --- keys ---
KEY_MAX: Final = 1024  # S3: "the name for a key is a sequence of … at most 1,024 bytes" of UTF-8
VERSION_KEY_MAX: Final = KEY_MAX + 1 + 16  # `key 0x00 16-hex-digits` in the versions tree
VERSION_ID_MAX: Final = 1024  # bytes of UTF-8; S3: "not more than 1,024 bytes long"
SEQ_MAX: Final = 2**63 - 1  # sequences are signed 64-bit, as Postgres and DAG-CBOR peers hold them
BUCKET_NAME_MIN: Final = 3  # characters; S3's rule
BUCKET_NAME_MAX: Final = 63  # characters; S3's rule, the length of one DNS label

BUCKET_BYTES_MAX: Final = 2**63 - 1  # of all current objects, as a commit states it; 171,798 of the largest are less
COLLECTIONS_MAX: Final = 2**31 - 1  # of one store, counted in each row of a block; one a second takes 68 years

# --- tree ---
NODE_ENTRIES_MAX: Final = 8192  # Go peers stop there; an honest node above 256 has probability 3e-24 at 1e9 keys
NODE_ENTRIES_WARN: Final = 256  # more than this in one node is worth a warning: keys mined for one height
NODE_BLOCK_MAX: Final = 1 * MIB  # the block size every IPFS peer accepts
TREE_HEIGHT_MAX: Final = 64  # sha256 has 128 pairs of bits; 64 would take 4**64 honest keys

# --- other blocks ---
CBOR_DEPTH_MAX: Final = 32  # levels; the deepest block of this project has 4, and readers that recurse stay safe
MANIFEST_BLOCK_MAX: Final = 1 * MIB  # 10,000 parts, 2 KB of metadata and 10 tags stay well below it
COMMIT_BLOCK_MAX: Final = 64 * KIB  # 50 bucket tags of the longest form are 20 KB
COMMIT_SEQ_MAX: Final = 2**53 - 1  # exact in every JSON reader; a flush each microsecond gets there in 285 years
COMMIT_NAME_MAX: Final = 255  # bytes; four times what S3 allows, so that other stores' names fit
COMMIT_MESSAGE_MAX: Final = 4 * KIB  # bytes; a screen of text, which every proof of the commit carries along
STATEMENT_BLOCK_MAX: Final = 16 * KIB  # of a proof: two texts as long as keys and a delimiter, and room
CHANGES_STATEMENT_MAX: Final = 1 * MIB  # of a change proof: 8,000 changes of usual keys; every IPFS peer takes the block
ENDORSEMENT_BLOCK_MAX: Final = 1 * KIB  # of a signature or a succession that stands apart; they take 200 bytes
LOG_FILE_MAX: Final = 64 * MIB  # of a log of commits: some 900,000, a flush a minute for 20 months
LOG_PROOF_BLOCK_MAX: Final = 8 * KIB  # of a proof of one: twice 53 hashes are 3.6 KB, at COMMIT_SEQ_MAX entries

# --- bodies (UnixFS profile unixfs-v1-2025, IPIP-0499) ---
CHUNK_SIZE: Final = 1 * MIB
LINKS_PER_NODE: Final = 1024
OBJECT_SIZE_MAX: Final = 50_000 * GIB  # S3's rule since 2025, 48.8 TiB: PARTS_MAX parts of PART_SIZE_MAX
UNIXFS_NODE_MAX: Final = 256 * KIB  # 1,024 links of at most 60 bytes, their sizes, and room
DIRECTORY_BLOCK_MAX: Final = 256 * KIB  # of a directory in one node; a larger one is a tree of shards

# --- CAR ---
CAR_HEADER_MAX: Final = 64 * KIB  # one root takes 58 bytes; foreign files list a few more
CAR_SECTION_MAX: Final = 2 * MIB + 36  # IPFS peers exchange at most 2 MiB a block; 36 is the CID
ANY_SECTION_MAX: Final = 32 * MIB  # of a foreign file that is only looked at; go-car's own bound is 8 MiB
CID_TEXT_MAX: Final = 128  # characters; base16, the longest form in use, takes 73; bounds the quadratic base58 decoding
VARINT_MAX: Final = 9  # bytes; unsigned-varint's own rule

# --- frames: packs that are compressed or encrypted ---
FRAME_GROUP: Final = 64 * KIB  # plain bytes of small blocks in one frame; what one of them costs to read
FRAME_MAX: Final = CAR_SECTION_MAX + 4  # plain bytes of one frame: the largest section, with its length
FRAMES_MAX: Final = 2**32 - 1  # numbers of a pack's frames; one more is the trailer's
ZSTD_LEVEL_MAX: Final = 19  # above, a decoder needs windows that programs refuse unless told otherwise
WRAPPED_KEY_MAX: Final = 8 * KIB  # what a key service makes of 32 bytes; the largest known stay below 2 KiB

# --- S3's limits on what goes with an object ---
METADATA_MAX: Final = 2048  # names and values of user metadata together
OBJECT_TAGS_MAX: Final = 10
BUCKET_TAGS_MAX: Final = 50
BUCKET_TAGS_SIZE_MAX: Final = 60 * KIB  # bytes of names and values: they are in the commit, which has to hold the rest
TAG_KEY_MAX: Final = 128  # characters
TAG_VALUE_MAX: Final = 256  # characters
COPY_SIZE_MAX: Final = 5 * GIB  # S3 copies more only in parts; a figure to rely on, not a cost here
PARTS_MAX: Final = 10_000  # parts of one multipart upload; S3 numbers them 1 to 10,000
PART_SIZE_MIN: Final = 5 * MIB  # of every part but the last; S3's rule, checked at completion
PART_SIZE_MAX: Final = 5 * GIB  # S3's rule; a part's digests are 160 KiB then
LIST_KEYS_MAX: Final = 1000  # keys and common prefixes of one page
DELETE_KEYS_MAX: Final = 1000  # keys of one delete_objects
RETENTION_DAYS_MAX: Final = 36_500  # of a bucket's default retention; S3's rule
RETENTION_YEARS_MAX: Final = 100  # the same in years
LIFECYCLE_RULES_MAX: Final = 1000  # rules of one bucket; S3's rule
LIFECYCLE_ID_MAX: Final = 255  # characters of a rule's id; S3's rule
LIFECYCLE_DAYS_MAX: Final = 2**31 - 1  # days of a rule; what S3's clients can send
NEWER_VERSIONS_MAX: Final = 100  # noncurrent versions that a rule can keep whatever their age; S3's rule

# --- the store ---
PUT_SIZE_MAX: Final = 5 * 1024 * GIB  # of one put: one blob, and most S3 stores take no larger; its places are 1 GB here
INLINE_MAX: Final = 64 * KIB  # bodies up to this stay in Postgres until the flush (spec/decisions/08)
GROUP_PUTS_MAX: Final = 128  # small puts of one transaction: twice the threads of a busy gateway, 4 ms of the server's work
GROUP_BYTES_MAX: Final = 1 * MIB  # bytes of their bodies: from this sum on a batch makes a pack, and a commit takes longer
GROUP_LOCK_MS: Final = 50  # that a group waits for somebody's lock: longer than a commit takes, too short to be noticed
FLUSH_AGE_MIN: Final = 5  # seconds a change waits for its commit at least: the background looks no more often
FLUSH_AGE_MAX: Final = 86_400  # seconds; what is in no commit is lost with the database, so never more than a day of it
FLUSH_KEYS_MIN: Final = 100  # changed keys from which a flush does not wait; fewer write the path to the root for each key
FLUSH_KEYS_MAX: Final = 50_000  # what one commit folds
UPLOAD_AGE_DAYS: Final = 7  # from which an open upload counts as abandoned, where expiry is on; the age that AWS advises
UPLOAD_ANSWER_DAYS: Final = 7  # that a completion's answer is kept for repetitions: a client retries for hours, not weeks
SYNC_AHEAD_STEPS: Final = 20_000  # held at most while they wait for their turn: some 12 MB
SYNC_WORKERS_MAX: Final = 32  # as many connections are kept to a service, and twice as many as to the database
KEEP_MAX: Final = 2**31 - 1  # commits that one rule of retention keeps; PostgreSQL's integer
SNAPSHOT_NAME_MAX: Final = 200  # characters; a line of a listing, and an address, stay readable
SNAPSHOTS_MAX: Final = 10_000  # of one bucket: a listing of them is one answer, of some MB
RESTORE_KEYS: Final = 50_000  # changed by one restore, in one commit, while the writers of the bucket wait; 2 KB for each
PULL_UNRECORDED: Final = 64 * MIB  # of blocks that came and have no row yet: what a killed pull has to copy again at most
REMOTES_MAX: Final = 1000  # of one store: a listing of them is one answer
REMOTE_NAME_MAX: Final = 30  # characters: the name of a bucket that is fetched, 63 at most, ends with it
FILE_DELTAS_MAX: Final = 30  # behind an export in a folder of files: a month of nights, which a restore reads one by one
FILE_BEFORE_MAX: Final = 100  # earlier commits that a head names: who pulls once in three months still goes on by a step
FILE_HEAD_MAX: Final = 64 * KIB  # read of a head: three times what the limits above come to
FILE_STALE_SECONDS: Final = 86_400  # from which an unfinished file was left by a writer that died: one writes at least daily
LEASE_SECONDS: Final = 3600  # that a commit stays for a reader that gives no sign; a crashed one keeps garbage no longer
FSSPEC_BLOCK_SIZE: Final = 8 * MIB  # held of a file that is written, and a part of its upload: 10,000 of them are 78 GiB
FSSPEC_RANGES_AT_ONCE: Final = 8  # reads of one `cat_ranges`: more than two cores hash, fewer than a pool's connections
FSSPEC_VIEWS_MAX: Final = 64  # commits that the file systems of one store hold: each is a lease in the database
BLOB_NAME_MAX: Final = 200  # characters; a directory in front and S3's 1,024 leave room for it
DAMAGED_PLACES_MAX: Final = 10_000  # damaged blocks of one file whose place is remembered; 1 MB, and more than anybody reads
FINDINGS_MAX: Final = 10_000  # findings of one check that are told; some 5 MB, and more than anybody reads
UNDO_SECONDS: Final = 3600  # that an undo brings back what a collection removed: time to notice a mistake
COLLECT_PERCENT_MAX: Final = 50  # of the bytes in blocks; a collection that would free more has to be forced
COLLECT_HOURS: Final = 24  # between two collections by the background work, at most
COLLECT_PERCENT: Final = 10  # of the time that a collection by the background work is at work; it sleeps for the rest
COLLECT_PAUSE_SECONDS: Final = 10.0  # that it sleeps at once, at most: a laptop that was asleep has not worked
STRAY_DAYS: Final = 7  # that a blob which no row names is left: any writer was given up, and a mistake was noticed

# --- the gateway ---
REQUEST_LINE_MAX: Final = 16 * KIB  # a key of 1,024 bytes is 3 KiB encoded, a presigned query 2 KiB
HEADERS_MAX: Final = 100  # headers of one request; a put with 30 of metadata has 50
HEADERS_SIZE_MAX: Final = 64 * KIB  # all of them together; S3 takes 8 KiB, and some clients send cookies
XML_MAX: Final = 1 * MIB  # of a request; 1,000 deletes with keys of 1,024 bytes fill it
COMPLETION_XML_MAX: Final = 4 * MIB  # of a completion; 10,000 parts with ETag and SHA-256 are 2 MiB
HEAD_SECONDS: Final = 30  # that the head of a request may take: a client that sends nothing holds a connection only so long
BODY_SECONDS: Final = 60  # that a body may stand still, in either direction; twice the time-out of most clients' reads
KEEP_ALIVE_SECONDS: Final = 65  # an idle connection is kept: longer than clients and balancers keep theirs, so they end it
REQUESTS_IN_FLIGHT_MAX: Final = 256  # of one process: each holds a thread; one more is told to slow down
CLOCK_SKEW_SECONDS: Final = 900  # between a signature and now; S3's rule, 15 minutes
PRESIGN_SECONDS_MAX: Final = 604_800  # of a presigned URL; S3's rule, 7 days
POLICY_SIZE_MAX: Final = 20 * KIB  # bytes of a policy; S3's rule
FORM_FIELDS_MAX: Final = 20 * KIB  # bytes of the fields before the file of a browser's form; S3's rule
CONTENT_TYPES_MAX: Final = 100  # that a bucket allows; whoever needs more wants a pattern
CORS_RULES_MAX: Final = 100  # rules of one bucket; S3's rule
ACCESS_KEYS_MAX: Final = 10_000  # of one store; a listing of all of them stays a page of memory
