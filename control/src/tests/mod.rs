//! The two ends against each other, over a simulated network and a clock that tests move.

mod certificates;
mod course;
mod crowds;
mod endings;
mod greeting;
mod hostile;
mod network;
mod pair;
mod roaming;
mod speed;
mod strangers;
