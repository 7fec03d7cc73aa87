//! What bounds this room, each with its reason.

use std::time::Duration;

/// The longest name of a host: one label of DNS (RFC 1035, section 2.3.4).
pub const NAME_BYTES_MAX: usize = 63;

/// The longest `id`: ours have 16 digits, and others' have room.
pub const ID_BYTES_MAX: usize = 32;

/// How many hosts one search keeps; more than a home or an office has.
pub const HOSTS_MAX: usize = 256;

/// How many addresses of one host are kept: some interfaces with both kinds each.
pub const ADDRESSES_MAX: usize = 16;

/// How many records of others the library may hold before it is begun anew: what [`HOSTS_MAX`] hosts say of themselves,
/// (a pointer, a service, a text and [`ADDRESSES_MAX`] addresses each), with room for a busy network's other services.
pub const RECORDS_MAX: i64 = 8_192;

/// How often those are counted, and how late an end is noticed.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How often they are counted while somebody waits for the result, in which time a full network brings little.
pub const SEARCH_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long an announcement may take before it is said that there is none: three probes (RFC 6762, section 8.1) take
/// three quarters of a second, and a network device that comes up some more.
pub const ANNOUNCE_MAX: Duration = Duration::from_secs(5);

/// How long the library may take to answer; it works on this machine alone.
pub const ANSWER_MAX: Duration = Duration::from_millis(500);

/// How long the second goodbye is waited for, which the library sends 120 ms after the first, for whoever missed it.
pub const GOODBYE_AGAIN_MAX: Duration = Duration::from_millis(300);

/// How often it is looked whether it has.
pub const GOODBYE_LOOK_INTERVAL: Duration = Duration::from_millis(20);

const _: () = assert!(RECORDS_MAX as usize > HOSTS_MAX * (3 + ADDRESSES_MAX));
