//! NVIDIA's hardware encoder, by its own interface and nothing between.

pub mod sys;
