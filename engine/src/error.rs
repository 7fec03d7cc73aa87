//! What can go wrong as a pipeline starts.

use punktfunk_net::NetError;

/// Why a pipeline could not start. Nothing is left running after one of these.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The kernel gave no thread for a stage.
    #[error("no thread for the stage {stage}: {source}; raise the process's limit of threads")]
    Thread {
        /// The stage.
        stage: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The UDP edge could not give what the stages need.
    #[error(transparent)]
    Net(#[from] NetError),
}
