//! What can go wrong, and whose fault it is.

use std::io;

use crate::units::UnitError;

/// Why a command cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum PerfProgramError {
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
    /// A value that is none.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A shape that the protocol does not carry.
    #[error("the protocol does not carry this: {0}")]
    Limit(#[from] punktfunk_proto::LimitError),
    /// The UDP edge.
    #[error(transparent)]
    Net(#[from] punktfunk_net::NetError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] punktfunk_engine::EngineError),
    /// A stage's wishes.
    #[error(transparent)]
    Wish(#[from] punktfunk_engine::WishError),
    /// A log.
    #[error(transparent)]
    Log(#[from] punktfunk_perf::PerfError),
    /// The system.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Another program that is needed.
    #[error("`{command}` failed: {words}")]
    Tool {
        /// The command.
        command: String,
        /// Its own words.
        words: String,
    },
    /// One of the ends.
    #[error("the {end} end: {words}")]
    End {
        /// Which.
        end: &'static str,
        /// What it said.
        words: String,
    },
    /// Words between the program and its ends that are none; our fault.
    #[error("not understood: {0}")]
    Words(String),
    /// Something that must hold did not.
    #[error("{0}")]
    Failed(String),
}

impl PerfProgramError {
    /// 2 for arguments, 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            PerfProgramError::Usage(_)
            | PerfProgramError::Unit(_)
            | PerfProgramError::Limit(_)
            | PerfProgramError::Wish(_) => 2,
            PerfProgramError::Net(_)
            | PerfProgramError::Engine(_)
            | PerfProgramError::Log(_)
            | PerfProgramError::Io { .. }
            | PerfProgramError::Tool { .. }
            | PerfProgramError::End { .. }
            | PerfProgramError::Words(_)
            | PerfProgramError::Failed(_) => 1,
        }
    }
}
