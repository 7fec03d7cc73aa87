//! The client as a person starts it, alone or with hosts that no true host program would be.
//!
//! Promises: judged by exit codes and by what it says; nothing is asked of a network beyond loopback. Refuses
//! to stream: that is tested beside the host.

#![allow(clippy::unwrap_used)] // clippy's leave for tests ends at the functions that they share

mod host;
mod odd_hosts;
mod support;
mod without_a_host;
