//! The engine: the threads, rings and placement that drive the protocol core and the UDP edge.
//!
//! A host's pipeline is encode → protect and send, a client's is receive, open and recover → decode. The
//! programs fit a source with an encoder ([`Encode`]) to the one and a decoder ([`Decode`]) to the other.
//!
//! Promises: no allocation, lock or system call of its own for a datagram; bounded queues; load shed
//! before encode; a stop that brings every slot, slice and span home. Refuses: to spin on a shared core,
//! to start a thread in mid-session, and to know of QUIC, compositors or codecs.

mod client;
mod decode;
mod departure;
mod encode;
mod error;
mod host;
mod limits;
mod load;
mod lost;
mod machine;
mod planes;
mod protect;
mod receive;
mod stage;
mod stats;

pub use client::{ClientConfig, ClientEnd, ClientPipeline};
pub use decode::{Decode, DecodeOutcome, SessionTime};
pub use encode::{
    CpuCopies, Encode, EncodeOutcome, EncodeRequest, SliceSink, SourceCounts, StageFault, Wait,
};
pub use error::EngineError;
pub use host::{HostConfig, HostEnd, HostPipeline};
pub use machine::{CoreClaim, Idle, Machine, Merge, Placement, StageSetup, WishError, Wishes};
pub use planes::{Openers, Sealers};
pub use protect::FillerFault;
pub use stage::Waker;
pub use stats::{ClientStats, DecodeStats, EncodeStats, HostStats, ProtectStats, ReceiveStats};
